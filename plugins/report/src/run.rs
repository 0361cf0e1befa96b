//! Makes a report: opens its sources, plans its queries, writes its sections, and gives its files their names.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use plugin_api::{Task, TaskError};
use report_document::{ChartFeed, Column, ErrorKind, Fonts, KeyFigures, Outputs, Table, Value};
use tokio::runtime::Runtime;

use crate::{
    args::{Report, ReportArgs, Warning},
    config::Checked,
    engine::{self, Engine, Limits, Planned, Rows},
    error::{Result, Trouble},
    outputs::Targets,
    request::{Content, Request, Section},
    rows::{self, Batch},
    source::Source,
    watch::{CANCELLED, Watch},
};

/// Between looks whether the task goes on, while rows are written.
const ROWS_BETWEEN_CHECKS: usize = 1024;

/// What a report is made with.
pub(crate) struct Shop<'s> {
    pub(crate) config: &'s Checked,
    pub(crate) limits: &'s Limits,
    pub(crate) fonts: &'s Arc<Fonts>,
    pub(crate) runtime: &'s Runtime,
}

pub(crate) fn report(shop: &Shop<'_>, args: ReportArgs, task: &Task) -> Result<Report, TaskError> {
    make(shop, args, task).map_err(|trouble| {
        if trouble.kind == CANCELLED
            && let Err(cancelled) = task.check()
        {
            return cancelled;
        }
        trouble.into_task_error()
    })
}

fn make(shop: &Shop<'_>, args: ReportArgs, task: &Task) -> Result<Report> {
    let timeout = query_timeout(shop.config, args.query_timeout)?;
    let watch = Arc::new(Watch::new(task, Instant::now().checked_add(timeout)));
    let made = make_watched(shop, args, &watch);
    if made.is_err() {
        watch.take_leave();
    }
    made
}

fn make_watched(shop: &Shop<'_>, args: ReportArgs, watch: &Arc<Watch>) -> Result<Report> {
    let outputs = args.output.clone();
    let request = Request::check(args, shop.config)?;
    let mut targets = Targets::begin(&outputs, shop.config, watch)?;
    let mut report = Making::open(shop, request, watch)?;
    let writers = targets.writers(shop.fonts)?;
    report.write(writers)?;
    let warnings = report.warnings();
    let rows = report.rows;
    drop(report);
    watch.check()?;
    Ok(Report {
        outputs: targets.commit(shop.config.result_len_max)?,
        rows,
        warnings,
    })
}

fn query_timeout(config: &Checked, wanted: Option<f64>) -> Result<Duration> {
    let Some(seconds) = wanted else {
        return Ok(config.query_timeout);
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(timeout) if !timeout.is_zero() => Ok(timeout.min(config.query_timeout)),
        _ => Err(Trouble::args(
            "`query_timeout` has to be a number of seconds above 0",
        )),
    }
}

/// A report under way.
struct Making<'s> {
    shop: &'s Shop<'s>,
    watch: Arc<Watch>,
    engine: Engine<'s>,
    sources: Vec<Source>,
    document: report_document::Document,
    /// Of the report's query.
    query: Option<Planned>,
    /// With the sections' own queries.
    sections: Vec<(Section, Option<Planned>)>,
    rows: u64,
    warnings: Vec<Warning>,
}

impl<'s> Making<'s> {
    /// Opens the sources that are needed, and plans all queries.
    fn open(shop: &'s Shop<'s>, request: Request, watch: &Arc<Watch>) -> Result<Self> {
        let Request {
            document,
            mut sources,
            parameters,
            query,
            sections,
        } = request;
        let selects = query
            .iter()
            .chain(sections.iter().filter_map(|section| section.query.as_ref()));
        let needed = engine::needed(selects, &sources)?;
        let mut making = Self {
            shop,
            watch: Arc::clone(watch),
            engine: Engine::new(
                shop.runtime,
                watch,
                shop.limits,
                parameters,
                sources.keys().cloned().collect(),
            )?,
            sources: Vec::new(),
            document,
            query: None,
            sections: Vec::new(),
            rows: 0,
            warnings: Vec::new(),
        };
        for name in sources.keys().filter(|name| !needed.contains(*name)) {
            making.warnings.push(warning(
                "unused_source",
                format!("no query uses the source `{name}`"),
            ));
        }
        for name in &needed {
            watch.check()?;
            let Some(wanted) = sources.remove(name) else {
                continue;
            };
            let source = wanted.open(name, shop.config, shop.runtime, watch)?;
            making.engine.add(name, &source)?;
            making.sources.push(source);
        }
        if let Some(select) = &query {
            let planned = making.engine.plan(select)?;
            making.engine.add_result(&planned)?;
            making.query = Some(planned);
        }
        for section in sections {
            let planned = match &section.query {
                Some(select) => Some(
                    making
                        .engine
                        .plan(select)
                        .map_err(|trouble| section.within(trouble))?,
                ),
                None => None,
            };
            making.sections.push((section, planned));
        }
        let unused = making.engine.unused_parameters();
        let unused: Vec<Warning> = unused
            .map(|name| {
                warning(
                    "unused_parameter",
                    format!("no query uses the parameter `{name}`"),
                )
            })
            .collect();
        making.warnings.extend(unused);
        making.check_sections()?;
        Ok(making)
    }

    /// Finds out what is wrong with tables and charts before any row is read.
    fn check_sections(&self) -> Result<()> {
        for (section, planned) in &self.sections {
            let Some(planned) = planned.as_ref().or(self.query.as_ref()) else {
                continue;
            };
            let columns = rows::columns(&planned.schema);
            let checked = match &section.content {
                Content::Text(_) => Ok(()),
                Content::Figures(options) => KeyFigures::new(options, &columns, None).map(drop),
                Content::Table(options) => Table::new(options, &columns).map(drop),
                Content::Chart(options) => {
                    ChartFeed::new(options, &columns, self.document.locale).map(drop)
                }
            };
            checked.map_err(|error| section.within(document_trouble(&error)))?;
        }
        Ok(())
    }

    fn write(&mut self, writers: Vec<Box<dyn report_document::Writer + '_>>) -> Result<()> {
        let stopped = |error: &report_document::Error, watch: &Watch| match error.error_kind() {
            ErrorKind::Stopped => watch
                .check()
                .err()
                .unwrap_or_else(|| Trouble::new(CANCELLED, "stopped")),
            _ => document_trouble(error),
        };
        let document = self.document.clone();
        let mut outputs =
            Outputs::new(document, writers).map_err(|error| document_trouble(&error))?;
        for index in 0..self.sections.len() {
            let (section, _) = &self.sections[index];
            let place = section.place.clone();
            self.section(index, &mut outputs, &stopped)
                .map_err(|trouble| match &place {
                    Some(place) => trouble.within(place),
                    None => trouble,
                })?;
        }
        self.watch.report();
        let watch = Arc::clone(&self.watch);
        let mut looked = Instant::now();
        let mut check = || {
            if watch.task().is_cancelled() {
                return Err(report_document::Error::stopped());
            }
            if looked.elapsed() > Duration::from_millis(50) {
                looked = Instant::now();
                watch.report();
            }
            Ok(())
        };
        let warnings = outputs
            .finish(&mut check)
            .map_err(|error| stopped(&error, &self.watch))?;
        let warnings = warnings.into_iter().map(|it| warning(it.kind, it.message));
        self.warnings.extend(warnings);
        Ok(())
    }

    fn section(
        &mut self,
        index: usize,
        outputs: &mut Outputs<'_>,
        stopped: &dyn Fn(&report_document::Error, &Watch) -> Trouble,
    ) -> Result<()> {
        let (section, planned) = &self.sections[index];
        let watch = &self.watch;
        let wrong = |error: report_document::Error| stopped(&error, watch);
        if let Content::Text(text) = &section.content {
            return outputs.text(text).map_err(wrong);
        }
        let Some(planned) = planned.as_ref().or(self.query.as_ref()) else {
            return Err(Trouble::args(
                "it has no `query`, and neither has the report",
            ));
        };
        let columns = rows::columns(&planned.schema);
        let mut found = self.engine.start(planned);
        match &section.content {
            Content::Text(_) => Ok(()),
            Content::Figures(options) => {
                let figures = figures(options, &columns, &mut found)?;
                outputs.key_figures(&figures).map_err(wrong)
            }
            Content::Chart(options) => {
                let mut feed =
                    ChartFeed::new(options, &columns, self.document.locale).map_err(wrong)?;
                each_row(&mut found, watch, |row| {
                    feed.row(row).map_err(|error| stopped(&error, watch))
                })?;
                let chart = feed.finish().map_err(wrong)?;
                outputs.chart(&chart).map_err(wrong)
            }
            Content::Table(options) => {
                let table = Table::new(options, &columns).map_err(wrong)?;
                let mut feed = outputs.table(&table).map_err(wrong)?;
                let rows_max = self.shop.config.rows_max;
                let before = self.rows;
                each_row(&mut found, watch, |row| {
                    feed.row(row).map_err(|error| stopped(&error, watch))?;
                    if before + feed.rows() > rows_max {
                        let message = format!(
                            "there are more than the {rows_max} rows that `rows_max` allows; add a LIMIT, or group"
                        );
                        return Err(Trouble::new("too_many_rows", message));
                    }
                    Ok(())
                })?;
                let rows = feed.finish().map_err(wrong)?;
                drop(found);
                self.rows += rows;
                Ok(())
            }
        }
    }

    fn warnings(&self) -> Vec<Warning> {
        let of_sources = self.sources.iter().filter_map(Source::warning);
        let of_sources = of_sources.map(|message| warning("unknown_keys", message));
        self.warnings.iter().cloned().chain(of_sources).collect()
    }
}

impl Section {
    fn within(&self, trouble: Trouble) -> Trouble {
        match &self.place {
            Some(place) => trouble.within(place),
            None => trouble,
        }
    }
}

fn figures(
    options: &report_document::KeyFiguresOptions,
    columns: &[Column],
    found: &mut Rows<'_>,
) -> Result<KeyFigures> {
    // Batches may be empty.
    while let Some(batch) = found.next()? {
        let batch = Batch::new(&batch)?;
        if batch.len() > 0 {
            let values: Vec<Value<'_>> = batch
                .columns()?
                .iter()
                .map(|column| column.value(0))
                .collect();
            return KeyFigures::new(options, columns, Some(&values))
                .map_err(|error| document_trouble(&error));
        }
    }
    KeyFigures::new(options, columns, None).map_err(|error| document_trouble(&error))
}

/// Hands over every row of a query.
fn each_row(
    found: &mut Rows<'_>,
    watch: &Watch,
    mut take: impl FnMut(&[Value<'_>]) -> Result<()>,
) -> Result<()> {
    while let Some(batch) = found.next()? {
        let batch = Batch::new(&batch)?;
        let columns = batch.columns()?;
        let mut values = Vec::with_capacity(columns.len());
        for row in 0..batch.len() {
            if row % ROWS_BETWEEN_CHECKS == 0 && row > 0 {
                watch.check()?;
            }
            values.clear();
            values.extend(columns.iter().map(|column| column.value(row)));
            take(&values)?;
        }
        watch.rows_written(batch.len());
        watch.report();
    }
    Ok(())
}

fn warning(kind: &str, message: impl Into<String>) -> Warning {
    Warning {
        kind: kind.to_owned(),
        message: message.into(),
    }
}

/// What is wrong with the document, in the form that clients get to see.
pub(crate) fn document_trouble(error: &report_document::Error) -> Trouble {
    let trouble = Trouble::new(error.kind(), error.to_string());
    if error.is_retryable() {
        trouble.retryable()
    } else {
        trouble
    }
}
