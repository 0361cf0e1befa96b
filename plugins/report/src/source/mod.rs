//! Where a report's rows come from, as tables of the query engine.

pub(crate) mod bytes;
pub(crate) mod chunks;
pub(crate) mod csv;
mod delimiter;
pub(crate) mod dialect;
mod fields;
pub(crate) mod json_lines;
mod lines;

use std::{
    fmt,
    future::ready,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    catalog::{Session, TableProvider},
    datasource::TableType,
    error::Result as EngineResult,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::Expr,
    physical_plan::{
        ExecutionPlan,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures_util::stream;

use crate::{
    columns::{self, Builder, Column, Zone},
    database,
    error::{Passing, Result},
    source::{
        chunks::{Chunk, Chunks},
        csv::Csv,
        json_lines::JsonLines,
    },
    warning::SourceWarning,
    watch::Watch,
};

/// A source whose columns are known.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Csv(Arc<Csv>),
    JsonLines(Arc<JsonLines>),
    Database(Arc<database::StartedQuery>),
}

impl Source {
    pub(crate) fn columns(&self) -> &[Column] {
        match self {
            Self::Csv(csv) => &csv.columns,
            Self::JsonLines(lines) => &lines.columns,
            Self::Database(query) => query.columns(),
        }
    }

    pub(crate) fn warning(&self) -> Option<SourceWarning> {
        match self {
            Self::JsonLines(lines) => lines.warning(),
            Self::Csv(csv) => csv.warning(),
            Self::Database(query) => query.warning(),
        }
    }

    /// The source as a table, whose points in time are shown in `zone`.
    pub(crate) fn table(&self, zone: Zone, watch: &Arc<Watch>) -> Arc<dyn TableProvider> {
        Arc::new(SourceTable {
            source: self.clone(),
            schema: columns::schema(self.columns(), zone),
            zone,
            watch: Arc::clone(watch),
        })
    }
}

#[derive(Debug)]
struct SourceTable {
    source: Source,
    schema: SchemaRef,
    zone: Zone,
    watch: Arc<Watch>,
}

impl SourceTable {
    fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let projection: Arc<[usize]> = match projection {
            Some(projection) => projection.as_slice().into(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let schema = Arc::new(self.schema.project(&projection)?);
        let partitions: Vec<Arc<dyn PartitionStream>> = match &self.source {
            Source::Database(query) => {
                vec![query.partition(projection, Arc::clone(&schema), &self.watch)]
            }
            Source::Csv(_) | Source::JsonLines(_) => {
                let file = Arc::new(File {
                    source: self.source.clone(),
                    projection,
                    schema: Arc::clone(&schema),
                    zone: self.zone,
                    watch: Arc::clone(&self.watch),
                    rounds: Mutex::new(Vec::new()),
                });
                (0..self.source.partitions(state.config().target_partitions()))
                    .map(|_| Arc::new(Partition::new(&file)) as Arc<dyn PartitionStream>)
                    .collect()
            }
        };
        let plan = StreamingTableExec::try_new(schema, partitions, None, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}

impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    // By hand what `async_trait` would write: an `async fn` holds its arguments, and for each one that holds an `Expr`
    // the compiler spends seconds to prove that it may go from one thread to another.
    fn scan<'this, 'state, 'projection, 'filters, 'future>(
        &'this self,
        state: &'state dyn Session,
        projection: Option<&'projection Vec<usize>>,
        _filters: &'filters [Expr],
        limit: Option<usize>,
    ) -> Pin<Box<dyn Future<Output = EngineResult<Arc<dyn ExecutionPlan>>> + Send + 'future>>
    where
        'this: 'future,
        'state: 'future,
        'projection: 'future,
        'filters: 'future,
        Self: 'future,
    {
        Box::pin(ready(self.plan(state, projection, limit)))
    }
}

impl Source {
    /// Files of a single chunk are not worth a second thread.
    fn partitions(&self, wanted: usize) -> usize {
        let len = match self {
            Self::Csv(csv) => csv.bytes.len(),
            Self::JsonLines(lines) => lines.bytes.len(),
            Self::Database(_) => 0,
        };
        if len > 1 << 20 { wanted.max(1) } else { 1 }
    }
}

/// A file that several partitions read together: each takes the next chunk when it is through with its last.
#[derive(Debug)]
struct File {
    source: Source,
    projection: Arc<[usize]>,
    schema: SchemaRef,
    zone: Zone,
    watch: Arc<Watch>,
    /// A plan may be executed more than once; each time the file is read anew.
    rounds: Mutex<Vec<Arc<Mutex<Chunks>>>>,
}

impl File {
    fn chunks(&self, round: usize) -> Arc<Mutex<Chunks>> {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        while rounds.len() <= round {
            let watch = Some(&self.watch);
            let (chunks, len) = match &self.source {
                Source::Csv(csv) => (csv.chunks(watch), csv.bytes.len()),
                Source::JsonLines(lines) => (lines.chunks(watch), lines.bytes.len()),
                Source::Database(_) => unreachable!("databases have no chunks"),
            };
            self.watch.will_read(len);
            rounds.push(Arc::new(Mutex::new(chunks)));
        }
        Arc::clone(&rounds[round])
    }

    fn decoder(&self) -> Decoder {
        match &self.source {
            Source::Csv(csv) => Decoder::Csv(csv.decoder(&self.projection)),
            Source::JsonLines(lines) => Decoder::JsonLines(lines.decoder(&self.projection)),
            Source::Database(_) => unreachable!("databases have no chunks"),
        }
    }
}

#[derive(Debug)]
struct Partition {
    file: Arc<File>,
    round: AtomicUsize,
}

impl Partition {
    fn new(file: &Arc<File>) -> Self {
        Self {
            file: Arc::clone(file),
            round: AtomicUsize::new(0),
        }
    }
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.file.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let round = self.round.fetch_add(1, Ordering::Relaxed);
        let file = &self.file;
        let reader = Reader {
            chunks: file.chunks(round),
            chunk: Chunk::default(),
            at: 0,
            decoder: file.decoder(),
            rows_max: context.session_config().batch_size(),
            file: Arc::clone(file),
            is_at_end: false,
        };
        let batches = reader.map(|batch| batch.map_err(Passing::engine_error));
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&file.schema),
            stream::iter(batches),
        ))
    }
}

enum Decoder {
    Csv(csv::Decoder),
    JsonLines(json_lines::Decoder),
}

impl Decoder {
    fn decode(
        &mut self,
        chunk: &Chunk,
        at: &mut usize,
        builders: &mut [Builder],
        rows_max: usize,
    ) -> Result<usize> {
        match self {
            Self::Csv(decoder) => decoder.decode(chunk, at, builders, rows_max),
            Self::JsonLines(decoder) => decoder.decode(chunk, at, builders, rows_max),
        }
    }
}

/// When the rows of a batch have so many bytes in the file, it is enough.
const BATCH_LEN: usize = 8 << 20;

/// The batches of a partition.
struct Reader {
    file: Arc<File>,
    chunks: Arc<Mutex<Chunks>>,
    chunk: Chunk,
    at: usize,
    decoder: Decoder,
    rows_max: usize,
    is_at_end: bool,
}

impl Reader {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        self.file.watch.check()?;
        let fields = self.file.projection.iter();
        let columns = self.file.source.columns();
        let mut builders: Vec<Builder> = fields
            .map(|field| Builder::new(&columns[*field], self.file.zone, self.rows_max))
            .collect();
        let (mut rows, mut len) = (0, 0);
        // Of long rows fewer will do: all of a batch is in memory at once.
        while rows < self.rows_max && len < BATCH_LEN {
            let wanted = self.rows_max - rows;
            let begin = self.at;
            let read = self
                .decoder
                .decode(&self.chunk, &mut self.at, &mut builders, wanted)?;
            rows += read;
            if read > 0 {
                len += self.at.saturating_sub(begin);
            } else {
                let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
                if !chunks.next(&mut self.chunk)? {
                    self.is_at_end = true;
                    break;
                }
                self.at = 0;
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        self.file.watch.rows_read(rows);
        columns::batch(&self.file.schema, &mut builders, rows).map(Some)
    }
}

impl Iterator for Reader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_at_end {
            return None;
        }
        let batch = self.batch().transpose();
        self.is_at_end |= !matches!(batch, Some(Ok(_)));
        batch
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
