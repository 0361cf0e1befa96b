//! The host beside its limits and its peers, in all shapes.

use std::path::Path;

use crate::burst::{self, Burst, BurstReport};
use crate::contender::{Contender, PROCESSES, installed_of};
use crate::error::BenchError;
use crate::figures::{figures, ratios};
use crate::load::{Report, Shape};
use crate::machine;
use crate::memory;
use crate::numbers::median;
use crate::program::stop_all_when_told_to_end;
use crate::rounds::{Line, RoundsArgs, on_one_processor};
use crate::say::note;
use crate::table::Table;

const TEN_KIB: usize = 10 * 1024;

/// With all processors; requests that are alone on their connection have no ids.
const SHAPES: [Shape; 5] = [
    Shape::without_ids(1),
    Shape::without_ids(50),
    Shape::new(1, 64),
    Shape::new(50, 16),
    Shape::new(50, 16).with_text(TEN_KIB),
];

const BURST_TASKS: usize = 1000;
const BURST_MS: u64 = 50;
/// Ten per core on the machine of the published figures, and the number of task processes in the recipe that the host
/// replaces.
const BURST_WORKERS: [usize; 2] = [20, 100];

/// Measures and returns the tables.
pub(crate) fn run(args: &RoundsArgs) -> Result<String, BenchError> {
    stop_all_when_told_to_end()?;
    let mut lines = on_one_processor(|| {
        let alone = Line {
            title: "1 × 1, no id, all on one processor".to_owned(),
            ..Line::new(Shape::without_ids(1))
        };
        args.in_turns(&contenders(args)?, &[alone])
    })?;
    lines.extend(args.in_turns(&contenders(args)?, &SHAPES.map(Line::new))?);
    let ratio = |of, figure| ratios(&lines, "host", of, figure);
    Ok(format!(
        "## Tasks\n\n{}.\n\n{}\n{}\n{}\n{}\n{}",
        machine::made_with(args),
        ratio("tasks/s", Report::tasks_per_second),
        ratio("CPU a task", Report::servers_us_per_task),
        figures(&lines, "Connections × depth"),
        sleepers(args)?,
        memory::ready(args)?,
    ))
}

/// Limits first, then peers, as far as they are installed, then the host.
fn contenders(args: &RoundsArgs) -> Result<Vec<Contender>, BenchError> {
    let mut all = vec![
        Contender::line_echo()?,
        Contender::json_echo()?,
        Contender::hop_by_ring()?,
        Contender::hop_by_socket_pair()?,
    ];
    all.extend(installed_of([
        ("PHP", Contender::php(PROCESSES)?),
        ("gearmand", Contender::gearmand(PROCESSES)?),
    ]));
    all.push(Contender::host(&args.host, &args.plugins, "")?);
    Ok(all)
}

fn sleepers(args: &RoundsArgs) -> Result<Table, BenchError> {
    let mut table = Table::new(
        1,
        &[
            "Sleeping tasks at once, one connection",
            "workers",
            "ideal s",
            "cold s",
            "warm s",
            "warm ÷ ideal",
        ],
    );
    for workers in BURST_WORKERS {
        let (cold, warm) = bursts(args, workers)?;
        let seconds = warm.iter().map(|report| report.total.as_secs_f64());
        let ratios = warm.iter().map(BurstReport::ratio_to_ideal);
        table.row(&[
            format!("{BURST_TASKS} × {BURST_MS} ms"),
            workers.to_string(),
            format!("{:.2}", cold.ideal.as_secs_f64()),
            format!("{:.2}", cold.total.as_secs_f64()),
            format!("{:.2}", median(seconds)),
            format!("**{:.2}**", median(ratios)),
        ]);
    }
    Ok(table)
}

/// The first burst, with no worker running yet, and those after it.
fn bursts(
    args: &RoundsArgs,
    workers: usize,
) -> Result<(BurstReport, Vec<BurstReport>), BenchError> {
    let host = host_with_workers(&args.host, &args.plugins, workers)?;
    let measure = || -> Result<BurstReport, BenchError> {
        let report = burst::run(&Burst {
            way: host.target.way.clone(),
            tasks: BURST_TASKS,
            ms: BURST_MS,
            workers,
        })?;
        note(&format!("burst, {workers} workers: {report}"));
        Ok(report)
    };
    let cold = measure()?;
    let warm = (0..args.rounds).map(|_| measure());
    Ok((cold, warm.collect::<Result<_, _>>()?))
}

/// A host that runs at most so many workers of the plugin `good`.
fn host_with_workers(host: &Path, plugins: &Path, workers: usize) -> Result<Contender, BenchError> {
    let config = format!("[plugins.good]\nworkers = {workers}\n");
    Contender::host(host, plugins, &config)
}
