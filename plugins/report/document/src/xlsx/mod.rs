//! Reports as XLSX workbooks.

mod format;
mod overview;
mod print;
mod sheet;

use std::{
    collections::HashSet,
    io::{self, Seek, SeekFrom, Write},
    path::PathBuf,
};

use rust_xlsxwriter::{DocProperties, Workbook, Worksheet, XlsxError};

use crate::{
    chart::Chart,
    error::{Error, ErrorKind},
    model::{Document, Text},
    output::{Check, RowKind, Sink, Warning, Writer},
    table::{KeyFigures, Table},
    value::Value,
};
use overview::Overview;
use sheet::Sheet;

/// Rows that a sheet holds.
const SHEET_ROWS_MAX: u32 = 1_048_576;

/// Writes a report as a workbook: a sheet for each table, and one in front for texts, key figures and native charts.
///
/// Rows go to temporary files as they come. A table with more rows than a sheet holds goes on in further sheets. Totals
/// are formulas (`SUBTOTAL`, which follows the filters) with their values; where a table has several sheets, or a column
/// numbers of more than 15 digits, which are texts, totals are values. Texts are never formulas.
#[derive(Debug)]
pub struct XlsxWriter<W> {
    sink: W,
    temp_folder: Option<PathBuf>,
    state: Option<State>,
}

struct State {
    document: Document,
    workbook: Workbook,
    overview: Overview,
    sheets: Vec<Worksheet>,
    sheet: Option<Sheet>,
    names: Names,
    texts_cut: u64,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("sheets", &self.sheets.len())
            .finish_non_exhaustive()
    }
}

impl<W: Sink> XlsxWriter<W> {
    /// Writes into this sink. Rows wait in temporary files until the end, in the system's folder for them.
    pub fn new(sink: W) -> Self {
        Self {
            sink,
            temp_folder: None,
            state: None,
        }
    }

    /// The folder for temporary files, which take about 50 bytes a cell and are gone in the end.
    #[must_use]
    pub fn temp_folder(mut self, folder: PathBuf) -> Self {
        self.temp_folder = Some(folder);
        self
    }

    fn state(&mut self) -> Result<&mut State, Error> {
        self.state
            .as_mut()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the report has not begun"))
    }
}

/// Runs what writes to temporary files. The library panics when it can't, because their disk is full.
fn guarded<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::StorageFull,
            "the workbook's temporary files couldn't be written: make room in the folder for them (TMPDIR)",
        ))
    })
}

pub(super) fn failed(error: XlsxError) -> Error {
    match error {
        XlsxError::IoError(error) => error.into(),
        // The archive's own error hides the one of the sink; its words don't.
        error => Error::new(
            ErrorKind::Internal,
            format!("the workbook couldn't be written: {error}"),
        ),
    }
}

/// Names of sheets: at most 31 characters, without `[ ] : * ? / \`, each only once.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    pub(super) fn take(&mut self, wanted: &str, fallback: &str) -> String {
        let clean: String = wanted
            .chars()
            .map(|c| {
                if matches!(c, '[' | ']' | ':' | '*' | '?' | '/' | '\\') || c.is_control() {
                    ' '
                } else {
                    c
                }
            })
            .collect();
        let clean = clean.split_whitespace().collect::<Vec<_>>().join(" ");
        let clean = clean.trim_matches(['\'', ' ']);
        let base = if clean.is_empty() || clean.eq_ignore_ascii_case("history") {
            fallback
        } else {
            clean
        };
        for number in 1_u32.. {
            let suffix = if number == 1 {
                String::new()
            } else {
                format!(" ({number})")
            };
            let name = format!("{}{suffix}", shorten(base, 31 - suffix.len()));
            if self.0.insert(name.to_lowercase()) {
                return name;
            }
        }
        fallback.to_owned()
    }
}

/// The beginning of a text, of so many UTF-16 units at most.
fn shorten(text: &str, len_max: usize) -> &str {
    let mut len = 0;
    for (index, c) in text.char_indices() {
        len += c.len_utf16();
        if len > len_max {
            return text
                .get(..index)
                .unwrap_or_default()
                .trim_end_matches(['\'', ' ']);
        }
    }
    text
}

/// What a cell can hold: 32,767 UTF-16 units, and no characters that XML forbids. `None` if the text is fine as it is.
pub(super) fn cell_text(text: &str) -> Option<(String, bool)> {
    let is_odd = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n')) || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    let is_long = text.len() > 32_767 && text.encode_utf16().count() > 32_767;
    let has_odd = text
        .bytes()
        .any(|byte| byte < 0x20 || byte == 0x7f || byte >= 0xc2)
        && text.chars().any(is_odd);
    // `_x0041_` would be read as an escape by some programs.
    if !is_long && !has_odd {
        return None;
    }
    let cleaned: String = text
        .replace("\r\n", "\n")
        .chars()
        .map(|c| match c {
            '\r' => '\n',
            c if is_odd(c) => '\u{fffd}',
            c => c,
        })
        .collect();
    let short = shorten(&cleaned, 32_767);
    let is_cut = short.len() < cleaned.len();
    Some((short.to_owned(), is_cut))
}

impl<W: Sink> Writer for XlsxWriter<W> {
    fn begin(&mut self, document: &Document) -> Result<(), Error> {
        let mut workbook = Workbook::new();
        if let Some(folder) = &self.temp_folder {
            workbook.set_tempdir(folder).map_err(failed)?;
        }
        let mut properties = DocProperties::new().set_title(document.title.as_str());
        if let Some(subtitle) = &document.subtitle {
            properties = properties.set_subject(subtitle.as_str());
        }
        if let Some(author) = &document.author {
            properties = properties.set_author(author.as_str());
        }
        workbook.set_properties(&properties);
        // Level 6 takes twice the time for files a tenth smaller.
        workbook.set_zip_compression_level(3);
        let mut names = Names::default();
        let language = document.locale.language();
        let overview = Overview::new(document, &mut names, language);
        self.state = Some(State {
            document: document.clone(),
            workbook,
            overview,
            sheets: Vec::new(),
            sheet: None,
            names,
            texts_cut: 0,
        });
        Ok(())
    }

    fn text(&mut self, text: &Text) -> Result<(), Error> {
        self.state()?.overview.text(text)
    }

    fn key_figures(&mut self, figures: &KeyFigures) -> Result<(), Error> {
        self.state()?.overview.key_figures(figures)
    }

    fn chart(&mut self, chart: &Chart) -> Result<(), Error> {
        self.state()?.overview.chart(chart)
    }

    fn table_begin(&mut self, table: &Table) -> Result<(), Error> {
        let state = self.state()?;
        state.sheet = Some(Sheet::begin(
            table,
            &state.document,
            &mut state.workbook,
            &mut state.names,
        )?);
        Ok(())
    }

    fn row(&mut self, kind: RowKind<'_>, values: &[Value<'_>]) -> Result<(), Error> {
        let Some(state) = &mut self.state else {
            return Err(Error::new(ErrorKind::Internal, "the report has not begun"));
        };
        let Some(sheet) = &mut state.sheet else {
            return Err(Error::new(
                ErrorKind::Internal,
                "a row came before its table",
            ));
        };
        let written = guarded(|| {
            if sheet.is_full(kind) {
                let full = sheet.next(&state.document, &mut state.workbook, &mut state.names)?;
                state.sheets.push(full);
            }
            sheet.row(kind, values)
        });
        if written.is_err() {
            // What is left of it is in no state to be used again.
            self.state = None;
        }
        written
    }

    fn table_end(&mut self) -> Result<(), Error> {
        let state = self.state()?;
        if let Some(sheet) = state.sheet.take() {
            let (worksheet, texts_cut) = sheet.end()?;
            state.texts_cut += texts_cut;
            state.sheets.push(worksheet);
        }
        Ok(())
    }

    fn finish(&mut self, check: &mut Check<'_>) -> Result<Vec<Warning>, Error> {
        let Some(mut state) = self.state.take() else {
            return Err(Error::new(ErrorKind::Internal, "the report has not begun"));
        };
        check()?;
        let needs_overview = state.overview.is_used() || state.sheets.is_empty();
        let (front, data) = state.overview.end()?;
        if needs_overview {
            state.workbook.push_worksheet(front);
        }
        for sheet in state.sheets {
            state.workbook.push_worksheet(sheet);
        }
        if let Some(data) = data {
            state.workbook.push_worksheet(data);
        }
        let mut stopped = None;
        let checked = Checked {
            sink: &mut self.sink,
            check,
            stopped: &mut stopped,
        };
        let workbook = &mut state.workbook;
        let saved = guarded(|| workbook.save_to_writer(checked).map_err(failed));
        if let Some(error) = stopped {
            return Err(error);
        }
        saved?;
        self.sink.flush()?;
        let mut warnings = Vec::new();
        if state.texts_cut > 0 {
            warnings.push(Warning {
                kind: "text_cut",
                message: format!(
                    "in the XLSX, {} texts were longer than a cell's 32,767 characters and are cut",
                    state.texts_cut
                ),
            });
        }
        Ok(warnings)
    }
}

/// A sink that asks before each write whether to go on, and remembers what went wrong.
struct Checked<'a, 'c, W> {
    sink: &'a mut W,
    check: &'a mut Check<'c>,
    stopped: &'a mut Option<Error>,
}

impl<W> Checked<'_, '_, W> {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let error = Error::from(error);
            if self.stopped.is_none() {
                *self.stopped = Some(error.clone());
            }
            error.into()
        })
    }
}

impl<W: Write> Write for Checked<'_, '_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let go_on = (self.check)().map_err(io::Error::from);
        self.note(go_on)?;
        let written = self.sink.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.sink.flush();
        self.note(flushed)
    }
}

impl<W: Seek> Seek for Checked<'_, '_, W> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let sought = self.sink.seek(position);
        self.note(sought)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sheets_are_legal_and_unique() {
        let mut names = Names::default();
        assert_eq!(names.take("Revenue", "Table"), "Revenue");
        assert_eq!(names.take("revenue", "Table"), "revenue (2)");
        assert_eq!(names.take("a/b[c]:*?\\d", "Table"), "a b c d");
        assert_eq!(names.take("'quoted'", "Table"), "quoted");
        assert_eq!(names.take("", "Table"), "Table");
        assert_eq!(names.take("History", "Table"), "Table (2)");
        let long = "x".repeat(40);
        assert_eq!(names.take(&long, "Table").len(), 31);
        assert_eq!(
            names.take(&long, "Table"),
            format!("{} (2)", "x".repeat(27))
        );
        assert_eq!(names.take(&"😀".repeat(20), "Table"), "😀".repeat(15));
    }

    #[test]
    fn texts_fit_into_cells() {
        assert_eq!(cell_text("plain\ttext\n日本"), None);
        assert_eq!(
            cell_text("a\u{1}b\r\nc"),
            Some(("a\u{fffd}b\nc".into(), false))
        );
        let (text, is_cut) = cell_text(&"é".repeat(40_000)).unwrap();
        assert!(is_cut && text.chars().count() == 32_767);
    }
}
