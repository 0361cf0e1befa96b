//! Reports as JSON.

use crate::{
    chart::Chart,
    error::{Error, ErrorKind},
    model::{Document, JsonOptions, Text},
    output::{Check, RowKind, Sink, Warning, Writer},
    value::{KeyFigures, Table, Value},
};

/// Writes a report as one JSON object.
#[derive(Debug)]
pub struct JsonWriter<W> {
    _sink: W,
    _options: JsonOptions,
}

impl<W: Sink> JsonWriter<W> {
    /// Writes into this sink.
    pub fn new(sink: W, options: JsonOptions) -> Self {
        Self {
            _sink: sink,
            _options: options,
        }
    }
}

impl<W: Sink> Writer for JsonWriter<W> {
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
