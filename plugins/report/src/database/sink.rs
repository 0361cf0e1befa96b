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
    warning::SourceWarning,
    watch::{CANCELLED, Watch},
};

/// So many rows are looked at where the database doesn't say what a column holds.
const PEEK_ROWS: usize = 1000;
const BATCH_ROWS: usize = 8192;
/// A batch is handed over before it has all of its rows, when they are long.
const BATCH_LEN: usize = 4 << 20;
/// More digits after the point than this are a quotient's, not an amount's; then later rows may have yet more of them.
const SCALE_MAX: usize = 10;
/// So many digits after the point quotients have room for.
const QUOTIENT_SCALE: usize = 20;
/// What a decimal has room for.
const DIGITS_MAX: usize = 38;

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
    /// What a clock on the wall showed, in microseconds since 1970.
    Timestamp(i64),
    /// A point in time, in microseconds since 1970 in UTC.
    Instant(i64),
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

/// What the columns are, and what is to be known of them.
pub(super) type Found = (Vec<Column>, Option<SourceWarning>);

pub(super) struct Sink {
    query: Arc<SourceQuery>,
    watch: Arc<Watch>,
    columns: Vec<Column>,
    schema: Option<SchemaRef>,
    found: Option<oneshot::Sender<Result<Found>>>,
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
        found: oneshot::Sender<Result<Found>>,
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
        let zone = self.query.zone;
        self.schema = Some(columns::schema(&columns, zone));
        self.builders = columns
            .iter()
            .map(|column| Builder::new(column, zone, 0))
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
            self.decide(false).await?;
        }
        Ok(())
    }

    /// Says what the columns are, and hands over the rows that were looked at, which may be all.
    async fn decide(&mut self, is_all: bool) -> Result<()> {
        let (names, declared): (Vec<String>, Vec<Declared>) =
            std::mem::take(&mut self.declared).into_iter().unzip();
        let unique = columns::unique_names(names.clone());
        let warning = SourceWarning::renamed(&self.query.name, &names, &unique);
        let mut columns: Vec<Column> = unique
            .into_iter()
            .zip(&declared)
            .enumerate()
            .map(|(index, (name, declared))| {
                let cells = self.peeked.iter().filter_map(|row| row.get(index));
                Column::found(name, kind_of(*declared, cells, is_all))
            })
            .collect();
        columns::override_kinds(&self.query.name, &mut columns, &self.query.kinds)?;
        self.set_columns(columns.clone());
        if let Some(found) = self.found.take() {
            // Nobody listens when the report was stopped meanwhile.
            drop(found.send(Ok((columns, warning))));
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
                Cell::Decimal(text) | Cell::Text(text) => builder.push_text(text),
                Cell::Date(days) => builder.push_date(*days),
                Cell::Timestamp(micros) => builder.push_timestamp(*micros),
                Cell::Instant(micros) => builder.push_instant(*micros),
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
            self.decide(true).await?;
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
        Cell::Instant(micros) => query.zone.text(*micros),
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

fn kind_of<'c>(declared: Declared, cells: impl Iterator<Item = &'c Cell>, is_all: bool) -> Kind {
    match declared {
        Declared::Kind(kind) => kind,
        Declared::Decimal => decimal_kind(cells.filter_map(|cell| match cell {
            Cell::Decimal(text) => Some(text.as_str()),
            _ => None,
        })),
        Declared::Any(otherwise) => {
            let mut guess = Guess::default();
            for cell in cells {
                match cell {
                    Cell::Null => {}
                    Cell::Boolean(_) => guess.see(Kind::Boolean),
                    Cell::Integer(value) => guess.see_integer(*value),
                    Cell::Number(_) | Cell::Decimal(_) => guess.see(Kind::Number),
                    Cell::Date(_) => guess.see(Kind::Date),
                    Cell::Timestamp(_) => guess.see(Kind::Timestamp),
                    Cell::Instant(_) => guess.see(Kind::Instant),
                    Cell::Text(text) if parse_day(text).is_some() => guess.see(Kind::Date),
                    Cell::Text(text) => guess.see(match parse_timestamp(text) {
                        Some(moment) if moment.offset.is_some() => Kind::Instant,
                        Some(_) => Kind::Timestamp,
                        None => Kind::Text,
                    }),
                }
            }
            match otherwise {
                Kind::Nothing if !is_all && guess.is_nothing() => Kind::Text,
                otherwise if guess.is_nothing() => otherwise,
                _ => guess.kind(is_all),
            }
        }
    }
}

/// A decimal with room for all digits; a text, if there is no such decimal.
fn decimal_kind<'c>(texts: impl Iterator<Item = &'c str>) -> Kind {
    let (mut whole_len, mut scale) = (0, 0);
    for text in texts {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        whole_len = whole_len.max(whole.trim_start_matches('-').len());
        scale = scale.max(fraction.len());
    }
    if scale > SCALE_MAX && whole_len + QUOTIENT_SCALE <= DIGITS_MAX {
        scale = scale.max(QUOTIENT_SCALE);
    }
    match i8::try_from(scale) {
        Ok(scale_of_all) if whole_len + scale <= DIGITS_MAX => Kind::Decimal {
            precision: 38,
            scale: scale_of_all,
        },
        _ => Kind::Text,
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
            kind_of(Declared::Decimal, cells.iter(), true)
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
        assert_eq!(
            kind(&["0.3333333333333333"]),
            Kind::Decimal {
                precision: 38,
                scale: 20
            }
        );
        // Longer than any decimal.
        assert_eq!(kind(&[&"9".repeat(39)]), Kind::Text);
        assert_eq!(
            kind(&["1234567890123456789012345.12345678901234"]),
            Kind::Text
        );
    }

    #[test]
    fn untyped_columns_are_what_their_rows_have() {
        let kind = |cells: &[Cell]| kind_of(Declared::Any(Kind::Integer), cells.iter(), true);
        assert_eq!(kind(&[Cell::Null]), Kind::Integer);
        assert_eq!(kind(&[Cell::Integer(1), Cell::Number(0.5)]), Kind::Number);
        // A floating-point number doesn't hold it.
        assert_eq!(
            kind(&[Cell::Integer(9_007_199_254_740_993), Cell::Number(0.5)]),
            Kind::Text
        );
        let nothing = |is_all| kind_of(Declared::Any(Kind::Nothing), [].iter(), is_all);
        assert_eq!((nothing(true), nothing(false)), (Kind::Nothing, Kind::Text));
        assert_eq!(kind(&[Cell::Text("2024-01-01".into())]), Kind::Date);
        assert_eq!(kind(&[Cell::Text("12".into())]), Kind::Text);
    }
}
