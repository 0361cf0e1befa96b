//! A ledger in `PostgreSQL`, which hosts share: whole lives of tasks, what each costs host and database, and what they bear
//! beside a snapshot that somebody holds; beside graphile-worker on the same database.

mod args;
mod cost;
mod database;
mod graphile;
mod hosts;
mod model;

pub(crate) use args::ClusterArgs;

use self::cost::Cost;
use self::database::Database;
use self::model::PerTask;
use crate::error::BenchError;
use crate::figures::ratio_cell;
use crate::machine::{self, raise_open_files_limit};
use crate::numbers::{median, thousands};
use crate::program::stop_all_when_told_to_end;
use crate::say::note;
use crate::table::Table;

/// For servers too.
const OPEN_FILES: u64 = 2000;

/// What runs the tasks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Hosts(usize),
    Graphile,
}

/// One line of the table.
struct Line {
    title: &'static str,
    who: Who,
    submitters: usize,
    /// Somebody's transaction looks at the database as it was before all of it.
    is_held: bool,
}

/// Of the lines, the one whose costs are those of a cluster that has much to do.
const MANY: usize = 4;

const LINES: [Line; 6] = [
    Line::of("one host, 50 submitters", Who::Hosts(1), 50, false),
    Line::of(
        "one host, 50 submitters, a snapshot is held",
        Who::Hosts(1),
        50,
        true,
    ),
    Line::of("one host, 500 submitters", Who::Hosts(1), 500, false),
    Line::of(
        "one host, 500 submitters, a snapshot is held",
        Who::Hosts(1),
        500,
        true,
    ),
    Line::of("three hosts, 500 submitters", Who::Hosts(3), 500, false),
    Line::of("graphile-worker, 50 submitters", Who::Graphile, 50, false),
];

impl Line {
    const fn of(title: &'static str, who: Who, submitters: usize, is_held: bool) -> Self {
        Self {
            title,
            who,
            submitters,
            is_held,
        }
    }
}

/// Measures, and says it as Markdown.
pub(crate) fn run(args: &ClusterArgs) -> Result<String, BenchError> {
    stop_all_when_told_to_end()?;
    raise_open_files_limit(OPEN_FILES)?;
    let mut rounds: Vec<Vec<Cost>> = LINES.iter().map(|_| Vec::new()).collect();
    for round in 1..=args.rounds.rounds {
        for (line, costs) in LINES.iter().zip(&mut rounds) {
            let cost = measure(args, line)?;
            note(&format!("round {round}, {}: {cost}", line.title));
            costs.push(cost);
        }
    }
    let mut table = Table::new(
        1,
        &[
            "Whole lives",
            "tasks/s",
            "× one host, 50 submitters",
            "CPU µs, host and workers",
            "CPU µs, PostgreSQL",
            "WAL bytes",
            "transactions",
            "statements",
        ],
    );
    for (line, costs) in LINES.iter().zip(&rounds) {
        let middle = |figure: fn(&Cost) -> f64| median(costs.iter().map(figure));
        let ratio = costs.iter().zip(&rounds[0]);
        let ratio = ratio.map(|(cost, first)| cost.rate() / first.rate());
        table.row(&[
            line.title.to_owned(),
            thousands(middle(Cost::rate)),
            ratio_cell(ratio),
            thousands(middle(Cost::runners_us)),
            thousands(middle(Cost::database_us)),
            thousands(middle(Cost::wal_len)),
            format!("{:.3}", middle(Cost::transactions)),
            format!("{:.3}", middle(Cost::statements)),
        ]);
    }
    let many = &rounds[MANY];
    let middle = |figure: fn(&Cost) -> f64| median(many.iter().map(figure));
    let model = model::table(PerTask {
        host_us: middle(Cost::runners_us),
        database_us: middle(Cost::database_us),
        wal_len: middle(Cost::wal_len),
    });
    Ok(format!(
        "\n## Many hosts, one ledger\n\n{}.\n\n{table}\n{model}",
        machine::made_with(&args.rounds)
    ))
}

/// With a database that is new.
fn measure(args: &ClusterArgs, line: &Line) -> Result<Cost, BenchError> {
    let database = Database::start()?;
    let held = line.is_held.then(|| database.hold_snapshot()).transpose()?;
    let cost = match line.who {
        Who::Hosts(count) => hosts::measure(args, &database, count, line.submitters),
        Who::Graphile => graphile::measure(args, &database, line.submitters),
    };
    drop(held);
    cost
}
