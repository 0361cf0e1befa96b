//! Reports as JSON.

use std::io::{BufWriter, Write};

use crate::{
    chart::Chart,
    error::Error,
    format::write_raw,
    model::{ChartKind, Document, JsonExact, JsonOptions, JsonRows, Text, Total},
    output::{Check, RowKind, Sink, Warning, Writer},
    table::{KeyFigures, Table},
    value::{ColumnKind, Value},
};

/// Writes a report as one JSON object: `title`, `date`, …, and `sections`, each with a `kind`.
///
/// A table has `columns`, `rows` and, with totals, `totals` and `row_count`. With `group_by` it has `groups` in place of
/// `rows`, each with `group`, `rows`, `subtotals` and `row_count`. Numbers have all of their digits, see [`JsonExact`];
/// what isn't finite is null. Dates and times are texts as ISO 8601 has them.
#[derive(Debug)]
pub struct JsonWriter<W: Write> {
    sink: BufWriter<W>,
    options: JsonOptions,
    line: String,
    raw: String,
    sections: usize,
    // The columns' names as JSON texts with a colon.
    keys: Vec<String>,
    group_by: Option<usize>,
    in_group: bool,
    groups: u64,
    rows_in_array: u64,
    totals: Option<String>,
    rows: u64,
}

impl<W: Sink> JsonWriter<W> {
    /// Writes into this sink.
    pub fn new(sink: W, options: JsonOptions) -> Self {
        Self {
            sink: BufWriter::with_capacity(1 << 16, sink),
            options,
            line: String::new(),
            raw: String::new(),
            sections: 0,
            keys: Vec::new(),
            group_by: None,
            in_group: false,
            groups: 0,
            rows_in_array: 0,
            totals: None,
            rows: 0,
        }
    }

    fn flush_line(&mut self) -> Result<(), Error> {
        self.sink.write_all(self.line.as_bytes())?;
        self.line.clear();
        Ok(())
    }

    fn section(&mut self, kind: &str, title: Option<&str>) {
        self.line
            .push_str(if self.sections == 0 { "\n" } else { ",\n" });
        self.sections += 1;
        self.line.push_str("{\"kind\":");
        push_text(kind, &mut self.line);
        if let Some(title) = title {
            self.line.push_str(",\"title\":");
            push_text(title, &mut self.line);
        }
    }

    fn push_value(&mut self, value: &Value<'_>) {
        let exact_text = self.options.exact == JsonExact::String
            && match value {
                Value::Decimal { .. } => true,
                Value::Int(number) => number.unsigned_abs() > 1 << 53,
                Value::UInt(number) => *number > 1 << 53,
                _ => false,
            };
        match value {
            Value::Null => self.line.push_str("null"),
            Value::Float(number) if !number.is_finite() => self.line.push_str("null"),
            Value::Text(text) => push_text(text, &mut self.line),
            Value::Bool(_)
            | Value::Int(_)
            | Value::UInt(_)
            | Value::Float(_)
            | Value::Decimal { .. }
                if !exact_text =>
            {
                write_raw(value, &mut self.line);
            }
            // Digits, dates and times need no escapes.
            _ => {
                self.line.push('"');
                write_raw(value, &mut self.line);
                self.line.push('"');
            }
        }
    }

    fn push_row(&mut self, values: &[Value<'_>]) {
        let objects = self.options.rows == JsonRows::Objects;
        self.line.push(if objects { '{' } else { '[' });
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.line.push(',');
            }
            if objects && let Some(key) = self.keys.get(index) {
                self.line.push_str(key);
            }
            self.push_value(value);
        }
        self.line.push(if objects { '}' } else { ']' });
    }

    /// The columns that have totals, as an object.
    fn push_totals(&mut self, values: &[Value<'_>]) {
        self.line.push('{');
        let mut first = true;
        for (index, value) in values.iter().enumerate() {
            if value.is_null() {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.line.push(',');
            }
            if let Some(key) = self.keys.get(index) {
                self.line.push_str(key);
            }
            self.push_value(value);
        }
        self.line.push('}');
    }
}

/// Appends the text as JSON.
pub(crate) fn push_text(text: &str, to: &mut String) {
    use std::fmt::Write as _;
    to.push('"');
    let mut from = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        to.push_str(text.get(from..index).unwrap_or_default());
        if escape.is_empty() {
            let _ = write!(to, "\\u{byte:04x}");
        } else {
            to.push_str(escape);
        }
        from = index + 1;
    }
    to.push_str(text.get(from..).unwrap_or_default());
    to.push('"');
}

fn kind_word(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Bool => "boolean",
        ColumnKind::Int => "integer",
        ColumnKind::Float => "number",
        ColumnKind::Decimal { .. } => "decimal",
        ColumnKind::Date => "date",
        ColumnKind::Time => "time",
        ColumnKind::Timestamp { .. } => "timestamp",
        ColumnKind::Text | ColumnKind::Nothing => "text",
    }
}

fn total_word(total: Total) -> &'static str {
    match total {
        Total::Sum => "sum",
        Total::Average => "average",
        Total::Min => "min",
        Total::Max => "max",
        Total::Count => "count",
    }
}

impl<W: Sink> Writer for JsonWriter<W> {
    fn begin(&mut self, document: &Document) -> Result<(), Error> {
        self.line.push_str("{\"title\":");
        push_text(&document.title, &mut self.line);
        for (key, text) in [
            ("subtitle", &document.subtitle),
            ("author", &document.author),
        ] {
            if let Some(text) = text {
                self.line.push_str(&format!(",\"{key}\":"));
                push_text(text, &mut self.line);
            }
        }
        if let Some(date) = document.date {
            self.line.push_str(&format!(",\"date\":\"{date}\""));
        }
        self.line.push_str(&format!(
            ",\"locale\":\"{}\",\"sections\":[",
            document.locale.tag()
        ));
        self.flush_line()
    }

    fn text(&mut self, text: &Text) -> Result<(), Error> {
        self.section("text", text.title.as_deref());
        self.line.push_str(",\"text\":");
        push_text(&text.text, &mut self.line);
        self.line.push('}');
        self.flush_line()
    }

    fn key_figures(&mut self, figures: &KeyFigures) -> Result<(), Error> {
        self.section("key_figures", figures.title.as_deref());
        self.line.push_str(",\"figures\":[");
        for (index, figure) in figures.figures.iter().enumerate() {
            self.line.push_str(if index > 0 {
                ",{\"name\":"
            } else {
                "{\"name\":"
            });
            push_text(&figure.name, &mut self.line);
            self.line.push_str(",\"title\":");
            push_text(&figure.title, &mut self.line);
            self.line.push_str(",\"value\":");
            self.push_value(&figure.value);
            self.line.push('}');
        }
        self.line.push_str("]}");
        self.flush_line()
    }

    fn chart(&mut self, chart: &Chart) -> Result<(), Error> {
        self.section("chart", chart.title.as_deref());
        let kind = match chart.kind {
            ChartKind::Bar => "bar",
            ChartKind::StackedBar => "stacked_bar",
            ChartKind::Line => "line",
            ChartKind::Pie => "pie",
        };
        self.line.push_str(&format!(",\"chart\":\"{kind}\",\"x\":"));
        push_text(&chart.x, &mut self.line);
        self.line.push_str(",\"categories\":[");
        for (index, category) in chart.categories.iter().enumerate() {
            if index > 0 {
                self.line.push(',');
            }
            push_text(category, &mut self.line);
        }
        self.line.push_str("],\"series\":[");
        for (index, series) in chart.series.iter().enumerate() {
            self.line.push_str(if index > 0 {
                ",{\"title\":"
            } else {
                "{\"title\":"
            });
            push_text(&series.title, &mut self.line);
            self.line.push_str(",\"values\":[");
            for (index, value) in series.values.iter().enumerate() {
                if index > 0 {
                    self.line.push(',');
                }
                self.push_value(value);
            }
            self.line.push_str("]}");
        }
        self.line.push_str("]}");
        self.flush_line()
    }

    fn table_begin(&mut self, table: &Table) -> Result<(), Error> {
        self.section("table", table.title.as_deref());
        self.line.push_str(",\"columns\":[");
        self.keys.clear();
        for (index, column) in table.columns.iter().enumerate() {
            self.line.push_str(if index > 0 {
                ",{\"name\":"
            } else {
                "{\"name\":"
            });
            self.raw.clear();
            push_text(&column.name, &mut self.raw);
            self.line.push_str(&self.raw);
            self.raw.push(':');
            self.keys.push(self.raw.clone());
            self.line.push_str(",\"title\":");
            push_text(&column.title, &mut self.line);
            self.line
                .push_str(&format!(",\"type\":\"{}\"", kind_word(column.kind)));
            if let Some(total) = column.total {
                self.line
                    .push_str(&format!(",\"total\":\"{}\"", total_word(total)));
            }
            self.line.push('}');
        }
        self.group_by = table.group_by;
        self.in_group = false;
        self.groups = 0;
        self.rows = 0;
        self.rows_in_array = 0;
        self.totals = None;
        self.line.push_str(if self.group_by.is_some() {
            "],\"groups\":["
        } else {
            "],\"rows\":["
        });
        self.flush_line()
    }

    fn row(&mut self, kind: RowKind<'_>, values: &[Value<'_>]) -> Result<(), Error> {
        match kind {
            RowKind::Data => {
                self.rows += 1;
                if let Some(index) = self.group_by
                    && !self.in_group
                {
                    self.in_group = true;
                    self.line.push_str(if self.groups == 0 {
                        "\n{\"group\":"
                    } else {
                        ",\n{\"group\":"
                    });
                    self.groups += 1;
                    self.push_value(values.get(index).unwrap_or(&Value::Null));
                    self.line.push_str(",\"rows\":[");
                    self.rows_in_array = 0;
                }
                self.line
                    .push_str(if self.rows_in_array == 0 { "\n" } else { ",\n" });
                self.rows_in_array += 1;
                self.push_row(values);
            }
            RowKind::Subtotal { rows, .. } => {
                self.line.push_str("],\"subtotals\":");
                self.push_totals(values);
                self.line.push_str(&format!(",\"row_count\":{rows}}}"));
                self.in_group = false;
            }
            RowKind::Total { .. } => {
                let line = std::mem::take(&mut self.line);
                self.push_totals(values);
                self.totals = Some(std::mem::replace(&mut self.line, line));
            }
        }
        self.flush_line()
    }

    fn table_end(&mut self) -> Result<(), Error> {
        self.line.push(']');
        if let Some(totals) = self.totals.take() {
            self.line.push_str(",\"totals\":");
            self.line.push_str(&totals);
        }
        self.line
            .push_str(&format!(",\"row_count\":{}}}", self.rows));
        self.flush_line()
    }

    fn finish(&mut self, _check: &mut Check<'_>) -> Result<Vec<Warning>, Error> {
        self.line.push_str("]}\n");
        self.flush_line()?;
        self.sink.flush()?;
        Ok(Vec::new())
    }
}
