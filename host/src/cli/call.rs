//! The flags of `host call`, and the request that they make.

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use protocol::{Background, Request, Retry, RetryOn, json};
use service::life::{self, EXIT_USAGE};
use values::units::parse_time;

use super::reach::Reach;
use crate::call;

const COMMAND: &str = "host call";

#[derive(Debug, Args)]
pub(super) struct Call {
    /// Name of the function
    function: String,
    /// Its arguments, as JSON
    #[arg(default_value = "{}")]
    args: String,
    /// Caps the task's whole time, or each attempt of one in the background, like 500ms, 30s, 5m
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout: Option<Duration>,
    /// On whose behalf it is; for clients that may say so
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    reach: Reach,
}

/// What is asked of a task in the background.
#[derive(Debug, Args)]
#[command(next_help_heading = "Background tasks")]
struct Asked {
    /// Have it written down and be answered at once with its id; it runs later, whatever dies meanwhile
    #[arg(long)]
    background: bool,
    /// At most one unfinished task of the function has this key
    #[arg(long, value_name = "KEY", requires = "background")]
    key: Option<String>,
    /// Keep the key taken for so long, though the task has ended [default: 0]
    #[arg(long, value_name = "TIME", value_parser = parse_wait, requires = "key")]
    unique: Option<Duration>,
    /// Begin no sooner than so long from now [default: 0]
    #[arg(long, value_name = "TIME", value_parser = parse_wait, requires = "background")]
    delay: Option<Duration>,
    /// 1 to 9; 1 goes first [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9), requires = "background")]
    priority: Option<u8>,
    /// Attempts after the first [default: 5]
    #[arg(long, value_name = "N", requires = "background")]
    retries: Option<u32>,
    /// The wait after the first attempt; each further one is twice as long [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = parse_wait, requires = "background")]
    retry_base: Option<Duration>,
    /// The longest wait between attempts [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = parse_wait, requires = "background")]
    retry_cap: Option<Duration>,
    /// After which failures it is tried again [default: any]
    #[arg(long, value_name = "WHICH", requires = "background")]
    retry_on: Option<After>,
    /// Give it up if it hasn't finished so long from now
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "background")]
    deadline: Option<Duration>,
    /// Keep it for so long after its end, to be asked for [default: as the host is told, a day]
    #[arg(long, value_name = "TIME", value_parser = parse_wait, requires = "background")]
    result_ttl: Option<Duration>,
    /// Only this version of the plugin runs it
    #[arg(long, value_name = "VERSION", requires = "background")]
    plugin_version: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum After {
    /// All but those that would fail again
    Any,
    /// Those that say that they are retryable
    Retryable,
}

/// As [`parse_time`], or none.
fn parse_wait(text: &str) -> Result<Duration, String> {
    if ["0", "0ms", "0s", "0m", "0h"].contains(&text) {
        Ok(Duration::ZERO)
    } else {
        parse_time(text)
    }
}

impl Asked {
    fn background(self) -> Option<Box<Background>> {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let usual = Background::default();
        let Retry {
            max,
            base_ms,
            cap_ms,
            on,
        } = usual.retry;
        let asked = Background {
            key: self.key,
            unique_ms: self.unique.map_or(usual.unique_ms, ms),
            delay_ms: self.delay.map_or(usual.delay_ms, ms),
            priority: self.priority.unwrap_or(usual.priority),
            retry: Retry {
                max: self.retries.unwrap_or(max),
                base_ms: self.retry_base.map_or(base_ms, ms),
                cap_ms: self.retry_cap.map_or(cap_ms, ms),
                on: match self.retry_on {
                    None => on,
                    Some(After::Any) => RetryOn::Any,
                    Some(After::Retryable) => RetryOn::Retryable,
                },
            },
            deadline_ms: self.deadline.map(ms),
            result_ttl_ms: self.result_ttl.map(ms),
            version: self.plugin_version,
            limit_key: usual.limit_key,
        };
        self.background.then(|| Box::new(asked))
    }
}

impl Call {
    pub(super) fn run(self) -> ExitCode {
        let args = match json::one_line(&Bytes::from(self.args)) {
            Ok(args) => args,
            Err(error) => {
                let message = format!("ARGS must be JSON: {error}");
                return life::fail(COMMAND, &message, EXIT_USAGE);
            }
        };
        let mut request = Request::new(self.function);
        request.args = args;
        request.timeout = self.timeout;
        request.subject = self.subject.map(Into::into);
        request.background = self.asked.background();
        request.progress = request.background.is_none();
        // A task in the background is answered before it runs.
        let wait = self.timeout.filter(|_| request.background.is_none());
        call::run(COMMAND, &self.reach.target(), request, wait)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        call: Call,
    }

    fn background(flags: &[&str]) -> Result<Option<Box<Background>>, String> {
        let line = ["call", "echo"].iter().chain(flags);
        let line = Line::try_parse_from(line).map_err(|error| error.to_string())?;
        Ok(line.call.asked.background())
    }

    #[test]
    fn flags_are_the_fields_of_the_protocol() {
        assert_eq!(background(&[]), Ok(None));
        assert_eq!(
            background(&["--background"]),
            Ok(Some(Box::default())),
            "what isn't said is as the protocol has it"
        );
        let flags = "--background --key k --unique 1m --delay 2s --priority 1 --retries 0 --retry-base 0 --retry-cap 3s \
            --retry-on retryable --deadline 1h --result-ttl 0 --plugin-version 1.2";
        let flags: Vec<&str> = flags.split_whitespace().collect();
        assert_eq!(
            background(&flags),
            Ok(Some(Box::new(Background {
                key: Some("k".into()),
                unique_ms: 60_000,
                delay_ms: 2_000,
                priority: 1,
                retry: Retry {
                    max: 0,
                    base_ms: 0,
                    cap_ms: 3_000,
                    on: RetryOn::Retryable
                },
                deadline_ms: Some(3_600_000),
                result_ttl_ms: Some(0),
                limit_key: None,
                version: Some("1.2".into()),
            })))
        );
    }

    #[test]
    fn flags_that_would_mean_nothing_are_refused() {
        for (flags, named) in [
            (&["--key", "k"][..], "--background"),
            (&["--delay", "1s"], "--background"),
            (&["--background", "--unique", "1s"], "--key"),
            (&["--background", "--priority", "0"], "1..=9"),
            (&["--background", "--deadline", "0"], "--deadline"),
            (&["--background", "--retry-on", "all"], "retryable"),
        ] {
            let error = background(flags).unwrap_err();
            assert!(error.contains(named), "{flags:?}: {error}");
        }
    }
}
