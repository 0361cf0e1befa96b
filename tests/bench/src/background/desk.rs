//! An operator of the host: pauses and resumes, asks how tasks fare, and waits for them.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::contender::Contender;
use crate::error::BenchError;

/// The function that is handed tasks: the fixture plugin `good` has it.
pub(super) const FUNCTION: &str = "echo";
/// How often it is looked whether tasks have ended.
const LOOK: Duration = Duration::from_millis(20);
/// The longest time in which no task ends although some are left.
const SILENCE_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Desk(Client);

/// How many tasks of the function there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) completed: u64,
    /// In whatever state they are until then.
    pub(super) unfinished: u64,
}

impl Desk {
    pub(crate) fn of(host: &Contender) -> Result<Self, BenchError> {
        Client::connect(host.target.way.tcp()).map(Self)
    }

    pub(super) fn ask(&mut self, function: &str, args: &Value) -> Result<Value, BenchError> {
        self.0.ask(&json!({"function": function, "args": args}))
    }

    /// Hands over a task with these fields beside `background`, and gives its id.
    pub(super) fn enqueue(&mut self, mut request: Value) -> Result<String, BenchError> {
        request["background"] = true.into();
        let promise = self.0.ask(&request)?;
        text(&promise["task"])
    }

    /// No more tasks of the function begin.
    pub(super) fn pause(&mut self) -> Result<(), BenchError> {
        self.ask("host.pause", &json!({"function": FUNCTION}))
            .map(drop)
    }

    pub(super) fn resume(&mut self) -> Result<(), BenchError> {
        self.ask("host.resume", &json!({"function": FUNCTION}))
            .map(drop)
    }

    pub(super) fn counts(&mut self) -> Result<Counts, BenchError> {
        let status = self.0.call("host.status")?;
        let of_function = status["background"]["functions"][FUNCTION].as_object();
        counts(of_function.unwrap_or(&Map::new()))
    }

    /// Waits until all tasks of the function are completed, and gives their number.
    pub(crate) fn until_all_are_completed(&mut self) -> Result<u64, BenchError> {
        let (mut last, mut since) = (Counts::default(), Instant::now());
        loop {
            let counts = self.counts()?;
            if counts.unfinished == 0 {
                return Ok(counts.completed);
            }
            if counts != last {
                (last, since) = (counts, Instant::now());
            }
            if since.elapsed() > SILENCE_MAX {
                return Err(BenchError::Silent {
                    seconds: SILENCE_MAX.as_secs(),
                });
            }
            thread::sleep(LOOK);
        }
    }
}

/// Out of what `host.status` says of a function: a number for each state, and other things.
fn counts(of_function: &Map<String, Value>) -> Result<Counts, BenchError> {
    let mut counts = Counts::default();
    for (name, value) in of_function {
        let count = value.as_u64();
        match (name.as_str(), count) {
            ("completed", Some(count)) => counts.completed = count,
            ("scheduled" | "available" | "running" | "retryable", Some(count)) => {
                counts.unfinished += count;
            }
            ("paused" | "why" | "oldest_available_at_ms", _) => {}
            _ => {
                return Err(BenchError::WrongReply {
                    expected: "tasks that wait, run or are completed".to_owned(),
                    got: format!("{value} {name}"),
                });
            }
        }
    }
    Ok(counts)
}

/// A string of a result.
pub(super) fn text(value: &Value) -> Result<String, BenchError> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| BenchError::WrongReply {
            expected: "a string".to_owned(),
            got: value.to_string(),
        })
}

/// A number of a result.
pub(super) fn number(value: &Value) -> Result<i64, BenchError> {
    value.as_i64().ok_or_else(|| BenchError::WrongReply {
        expected: "a number".to_owned(),
        got: value.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &Value) -> Result<Counts, BenchError> {
        counts(value.as_object().unwrap())
    }

    #[test]
    fn what_is_not_completed_is_unfinished() {
        let value = json!({
            "available": 5, "running": 2, "completed": 7, "paused": true, "why": "paused",
            "oldest_available_at_ms": 1_790_000_000_000_u64,
        });
        let expected = Counts {
            completed: 7,
            unfinished: 7,
        };
        assert_eq!(of(&value).unwrap(), expected);
        assert_eq!(of(&json!({})).unwrap(), Counts::default());
    }

    #[test]
    fn a_task_that_failed_for_good_spoils_what_is_measured() {
        assert!(of(&json!({"completed": 7, "discarded": 1})).is_err());
    }
}
