//! The flags of the commands about background tasks.

use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};
use values::units::parse_time;

use super::reach::Reach;
use crate::call::{self, List};

/// Which tasks.
#[derive(Debug, Args)]
struct Filter {
    /// In this state: scheduled, available, running, retryable, completed, discarded, cancelled or unknown
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Of this function
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// With this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// On behalf of this one
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
}

impl Filter {
    /// The arguments that say so.
    fn args(self) -> Map<String, Value> {
        let given = [
            ("state", self.state),
            ("function", self.function),
            ("key", self.key),
            ("subject", self.subject),
        ];
        let given = given.into_iter();
        given
            .filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))))
            .collect()
    }
}

#[derive(Debug, Args)]
pub(super) struct Task {
    /// Its id, as the answer to the request had it under `task`
    id: String,
    /// Wait for its end, for so long at most
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    wait: Option<Duration>,
    #[command(flatten)]
    reach: Reach,
}

impl Task {
    pub(super) fn run(self) -> ExitCode {
        call::look(&self.reach.target(), &self.id, self.wait)
    }
}

#[derive(Debug, Args)]
pub(super) struct Tasks {
    #[command(flatten)]
    filter: Filter,
    /// So many at most, the newest
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// An object a line, as where standard output is no terminal
    #[arg(long)]
    json: bool,
    /// Print each change of such tasks from now on, instead of a list
    #[arg(long, conflicts_with_all = ["key", "limit"])]
    watch: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Tasks {
    pub(super) fn run(self) -> ExitCode {
        let list = List {
            filter: self.filter.args(),
            limit: usize::try_from(self.limit).unwrap_or(usize::MAX),
            json: self.json,
        };
        let target = self.reach.target();
        if self.watch {
            call::watch(&target, &list)
        } else {
            call::list(&target, &list)
        }
    }
}

/// One task, or those that a filter finds; never all of them by a slip of the hand.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["id", "state", "function", "key", "subject"]))]
pub(super) struct Change {
    /// Id of the task
    #[arg(conflicts_with_all = ["state", "function", "key", "subject"])]
    id: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// Only say how many that would be
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Change {
    /// Has the host do it by this function of its own.
    pub(super) fn run(self, function: &str) -> ExitCode {
        let mut args = self.filter.args();
        if let Some(id) = self.id {
            args.insert("task".into(), Value::String(id));
        }
        if self.dry_run {
            args.insert("dry_run".into(), true.into());
        }
        call::change(&self.reach.target(), function, &Value::Object(args))
    }
}

#[derive(Debug, Args)]
pub(super) struct Pause {
    /// Name of the function
    function: String,
    #[command(flatten)]
    reach: Reach,
}

impl Pause {
    /// Has the host do it by this function of its own.
    pub(super) fn run(self, function: &str) -> ExitCode {
        let args = json!({"function": self.function});
        call::change(&self.reach.target(), function, &args)
    }
}
