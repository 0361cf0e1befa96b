//! Whole lives of tasks: taken in, run by a worker, and their ends written down.

use std::time::{Duration, Instant};

use super::args::BackgroundArgs;
use super::desk::Desk;
use crate::error::BenchError;
use crate::figures::{disturbed_cell, ratio_cell};
use crate::load::{self, Report, Shape};
use crate::numbers::{median, thousands};
use crate::say::note;
use crate::table::Table;
use crate::workload::Dialect;

const SUBMITTERS: [usize; 2] = [50, 500];

/// What one round showed.
struct Round {
    /// Tasks that are taken in and wait.
    alone: Report,
    /// How many of these were run in a second, with nothing else to do.
    run_rate: f64,
    /// Tasks that are taken in while others run.
    meanwhile: Report,
    /// How many of these a second were completed, from the first that was sent until all were.
    lives_rate: f64,
}

/// The table.
pub(super) fn measure(args: &BackgroundArgs) -> Result<String, BenchError> {
    let mut table = Table::new(
        1,
        &[
            "Submitters",
            "enqueued/s, none runs",
            "run/s, none is enqueued",
            "enqueued/s while they run",
            "whole lives/s",
            "whole lives ÷ enqueued, none runs",
            "disturbed",
        ],
    );
    for submitters in SUBMITTERS {
        let rounds = (1..=args.rounds.rounds).map(|number| round(args, number, submitters));
        let rounds: Vec<Round> = rounds.collect::<Result<_, _>>()?;
        let middle = |figure: fn(&Round) -> f64| thousands(median(rounds.iter().map(figure)));
        let ratio = |round: &Round| round.lives_rate / round.alone.tasks_per_second();
        table.row(&[
            submitters.to_string(),
            middle(|round| round.alone.tasks_per_second()),
            middle(|round| round.run_rate),
            middle(|round| round.meanwhile.tasks_per_second()),
            middle(|round| round.lives_rate),
            ratio_cell(rounds.iter().map(ratio)),
            disturbed_cell(rounds.iter().map(|round| &round.meanwhile)),
        ]);
    }
    Ok(table.to_string())
}

/// With a host that has done nothing yet.
fn round(args: &BackgroundArgs, number: u32, submitters: usize) -> Result<Round, BenchError> {
    let what = |what: &str| format!("round {number}, {submitters} submitters, {what}");
    let disk = args.disk()?;
    let mut host = args.host(&disk)?;
    host.target.dialect = Dialect::Background;
    let mut desk = Desk::of(&host)?;
    let mut load = args.rounds.load(&host, Shape::without_ids(submitters));
    desk.pause()?;
    let alone = args.rounds.quietly(&what("none runs"), &load)?;
    let began = Instant::now();
    desk.resume()?;
    let run_rate = desk.until_all_are_completed()? as f64 / began.elapsed().as_secs_f64();
    load.warm_up = Duration::ZERO;
    let (meanwhile, lives_rate) = args.rounds.quietly_with(&what("they run"), || {
        let before = desk.counts()?.completed;
        let began = Instant::now();
        let report = load::run(&load)?;
        let completed = desk.until_all_are_completed()? - before;
        Ok((report, completed as f64 / began.elapsed().as_secs_f64()))
    })?;
    note(&what(&format!(
        "{run_rate:.0} run/s, {lives_rate:.0} whole lives/s"
    )));
    Ok(Round {
        alone,
        run_rate,
        meanwhile,
        lives_rate,
    })
}
