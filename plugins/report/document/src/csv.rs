//! Reports as CSV (RFC 4180).

use std::io::{BufWriter, Write};

use crate::{
    chart::Chart,
    error::{Error, ErrorKind},
    format::{Formatter, write_raw},
    model::{CsvOptions, Document, Locale, Text},
    output::{Check, RowKind, Sink, Warning, Writer},
    table::{KeyFigures, Table},
    value::Value,
};

/// Writes one table as CSV: UTF-8, lines end with CR LF, values are quoted where they must be. Texts, charts and key
/// figures are left out. A report with several tables needs [`CsvOptions::table`].
#[derive(Debug)]
pub struct CsvWriter<W: Write> {
    sink: BufWriter<W>,
    options: CsvOptions,
    delimiter: char,
    locale: Locale,
    tables: Vec<String>,
    is_written: bool,
    is_open: bool,
    formatters: Vec<Formatter>,
    group_by: Option<usize>,
    line: String,
    cell: String,
}

impl<W: Sink> CsvWriter<W> {
    /// Writes into this sink.
    ///
    /// # Errors
    /// `invalid_option` when the delimiter can't be one.
    pub fn new(sink: W, options: CsvOptions) -> Result<Self, Error> {
        if let Some(delimiter) = options.delimiter
            && !matches!(delimiter, ',' | ';' | '|' | '\t')
        {
            return Err(Error::invalid_option(format!(
                "delimiter: {delimiter:?} can't separate values: take \",\", \";\", \"|\" or a tab"
            )));
        }
        Ok(Self {
            sink: BufWriter::with_capacity(1 << 16, sink),
            delimiter: options.delimiter.unwrap_or(','),
            options,
            locale: Locale::default(),
            tables: Vec::new(),
            is_written: false,
            is_open: false,
            formatters: Vec::new(),
            group_by: None,
            line: String::new(),
            cell: String::new(),
        })
    }

    fn put_cell(&mut self, index: usize) {
        if index > 0 {
            self.line.push(self.delimiter);
        }
        if self.options.escape_formulas && self.cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
            self.cell.insert(0, '\'');
        }
        push_cell(&self.cell, self.delimiter, &mut self.line);
    }

    fn end_line(&mut self, cells: usize) -> Result<(), Error> {
        // A line with nothing in its only cell would be no line for many readers.
        if cells == 1 && self.line.is_empty() {
            self.line.push_str("\"\"");
        }
        self.line.push_str("\r\n");
        self.sink.write_all(self.line.as_bytes())?;
        self.line.clear();
        Ok(())
    }
}

fn push_cell(cell: &str, delimiter: char, line: &mut String) {
    let delimiter = u8::try_from(delimiter).unwrap_or(b',');
    let quoted = cell
        .bytes()
        .any(|byte| byte == delimiter || matches!(byte, b'"' | b'\r' | b'\n'))
        || cell.starts_with([' ', '\t', '\u{feff}'])
        || cell.ends_with([' ', '\t']);
    if !quoted {
        line.push_str(cell);
        return;
    }
    line.push('"');
    for (index, part) in cell.split('"').enumerate() {
        if index > 0 {
            line.push_str("\"\"");
        }
        line.push_str(part);
    }
    line.push('"');
}

impl<W: Sink> Writer for CsvWriter<W> {
    fn begin(&mut self, document: &Document) -> Result<(), Error> {
        self.locale = document.locale;
        // Between numbers with a decimal comma another one would be read as a part of them, or quoted everywhere.
        if self.options.delimiter.is_none() && self.options.localized {
            let has_decimal_comma = self.locale.language().decimal == ",";
            self.delimiter = if has_decimal_comma { ';' } else { ',' };
        }
        Ok(())
    }

    fn text(&mut self, _text: &Text) -> Result<(), Error> {
        Ok(())
    }

    fn key_figures(&mut self, _figures: &KeyFigures) -> Result<(), Error> {
        Ok(())
    }

    fn chart(&mut self, _chart: &Chart) -> Result<(), Error> {
        Ok(())
    }

    fn table_begin(&mut self, table: &Table) -> Result<(), Error> {
        let title = table.title.clone().unwrap_or_default();
        self.is_open = match &self.options.table {
            Some(wanted) => *wanted == title && !self.is_written,
            None if self.is_written => {
                return Err(Error::new(
                    ErrorKind::NotOneTable,
                    "CSV holds one table, and this report has several: name the one to write with \"table\"",
                ));
            }
            None => true,
        };
        self.tables.push(title);
        if !self.is_open {
            return Ok(());
        }
        self.is_written = true;
        self.group_by = table.group_by;
        self.formatters = table
            .columns
            .iter()
            .map(|column| Formatter::new(&column.format, self.locale))
            .collect();
        if self.options.bom {
            self.sink.write_all("\u{feff}".as_bytes())?;
        }
        if self.options.header {
            for (index, column) in table.columns.iter().enumerate() {
                self.cell.clear();
                self.cell.push_str(&column.title);
                self.put_cell(index);
            }
            self.end_line(table.columns.len())?;
        }
        Ok(())
    }

    fn row(&mut self, kind: RowKind<'_>, values: &[Value<'_>]) -> Result<(), Error> {
        if !self.is_open || (kind != RowKind::Data && !self.options.totals) {
            return Ok(());
        }
        let label_at = match kind {
            RowKind::Data => None,
            RowKind::Subtotal { .. } => self.group_by,
            RowKind::Total { .. } => Some(0).filter(|_| values.first().is_some_and(Value::is_null)),
        };
        for (index, value) in values.iter().enumerate() {
            self.cell.clear();
            if label_at == Some(index) && value.is_null() {
                let language = self.locale.language();
                match kind {
                    RowKind::Subtotal { group, .. } => {
                        let group = self
                            .formatters
                            .get(index)
                            .map(|formatter| formatter.text(group));
                        self.cell
                            .push_str(&language.subtotal_of(&group.unwrap_or_default()));
                    }
                    _ => self.cell.push_str(language.total),
                }
            } else if self.options.localized {
                if let Some(formatter) = self.formatters.get(index) {
                    formatter.write(value, &mut self.cell);
                }
            } else {
                write_raw(value, &mut self.cell);
            }
            if matches!(value, Value::Text(text) if text.is_empty()) && !self.options.localized {
                // In quotes, so that it isn't taken for no value.
                self.cell.clear();
                if index > 0 {
                    self.line.push(self.delimiter);
                }
                self.line.push_str("\"\"");
            } else if matches!(value, Value::Text(_)) || !self.options.escape_formulas {
                self.put_cell(index);
            } else {
                // Numbers may begin with a minus; they are not formulas.
                if index > 0 {
                    self.line.push(self.delimiter);
                }
                push_cell(&self.cell, self.delimiter, &mut self.line);
            }
        }
        self.end_line(values.len())
    }

    fn table_end(&mut self) -> Result<(), Error> {
        self.is_open = false;
        Ok(())
    }

    fn finish(&mut self, _check: &mut Check<'_>) -> Result<Vec<Warning>, Error> {
        if !self.is_written {
            let message = match (&self.options.table, self.tables.is_empty()) {
                (Some(wanted), false) => {
                    format!("there is no table {wanted:?} for the CSV: the report has {:?}", self.tables)
                }
                _ => "CSV holds one table, and this report has none: leave out \"csv\", or add a table".to_owned(),
            };
            return Err(Error::new(ErrorKind::NotOneTable, message));
        }
        self.sink.flush()?;
        Ok(Vec::new())
    }
}
