//! How late a task begins anew whose worker died: after the back-off, which the ledger has written down.

use serde_json::{Value, json};

use super::args::BackgroundArgs;
use super::desk::{Desk, number};
use crate::error::BenchError;
use crate::numbers::{ends, median};
use crate::plugins::Plugins;
use crate::say::note;
use crate::table::Table;

/// How many tasks kill their worker, one after the other: a plugin that crashes over and over is kept from running.
const TASKS: usize = 50;
/// Of the wait between the two attempts, of which between half and all is waited.
const BACK_OFF_MS: i64 = 100;
/// How long a task may take to fail for good.
const WAIT_MS: u64 = 20_000;

/// The table.
pub(super) fn measure(args: &BackgroundArgs) -> Result<String, BenchError> {
    let disk = args.disk()?;
    let plugins = Plugins::none()?;
    plugins.put(&args.evil)?;
    let host = args.host_with(plugins.folder(), &disk)?;
    let mut desk = Desk::of(&host)?;
    note(&format!("{TASKS} tasks kill their worker, twice each"));
    let late = (0..TASKS).map(|_| late_ms(&mut desk));
    let late: Vec<f64> = late.collect::<Result<_, _>>()?;
    let [_, greatest] = ends(late.iter().copied());
    let mut table = Table::new(
        1,
        &[
            "From the end of the back-off to the next attempt",
            "tasks",
            "median ms",
            "greatest ms",
        ],
    );
    table.row(&[
        "a worker died".to_owned(),
        TASKS.to_string(),
        format!("{:.0}", median(late)),
        format!("**{greatest:.0}**"),
    ]);
    Ok(table.to_string())
}

/// Of a task that kills its worker, and is tried again once.
fn late_ms(desk: &mut Desk) -> Result<f64, BenchError> {
    let task = desk.enqueue(json!({
        "function": "abort", "retry": {"max": 1, "base_ms": BACK_OFF_MS},
    }))?;
    let ended = desk.ask("host.task", &json!({"task": task, "wait_ms": WAIT_MS}))?;
    // What returns ends the crashes in a row.
    desk.ask("ok", &json!({}))?;
    late_ms_of(&ended)
}

/// Out of what `host.task` says of it. Its `available_at_ms` is the end of the back-off.
fn late_ms_of(task: &Value) -> Result<f64, BenchError> {
    let [first, second] = [0, 1].map(|attempt| &task["history"][attempt]);
    let is_crash = |attempt: &Value| attempt["error"]["code"] == "worker_crashed";
    let back_off = number(&task["available_at_ms"])? - number(&first["ended_at_ms"])?;
    let between = number(&second["started_at_ms"])? - number(&first["ended_at_ms"])?;
    // It is counted from when the death is written down, a little later.
    if is_crash(first) && is_crash(second) && back_off >= BACK_OFF_MS / 2 {
        Ok((between - back_off) as f64)
    } else {
        Err(BenchError::WrongReply {
            expected: format!("two crashes, and {BACK_OFF_MS} ms between them, or half of that"),
            got: task.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(available_at: i64, code: &str) -> Value {
        let attempt = |started: i64, ended: i64| json!({"started_at_ms": started, "ended_at_ms": ended, "error": {"code": code}});
        json!({
            "available_at_ms": available_at,
            "history": [attempt(1000, 1010), attempt(1093, 1100)],
        })
    }

    #[test]
    fn late_is_what_is_more_than_the_back_off() {
        assert_eq!(late_ms_of(&task(1090, "worker_crashed")).unwrap(), 3.0);
        assert!(late_ms_of(&task(1020, "worker_crashed")).is_err());
        assert!(late_ms_of(&task(1090, "timeout")).is_err());
        assert!(late_ms_of(&json!({})).is_err());
    }
}
