//! What a report consists of, and how it is written as JSON, CSV, XLSX, HTML and PDF.
//!
//! A [`Document`] and its sections meet the data in [`Table::new`], [`ChartFeed`] and [`KeyFigures::new`]; [`Outputs`] feeds
//! them to any number of [`Writer`]s at once. Rows stream: no writer but the one for PDF holds more than a sample of them.
//!
//! ```
//! use report_document::{Buffer, Column, ColumnKind, CsvOptions, CsvWriter, Document, Outputs, Table, TableOptions, Value};
//!
//! let mut buffer = Buffer::new(1 << 20);
//! let document = Document { title: "Stock".into(), ..Document::default() };
//! let mut outputs = Outputs::new(document, vec![Box::new(CsvWriter::new(&mut buffer, CsvOptions::default())?)])?;
//! let columns = [Column::new("item", ColumnKind::Text), Column::new("pieces", ColumnKind::Int)];
//! let table = Table::new(&TableOptions::default(), &columns)?;
//! let mut rows = outputs.table(&table)?;
//! rows.row(&[Value::text("nails"), Value::Int(12)])?;
//! rows.finish()?;
//! outputs.finish(&mut || Ok(()))?;
//! assert_eq!(buffer.into_bytes(), b"item,pieces\r\nnails,12\r\n");
//! # Ok::<(), report_document::Error>(())
//! ```

mod calendar;
mod chart;
mod csv;
mod error;
mod fonts;
mod format;
mod html;
mod json;
mod markup;
mod model;
mod output;
mod pdf;
mod scene;
mod text;
mod totals;
mod value;
mod xlsx;

pub use chart::{BARS_MAX, Chart, POINTS_MAX, SERIES_MAX, SLICES_MAX, Series};
pub use csv::CsvWriter;
pub use error::{Error, ErrorKind};
pub use fonts::Fonts;
pub use html::HtmlWriter;
pub use json::JsonWriter;
pub use model::{
    Align, Band, ChartKind, ChartOptions, ColumnOptions, CsvOptions, DateStyle, Day, Document,
    Format, JsonExact, JsonOptions, JsonRows, KeyFiguresOptions, Locale, Orientation, Page,
    PageSize, TableOptions, Text, Total,
};
pub use output::{Buffer, Check, Outputs, RowKind, Sink, TableFeed, Warning, Writer};
pub use pdf::{PdfLimits, PdfWriter};
pub use value::{
    ChartFeed, Column, ColumnKind, KEY_FIGURES_MAX, KeyFigure, KeyFigures, Table, TableColumn,
    Value,
};
pub use xlsx::XlsxWriter;
