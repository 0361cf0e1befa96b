//! The query engine of a task: its tables, its limits, and the rows that come out of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as StdError,
    io,
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError},
    common::{SchemaError, tree_node::TreeNode as _},
    dataframe::DataFrame,
    error::DataFusionError,
    execution::{
        SessionState, TempFileFactory,
        context::SQLOptions,
        disk_manager::{DiskManager, DiskManagerMode},
        memory_pool::TrackConsumersPool,
        runtime_env::RuntimeEnvBuilder,
    },
    logical_expr::LogicalPlan,
    physical_plan::execute_stream,
    prelude::{SessionConfig, SessionContext},
};
use futures_util::StreamExt;
use tokio::{
    runtime::Runtime,
    sync::mpsc::{Receiver, channel},
    task::JoinHandle,
};

use crate::{
    arithmetic, clock,
    error::{Passing, Result, Trouble, unknown},
    memory::Pool,
    source::Source,
    spill::Spill,
    sql::{self, Parameters, Select},
    sums,
    watch::{CANCELLED, Watch},
};

/// How many threads work for a query.
const PARTITIONS: usize = 2;
/// The table that has the rows of the report's query.
pub(crate) const RESULT: &str = "result";

/// What a task's queries may use.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) memory_max: usize,
    pub(crate) spill_folder: PathBuf,
    pub(crate) spill_max: u64,
}

/// The engine of one task.
pub(crate) struct Engine<'r> {
    runtime: &'r Runtime,
    clock: Runtime,
    watch: Arc<Watch>,
    context: SessionContext,
    parameters: Parameters,
    used: BTreeSet<String>,
    tables: BTreeSet<String>,
    /// The names of all sources, for messages: those that no query names are not opened.
    sources: BTreeSet<String>,
    columns: BTreeSet<String>,
    limits: Limits,
    spill: Arc<Spill>,
}

/// A query that was planned.
pub(crate) struct Planned {
    plan: LogicalPlan,
    text: String,
    pub(crate) schema: SchemaRef,
}

/// How many sorted files a sort merges at once. Each takes a few megabytes, and the sorts of all partitions together must
/// leave enough for the merging of what they give.
fn fan_in(memory_max: usize) -> usize {
    const EACH: usize = 12 << 20;
    (memory_max / EACH).clamp(2, 16)
}

impl<'r> Engine<'r> {
    pub(crate) fn new(
        runtime: &'r Runtime,
        watch: &Arc<Watch>,
        limits: &Limits,
        parameters: Parameters,
        sources: BTreeSet<String>,
    ) -> Result<Self> {
        let tracked = NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN);
        let pool = TrackConsumersPool::new(Pool::new(limits.memory_max), tracked);
        let spill = Arc::new(Spill::new(limits.spill_folder.clone(), limits.spill_max));
        let disk = DiskManager::builder()
            .with_mode(DiskManagerMode::Custom(
                Arc::clone(&spill) as Arc<dyn TempFileFactory>
            ))
            .with_max_spill_merge_fan_in(fan_in(limits.memory_max));
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(Trouble::internal)?;
        let mut config = SessionConfig::new()
            .with_target_partitions(PARTITIONS)
            .with_information_schema(false);
        let options = config.options_mut();
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.collect_spans = true;
        // What each sort keeps for the keys of the rows that it merges; with the default of 10 MB, a sort by texts of a
        // few hundred thousand rows can't go to disk any more.
        options.execution.sort_spill_reservation_bytes = limits.memory_max / 8;
        let mut context = SessionContext::new_with_config_rt(config, environment);
        arithmetic::register(&mut context).map_err(Trouble::internal)?;
        sums::register(&context);
        Ok(Self {
            runtime,
            clock: clock::new()?,
            watch: Arc::clone(watch),
            context,
            parameters,
            used: BTreeSet::new(),
            tables: BTreeSet::new(),
            sources,
            columns: BTreeSet::new(),
            limits: limits.clone(),
            spill,
        })
    }

    pub(crate) fn add(&mut self, name: &str, source: &Source) -> Result<()> {
        let table = source.table(&self.watch);
        self.columns
            .extend(source.columns().iter().map(|column| column.name.clone()));
        self.register(name, table)
    }

    /// Makes the rows of a query a table of their own.
    pub(crate) fn add_result(&mut self, planned: &Planned) -> Result<()> {
        let fields = planned.schema.fields().iter();
        self.columns
            .extend(fields.map(|field| field.name().clone()));
        let frame = DataFrame::new(self.context.state(), planned.plan.clone());
        self.register(RESULT, frame.into_view())
    }

    fn register(
        &mut self,
        name: &str,
        table: Arc<dyn datafusion::catalog::TableProvider>,
    ) -> Result<()> {
        self.tables.insert(name.to_owned());
        let reference = datafusion::common::TableReference::bare(name);
        self.context
            .register_table(reference, table)
            .map(|_| ())
            .map_err(Trouble::internal)
    }

    /// The parameters that no query has used.
    pub(crate) fn unused_parameters(&self) -> impl Iterator<Item = &str> {
        self.parameters
            .names()
            .filter(|name| !self.used.contains(*name))
    }

    pub(crate) fn plan(&mut self, select: &Select) -> Result<Planned> {
        let bound = select.bind(
            &self.tables,
            &self.columns,
            &self.parameters,
            &mut self.used,
        )?;
        for table in select.tables()? {
            let is_there = self
                .tables
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&table.value));
            // What looks like a table may be a function of the engine, such as generate_series.
            if !is_there
                && !self
                    .context
                    .state()
                    .table_functions()
                    .contains_key(&table.value)
            {
                let known = self.tables.union(&self.sources).map(String::as_str);
                let trouble = unknown("unknown_table", "table", &table.value, known);
                let start = table.span.start;
                return Err(if start.line > 0 {
                    sql::at(trouble, &select.text, start.line, start.column)
                } else {
                    trouble
                });
            }
        }
        let state = self.context.state();
        let text = select.text.clone();
        let planning = self.runtime.spawn(async move {
            let plan = state.statement_to_plan(bound).await?;
            SQLOptions::new()
                .with_allow_ddl(false)
                .with_allow_dml(false)
                .with_allow_statements(false)
                .verify_plan(&plan)?;
            // Types and functions are checked here, where the error still knows its place.
            state
                .analyzer()
                .execute_and_check(plan.clone(), state.config_options(), |_, _| {})?;
            Ok::<_, DataFusionError>(plan)
        });
        let plan = self
            .wait(planning)?
            .map_err(|error| self.trouble(&error, &text))?;
        let schema = Arc::clone(plan.schema().inner());
        Ok(Planned { plan, text, schema })
    }

    /// Waits for work on the runtime, unless the task stops meanwhile.
    fn wait<T>(&self, mut work: JoinHandle<T>) -> Result<T> {
        self.clock.block_on(async {
            loop {
                match tokio::time::timeout(LOOK_AGAIN, &mut work).await {
                    Ok(Ok(done)) => return Ok(done),
                    Ok(Err(error)) => {
                        return Err(Trouble::internal(format!("a query panicked: {error}")));
                    }
                    Err(_) => {
                        self.watch.report();
                        if let Err(trouble) = self.watch.check() {
                            work.abort();
                            return Err(trouble);
                        }
                    }
                }
            }
        })
    }

    /// Starts a query. Its rows come in the order of the source, unless the query asks for another, or groups.
    pub(crate) fn start(&self, planned: &Planned) -> Rows<'_> {
        let mut state = self.context.state();
        if keeps_order(&planned.plan) {
            state.config_mut().options_mut().execution.target_partitions = 1;
        }
        let plan = planned.plan.clone();
        let (batches, received) = channel(2);
        let job = self.runtime.spawn(async move {
            let mut stream = match start(&state, plan).await {
                Ok(stream) => stream,
                Err(error) => {
                    let _ = batches.send(Err(error)).await;
                    return;
                }
            };
            while let Some(batch) = stream.next().await {
                let is_error = batch.is_err();
                if batches.send(batch).await.is_err() || is_error {
                    break;
                }
            }
        });
        Rows {
            engine: self,
            text: planned.text.clone(),
            batches: received,
            job,
        }
    }

    /// What went wrong in the engine, in our words.
    fn trouble(&self, error: &DataFusionError, text: &str) -> Trouble {
        let mut place = None;
        let trouble = self.translate(error, &mut place);
        match place {
            Some((line, column)) => sql::at(trouble, text, line, column),
            None => trouble,
        }
    }

    fn translate(&self, error: &DataFusionError, place: &mut Option<(u64, u64)>) -> Trouble {
        if let Some(trouble) = ours(error) {
            return trouble;
        }
        match error {
            DataFusionError::Context(_, inner) => self.translate(inner, place),
            DataFusionError::Shared(inner) => self.translate(inner, place),
            DataFusionError::Diagnostic(diagnostic, inner) => {
                if let Some(span) = diagnostic.span {
                    *place = Some((span.start.line, span.start.column));
                }
                self.translate(inner, place)
            }
            DataFusionError::Collection(errors) => match errors.first() {
                Some(first) => self.translate(first, place),
                None => Trouble::internal("an error without a reason"),
            },
            DataFusionError::SchemaError(error, _) => schema_trouble(error),
            DataFusionError::Plan(message) => self.plan_trouble(message),
            DataFusionError::NotImplemented(message) => Trouble::new(
                "invalid_query",
                format!("the engine can't do this: {}", clean(message)),
            ),
            DataFusionError::SQL(error, _) => Trouble::new("sql_syntax", clean(&error.to_string())),
            DataFusionError::Execution(message)
                if message.starts_with("Arithmetic Overflow in Avg") =>
            {
                Trouble::new("query_failed", AVERAGE_OUTGROWN)
            }
            DataFusionError::Execution(message) => Trouble::new("query_failed", clean(message)),
            DataFusionError::ArrowError(error, _) => arrow_trouble(error),
            DataFusionError::ResourcesExhausted(_) => self
                .spill
                .trouble()
                .unwrap_or_else(|| self.memory_trouble()),
            DataFusionError::IoError(error) => {
                Trouble::io("rows can't be written to the spill folder", error)
            }
            DataFusionError::ExecutionJoin(error) if error.is_cancelled() => {
                Trouble::new(CANCELLED, "the query was stopped")
            }
            other => Trouble::internal(clean(&other.to_string())),
        }
    }

    fn memory_trouble(&self) -> Trouble {
        let message = format!(
            "the query needs more than the {} MB of memory that `memory_max` allows, and can't do with disk; group or join less at once",
            self.limits.memory_max >> 20
        );
        Trouble::new("memory_limit", message)
    }

    fn plan_trouble(&self, message: &str) -> Trouble {
        let between = |begin: &str, end: &str| {
            let rest = message.split_once(begin)?.1;
            Some(rest.split_once(end)?.0.to_owned())
        };
        if let Some(name) = between("Invalid function '", "'") {
            let state = self.context.state();
            let scalar = state.scalar_functions().keys();
            let names: Vec<&String> = scalar
                .chain(state.aggregate_functions().keys())
                .chain(state.window_functions().keys())
                .collect();
            let known = names.iter().map(|name| name.as_str());
            return unknown("unknown_function", "function", &name, known);
        }
        if let Some(name) = between("table function '", "' not found") {
            let state = self.context.state();
            let names: Vec<&String> = state.table_functions().keys().collect();
            let known = names.iter().map(|name| name.as_str());
            return unknown("unknown_function", "table function", &name, known);
        }
        Trouble::new("invalid_query", clean(message))
    }
}

/// How often those who wait look whether the task goes on.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

async fn start(
    state: &SessionState,
    plan: LogicalPlan,
) -> Result<datafusion::execution::SendableRecordBatchStream, DataFusionError> {
    let physical = state.create_physical_plan(&plan).await?;
    // From the optimised plan, whose operators look after their memory.
    execute_stream(physical, state.task_ctx())
}

/// Whether a plan only picks rows and computes columns: then the rows stay in order, which somebody who lists a file
/// expects, as long as one thread reads.
fn keeps_order(plan: &LogicalPlan) -> bool {
    let reorders = plan.exists(|node| {
        Ok(!matches!(
            node,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::Limit(_)
                | LogicalPlan::TableScan(_)
                | LogicalPlan::SubqueryAlias(_)
        ))
    });
    !reorders.unwrap_or(true)
}

/// The rows of a running query.
pub(crate) struct Rows<'e> {
    engine: &'e Engine<'e>,
    text: String,
    batches: Receiver<Result<RecordBatch, DataFusionError>>,
    job: JoinHandle<()>,
}

impl Rows<'_> {
    /// The next rows; none at the end. Looks after the task while it waits.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Self {
            engine, batches, ..
        } = self;
        engine.watch.check()?;
        let received = engine.clock.block_on(async {
            loop {
                match tokio::time::timeout(LOOK_AGAIN, batches.recv()).await {
                    Ok(received) => return Ok::<_, Trouble>(received),
                    Err(_) => {
                        engine.watch.report();
                        engine.watch.check()?;
                    }
                }
            }
        })?;
        match received {
            Some(Ok(batch)) => Ok(Some(batch)),
            Some(Err(error)) => Err(engine.trouble(&error, &self.text)),
            None => {
                // The stream has ended, or its task has panicked.
                let done = engine.clock.block_on(&mut self.job);
                done.map_err(|error| Trouble::internal(format!("the query panicked: {error}")))?;
                Ok(None)
            }
        }
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        if self.job.is_finished() {
            return;
        }
        self.job.abort();
        // What the query holds is given back when its threads get to it, which is soon, as a rule.
        let job = &mut self.job;
        let _ = self
            .engine
            .clock
            .block_on(async { tokio::time::timeout(DROP_MAX, job).await });
    }
}

/// How long the end of a query that was stopped is waited for.
const DROP_MAX: Duration = Duration::from_millis(300);

/// The trouble that a part of ours has sent through the engine.
fn ours(error: &(dyn StdError + 'static)) -> Option<Trouble> {
    let mut error = Some(error);
    while let Some(current) = error {
        if let Some(Passing(trouble)) = current.downcast_ref::<Passing>() {
            return Some(trouble.clone());
        }
        let inner: Option<&(dyn StdError + 'static)> =
            match current.downcast_ref::<DataFusionError>() {
                Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
                Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
                Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
                Some(DataFusionError::IoError(inner)) => Some(inner),
                Some(
                    DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner),
                ) => Some(inner.as_ref()),
                _ => match current.downcast_ref::<ArrowError>() {
                    Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                    Some(ArrowError::IoError(_, inner)) => Some(inner),
                    _ => match current
                        .downcast_ref::<io::Error>()
                        .and_then(io::Error::get_ref)
                    {
                        Some(inner) => Some(inner),
                        None => current.source(),
                    },
                },
            };
        error = inner;
    }
    None
}

fn schema_trouble(error: &SchemaError) -> Trouble {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let known: Vec<&str> = valid_fields
                .iter()
                .map(|field| field.name.as_str())
                .collect();
            unknown("unknown_column", "column", &field.name, known)
        }
        SchemaError::AmbiguousReference { field } => Trouble::new(
            "ambiguous_column",
            format!(
                "`{}` is a column of several tables; write the table's name before it",
                field.name
            ),
        ),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => Trouble::new(
            "invalid_query",
            format!("there are two columns `{name}`; name them apart with AS"),
        ),
    }
}

const AVERAGE_OUTGROWN: &str = "an average has more than the 38 digits of a decimal, of which it has four decimals more than its values; average numbers of another type: `avg(CAST(… AS double))`, or `avg(CAST(… AS decimal(60,2)))`";

fn arrow_trouble(error: &ArrowError) -> Trouble {
    match error {
        ArrowError::DivideByZero => Trouble::new(
            "query_failed",
            "the query divides by zero; NULLIF(x, 0) makes such a quotient null",
        ),
        // "Overflow happened on: 9223372036854775807 + 1"
        ArrowError::ArithmeticOverflow(message) => Trouble::new(
            "query_failed",
            format!(
                "a number outgrows its type: {}; compute in a wider one, such as CAST(… AS decimal(38,0))",
                clean(
                    message
                        .strip_prefix("Overflow happened on: ")
                        .unwrap_or(message)
                )
            ),
        ),
        ArrowError::IoError(message, error) => match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::new(
                "storage_full",
                format!("the spill folder is full: {message}"),
            )
            .retryable(),
            _ => Trouble::new("io_error", format!("the spill folder: {message}")).retryable(),
        },
        ArrowError::CastError(message)
        | ArrowError::ParseError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::InvalidArgumentError(message) => Trouble::new("query_failed", clean(message)),
        other => Trouble::new("query_failed", clean(&other.to_string())),
    }
}

/// The engine's sentence, without what is meant for its own developers.
fn clean(message: &str) -> String {
    let message = message.split("\n\nbacktrace:").next().unwrap_or(message);
    let message = message
        .split("\nThis issue was likely caused by")
        .next()
        .unwrap_or(message);
    let mut message = message.trim().to_owned();
    for prefix in [
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "Optimizer rule ",
    ] {
        if let Some(rest) = message.strip_prefix(prefix) {
            message = rest.to_owned();
        }
    }
    crate::error::excerpt(&message, 1000)
}

/// The sources that these queries need, by name.
pub(crate) fn needed<'s, T>(
    selects: impl IntoIterator<Item = &'s Select>,
    sources: &BTreeMap<String, T>,
) -> Result<BTreeSet<String>> {
    let mut needed = BTreeSet::new();
    for select in selects {
        for table in select.tables()? {
            let exact = sources.keys().find(|name| **name == table.value);
            let found = exact.or_else(|| {
                sources
                    .keys()
                    .find(|name| name.eq_ignore_ascii_case(&table.value))
            });
            needed.extend(found.cloned());
        }
    }
    Ok(needed)
}
