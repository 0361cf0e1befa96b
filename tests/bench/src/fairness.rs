//! Who suffers from others: a quick function beside a slow one, and a client that sends one thing at a time beside one that
//! sends a thousand.

use std::path::PathBuf;

use clap::Args;

use crate::contender::Contender;
use crate::error::BenchError;
use crate::figures::{LATENCY, disturbed_cell, latency_cells};
use crate::load::{Load, Report, Shape};
use crate::machine;
use crate::numbers::{median, thousands};
use crate::plugins::{Plugins, copied_functions};
use crate::program::stop_all_when_told_to_end;
use crate::rounds::RoundsArgs;
use crate::table::Table;

/// One task at a time.
const ALONE: Shape = Shape::new(1, 1);
/// How long each of the slow tasks takes, in milliseconds, and how many there are at once: more than there are workers.
const SLOW_MS: u64 = 200;
const SLOW: Shape = Shape::new(1, 200);
/// The longest latency that a quick function may have beside it, in milliseconds, of 99 in 100 tasks.
const QUICK_P99_MS_MAX: f64 = 5.0;
/// The client with many at once.
const GREEDY: Shape = Shape::new(1, 1000);
/// How many times as long a client may wait beside it, of 99 in 100 tasks.
const BESIDE_GREEDY_MAX: f64 = 3.0;

#[derive(Args)]
pub(crate) struct FairnessArgs {
    #[command(flatten)]
    rounds: RoundsArgs,
    /// The library of the `many` fixture plugin, with one function
    #[arg(long)]
    many: PathBuf,
}

/// Each round has the load alone and beside the other one, and this one.
type Round = (Report, Report, Report);

/// Measures, and says it as Markdown.
pub(crate) fn run(args: &FairnessArgs) -> Result<String, BenchError> {
    stop_all_when_told_to_end()?;
    let rounds = &args.rounds;
    let plugins = Plugins::none()?;
    plugins.put(&rounds.plugins.join("libgood.so"))?;
    plugins.put_copies(&args.many, 1)?;
    let host = Contender::host(&rounds.host, plugins.folder(), "")?;
    let quick = Load {
        functions: copied_functions(&host, 1)?,
        ..rounds.load(&host, ALONE)
    };
    let slow = Load {
        sleep_ms: Some(SLOW_MS),
        ..rounds.load(&host, SLOW)
    };
    let beside_slow = measure(rounds, "quick function", &quick, &slow)?;
    let one = rounds.load(&host, ALONE);
    let greedy = rounds.load(&host, GREEDY);
    let beside_greedy = measure(rounds, "one at a time", &one, &greedy)?;

    let mut titles = vec!["Latency"];
    titles.extend(LATENCY);
    titles.extend(["target", "met", "disturbed"]);
    let mut table = Table::new(1, &titles);
    row(
        &mut table,
        "a quick function, alone",
        &beside_slow,
        |round| &round.0,
        None,
    );
    let title = format!(
        "the same, beside {} tasks of {SLOW_MS} ms of another plugin, {} /s",
        SLOW.depth,
        others_rate(&beside_slow)
    );
    let target = Some((
        format!("p99 < {QUICK_P99_MS_MAX} ms"),
        median(beside_slow.iter().map(|(_, beside, _)| beside.p99_ms())) < QUICK_P99_MS_MAX,
    ));
    row(&mut table, &title, &beside_slow, |round| &round.1, target);
    row(
        &mut table,
        "one task at a time, alone",
        &beside_greedy,
        |round| &round.0,
        None,
    );
    let title = format!(
        "the same, beside a connection with {} at once, {} /s",
        thousands(GREEDY.depth as f64),
        others_rate(&beside_greedy)
    );
    let times = |(alone, beside, _): &Round| beside.p99_ms() / alone.p99_ms();
    let times = median(beside_greedy.iter().map(times));
    let target = Some((
        format!("p99 ≤ {BESIDE_GREEDY_MAX} × alone; it is {times:.1} ×"),
        times <= BESIDE_GREEDY_MAX,
    ));
    row(&mut table, &title, &beside_greedy, |round| &round.1, target);
    Ok(format!(
        "\n## Fairness\n\n{}.\n\n{table}",
        machine::made_with(rounds)
    ))
}

fn measure(
    rounds: &RoundsArgs,
    what: &str,
    load: &Load,
    other: &Load,
) -> Result<Vec<Round>, BenchError> {
    let round = |round: u32| {
        let alone = rounds.quietly(&format!("round {round}, {what}, alone"), load)?;
        let what = format!("round {round}, {what}, beside others");
        let (beside, other) = rounds.quietly_beside(&what, load, other)?;
        Ok((alone, beside, other))
    };
    (1..=rounds.rounds).map(round).collect()
}

fn others_rate(rounds: &[Round]) -> String {
    thousands(median(
        rounds.iter().map(|(_, _, other)| other.tasks_per_second()),
    ))
}

fn row(
    table: &mut Table,
    title: &str,
    rounds: &[Round],
    which: fn(&Round) -> &Report,
    target: Option<(String, bool)>,
) {
    let reports = rounds.iter().map(which);
    let (target, is_met) = target.unzip();
    let mut cells = vec![title.to_owned()];
    cells.extend(latency_cells(reports.clone()));
    cells.push(target.unwrap_or_default());
    cells.push(match is_met {
        None => String::new(),
        Some(true) => "yes".to_owned(),
        Some(false) => "**no**".to_owned(),
    });
    cells.push(disturbed_cell(reports));
    table.row(&cells);
}
