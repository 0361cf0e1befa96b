//! What very many tasks cost: memory, and the time that it takes to be told of one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::BackgroundArgs;
use super::desk::{Desk, text};
use crate::contender::Contender;
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::load::{self, Shape};
use crate::memory::megabytes;
use crate::numbers::{ms, thousands, us};
use crate::say::note;
use crate::table::Table;
use crate::workload::Dialect;

/// How they are handed over: what fills the ledger soonest.
const SHAPE: Shape = Shape::new(50, 16);
/// The longest load between two looks at how many there are, in seconds.
const LOAD_SECONDS_MAX: f64 = 2.0;
/// How many are handed over in a second, before that is known: more than are, or there would be too many.
const RATE_GUESSED: f64 = 200_000.0;
/// Tasks of a page of `host.tasks`, which is as many as there may be.
const PAGE: u64 = 1000;
/// How many tasks are asked for by `host.task`, one after the other.
const ASKED: usize = 20_000;
/// They are asked for in steps of so many, so that neighbours on disk aren't asked for one after the other.
const STEP: usize = 7919;

/// The table.
pub(super) fn measure(args: &BackgroundArgs) -> Result<String, BenchError> {
    let disk = args.disk()?;
    let mut host = args.host(&disk)?;
    host.target.dialect = Dialect::Background;
    let mut desk = Desk::of(&host)?;
    desk.pause()?;
    let mut table = Table::new(
        1,
        &[
            "Tasks",
            "tasks/s until then",
            "memory MB",
            "host.task p50 µs",
            "p99 µs",
            "a page of 1,000, p50 ms",
            "p99 ms",
        ],
    );
    table.row(&[
        "none",
        "",
        &megabytes(&host.target.processes)?,
        "",
        "",
        "",
        "",
    ]);
    let began = Instant::now();
    let tasks = fill(args, &host, &mut desk)?;
    let rate = tasks as f64 / began.elapsed().as_secs_f64();
    let (ids, pages) = list(&mut desk, tasks)?;
    let asked = ask(&mut desk, &ids, "available")?;
    let title = format!("{} wait", thousands(tasks as f64));
    table.row(&row(
        &title,
        rate,
        megabytes(&host.target.processes)?,
        &asked,
        &pages,
    ));

    note(&format!("{tasks} tasks are run"));
    let began = Instant::now();
    desk.resume()?;
    let completed = desk.until_all_are_completed()?;
    let rate = completed as f64 / began.elapsed().as_secs_f64();
    let (_, pages) = list(&mut desk, completed)?;
    let asked = ask(&mut desk, &ids, "completed")?;
    let title = format!("{} are completed", thousands(completed as f64));
    table.row(&row(
        &title,
        rate,
        megabytes(&host.target.processes)?,
        &asked,
        &pages,
    ));
    Ok(table.to_string())
}

fn row(
    title: &str,
    rate: f64,
    memory: String,
    asked: &Histogram,
    pages: &Histogram,
) -> [String; 7] {
    let asked = |percent| thousands(us(asked.percentile(percent)));
    let pages = |percent| format!("{:.1}", ms(pages.percentile(percent)));
    [
        title.to_owned(),
        thousands(rate),
        memory,
        asked(50),
        asked(99),
        pages(50),
        pages(99),
    ]
}

/// Hands tasks over until so many wait, or somewhat more; gives their number.
fn fill(args: &BackgroundArgs, host: &Contender, desk: &mut Desk) -> Result<u64, BenchError> {
    let (mut waiting, mut rate) = (0, RATE_GUESSED);
    while waiting < args.tasks {
        let seconds = (args.tasks - waiting) as f64 / rate;
        let mut load = args.rounds.load(host, SHAPE);
        load.warm_up = Duration::ZERO;
        load.duration = Duration::from_secs_f64(seconds.clamp(0.05, LOAD_SECONDS_MAX));
        let report = load::run(&load)?;
        rate = report.tasks_per_second().max(1.0);
        waiting = desk.counts()?.unfinished;
        note(&format!("{waiting} of {} tasks wait: {report}", args.tasks));
    }
    Ok(waiting)
}

/// Reads the whole list, and gives ids of tasks from all over it, about as many as are asked for, and how long each page
/// took.
fn list(desk: &mut Desk, tasks: u64) -> Result<(Vec<String>, Histogram), BenchError> {
    let every = usize::try_from(tasks).unwrap_or(usize::MAX) / ASKED;
    let (mut ids, mut pages, mut seen) = (Vec::new(), Histogram::new(), 0);
    let mut args = json!({"limit": PAGE});
    loop {
        let asked = Instant::now();
        let page = desk.ask("host.tasks", &args)?;
        pages.record(asked.elapsed());
        for task in page["tasks"].as_array().map_or(&[][..], Vec::as_slice) {
            if seen % every.max(1) == 0 {
                ids.push(text(&task["task"])?);
            }
            seen += 1;
        }
        if page["next"].is_null() {
            break;
        }
        args["after"] = page["next"].clone();
    }
    if seen as u64 == tasks {
        Ok((ids, pages))
    } else {
        Err(wrong(&format!("a list of {tasks} tasks"), &seen.into()))
    }
}

/// Asks for each of these, one after the other.
fn ask(desk: &mut Desk, ids: &[String], state: &str) -> Result<Histogram, BenchError> {
    let mut times = Histogram::new();
    for index in 0..ids.len() {
        let id = &ids[index * STEP % ids.len()];
        let asked = Instant::now();
        let task = desk.ask("host.task", &json!({"task": id}))?;
        times.record(asked.elapsed());
        if task["task"] != **id || task["state"] != state {
            return Err(wrong(&format!("task {id}, which is {state}"), &task));
        }
    }
    Ok(times)
}

fn wrong(expected: &str, got: &Value) -> BenchError {
    BenchError::WrongReply {
        expected: expected.to_owned(),
        got: got.to_string(),
    }
}
