//! Tables that are in databases: a query of the database's own runs in a transaction that can't write, and its rows
//! stream in batches into the engine.

mod config;
mod mysql;
mod postgres;
mod sink;
mod sqlite;
mod text;

use std::{
    fmt,
    fs::File,
    future::Future,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use sqlx::{
    Column as _, Database, Row, mysql::MySqlConnectOptions, postgres::PgConnectOptions,
    types::chrono::NaiveDate,
};
use tokio::{
    runtime::Runtime,
    sync::{
        mpsc::{Receiver, channel},
        oneshot,
    },
};

use crate::{
    clock,
    columns::{Column, Kind, Zone},
    database::sink::{Cell, Found, Sink},
    error::{Passing, Result, Trouble},
    warning::SourceWarning,
    watch::Watch,
};

pub(crate) use text::check as check_query;

pub use config::{ConnectionConfig, Tls};

/// A database that requests may name.
#[derive(Clone)]
pub(crate) struct Connection {
    server: Server,
    /// Host and port, for messages.
    place: String,
    connect_timeout: Duration,
}

#[derive(Clone)]
enum Server {
    Postgres(Box<PgConnectOptions>),
    MySql(Box<MySqlConnectOptions>),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Checks all that can be checked without connecting. The errors never repeat the URL: there may be a password in it.
    pub(crate) fn new(config: &ConnectionConfig) -> Result<Self, String> {
        let password = config
            .password()
            .map_err(|error| error.message().to_owned())?;
        if let Some(path) = &config.ca_file {
            File::open(path).map_err(|error| format!("`ca_file` {}: {error}", path.display()))?;
        }
        let url = config.url.expose();
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        let (server, host, port) = match scheme {
            Some("postgres" | "postgresql") => {
                let options = postgres::options(config, password.as_ref())?;
                let place = (options.get_host().to_owned(), options.get_port());
                (Server::Postgres(Box::new(options)), place.0, place.1)
            }
            Some("mysql" | "mariadb") => {
                let options = mysql::options(config, password.as_ref())?;
                let place = (options.get_host().to_owned(), options.get_port());
                (Server::MySql(Box::new(options)), place.0, place.1)
            }
            _ => {
                return Err(String::from(
                    "`url` begins neither with `postgres://` nor with `mysql://`",
                ));
            }
        };
        Ok(Self {
            server,
            place: format!("{host}:{port}"),
            connect_timeout: config.connect_timeout,
        })
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.server {
            Server::Postgres(_) => Dialect::Postgres,
            Server::MySql(_) => Dialect::MySql,
        }
    }
}

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    MySql,
    Sqlite,
}

impl Dialect {
    /// A query for a whole table, whose name may have a schema before it.
    pub(crate) fn whole_table(self, table: &str) -> String {
        let quote = if self == Self::MySql { '`' } else { '"' };
        let doubled: String = [quote, quote].iter().collect();
        let parts: Vec<String> = table
            .split('.')
            .map(|part| format!("{quote}{}{quote}", part.replace(quote, &doubled)))
            .collect();
        format!("SELECT * FROM {}", parts.join("."))
    }
}

/// Where a query goes.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    Server(Connection),
    /// A file, and its name in the request.
    Sqlite {
        path: PathBuf,
        shown: String,
    },
}

/// A query of a database source, checked.
#[derive(Clone, Debug)]
pub(crate) struct SourceQuery {
    /// The source's name.
    pub(crate) name: Arc<str>,
    pub(crate) origin: Origin,
    pub(crate) sql: String,
    pub(crate) parameters: Vec<Value>,
    pub(crate) kinds: Vec<(String, Kind)>,
    /// The report's.
    pub(crate) zone: Zone,
}

impl SourceQuery {
    pub(crate) fn error(&self, kind: &'static str, message: impl fmt::Display) -> Trouble {
        let place = match &self.origin {
            Origin::Server(connection) => &connection.place,
            Origin::Sqlite { shown, .. } => shown,
        };
        Trouble::new(kind, format!("source `{}` ({place}): {message}", self.name))
            .data(json!({"source": &*self.name}))
    }

    /// There are as many parameters as the query has places for.
    fn check_count(&self, count: usize) -> Result<()> {
        if count == self.parameters.len() {
            return Ok(());
        }
        let message = format!(
            "the query has {count} parameters, `parameters` has {}",
            self.parameters.len()
        );
        Err(self.error("missing_parameter", message))
    }

    fn invalid_parameter(&self, number: usize, error: impl fmt::Display) -> Trouble {
        self.error("invalid_parameter", format!("parameter {number}: {error}"))
    }

    /// What a database says of anything but the query itself.
    pub(crate) fn connection_trouble(&self, error: &sqlx::Error, is_connected: bool) -> Trouble {
        match error {
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed
                if is_connected =>
            {
                self.error("connection_lost", format!("the connection broke: {error}"))
                    .retryable()
            }
            sqlx::Error::Io(error) => self
                .error("database_unreachable", format!("can't connect: {error}"))
                .retryable(),
            sqlx::Error::Tls(error) => {
                self.error("database_tls", format!("no secure connection: {error}"))
            }
            other => self.error("database_error", other),
        }
    }
}

/// A query whose columns are known, and which is under way.
pub(crate) struct StartedQuery {
    query: Arc<SourceQuery>,
    columns: Vec<Column>,
    warning: Option<SourceWarning>,
    runtime: tokio::runtime::Handle,
    /// The rows of the first run, until somebody reads them.
    begun: Mutex<Option<Receiver<Result<RecordBatch>>>>,
}

impl fmt::Debug for StartedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartedQuery")
            .field("name", &self.query.name)
            .finish_non_exhaustive()
    }
}

impl StartedQuery {
    /// Connects, begins the query, and waits for its first rows.
    pub(crate) fn open(runtime: &Runtime, watch: &Arc<Watch>, query: SourceQuery) -> Result<Self> {
        let query = Arc::new(query);
        let (batches, mut columns) = begin(runtime.handle(), &query, watch, None);
        let (columns, warning) = clock::new()?.block_on(async {
            loop {
                match tokio::time::timeout(Duration::from_millis(20), &mut columns).await {
                    Ok(Ok(columns)) => return columns,
                    Ok(Err(_)) => {
                        return Err(Trouble::internal("a database query ended without a word"));
                    }
                    Err(_) => {
                        watch.report();
                        watch.check()?;
                    }
                }
            }
        })?;
        Ok(Self {
            query,
            columns,
            warning,
            runtime: runtime.handle().clone(),
            begun: Mutex::new(Some(batches)),
        })
    }

    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(crate) fn warning(&self) -> Option<SourceWarning> {
        self.warning.clone()
    }

    pub(crate) fn partition(
        self: &Arc<Self>,
        projection: Arc<[usize]>,
        schema: SchemaRef,
        watch: &Arc<Watch>,
    ) -> Arc<dyn PartitionStream> {
        Arc::new(Partition {
            query: Arc::clone(self),
            projection,
            schema,
            watch: Arc::clone(watch),
        })
    }

    fn rows(&self, watch: &Arc<Watch>) -> Receiver<Result<RecordBatch>> {
        let begun = self
            .begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // A source that is read twice is queried twice.
        begun.unwrap_or_else(|| {
            begin(
                &self.runtime,
                &self.query,
                watch,
                Some(self.columns.clone()),
            )
            .0
        })
    }
}

#[derive(Debug)]
struct Partition {
    query: Arc<StartedQuery>,
    projection: Arc<[usize]>,
    schema: SchemaRef,
    watch: Arc<Watch>,
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.query.rows(&self.watch);
        let projection = Arc::clone(&self.projection);
        let batches = stream::unfold((rows, projection), |(mut rows, projection)| async move {
            let batch = match rows.recv().await? {
                Ok(batch) => batch.project(&projection).map_err(DataFusionError::from),
                Err(trouble) => Err(Passing::engine_error(trouble)),
            };
            Some((batch, (rows, projection)))
        });
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            batches,
        ))
    }
}

type Columns = oneshot::Receiver<Result<Found>>;

/// Runs the query in a task of its own, which ends when the receiver of its rows has gone, or the report stops.
fn begin(
    runtime: &tokio::runtime::Handle,
    query: &Arc<SourceQuery>,
    watch: &Arc<Watch>,
    known: Option<Vec<Column>>,
) -> (Receiver<Result<RecordBatch>>, Columns) {
    let (batches, received) = channel(2);
    let (columns, found) = oneshot::channel();
    let mut sink = Sink::new(
        Arc::clone(query),
        Arc::clone(watch),
        known,
        columns,
        batches,
    );
    let query = Arc::clone(query);
    let watch = Arc::clone(watch);
    let asked = watch.asked();
    runtime.spawn(async move {
        let done = match &query.origin {
            Origin::Server(Connection {
                server: Server::Postgres(options),
                connect_timeout,
                ..
            }) => postgres::run(options, *connect_timeout, &query, &watch, &mut sink).await,
            Origin::Server(Connection {
                server: Server::MySql(options),
                connect_timeout,
                ..
            }) => mysql::run(options, *connect_timeout, &query, &watch, &mut sink).await,
            Origin::Sqlite { path, .. } => sqlite::run(path, &query, &watch, &mut sink).await,
        };
        drop(asked);
        sink.end(done).await;
    });
    (received, found)
}

/// Waits for the database until it is done, the task stops, or the receiver of the rows has gone.
async fn guarded<T>(
    sink: &Sink,
    watch: &Watch,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(Duration::from_millis(20), &mut work).await {
            Ok(done) => return done,
            Err(_) => {
                watch.check()?;
                if sink.is_closed() {
                    return Err(Trouble::new(
                        crate::watch::CANCELLED,
                        "nobody wants the rows",
                    ));
                }
            }
        }
    }
}

/// Passes on the rows of a query until it ends, or the receiver of the rows has gone.
async fn pass_on<R: Row, E: fmt::Display>(
    mut rows: impl Stream<Item = Result<R, sqlx::Error>> + Unpin,
    query: &SourceQuery,
    watch: &Watch,
    sink: &mut Sink,
    cell: impl Fn(&R, &<R::Database as Database>::Column) -> Result<Cell, E>,
    trouble: impl Fn(sqlx::Error) -> Trouble,
) -> Result<()> {
    while let Some(row) = guarded(sink, watch, async { Ok(rows.next().await) }).await? {
        let row = row.map_err(&trouble)?;
        let mut cells = Vec::with_capacity(row.columns().len());
        for column in row.columns() {
            let cell = cell(&row, column).map_err(|error| {
                let message = format!("column `{}` can't be read: {error}", column.name());
                query.error("unsupported_type", message)
            })?;
            cells.push(cell);
        }
        sink.row(cells).await?;
    }
    Ok(())
}

fn date(date: NaiveDate) -> Cell {
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    i32::try_from(days).map_or(Cell::Null, Cell::Date)
}

/// Bytes that are not text.
fn hex(bytes: &[u8]) -> Cell {
    Cell::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Connects within `timeout`.
async fn connect<C>(
    query: &SourceQuery,
    timeout: Duration,
    connecting: impl Future<Output = Result<C, sqlx::Error>>,
    trouble: impl FnOnce(&sqlx::Error) -> Trouble,
) -> Result<C> {
    match tokio::time::timeout(timeout, connecting).await {
        Ok(connected) => connected.map_err(|error| trouble(&error)),
        Err(_) => {
            let message = format!("no connection within {timeout:?}");
            Err(query.error("database_unreachable", message).retryable())
        }
    }
}

/// How long a query may still take, in milliseconds.
fn remaining_ms(watch: &Watch) -> Option<u64> {
    let deadline = watch.deadline()?;
    let left = deadline.saturating_duration_since(std::time::Instant::now());
    Some(
        u64::try_from(left.as_millis())
            .unwrap_or(u64::MAX)
            .clamp(1, 2_000_000_000),
    )
}
