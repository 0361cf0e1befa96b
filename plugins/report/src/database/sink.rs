//! Rows of a database on their way into the engine. The first of them say what the columns hold, where the database
//! doesn't.

use std::sync::Arc;

use datafusion::arrow::{array::RecordBatch, datatypes::SchemaRef};
use report_document::calendar::{date_from_days, parse_day, parse_timestamp, timestamp_text};
use serde_json::json;
use tokio::sync::{mpsc::Sender, oneshot};

use crate::{
    columns::{self, Builder, Column, Guess, Kind, Mismatch},
    database::SourceQuery,
    error::{Result, Trouble, excerpt},
    watch::{CANCELLED, Watch},
};

/// So many rows are looked at where the database doesn't say what a column holds.
const PEEK_ROWS: usize = 1000;
const BATCH_ROWS: usize = 8192;
/// A batch is handed over before it has all of its rows, when they are long.
const BATCH_LEN: usize = 4 << 20;
/// More digits after the point than this are a quotient's, not an amount's.
const SCALE_MAX: usize = 10;

/// A value as the database has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    /// Digits, perhaps with a point.
    Decimal(String),
    Text(String),
    /// Days since 1970.
    Date(i32),
    /// Microseconds since 1970.
    Timestamp(i64),
}

/// What the database says of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    Kind(Kind),
    /// A decimal of unknown length.
    Decimal,
    /// Whatever its rows have; `Kind` if there are none.
    Any(Kind),
}

pub(super) struct Sink {
    query: Arc<SourceQuery>,
    watch: Arc<Watch>,
    columns: Vec<Column>,
    schema: Option<SchemaRef>,
    found: Option<oneshot::Sender<Result<Vec<Column>>>>,
    batches: Sender<Result<RecordBatch>>,
    declared: Vec<(String, Declared)>,
    peeked: Vec<Vec<Cell>>,
    builders: Vec<Builder>,
    rows: usize,
    len: usize,
    row_number: u64,
}

impl Sink {
    pub(super) fn new(
        query: Arc<SourceQuery>,
        watch: Arc<Watch>,
        known: Option<Vec<Column>>,
        found: oneshot::Sender<Result<Vec<Column>>>,
        batches: Sender<Result<RecordBatch>>,
    ) -> Self {
        let mut sink = Self {
            query,
            watch,
            columns: Vec::new(),
            schema: None,
            found: Some(found),
            batches,
            declared: Vec::new(),
            peeked: Vec::new(),
            builders: Vec::new(),
            rows: 0,
            len: 0,
            row_number: 0,
        };
        if let Some(columns) = known {
            sink.set_columns(columns);
        }
        sink
    }

    fn set_columns(&mut self, columns: Vec<Column>) {
        self.schema = Some(columns::schema(&columns));
        self.builders = columns
            .iter()
            .map(|column| Builder::new(column.kind, 0))
            .collect();
        self.columns = columns;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.batches.is_closed()
    }

    /// What the statement's columns are; before any row.
    pub(super) fn declare(&mut self, declared: Vec<(String, Declared)>) -> Result<()> {
        if declared.is_empty() {
            let message = "the statement has no rows to give; a report only reads";
            return Err(self.query.error("statement_refused", message));
        }
        self.declared = declared;
        Ok(())
    }

    pub(super) async fn row(&mut self, cells: Vec<Cell>) -> Result<()> {
        if self.schema.is_some() {
            self.push(cells)?;
            if self.rows >= BATCH_ROWS || self.len >= BATCH_LEN {
                self.flush().await?;
            }
            return Ok(());
        }
        self.peeked.push(cells);
        if self.peeked.len() >= PEEK_ROWS {
            self.decide().await?;
        }
        Ok(())
    }

    /// Says what the columns are, and hands over the rows that were looked at.
    async fn decide(&mut self) -> Result<()> {
        let (names, declared): (Vec<String>, Vec<Declared>) =
            std::mem::take(&mut self.declared).into_iter().unzip();
        let names = columns::unique_names(names).into_iter();
        let mut columns: Vec<Column> = names
            .zip(&declared)
            .enumerate()
            .map(|(index, (name, declared))| Column {
                name,
                kind: kind_of(
                    *declared,
                    self.peeked.iter().filter_map(|row| row.get(index)),
                ),
            })
            .collect();
        columns::override_kinds(&self.query.name, &mut columns, &self.query.kinds)?;
        self.set_columns(columns.clone());
        if let Some(found) = self.found.take() {
            // Nobody listens when the report was stopped meanwhile.
            drop(found.send(Ok(columns)));
        }
        for cells in std::mem::take(&mut self.peeked) {
            self.push(cells)?;
        }
        self.flush().await
    }

    fn push(&mut self, cells: Vec<Cell>) -> Result<()> {
        self.row_number += 1;
        for ((cell, builder), column) in
            cells.into_iter().zip(&mut self.builders).zip(&self.columns)
        {
            if let Cell::Text(text) | Cell::Decimal(text) = &cell {
                self.len += text.len();
            }
            let pushed = match &cell {
                Cell::Null => {
                    builder.push_null();
                    Ok(())
                }
                Cell::Boolean(value) => builder.push_boolean(*value),
                Cell::Integer(value) => builder.push_integer(*value),
                Cell::Number(value) => builder.push_number(*value),
                Cell::Decimal(text) | Cell::Text(text) => builder.push_text(text, false),
                Cell::Date(days) => builder.push_date(*days),
                Cell::Timestamp(micros) => builder.push_timestamp(*micros),
            };
            if let Err(Mismatch) = pushed {
                return Err(mismatch(&self.query, column, &cell, self.row_number));
            }
        }
        self.rows += 1;
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        let Some(schema) = self.schema.as_ref().filter(|_| self.rows > 0) else {
            return Ok(());
        };
        let batch = columns::batch(schema, &mut self.builders, self.rows)?;
        self.watch.rows_read(self.rows);
        self.rows = 0;
        self.len = 0;
        let sent = self.batches.send(Ok(batch)).await;
        sent.map_err(|_| Trouble::new(CANCELLED, "nobody wants the rows"))
    }

    /// The query has ended, well or not.
    pub(super) async fn end(mut self, done: Result<()>) {
        let done = match done {
            Ok(()) => self.finish().await,
            Err(trouble) => Err(trouble),
        };
        if let Err(trouble) = done {
            match self.found.take() {
                Some(found) => drop(found.send(Err(trouble))),
                None => drop(self.batches.send(Err(trouble)).await),
            }
        }
    }

    async fn finish(&mut self) -> Result<()> {
        if self.schema.is_none() {
            self.decide().await?;
        }
        self.flush().await
    }
}

fn mismatch(query: &SourceQuery, column: &Column, cell: &Cell, row: u64) -> Trouble {
    let value = match cell {
        Cell::Null => String::from("null"),
        Cell::Boolean(value) => value.to_string(),
        Cell::Integer(value) => value.to_string(),
        Cell::Number(value) => value.to_string(),
        Cell::Decimal(text) | Cell::Text(text) => excerpt(text, 100),
        Cell::Date(days) => date_from_days(*days).to_string(),
        Cell::Timestamp(micros) => timestamp_text(*micros),
    };
    let message = format!(
        "row {row}, column `{}`: {value:?} is not of the type {}; give the column another type in `types`, such as text",
        column.name, column.kind
    );
    query.error("type_mismatch", message).data(json!({
        "source": &*query.name, "row": row, "column": column.name,
        "value": value, "type": column.kind.to_string(),
    }))
}

fn kind_of<'c>(declared: Declared, cells: impl Iterator<Item = &'c Cell>) -> Kind {
    match declared {
        Declared::Kind(kind) => kind,
        Declared::Decimal => {
            let fractions = cells.filter_map(|cell| match cell {
                Cell::Decimal(text) => Some(
                    text.split_once('.')
                        .map_or(0, |(_, fraction)| fraction.len()),
                ),
                _ => None,
            });
            let longest = fractions.max().unwrap_or(0);
            match i8::try_from(longest) {
                Ok(scale) if longest <= SCALE_MAX => Kind::Decimal {
                    precision: 38,
                    scale,
                },
                _ => Kind::Number,
            }
        }
        Declared::Any(otherwise) => {
            let mut guess = Guess::default();
            for cell in cells {
                match cell {
                    Cell::Null => {}
                    Cell::Boolean(_) => guess.see(Kind::Boolean),
                    Cell::Integer(_) => guess.see(Kind::Integer),
                    Cell::Number(_) | Cell::Decimal(_) => guess.see(Kind::Number),
                    Cell::Date(_) => guess.see(Kind::Date),
                    Cell::Timestamp(_) => guess.see(Kind::Timestamp),
                    Cell::Text(text) if parse_day(text).is_some() => guess.see(Kind::Date),
                    Cell::Text(text) if parse_timestamp(text).is_some() => {
                        guess.see(Kind::Timestamp);
                    }
                    Cell::Text(_) => guess.see(Kind::Text),
                }
            }
            if guess == Guess::default() {
                otherwise
            } else {
                guess.kind()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_the_scale_of_the_first_rows() {
        let kind = |texts: &[&str]| {
            let cells: Vec<Cell> = texts
                .iter()
                .map(|text| Cell::Decimal((*text).to_owned()))
                .collect();
            kind_of(Declared::Decimal, cells.iter())
        };
        assert_eq!(
            kind(&["1.50", "2"]),
            Kind::Decimal {
                precision: 38,
                scale: 2
            }
        );
        assert_eq!(
            kind(&[]),
            Kind::Decimal {
                precision: 38,
                scale: 0
            }
        );
        assert_eq!(kind(&["0.3333333333333333"]), Kind::Number);
    }

    #[test]
    fn untyped_columns_are_what_their_rows_have() {
        let kind = |cells: &[Cell]| kind_of(Declared::Any(Kind::Integer), cells.iter());
        assert_eq!(kind(&[Cell::Null]), Kind::Integer);
        assert_eq!(kind(&[Cell::Integer(1), Cell::Number(0.5)]), Kind::Number);
        assert_eq!(kind(&[Cell::Text("2024-01-01".into())]), Kind::Date);
        assert_eq!(kind(&[Cell::Text("12".into())]), Kind::Text);
    }
}
