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
//!
//! # What each format holds
//!
//! | | texts, key figures | charts | tables | memory |
//! |---|---|---|---|---|
//! | JSON | as data | as data | rows, or groups of rows with subtotals | one row |
//! | CSV | left out | left out | one | one row |
//! | HTML | yes | SVG, and their data as tables | yes, totals as the foot | one row |
//! | XLSX | on the first sheet | native, on the first sheet | a sheet each, or several beyond 1,048,576 rows; totals are formulas | one row; rows wait in temporary files |
//! | PDF | yes | vectors | yes, with repeated heads | some 20 KB a page, up to [`PdfLimits::pages_max`] |
//!
//! # Decisions
//!
//! - Numbers, money and dates of five languages come from tables of our own. The data of all languages would add
//!   megabytes to a plugin that is read, hashed and copied at each reload, and be slower in every cell.
//! - A PDF's Latin, Greek and Cyrillic come from an embedded Noto Sans (see `fonts/OFL.txt`), and need no font of the system. For
//!   all else [`Fonts`] looks through the system's when the first such character appears. Shaping is harfrust's, the order of
//!   directions that of unicode-bidi, places to break those of unicode-linebreak; a text whose characters all stand for
//!   themselves takes a short cut past all three.
//! - A report begins on the side on which its title does: right for Arabic and Hebrew. All of a column stands on one
//!   side, whatever its values are.
//! - HTML is written as rows come, so that what its paper must be is known behind the table: an empty element there tells
//!   the style (`:has`) that the page lies, or that each row is a block of cells with their headings.
//! - Numbers are rounded in decimal, half away from zero, as spreadsheets do: 1.005 with two decimals is 1.01.
//! - Sums of integers and decimals are exact up to 38 digits; sums of floating-point numbers are compensated.
//! - Text that begins with `=` is never a formula in XLSX. In CSV it is written as it is, unless
//!   [`CsvOptions::escape_formulas`] says otherwise: what reads CSV is a program more often than not.
//!
//! # Errors
//!
//! [`Error::kind`] is one of the words below; `storage_full` and `io_error` are worth a retry.
//!
//! | kind | when |
//! |---|---|
//! | `invalid_option` | an option has a value that it can't have, or that doesn't suit its column's type |
//! | `unknown_column` | an option names a column that the data doesn't have; the message has near misses |
//! | `invalid_chart` | a chart can't be drawn from this data: no numbers, a category twice, a negative slice |
//! | `chart_too_large` | more categories or series than anyone could tell apart |
//! | `too_many_rows` | the PDF would have more pages than it may |
//! | `too_many_columns` | the format or the paper has no room for so many columns |
//! | `total_overflow` | a total has more than 38 digits |
//! | `output_too_large` | a [`Buffer`] is full |
//! | `not_one_table` | CSV holds one table, and the report has none, or several of which none is named |
//! | `storage_full`, `io_error` | the sink couldn't be written |
//! | `stopped` | the caller's check said so |
//! | `internal` | a library failed where it shouldn't have |

pub mod calendar;
mod chart;
mod csv;
mod direction;
mod error;
mod fonts;
mod format;
mod html;
mod json;
mod letters;
mod locale;
mod markup;
mod model;
mod output;
mod pdf;
mod scene;
mod table;
mod text;
mod totals;
mod value;
mod xlsx;

pub use chart::{BARS_MAX, Chart, ChartFeed, POINTS_MAX, SERIES_MAX, SLICES_MAX, Series};
pub use csv::CsvWriter;
pub use error::{Error, ErrorKind};
pub use fonts::Fonts;
pub use format::AMOUNT_SCALE_MAX;
pub use html::HtmlWriter;
pub use json::JsonWriter;
pub use model::{
    Align, Band, ChartKind, ChartOptions, ColumnOptions, CsvOptions, DateStyle, Day, Document,
    Format, JsonExact, JsonOptions, JsonRows, KeyFiguresOptions, Locale, Orientation, Page,
    PageSize, TableOptions, Text, Total,
};
pub use output::{Buffer, Check, Outputs, RowKind, Sink, TableFeed, Warning, Writer};
pub use pdf::{PdfLimits, PdfWriter};
pub use table::{KEY_FIGURES_MAX, KeyFigure, KeyFigures, Table, TableColumn};
pub use value::{Column, ColumnKind, Value};
pub use xlsx::XlsxWriter;
