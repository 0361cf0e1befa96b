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
    error::{Result, Trouble, document_trouble, invalid_report},
    outputs::Targets,
    request::{CheckedSource, Content, Request, Section},
    rows::{self, Batch},
    source::Source,
    sql::Select,
    watch::{CANCELLED, Watch},
};

/// Between looks whether the task goes on, while rows are written.
const ROWS_BETWEEN_CHECKS: usize = 1024;

/// What a report is made with.
pub(crate) struct Resources<'s> {
    pub(crate) config: &'s Checked,
    pub(crate) limits: &'s Limits,
    pub(crate) fonts: &'s Arc<Fonts>,
    pub(crate) runtime: &'s Runtime,
}

pub(crate) fn report(
    resources: &Resources<'_>,
    args: ReportArgs,
    task: &Task,
) -> Result<Report, TaskError> {
    make(resources, args, task).map_err(|trouble| {
        if trouble.kind == CANCELLED
            && let Err(cancelled) = task.check()
        {
            return cancelled;
        }
        trouble.into()
    })
}

fn make(resources: &Resources<'_>, args: ReportArgs, task: &Task) -> Result<Report> {
    let timeout = query_timeout(resources.config, args.query_timeout)?;
    let watch = Arc::new(Watch::new(task, Instant::now().checked_add(timeout)));
    let made = make_watched(resources, args, &watch);
    if made.is_err() {
        watch.take_leave();
    }
    made
}

fn make_watched(resources: &Resources<'_>, args: ReportArgs, watch: &Arc<Watch>) -> Result<Report> {
    let outputs = args.output.clone();
    let request = Request::check(args, resources.config)?;
    let mut targets = Targets::begin(&outputs, resources.config, watch)?;
    let mut report = RunningReport::open(resources, request, watch)?;
    let writers = targets.writers(resources.fonts)?;
    report.write(writers)?;
    let warnings = report.warnings();
    let rows = report.rows;
    drop(report);
    watch.check()?;
    Ok(Report {
        outputs: targets.commit(resources.config.result_len_max)?,
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
        _ => Err(invalid_report(
            "`query_timeout` has to be a number of seconds above 0",
        )),
    }
}

/// A report under way.
struct RunningReport<'s> {
    resources: &'s Resources<'s>,
    watch: Arc<Watch>,
    engine: Engine<'s>,
    sources: Vec<Source>,
    document: report_document::Document,
    /// The report's query, planned.
    query: Option<Planned>,
    /// The sections, with their own queries.
    sections: Vec<(Section, Option<Planned>)>,
    rows: u64,
    warnings: Vec<Warning>,
}

impl<'s> RunningReport<'s> {
    /// Opens the sources that are needed, and plans all queries.
    fn open(resources: &'s Resources<'s>, request: Request, watch: &Arc<Watch>) -> Result<Self> {
        let Request {
            document,
            zone,
            mut sources,
            parameters,
            query,
            sections,
        } = request;
        let selects = query
            .iter()
            .chain(sections.iter().filter_map(|section| section.query.as_ref()));
        let needed = engine::needed(selects, &sources)?;
        let mut running = Self {
            resources,
            watch: Arc::clone(watch),
            engine: Engine::new(
                resources.runtime,
                watch,
                resources.limits,
                parameters,
                sources.keys().cloned().collect(),
                zone,
            )?,
            sources: Vec::new(),
            document,
            query: None,
            sections: Vec::new(),
            rows: 0,
            warnings: Vec::new(),
        };
        for name in sources.keys().filter(|name| !needed.contains(*name)) {
            let message = format!("no query uses the source `{name}`");
            running.warnings.push(warning("unused_source", message));
        }
        for name in &needed {
            if let Some(source) = sources.remove(name) {
                running.open_source(name, source)?;
            }
        }
        running.plan(query.as_ref(), sections)?;
        running.check_sections()?;
        Ok(running)
    }

    fn open_source(&mut self, name: &str, source: CheckedSource) -> Result<()> {
        self.watch.check()?;
        let Resources {
            config, runtime, ..
        } = self.resources;
        let source = source.open(name, config, runtime, &self.watch)?;
        self.engine.add(name, &source)?;
        self.sources.push(source);
        Ok(())
    }

    fn plan(&mut self, query: Option<&Select>, sections: Vec<Section>) -> Result<()> {
        if let Some(select) = query {
            let showing = sections.iter().filter(|section| section.query.is_none());
            let wanted: Vec<String> = showing.flat_map(Section::wanted).collect();
            let planned = self.engine.plan(select, &wanted)?;
            self.note_renamed(&planned);
            self.engine.add_result(&planned)?;
            self.query = Some(planned);
        }
        for section in sections {
            let planned = section
                .query
                .as_ref()
                .map(|select| self.engine.plan(select, &section.wanted()));
            let planned = planned
                .transpose()
                .map_err(|trouble| section.within(trouble))?;
            if let Some(planned) = &planned {
                self.note_renamed(planned);
            }
            self.sections.push((section, planned));
        }
        let unused = self.engine.unused_parameters().map(|name| {
            let message = format!("no query uses the parameter `{name}`");
            warning("unused_parameter", message)
        });
        self.warnings.extend(unused);
        Ok(())
    }

    fn note_renamed(&mut self, planned: &Planned) {
        if let Some(renamed) = &planned.renamed {
            let message = format!(
                "the query gives several columns of one name: {renamed}; name them apart with AS"
            );
            self.warnings.push(warning("duplicate_columns", message));
        }
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
            return Err(invalid_report(
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
                let rows_max = self.resources.config.rows_max;
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
        let of_sources = of_sources.map(|found| warning(found.kind, found.message));
        self.warnings.iter().cloned().chain(of_sources).collect()
    }
}

impl Section {
    /// The columns that its options name.
    fn wanted(&self) -> Vec<String> {
        match &self.content {
            Content::Text(_) => Vec::new(),
            Content::Figures(options) => options.columns.keys().cloned().collect(),
            Content::Table(options) => {
                let names = options.group_by.iter().chain(options.columns.keys());
                names.cloned().collect()
            }
            Content::Chart(options) => {
                let names = std::iter::once(&options.x).chain(&options.series);
                names.chain(&options.series_by).cloned().collect()
            }
        }
    }

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
