//! One way to measure: several servers in turns, round by round, and again where others disturb it.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::contender::Contender;
use crate::error::BenchError;
use crate::load::{self, Load, Report, Shape};
use crate::say::note;
use crate::sys::Processors;
use crate::workload::Functions;

/// A measurement is disturbed if others, programs or virtual machines, had more than this share of the processors.
pub(crate) const OTHERS_MAX: f64 = 0.05;

#[derive(Args, Clone)]
pub(crate) struct RoundsArgs {
    /// The host's binary
    #[arg(long)]
    pub(crate) host: PathBuf,
    /// A folder that holds the `good` fixture plugin
    #[arg(long)]
    pub(crate) plugins: PathBuf,
    /// How often each server is measured in each shape; the tables show medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warm_up_seconds: f64,
    #[arg(long, default_value_t = 3.0)]
    pub(crate) seconds: f64,
    /// How often a measurement that others disturb is made again
    #[arg(long, default_value_t = 3)]
    pub(crate) again_max: u32,
}

/// One line of a table: what is asked of all servers.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) title: String,
    pub(crate) shape: Shape,
    /// It is measured for so long, even if rounds are shorter.
    pub(crate) duration_min: Duration,
}

impl Line {
    pub(crate) fn new(shape: Shape) -> Self {
        Self {
            title: shape.to_string(),
            shape,
            duration_min: Duration::ZERO,
        }
    }
}

/// What was found of a line: each round has a report of each server, in their order.
pub(crate) struct Measured {
    pub(crate) title: String,
    pub(crate) names: Vec<&'static str>,
    pub(crate) rounds: Vec<Vec<Report>>,
}

impl Measured {
    /// One server's reports.
    pub(crate) fn of(&self, server: usize) -> impl Iterator<Item = &Report> + Clone {
        self.rounds.iter().map(move |round| &round[server])
    }
}

impl RoundsArgs {
    /// A load on a server, as all of them are measured.
    pub(crate) fn load(&self, contender: &Contender, shape: Shape) -> Load {
        Load {
            target: contender.target.clone(),
            shape,
            functions: Functions::Good,
            sleep_ms: None,
            warm_up: Duration::from_secs_f64(self.warm_up_seconds),
            duration: Duration::from_secs_f64(self.seconds),
        }
    }

    /// All servers on all lines, in turns, so that a noisy machine is noisy to each of them.
    pub(crate) fn in_turns(
        &self,
        contenders: &[Contender],
        lines: &[Line],
    ) -> Result<Vec<Measured>, BenchError> {
        let empty = |line: &Line| Measured {
            title: line.title.clone(),
            names: contenders.iter().map(|contender| contender.name).collect(),
            rounds: Vec::new(),
        };
        let mut all: Vec<Measured> = lines.iter().map(empty).collect();
        for round in 1..=self.rounds {
            for (line, measured) in lines.iter().zip(&mut all) {
                let reports = contenders.iter().map(|contender| {
                    let what = format!("round {round}, {}, {}", line.title, contender.name);
                    let mut load = self.load(contender, line.shape);
                    load.duration = load.duration.max(line.duration_min);
                    self.quietly(&what, &load)
                });
                measured.rounds.push(reports.collect::<Result<_, _>>()?);
            }
        }
        Ok(all)
    }

    /// One measurement; again while it is disturbed, as often as may be. The quietest counts.
    pub(crate) fn quietly(&self, what: &str, load: &Load) -> Result<Report, BenchError> {
        let measure = || {
            let report = load::run(load)?;
            tell(what, &report);
            Ok(report)
        };
        quietest(self.again_max, measure, Report::others_share)
    }

    /// The same, measured by `measure`, which gives another figure beside the report.
    pub(crate) fn quietly_with(
        &self,
        what: &str,
        mut measure: impl FnMut() -> Result<(Report, f64), BenchError>,
    ) -> Result<(Report, f64), BenchError> {
        let measure = || {
            let (report, figure) = measure()?;
            tell(what, &report);
            Ok((report, figure))
        };
        quietest(self.again_max, measure, |(report, _)| report.others_share())
    }

    /// The same with another load that goes on all the while; gives both reports.
    pub(crate) fn quietly_beside(
        &self,
        what: &str,
        load: &Load,
        other: &Load,
    ) -> Result<(Report, Report), BenchError> {
        let measure = || {
            let (report, other) = thread::scope(|scope| {
                // It begins no later and ends later.
                let mut other = other.clone();
                other.duration += other.warm_up;
                let other = scope.spawn(move || load::run(&other));
                let report = load::run(load);
                (report, other.join().expect("a load does not panic"))
            });
            let (report, other) = (report?, other?);
            tell(what, &report);
            Ok((report, other))
        };
        quietest(self.again_max, measure, |(report, _)| report.others_share())
    }
}

fn tell(what: &str, report: &Report) {
    let disturbed = if is_disturbed(report) {
        " (disturbed)"
    } else {
        ""
    };
    note(&format!("{what}: {report}{disturbed}"));
}

/// Whether others had too much of the processors.
pub(crate) fn is_disturbed(report: &Report) -> bool {
    report.others_share() > OTHERS_MAX
}

/// Measures once, and up to `again_max` times more until a measurement is quiet; without one, the quietest of all.
fn quietest<T, E>(
    again_max: u32,
    mut measure: impl FnMut() -> Result<T, E>,
    others_share: impl Fn(&T) -> f64,
) -> Result<T, E> {
    let mut best = measure()?;
    for _ in 0..again_max {
        if others_share(&best) <= OTHERS_MAX {
            break;
        }
        let next = measure()?;
        if others_share(&next) < others_share(&best) {
            best = next;
        }
    }
    Ok(best)
}

/// Does something with this thread, and all that it starts, on one processor.
pub(crate) fn on_one_processor<T>(
    act: impl FnOnce() -> Result<T, BenchError>,
) -> Result<T, BenchError> {
    let take = |processors: Processors| processors.take();
    let all = Processors::of_this_thread().map_err(BenchError::io("which processors there are"))?;
    take(all.first()).map_err(BenchError::io("can't stay on one processor"))?;
    let done = act();
    take(all).map_err(BenchError::io("can't go back to all processors"))?;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken of measurements with these shares, and how many were made.
    fn taken(again_max: u32, shares: &[f64]) -> (f64, usize) {
        let mut made = 0;
        let measure = || {
            made += 1;
            Ok::<f64, ()>(shares[made - 1])
        };
        let best = quietest(again_max, measure, |share| *share).unwrap();
        (best, made)
    }

    #[test]
    fn a_quiet_measurement_is_made_once() {
        assert_eq!(taken(3, &[OTHERS_MAX]), (OTHERS_MAX, 1));
        assert_eq!(taken(0, &[0.9]), (0.9, 1));
    }

    #[test]
    fn a_disturbed_one_is_made_again_until_it_is_quiet() {
        assert_eq!(taken(3, &[0.2, 0.06, 0.01]), (0.01, 3));
    }

    #[test]
    fn of_disturbed_ones_the_quietest_counts() {
        assert_eq!(taken(3, &[0.3, 0.1, 0.2, 0.4]), (0.1, 4));
    }

    #[test]
    fn what_fails_is_not_tried_again() {
        let mut made = 0;
        let measure = || {
            made += 1;
            Err::<f64, &str>("gone")
        };
        assert_eq!(quietest(3, measure, |share| *share), Err("gone"));
        assert_eq!(made, 1);
    }
}
