//! `host ledger copy`: from the ledger of one host to one that many share.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use values::secret::{Secret, SecretSource};

use crate::config::{LedgerPlace, SCHEMA_DEFAULT};
use crate::ledger::{self, CopyError, Limits, Postgres, RowCounts};

pub(super) const MORE: &str = "\
It is a PostgreSQL database, and must not have tasks yet. All is copied in one transaction: a copy that is interrupted leaves \
nothing there, and is begun anew by the same command. Tasks keep their ids, states, times, attempts, results and keys. What \
ran when the host was stopped is an attempt that was lost, as at a start of the host. The ledger in the folder stays; no host \
may run its tasks again.";

const NOWHERE: &str = "say where the ledger is to be copied to: by --url-file, --url-env or --url, or by `url` under `[ledger]` \
in the file that --config names";

/// How often it is said how far the copy is.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Where the copy is to be.
#[derive(Debug, Args)]
pub(in crate::cli) struct Target {
    /// Address of the database, which others can read in the list of processes [default: what the configuration says]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// File that has the address
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    url_file: Option<PathBuf>,
    /// Variable of the environment that has the address
    #[arg(long, value_name = "NAME", conflicts_with_all = ["url", "url_file"])]
    url_env: Option<String>,
    /// Schema, made where there is none [default: what the configuration says]
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
}

/// A place for the copy that can be one.
pub(super) struct Place {
    url: Secret,
    schema: String,
}

impl Target {
    /// # Errors
    /// Nobody says where the copy is to be, or it can't be there. What is wrong with the command line.
    pub(super) fn of(self, configured: &LedgerPlace) -> Result<Place, String> {
        let (url, schema) = match configured {
            LedgerPlace::Postgres { url, schema, .. } => (Some(url.clone()), schema.as_str()),
            LedgerPlace::Folder { .. } => (None, SCHEMA_DEFAULT),
        };
        let said = match (self.url, self.url_file, self.url_env) {
            (Some(text), _, _) => Some(SecretSource::Text(text.into())),
            (None, Some(file), _) => Some(SecretSource::File(file)),
            (None, None, Some(name)) => Some(SecretSource::Env(name)),
            (None, None, None) => None,
        };
        let url = match said {
            Some(source) => source.read().map_err(|error| error.to_string())?,
            None => url.ok_or_else(|| NOWHERE.to_owned())?,
        };
        let schema = self.schema.unwrap_or_else(|| schema.to_owned());
        Postgres::check(url.expose(), &schema).map_err(|error| error.to_string())?;
        Ok(Place { url, schema })
    }
}

impl Place {
    pub(super) fn copy(&self, folder: &Path, limits: Limits, now: i64) -> Result<String, String> {
        let target = ledger::Target {
            url: self.url.expose(),
            schema: &self.schema,
        };
        let mut said_at = Instant::now();
        let mut progress = |done: &RowCounts, all: &RowCounts| {
            if said_at.elapsed() >= SAY_EVERY {
                said_at = Instant::now();
                say(done, all);
            }
        };
        let copied = ledger::copy(folder, target, limits, now, &mut progress);
        let copied = copied.map_err(|error| match error {
            CopyError::From(error) => super::of_folder(folder, &error),
            CopyError::To(error) => error.to_string(),
        })?;
        Ok(format!(
            "the ledger in {} is copied to the schema `{}`: {} tasks, {} attempts, {} keys, {} functions",
            folder.display(),
            self.schema,
            copied.tasks(),
            copied.attempts,
            copied.keys,
            copied.functions
        ))
    }
}

fn say(done: &RowCounts, all: &RowCounts) {
    let attempts = format!("{} of {} attempts", done.attempts, all.attempts);
    // Whoever doesn't read it wants the copy all the same.
    let _ = writeln!(
        io::stderr(),
        "copied {} of {} tasks, {attempts}",
        done.tasks(),
        all.tasks()
    );
}
