//! What was measured along an axis: as a drawing, and as a table.

use crate::axis::Scale;
use crate::load::Report;
use crate::numbers::{median, thousands};
use crate::rounds::{Measured, is_disturbed};
use crate::svg::{Chart, Label, Line, Panel, Point};
use crate::table::Table;

/// One curve for each server.
pub(crate) struct Curves {
    /// The drawing's file, without its folder.
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    /// What grows, and its unit.
    pub(crate) of: &'static str,
    pub(crate) rate_scale: Scale,
    /// By what grows: what all servers did.
    pub(crate) points: Vec<(f64, Measured)>,
    /// Tasks a second that can't be exceeded, by what grows.
    pub(crate) limit: Option<fn(f64) -> f64>,
}

/// The name of [`Curves::limit`].
const LIMIT: &str = "limit";

impl Curves {
    fn names(&self) -> &[&'static str] {
        self.points
            .first()
            .map_or(&[], |(_, measured)| &measured.names)
    }

    /// Rate above, latency below.
    pub(crate) fn chart(&self) -> Chart {
        let mut rates = self.lines(Report::tasks_per_second);
        if let Some(limit) = self.limit {
            let point = |(x, _): &(f64, Measured)| Point {
                x: *x,
                y: limit(*x),
                is_disturbed: false,
            };
            rates.push(Line {
                name: LIMIT.to_owned(),
                points: self.points.iter().map(point).collect(),
            });
        }
        let panel = |text, scale, lines| Panel {
            y: Label { text, scale },
            lines,
        };
        Chart {
            title: self.title.to_owned(),
            x: Label {
                text: self.of,
                scale: Scale::Log,
            },
            panels: vec![
                panel("tasks a second", self.rate_scale, rates),
                panel("p99, ms", Scale::Log, self.lines(Report::p99_ms)),
            ],
        }
    }

    fn lines(&self, figure: fn(&Report) -> f64) -> Vec<Line> {
        let line = |(server, name): (usize, &&str)| Line {
            name: (*name).to_owned(),
            points: self
                .points
                .iter()
                .map(|(x, measured)| Point {
                    x: *x,
                    y: median(measured.of(server).map(figure)),
                    is_disturbed: measured.of(server).any(is_disturbed),
                })
                // Where no task was done, there is nothing to draw.
                .filter(|point| point.y > 0.0)
                .collect(),
        };
        self.names().iter().enumerate().map(line).collect()
    }

    /// The same figures in writing.
    pub(crate) fn table(&self) -> Table {
        let titles: Vec<String> = self
            .names()
            .iter()
            .flat_map(|name| [format!("{name}: tasks/s"), "p99 ms".to_owned()])
            .collect();
        let mut all = vec![self.of];
        all.extend(titles.iter().map(String::as_str));
        let mut table = Table::new(0, &all);
        for (x, measured) in &self.points {
            let figures = (0..measured.names.len()).flat_map(|server| {
                let middle = |figure: fn(&Report) -> f64| median(measured.of(server).map(figure));
                [
                    thousands(middle(Report::tasks_per_second)),
                    format!("{:.2}", middle(Report::p99_ms)),
                ]
            });
            let mut cells = vec![thousands(*x)];
            cells.extend(figures);
            table.row(&cells);
        }
        table
    }
}
