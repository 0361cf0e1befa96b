//! A page of metrics in the text format of Prometheus (version 0.0.4), with names, units and labels by its conventions.
//!
//! A page is made for each scrape, from a snapshot: what a program counts lies where it is counted.

use std::fmt::{self, Write};

/// Media type of the page.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page of one program.
#[derive(Debug)]
pub struct Page {
    program: &'static str,
    text: String,
}

/// The metric that is being written.
#[derive(Debug)]
pub struct Metric<'p> {
    page: &'p mut Page,
    name: String,
}

/// A number of a metric.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// A count.
    Whole(u64),
    /// A measure.
    Real(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

/// 1 for yes, 0 for no.
impl From<bool> for Number {
    fn from(is_so: bool) -> Self {
        Self::Whole(u64::from(is_so))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
        }
    }
}

impl Page {
    /// An empty page; `program` is the first word of all names. Begins with what is the same of all programs.
    #[must_use]
    pub fn new(program: &'static str, version: &str) -> Self {
        let mut page = Self {
            program,
            text: String::new(),
        };
        page.gauge("build_info", "Version of the program; always 1.")
            .labelled(&[("version", version)], 1_u64);
        page.counter(
            "panics_total",
            "Panics, each a mistake of ours; the log has their places.",
        )
        .value(crate::log::panics());
        page.counter(
            "log_lines_dropped_total",
            "Lines of the log that could not be written.",
        )
        .value(crate::log::lines_dropped());
        page
    }

    /// Something that only ever grows. Its name ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str) -> Metric<'_> {
        debug_assert!(name.ends_with("_total"), "{name}: counters end in _total");
        self.metric(name, help, "counter")
    }

    /// Something that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str) -> Metric<'_> {
        debug_assert!(
            !name.ends_with("_total"),
            "{name}: only counters end in _total"
        );
        self.metric(name, help, "gauge")
    }

    /// How something is distributed. Its name ends in its unit, a base unit: `_seconds`, `_bytes`.
    pub fn histogram(&mut self, name: &str, help: &str) -> Metric<'_> {
        debug_assert!(
            name.ends_with("_seconds") || name.ends_with("_bytes"),
            "{name}: histograms end in their unit"
        );
        self.metric(name, help, "histogram")
    }

    fn metric(&mut self, name: &str, help: &str, kind: &str) -> Metric<'_> {
        let name = format!("{}_{name}", self.program);
        debug_assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
            "{name}"
        );
        // A String takes whatever is written to it.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Metric { page: self, name }
    }

    /// The text of the page.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }
}

impl Metric<'_> {
    /// Its only value.
    pub fn value(&mut self, number: impl Into<Number>) {
        self.labelled(&[], number);
    }

    /// Its value for these labels.
    pub fn labelled(&mut self, labels: &[(&str, &str)], number: impl Into<Number>) {
        self.sample("", labels, None, number.into());
    }

    /// Its distribution for these labels: for each bound, how many were not above it; then all, and their sum.
    pub fn distribution(
        &mut self,
        labels: &[(&str, &str)],
        buckets: impl Iterator<Item = (f64, u64)>,
        count: u64,
        sum: f64,
    ) {
        for (bound, below) in buckets {
            self.sample("_bucket", labels, Some(&bound.to_string()), below.into());
        }
        self.sample("_bucket", labels, Some("+Inf"), count.into());
        self.sample("_sum", labels, None, sum.into());
        self.sample("_count", labels, None, count.into());
    }

    fn sample(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        bound: Option<&str>,
        number: Number,
    ) {
        let text = &mut self.page.text;
        text.push_str(&self.name);
        text.push_str(suffix);
        let bound = bound.map(|bound| ("le", bound));
        let mut separator = '{';
        for (name, value) in labels.iter().copied().chain(bound) {
            text.push(separator);
            separator = ',';
            text.push_str(name);
            text.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    _ => text.push(c),
                }
            }
            text.push('"');
        }
        if separator == ',' {
            text.push('}');
        }
        // A String takes whatever is written to it.
        let _ = writeln!(text, " {number}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_prometheus_reads_it() {
        let mut page = Page::new("gateway", "1.2.3");
        page.gauge("connections", "Connections that are open.")
            .value(5_usize);
        let mut tasks = page.counter("tasks_total", "Tasks.");
        tasks.labelled(&[("function", "a"), ("outcome", "ok")], 7_u64);
        tasks.labelled(&[("function", "say \"\\\"\n"), ("outcome", "ok")], 1_u64);
        page.histogram("run_seconds", "Times.").distribution(
            &[("function", "a")],
            [(0.001, 2), (2.5, 3)].into_iter(),
            4,
            1.25,
        );
        let text = page.finish();
        let (_, rest) = text.split_once("# HELP gateway_connections").unwrap();
        assert!(
            text.contains("gateway_build_info{version=\"1.2.3\"} 1\n"),
            "{text}"
        );
        assert_eq!(
            rest,
            " Connections that are open.\n\
             # TYPE gateway_connections gauge\n\
             gateway_connections 5\n\
             # HELP gateway_tasks_total Tasks.\n\
             # TYPE gateway_tasks_total counter\n\
             gateway_tasks_total{function=\"a\",outcome=\"ok\"} 7\n\
             gateway_tasks_total{function=\"say \\\"\\\\\\\"\\n\",outcome=\"ok\"} 1\n\
             # HELP gateway_run_seconds Times.\n\
             # TYPE gateway_run_seconds histogram\n\
             gateway_run_seconds_bucket{function=\"a\",le=\"0.001\"} 2\n\
             gateway_run_seconds_bucket{function=\"a\",le=\"2.5\"} 3\n\
             gateway_run_seconds_bucket{function=\"a\",le=\"+Inf\"} 4\n\
             gateway_run_seconds_sum{function=\"a\"} 1.25\n\
             gateway_run_seconds_count{function=\"a\"} 4\n"
        );
    }
}
