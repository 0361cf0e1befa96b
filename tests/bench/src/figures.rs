//! The tables of what servers did: their figures, and how one of them compares to the others.

use crate::load::Report;
use crate::numbers::{ends, median, ms, thousands};
use crate::rounds::{Measured, is_disturbed};
use crate::table::Table;

/// A figure of a report.
type Figure = fn(&Report) -> f64;
/// How a figure is written.
type Written = fn(f64) -> String;

/// Columns of figures: the title, what it is, and how it is written. Each cell is the median of the rounds.
const FIGURES: [(&str, Figure, Written); 10] = [
    ("tasks/s", Report::tasks_per_second, thousands),
    ("p50 µs", |report| report.percentile_us(50), thousands),
    ("p99 µs", |report| report.percentile_us(99), thousands),
    ("max ms", |report| ms(report.latencies.max()), tenths),
    (
        "CPU µs a task: all its processes",
        Report::servers_us_per_task,
        tenths,
    ),
    (
        "its own",
        |report| report.us_per_task(report.usage.server),
        tenths,
    ),
    (
        "its workers",
        |report| report.us_per_task(report.usage.workers),
        tenths,
    ),
    (
        "client",
        |report| report.us_per_task(report.usage.client),
        tenths,
    ),
    (
        "switches a task: voluntary",
        |report| report.per_task(report.usage.switches.voluntary),
        hundredths,
    ),
    (
        "forced",
        |report| report.per_task(report.usage.switches.forced),
        hundredths,
    ),
];

/// All figures of all servers, line by line.
pub(crate) fn figures(lines: &[Measured], unit: &str) -> Table {
    let mut titles = vec![unit, "server"];
    titles.extend(FIGURES.iter().map(|(title, ..)| *title));
    titles.extend(["others %", "disturbed"]);
    let mut table = Table::new(2, &titles);
    for line in lines {
        for (server, name) in line.names.iter().enumerate() {
            let title = if server == 0 { line.title.as_str() } else { "" };
            let mut cells = vec![title.to_owned(), (*name).to_owned()];
            cells.extend(
                FIGURES
                    .iter()
                    .map(|(_, figure, written)| written(median(line.of(server).map(figure)))),
            );
            cells.push(percents(line.of(server).map(Report::others_share)));
            cells.push(disturbed_cell(line.of(server)));
            table.row(&cells);
        }
    }
    table
}

/// One server's figure divided by that of each other. Each round's ratio is taken within the round; the median of these is
/// what noise spoils least.
pub(crate) fn ratios(lines: &[Measured], name: &str, of: &str, figure: Figure) -> Table {
    let names = lines.first().map_or(&[][..], |line| &line.names);
    let others = || names.iter().copied().filter(|other| *other != name);
    let title = format!("{of}: {name} ÷ …");
    let mut titles = vec![title.as_str()];
    titles.extend(others());
    let mut table = Table::new(1, &titles);
    for line in lines {
        let place = |name: &str| line.names.iter().position(|other| *other == name);
        let mut cells = vec![line.title.clone()];
        cells.extend(others().map(|other| match (place(name), place(other)) {
            (Some(one), Some(other)) => {
                let ratio = |round: &Vec<Report>| figure(&round[one]) / figure(&round[other]);
                ratio_cell(line.rounds.iter().map(ratio))
            }
            _ => String::new(),
        }));
        table.row(&cells);
    }
    table
}

/// The median of rounds' ratios, the least and the most of them.
pub(crate) fn ratio_cell(ratios: impl Iterator<Item = f64> + Clone) -> String {
    let [least, most] = ends(ratios.clone());
    format!("**{:.2}** ({least:.2}–{most:.2})", median(ratios))
}

/// Titles of the columns of [`latency_cells`].
pub(crate) const LATENCY: [&str; 4] = ["tasks/s", "p50 ms", "p99 ms", "max ms"];

/// Medians of what one load showed over and over.
pub(crate) fn latency_cells<'a>(
    reports: impl IntoIterator<Item = &'a Report, IntoIter: Clone>,
) -> [String; 4] {
    let reports = reports.into_iter();
    let middle = |figure: Figure| median(reports.clone().map(figure));
    [
        thousands(middle(Report::tasks_per_second)),
        hundredths(middle(|report| report.percentile_ms(50))),
        format!("**{:.2}**", middle(Report::p99_ms)),
        tenths(middle(|report| ms(report.latencies.max()))),
    ]
}

/// How many of them stayed disturbed.
pub(crate) fn disturbed_cell<'a>(
    reports: impl IntoIterator<Item = &'a Report, IntoIter: Clone>,
) -> String {
    let reports = reports.into_iter();
    let disturbed = reports.clone().filter(|report| is_disturbed(report));
    match disturbed.count() {
        0 => String::new(),
        count => format!("{count} of {}", reports.count()),
    }
}

fn tenths(value: f64) -> String {
    format!("{value:.1}")
}

fn hundredths(value: f64) -> String {
    format!("{value:.2}")
}

/// From the least to the most.
fn percents(shares: impl Iterator<Item = f64>) -> String {
    let [least, most] = ends(shares).map(|share| share * 100.0);
    format!("{least:.0}–{most:.0}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::histogram::Histogram;
    use crate::usage::{Switches, Usage};

    /// A second in which so many tasks took a millisecond each, and others had so much of the processors.
    fn report(tasks: u32, others: f64) -> Report {
        let mut latencies = Histogram::new();
        for _ in 0..tasks {
            latencies.record(Duration::from_millis(1));
        }
        let processors = std::thread::available_parallelism().unwrap().get();
        Report {
            latencies,
            elapsed: Duration::from_secs(1),
            usage: Usage {
                server: Duration::from_millis(10),
                workers: Duration::from_millis(30),
                stolen: Duration::from_secs_f64(others * processors as f64),
                machine: Duration::from_millis(40),
                passed: Duration::from_secs(1),
                switches: Switches {
                    voluntary: 50,
                    forced: 1,
                },
                ..Usage::default()
            },
        }
    }

    fn measured() -> Measured {
        Measured {
            title: "1 × 1".to_owned(),
            names: vec!["echo", "host"],
            rounds: vec![
                vec![report(100, 0.0), report(50, 0.0)],
                vec![report(200, 0.0), report(50, 0.2)],
                vec![report(100, 0.01), report(100, 0.0)],
            ],
        }
    }

    #[test]
    fn figures_are_medians_and_a_disturbed_row_says_so() {
        let text = figures(&[measured()], "connections").to_string();
        let rows: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            rows[0],
            "| 1 × 1 | echo | 100 | 1,000 | 1,000 | 1.0 | 400.0 | 100.0 | 300.0 | 0.0 | 0.50 | 0.01 | 0–1 |  |"
        );
        assert!(rows[1].starts_with("|  | host | 50 |"), "{text}");
        assert!(rows[1].ends_with("| 0–20 | 1 of 3 |"), "{text}");
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let table = ratios(&[measured()], "host", "tasks/s", Report::tasks_per_second);
        assert_eq!(
            table.to_string(),
            "| tasks/s: host ÷ … | echo |\n|---|--:|\n| 1 × 1 | **0.50** (0.25–1.00) |\n"
        );
    }
}
