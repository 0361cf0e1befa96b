//! Reports as CSV (RFC 4180).

use crate::{
    chart::Chart,
    error::{Error, ErrorKind},
    model::{CsvOptions, Document, Text},
    output::{Check, RowKind, Sink, Warning, Writer},
    value::{KeyFigures, Table, Value},
};

/// Writes one table as CSV; texts, charts and key figures are left out.
#[derive(Debug)]
pub struct CsvWriter<W> {
    _sink: W,
    _options: CsvOptions,
}

impl<W: Sink> CsvWriter<W> {
    /// Writes into this sink.
    ///
    /// # Errors
    /// `invalid_option` when the delimiter can't be one.
    pub fn new(sink: W, options: CsvOptions) -> Result<Self, Error> {
        Ok(Self {
            _sink: sink,
            _options: options,
        })
    }
}

impl<W: Sink> Writer for CsvWriter<W> {
    fn begin(&mut self, _document: &Document) -> Result<(), Error> {
        Err(unwritten())
    }

    fn text(&mut self, _text: &Text) -> Result<(), Error> {
        Err(unwritten())
    }

    fn key_figures(&mut self, _figures: &KeyFigures) -> Result<(), Error> {
        Err(unwritten())
    }

    fn chart(&mut self, _chart: &Chart) -> Result<(), Error> {
        Err(unwritten())
    }

    fn table_begin(&mut self, _table: &Table) -> Result<(), Error> {
        Err(unwritten())
    }

    fn row(&mut self, _kind: RowKind<'_>, _values: &[Value<'_>]) -> Result<(), Error> {
        Err(unwritten())
    }

    fn table_end(&mut self) -> Result<(), Error> {
        Err(unwritten())
    }

    fn finish(&mut self, _check: &mut Check<'_>) -> Result<Vec<Warning>, Error> {
        Err(unwritten())
    }
}

fn unwritten() -> Error {
    Error::new(ErrorKind::Internal, "this format isn't written yet")
}
