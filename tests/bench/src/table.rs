//! The report: Markdown tables of medians, ratios first.

use std::fmt::Write as _;
use std::time::Duration;

use crate::burst::BurstReport;
use crate::load::Report;
use crate::results::{Bursts, HOST, JSON_ECHO, SERVERS, ShapeRounds};

pub(crate) fn render(shapes: &[ShapeRounds], bursts: &[Bursts]) -> String {
    let mut out = String::new();
    ratios(shapes, &mut out);
    figures(shapes, &mut out);
    sleepers(bursts, &mut out);
    out
}

/// Each round's ratio is taken within the round; the median of these is what noise spoils least.
fn ratios(shapes: &[ShapeRounds], out: &mut String) {
    out.push_str(
        "| Host ÷ JSON echo | tasks/s | least–most | p50 | p99 | CPU per task |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for ShapeRounds { shape, rounds } in shapes {
        let ratio = |figure: fn(&Report) -> f64| {
            sorted(
                rounds
                    .iter()
                    .map(|round| figure(&round[HOST]) / figure(&round[JSON_ECHO])),
            )
        };
        let tasks = ratio(Report::tasks_per_second);
        line(
            out,
            &[
                shape.to_string(),
                format!("**{:.2}**", median(&tasks)),
                format!("{:.2}–{:.2}", tasks[0], tasks[tasks.len() - 1]),
                format!("{:.1}", median(&ratio(p50_us))),
                format!("{:.1}", median(&ratio(p99_us))),
                format!("{:.1}", median(&ratio(server_us))),
            ],
        );
    }
}

fn figures(shapes: &[ShapeRounds], out: &mut String) {
    out.push_str(
        "\n| Connections × depth | server | tasks/s | p50 µs | p99 µs | max ms | CPU/task µs: server | its workers | client | CPU spread | others % |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for ShapeRounds { shape, rounds } in shapes {
        for (index, server) in SERVERS.iter().enumerate() {
            let middle = |figure: fn(&Report) -> f64| {
                median(&sorted(rounds.iter().map(|round| figure(&round[index]))))
            };
            line(
                out,
                &[
                    if index == 0 {
                        shape.to_string()
                    } else {
                        String::new()
                    },
                    (*server).to_owned(),
                    thousands(middle(Report::tasks_per_second)),
                    thousands(middle(p50_us)),
                    thousands(middle(p99_us)),
                    format!("{:.1}", middle(|report| ms(report.latencies.max()))),
                    format!(
                        "{:.1}",
                        middle(|report| report.us_per_task(report.cpu.server))
                    ),
                    format!(
                        "{:.1}",
                        middle(|report| report.us_per_task(report.cpu.workers))
                    ),
                    format!(
                        "{:.1}",
                        middle(|report| report.us_per_task(report.cpu.client))
                    ),
                    spread(rounds.iter().map(|round| server_us(&round[index]))),
                    percents(rounds.iter().map(|round| foreign(&round[index]))),
                ],
            );
        }
    }
}

fn sleepers(bursts: &[Bursts], out: &mut String) {
    out.push_str(
        "\n| Sleeping tasks at once, one connection | workers | ideal s | cold s | warm s | warm ÷ ideal |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for Bursts {
        workers,
        cold,
        warm,
    } in bursts
    {
        let seconds = sorted(warm.iter().map(|report| report.total.as_secs_f64()));
        let ratios = sorted(warm.iter().map(BurstReport::ratio_to_ideal));
        line(
            out,
            &[
                format!("{} × 50 ms", cold.latencies.count()),
                workers.to_string(),
                format!("{:.2}", cold.ideal.as_secs_f64()),
                format!("{:.2}", cold.total.as_secs_f64()),
                format!("{:.2}", median(&seconds)),
                format!("**{:.2}**", median(&ratios)),
            ],
        );
    }
}

/// How many times the least the most is.
fn spread(values: impl Iterator<Item = f64>) -> String {
    let values = sorted(values);
    format!("{:.1}", values[values.len() - 1] / values[0])
}

/// From the least to the most.
fn percents(shares: impl Iterator<Item = f64>) -> String {
    let shares = sorted(shares);
    let [least, most] = [shares[0], shares[shares.len() - 1]].map(|share| share * 100.0);
    format!("{least:.0}–{most:.0}")
}

/// What neither server nor client had of the machine while it was busy.
fn foreign(report: &Report) -> f64 {
    report.foreign_share() + report.stolen_share()
}

pub(crate) fn line(out: &mut String, cells: &[String]) {
    writeln!(out, "| {} |", cells.join(" | ")).expect("a String takes all that is written");
}

pub(crate) fn p50_us(report: &Report) -> f64 {
    ms(report.latencies.percentile(50)) * 1000.0
}

pub(crate) fn p99_us(report: &Report) -> f64 {
    ms(report.latencies.percentile(99)) * 1000.0
}

fn server_us(report: &Report) -> f64 {
    report.us_per_task(report.cpu.server + report.cpu.workers)
}

pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

pub(crate) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of sorted values; the lower of the two in the middle.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

/// Without a fraction, the thousands set apart.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&sorted([3.0, 1.0, 2.0].into_iter())), 2.0);
        assert_eq!(median(&sorted([4.0, 1.0, 3.0, 2.0].into_iter())), 2.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn thousands_are_set_apart() {
        for (value, text) in [
            (0.4, "0"),
            (999.0, "999"),
            (1000.0, "1,000"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(thousands(value), text);
        }
    }
}
