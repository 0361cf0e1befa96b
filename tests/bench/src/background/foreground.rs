//! What a request that waits for its reply notices of background tasks.

use serde_json::json;

use super::args::BackgroundArgs;
use super::desk::{Desk, FUNCTION};
use crate::error::BenchError;
use crate::figures::{LATENCY, disturbed_cell, latency_cells};
use crate::load::{Report, Shape};
use crate::numbers::{median, thousands};
use crate::table::Table;
use crate::workload::Dialect;

const ALONE: Shape = Shape::without_ids(1);
/// As fast as they are answered, and what they hand over is run as well.
const SUBMITTERS: Shape = Shape::without_ids(50);

/// What one round showed of the requests, and of the submitters.
struct Round {
    without_ledger: Report,
    with_ledger: Report,
    beside: Report,
    submitters: Report,
}

/// The table.
pub(super) fn measure(args: &BackgroundArgs) -> Result<String, BenchError> {
    let rounds = rounds(args)?;
    let mut titles = vec!["One request at a time, which waits for its reply"];
    titles.extend(LATENCY);
    titles.push("disturbed");
    let mut table = Table::new(1, &titles);
    let mut row = |title: &str, which: fn(&Round) -> &Report| {
        let reports = rounds.iter().map(which);
        let mut cells = vec![title.to_owned()];
        cells.extend(latency_cells(reports.clone()));
        cells.push(disturbed_cell(reports));
        table.row(&cells);
    };
    row("alone, no ledger yet", |round| &round.without_ledger);
    row("alone, an idle ledger", |round| &round.with_ledger);
    let rates = rounds
        .iter()
        .map(|round| round.submitters.tasks_per_second());
    let title = format!(
        "beside {} submitters, {} enqueued/s, which are run as well",
        SUBMITTERS.connections,
        thousands(median(rates))
    );
    row(&title, |round| &round.beside);
    Ok(table.to_string())
}

fn rounds(args: &BackgroundArgs) -> Result<Vec<Round>, BenchError> {
    let disks = [args.disk()?, args.disk()?];
    let [bare, host] = [args.host(&disks[0])?, args.host(&disks[1])?];
    let mut desk = Desk::of(&host)?;
    desk.enqueue(json!({"function": FUNCTION}))?;
    let rounds = &args.rounds;
    let round = |round: u32| {
        let what = |what: &str| format!("round {round}, one request at a time, {what}");
        desk.until_all_are_completed()?;
        let load = rounds.load(&host, ALONE);
        let mut submitters = rounds.load(&host, SUBMITTERS);
        submitters.target.dialect = Dialect::Background;
        let without_ledger = rounds.quietly(&what("no ledger"), &rounds.load(&bare, ALONE))?;
        let with_ledger = rounds.quietly(&what("an idle ledger"), &load)?;
        let (beside, submitters) =
            rounds.quietly_beside(&what("beside submitters"), &load, &submitters)?;
        Ok(Round {
            without_ledger,
            with_ledger,
            beside,
            submitters,
        })
    };
    (1..=rounds.rounds).map(round).collect()
}
