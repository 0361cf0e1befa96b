//! Reports as PDF.

use crate::{
    chart::Chart,
    error::{Error, ErrorKind},
    model::{Document, Text},
    output::{Check, RowKind, Sink, Warning, Writer},
    value::{KeyFigures, Table, Value},
};

use std::sync::Arc;

use crate::fonts::Fonts;

/// How much a PDF may hold. It is laid out in memory, and nobody reads a million pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PdfLimits {
    /// The most pages.
    pub pages_max: usize,
}

impl Default for PdfLimits {
    fn default() -> Self {
        Self { pages_max: 2_000 }
    }
}

/// Writes a report as PDF.
#[derive(Debug)]
pub struct PdfWriter<W> {
    _sink: W,
    _fonts: Arc<Fonts>,
    _limits: PdfLimits,
}

impl<W: Sink> PdfWriter<W> {
    /// Writes into this sink with these fonts. More pages than allowed are the error `too_many_rows`.
    pub fn new(sink: W, fonts: Arc<Fonts>, limits: PdfLimits) -> Self {
        Self {
            _sink: sink,
            _fonts: fonts,
            _limits: limits,
        }
    }
}

impl<W: Sink> Writer for PdfWriter<W> {
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
