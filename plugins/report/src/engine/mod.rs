//! The query engine of a task: its tables, its limits, and the rows that come out of it.

mod errors;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    common::{Column, TableReference, config::ConfigNonZeroUsize, tree_node::TreeNode as _},
    dataframe::DataFrame,
    error::DataFusionError,
    execution::{
        SessionState, TempFileFactory,
        context::SQLOptions,
        disk_manager::{DiskManager, DiskManagerMode},
        memory_pool::TrackConsumersPool,
        runtime_env::RuntimeEnvBuilder,
    },
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
    physical_plan::execute_stream,
    prelude::{SessionConfig, SessionContext},
};
use futures_util::StreamExt;
use tokio::{
    runtime::Runtime,
    sync::mpsc::{Receiver, channel},
    task::JoinHandle,
};

use self::errors::Phase;
use crate::{
    arithmetic, bounds, clock,
    columns::{Zone, renamed, unique_names},
    error::{Result, Trouble, unknown},
    json,
    memory::Pool,
    source::{Source, json_lines::JsonLines},
    spill::Spill,
    sql::{self, Bound, Catalog, Headings, Parameters, Select},
    sums,
    watch::Watch,
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
    catalog: Catalog,
    /// The columns that were asked of tables of which nothing is known but that they have no rows.
    open: BTreeMap<String, Vec<String>>,
    /// The names of all sources, for messages: those that no query names are not opened.
    sources: BTreeSet<String>,
    zone: Zone,
    limits: Limits,
    spill: Arc<Spill>,
}

/// A query that was planned.
pub(crate) struct Planned {
    plan: LogicalPlan,
    text: String,
    pub(crate) schema: SchemaRef,
    /// It gives all columns of a table of which nothing is known but that it has no rows.
    is_open: bool,
    /// Columns of one name got names of their own, in words.
    pub(crate) renamed: Option<String>,
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
        zone: Zone,
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
        options.execution.time_zone = Some(zone.to_string());
        // What each sort keeps for the keys of the rows that it merges; with the default of 10 MB, a sort by texts of a
        // few hundred thousand rows can't go to disk any more.
        options.execution.sort_spill_reservation_bytes = limits.memory_max / 8;
        let mut context = SessionContext::new_with_config_rt(config, environment);
        arithmetic::register(&mut context).map_err(Trouble::internal)?;
        bounds::register(&mut context, limits.memory_max).map_err(Trouble::internal)?;
        json::register(&mut context).map_err(Trouble::internal)?;
        sums::register(&context);
        Ok(Self {
            runtime,
            clock: clock::new()?,
            watch: Arc::clone(watch),
            context,
            parameters,
            used: BTreeSet::new(),
            catalog: Catalog::default(),
            open: BTreeMap::new(),
            sources,
            zone,
            limits: limits.clone(),
            spill,
        })
    }

    pub(crate) fn add(&mut self, name: &str, source: &Source) -> Result<()> {
        if source.columns().is_empty() {
            return self.add_open(name, Vec::new());
        }
        let columns = source.columns().iter();
        let columns = columns.map(|column| column.name.clone()).collect();
        self.register(name, columns, false, source.table(self.zone, &self.watch))
    }

    /// A table without rows that has these columns, and whatever else queries ask of it.
    fn add_open(&mut self, name: &str, columns: Vec<String>) -> Result<()> {
        let empty = JsonLines::without_rows(name.into(), &columns)?;
        let table = Source::JsonLines(Arc::new(empty)).table(self.zone, &self.watch);
        self.open.insert(name.to_owned(), columns.clone());
        self.register(name, columns, true, table)
    }

    /// Makes the rows of a query a table of their own.
    pub(crate) fn add_result(&mut self, planned: &Planned) -> Result<()> {
        let fields = planned.schema.fields().iter();
        let columns: Vec<String> = fields.map(|field| field.name().clone()).collect();
        if planned.is_open {
            return self.add_open(RESULT, columns);
        }
        let frame = DataFrame::new(self.context.state(), planned.plan.clone());
        self.register(RESULT, columns, false, frame.into_view())
    }

    fn register(
        &mut self,
        name: &str,
        columns: Vec<String>,
        is_open: bool,
        table: Arc<dyn datafusion::catalog::TableProvider>,
    ) -> Result<()> {
        self.catalog.insert(name, columns, is_open);
        let registered = self
            .context
            .deregister_table(TableReference::bare(name))
            .and_then(|_| {
                self.context
                    .register_table(TableReference::bare(name), table)
            });
        registered.map(|_| ()).map_err(Trouble::internal)
    }

    /// Gives open tables the columns that a query asks of them.
    fn open_up(&mut self, bound: &Bound, wanted: &[String]) -> Result<()> {
        let mut asked = bound.asked.clone();
        if let Some(table) = &bound.gives_open {
            asked.extend(wanted.iter().map(|name| (table.clone(), name.clone())));
        }
        for (table, name) in asked {
            let columns = self.open.get(&table).cloned().unwrap_or_default();
            if !columns.contains(&name) {
                let columns = columns.into_iter().chain([name]).collect();
                self.add_open(&table, columns)?;
            }
        }
        Ok(())
    }

    /// Whether nothing else has this name.
    fn is_unknown(&self, table: &str) -> bool {
        // What looks like a table may be a function of the engine, such as generate_series.
        !self.catalog.tables().any(|name| name == table)
            && !self.context.state().table_functions().contains_key(table)
    }

    /// The parameters that no query has used.
    pub(crate) fn unused_parameters(&self) -> impl Iterator<Item = &str> {
        self.parameters
            .names()
            .filter(|name| !self.used.contains(*name))
    }

    /// Plans a query. `wanted` are columns that its rows should have, if nobody knows which ones they have.
    pub(crate) fn plan(&mut self, select: &Select, wanted: &[String]) -> Result<Planned> {
        let bound = select.bind(&self.catalog, &self.parameters, &mut self.used)?;
        if let Some(table) = bound.tables.iter().find(|it| self.is_unknown(&it.value)) {
            let known = self.catalog.tables().chain(&self.sources);
            let known = known.map(String::as_str);
            let trouble = unknown("unknown_table", "table", &table.value, known);
            let start = table.span.start;
            return Err(if start.line > 0 {
                sql::at(trouble, &select.text, start.line, start.column)
            } else {
                trouble
            });
        }
        self.open_up(&bound, wanted)?;
        let Bound {
            statement,
            gives_open,
            headings,
            ..
        } = bound;
        let state = self.context.state();
        let text = select.text.clone();
        let planning = self.runtime.spawn(async move {
            let plan = state.statement_to_plan(statement).await?;
            SQLOptions::new()
                .with_allow_ddl(false)
                .with_allow_dml(false)
                .with_allow_statements(false)
                .verify_plan(&plan)?;
            let (plan, renamed) = with_own_names(plan, &headings)?;
            // Types and functions are checked here, where the error still knows its place.
            state
                .analyzer()
                .execute_and_check(plan.clone(), state.config_options(), |_, _| {})?;
            Ok::<_, DataFusionError>((plan, renamed))
        });
        let (plan, renamed) = self
            .wait(planning)?
            .map_err(|error| self.trouble(&error, &text, Phase::Planning))?;
        let schema = Arc::clone(plan.schema().inner());
        Ok(Planned {
            plan,
            text,
            schema,
            is_open: gives_open.is_some(),
            renamed,
        })
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
        let memory_max = self.limits.memory_max;
        let (batches, received) = channel(2);
        let job = self.runtime.spawn(async move {
            let mut stream = match start(state, &plan, memory_max).await {
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
}

/// The plan with a name of its own for each column: as the query writes it, and never one twice, which a report's readers
/// couldn't tell apart. What was renamed, in words.
fn with_own_names(
    plan: LogicalPlan,
    headings: &Headings,
) -> Result<(LogicalPlan, Option<String>), DataFusionError> {
    let schema = Arc::clone(plan.schema());
    let engine_names = schema.fields().iter().map(|field| field.name().clone());
    let engine_names: Vec<String> = engine_names.collect();
    let meant = engine_names.iter().map(|name| sql::meant_name(name));
    let mut names: Vec<String> = meant.map(str::to_owned).collect();
    headings.apply(&mut names);
    let unique = unique_names(names.clone());
    let renamed = renamed(&names, &unique);
    if unique == engine_names {
        return Ok((plan, renamed));
    }
    let columns = schema.iter().zip(&unique).map(|((table, field), name)| {
        Expr::Column(Column::new(table.cloned(), field.name())).alias(name)
    });
    let columns: Vec<Expr> = columns.collect();
    let plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
    Ok((plan, renamed))
}

/// How often those who wait look whether the task goes on.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

async fn start(
    mut state: SessionState,
    plan: &LogicalPlan,
    memory_max: usize,
) -> Result<datafusion::execution::SendableRecordBatchStream, DataFusionError> {
    // Constants are computed here.
    let plan = state.optimize(plan)?;
    let rows = bounds::batch_rows(&plan, memory_max, state.config().batch_size())?;
    state.config_mut().options_mut().execution.batch_size = ConfigNonZeroUsize::try_new(rows)?;
    let planner = Arc::clone(state.query_planner());
    let physical = planner.create_physical_plan(&plan, &state).await?;
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
            Some(Err(error)) => Err(engine.trouble(&error, &self.text, Phase::Running)),
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
