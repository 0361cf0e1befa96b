//! Reports as one HTML file.

use crate::{
    chart::Chart,
    error::{Error, ErrorKind},
    model::{Document, Text},
    output::{Check, RowKind, Sink, Warning, Writer},
    value::{KeyFigures, Table, Value},
};

/// Writes a report as one HTML file that needs nothing else.
#[derive(Debug)]
pub struct HtmlWriter<W> {
    _sink: W,
}

impl<W: Sink> HtmlWriter<W> {
    /// Writes into this sink.
    pub fn new(sink: W) -> Self {
        Self { _sink: sink }
    }
}

impl<W: Sink> Writer for HtmlWriter<W> {
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
