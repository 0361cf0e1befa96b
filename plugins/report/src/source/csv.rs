//! CSV: what its columns are, and its rows. A quote counts where a field begins, and is doubled within quotes (RFC 4180).

use std::sync::Arc;

use serde_json::json;

use crate::{
    columns::{self, Builder, Column, Guess, Kind},
    error::{Result, Trouble, excerpt, invalid_report},
    source::{
        bytes::Bytes,
        chunks::{Chunk, Chunks},
        delimiter,
        dialect::Dialect,
        fields::{Field, Fields},
        lines::Lines,
    },
    warning::SourceWarning,
};

/// The types of columns are found in so many rows.
pub(crate) const SAMPLE_ROWS: usize = 10_000;

/// A CSV file whose columns are known.
#[derive(Debug)]
pub(crate) struct Csv {
    pub(crate) name: Arc<str>,
    pub(crate) bytes: Bytes,
    pub(crate) columns: Vec<Column>,
    delimiter: u8,
    dialect: Dialect,
    /// The header has names twice, or none.
    warning: Option<SourceWarning>,
}

impl Csv {
    /// Looks at the first rows. `names` are those of the columns, in place of the header's.
    pub(crate) fn open(
        name: Arc<str>,
        bytes: Bytes,
        dialect: Dialect,
        names: Option<Vec<String>>,
    ) -> Result<Self> {
        // The delimiter is known only after the first line, which needs it only where quotes are.
        let delimiter = match dialect.delimiter {
            Some(delimiter) => delimiter,
            None => delimiter::find(&name, &bytes, &dialect)?,
        };
        let mut csv = Self {
            name,
            bytes,
            columns: Vec::new(),
            delimiter,
            dialect,
            warning: None,
        };
        (csv.columns, csv.warning) = csv.find_columns(names)?;
        Ok(csv)
    }

    fn lines(&self) -> Lines {
        self.dialect.lines(self.delimiter)
    }

    pub(crate) fn chunks(&self, watch: Option<&Arc<crate::watch::Watch>>) -> Chunks {
        Chunks::new(Arc::clone(&self.name), &self.bytes, self.lines(), watch)
    }

    pub(crate) fn warning(&self) -> Option<SourceWarning> {
        self.warning.clone()
    }

    fn fields(&self) -> Fields {
        Fields::new(Arc::clone(&self.name), self.delimiter, self.dialect.quote)
    }

    fn find_columns(
        &self,
        names: Option<Vec<String>>,
    ) -> Result<(Vec<Column>, Option<SourceWarning>)> {
        let mut chunks = self.chunks(None);
        let mut chunk = Chunk::default();
        let mut fields = self.fields();
        let mut header: Option<Vec<String>> = None;
        let mut guesses: Vec<Guess> = Vec::new();
        let values = &self.dialect.values;
        let mut rows = 0;
        let mut is_all = true;
        while is_all && chunks.next(&mut chunk)? {
            let mut at = 0;
            while fields.begin_row(&chunk, &mut at) {
                if rows == SAMPLE_ROWS {
                    is_all = false;
                    break;
                }
                let is_header = self.dialect.has_header && header.is_none();
                let mut row = Vec::new();
                let mut number = 0;
                fields.row(&chunk, &mut at, |field| {
                    let text = field.text(self, &chunk)?;
                    if is_header {
                        row.push(text.trim().to_owned());
                    } else if header.is_none() || number < guesses.len() {
                        if guesses.len() <= number {
                            guesses.resize(number + 1, Guess::default());
                        }
                        if values.is_null(text) {
                            // No value says nothing of what the others are.
                        } else if !text.is_empty() {
                            guesses[number].see_text(text, &values.writing);
                        } else if field.is_quoted {
                            guesses[number].see_empty();
                        }
                    }
                    number += 1;
                    Ok(())
                })?;
                if is_header {
                    guesses.resize(row.len(), Guess::default());
                    header = Some(row);
                } else {
                    // Without a header the first row says how many columns there are.
                    header.get_or_insert_with(|| vec![String::new(); guesses.len()]);
                    rows += 1;
                }
            }
        }
        let Some(found) = header else {
            let message = format!("source `{}` is empty", self.name);
            return Err(Trouble::new("empty_source", message));
        };
        if rows == 0 {
            self.check_lonely_header(&found)?;
        }
        let names = match names {
            None => found,
            Some(names) if names.len() == found.len() => names,
            Some(names) => {
                return Err(invalid_report(format!(
                    "source `{}` has {} columns, but `columns` names {}",
                    self.name,
                    found.len(),
                    names.len()
                )));
            }
        };
        let unique = columns::unique_names(names.clone());
        let warning = SourceWarning::renamed(&self.name, &names, &unique);
        let columns = unique.into_iter().zip(guesses);
        let columns = columns.map(|(name, guess)| {
            let kind = guess.kind(is_all);
            let writing = guess.writing().unwrap_or_else(|| values.writing.clone());
            Column::written(name, kind, writing)
        });
        Ok((columns.collect(), warning))
    }

    /// A header without rows is a table without rows, unless all that the file has was taken for its header.
    fn check_lonely_header(&self, names: &[String]) -> Result<()> {
        let is_line_end = |char| matches!(char, '\n' | '\r');
        let is_odd = |char: char| {
            // What ends lines elsewhere: vertical tab, form feed, NEL, line and paragraph separator.
            (char.is_control() && !is_line_end(char) && char != '\t')
                || matches!(char, '\u{2028}' | '\u{2029}')
        };
        let first = names.first().map_or("", String::as_str);
        let what = if ["{", "[{", "<?", "<!", "<html"]
            .iter()
            .any(|begin| first.starts_with(begin))
        {
            "looks like JSON or XML, not like CSV"
        } else if names.iter().any(|name| name.contains(is_odd)) {
            "has control characters; lines end with a line feed, a carriage return, or both, so that all of it is one line"
        } else if names.len() == 1 && first.contains(is_line_end) {
            "is one value in quotes, with all of its lines; set `quote` to \"\" if they are meant"
        } else {
            return Ok(());
        };
        let message = format!("source `{}` has no rows, and its header {what}", self.name);
        Err(Trouble::new("invalid_csv", message).data(json!({"source": &*self.name, "line": 1})))
    }

    /// Reads the columns at these places.
    pub(crate) fn decoder(self: &Arc<Self>, projection: &[usize]) -> Decoder {
        let mut targets = vec![None; self.columns.len()];
        for (target, column) in projection.iter().enumerate() {
            targets[*column] = Some(target);
        }
        Decoder {
            csv: Arc::clone(self),
            fields: self.fields(),
            targets,
        }
    }

    fn mismatch(&self, column: &Column, text: &str, line: u64) -> Trouble {
        let shown = excerpt(text, 100);
        let hint = match column.kind {
            Kind::Integer | Kind::Number | Kind::Decimal { .. }
                if column.writing.is_plain() && text.contains(',') =>
            {
                "set `decimal_comma` if its numbers are written like 1.234,5, `thousands` if they are written like 1,234.5, or give the column the type text"
            }
            Kind::Integer | Kind::Number if !column.is_given && !column.writing.is_plain() => {
                "what the first rows have are numbers in one writing; say in `thousands` and `currency` how they are written, or give the column the type text"
            }
            _ if column.format.is_some() => {
                "the column has another pattern in `date_formats`; take it out there if it is text"
            }
            Kind::Text => "the value is too long",
            Kind::Timestamp => {
                "it has a time zone, if it is a time: give the column the type timestamptz, or text"
            }
            _ if !column.is_given => {
                "what the first rows have is of this type, and it would be another text when it is written again; give the column a type in `types`, such as text"
            }
            _ => "give the column another type in `types`, such as text",
        };
        let message = format!(
            "source `{}`, line {line}, column `{}`: {shown:?} is not of the type {}; {hint}",
            self.name, column.name, column.kind
        );
        Trouble::new("type_mismatch", message).data(json!({
            "source": &*self.name, "line": line, "column": column.name,
            "value": shown, "type": column.kind.to_string(),
        }))
    }
}

impl Field<'_> {
    fn text(&self, csv: &Csv, chunk: &Chunk) -> Result<&str> {
        if let Ok(text) = std::str::from_utf8(&self.bytes) {
            return Ok(text);
        }
        let line = chunk.line_at(self.at);
        let shown = excerpt(&String::from_utf8_lossy(&self.bytes), 100);
        let message = format!(
            "source `{}`, line {line}: {shown:?} is not UTF-8; save the file as UTF-8, or say in `encoding` what it is, such as \"windows-1252\" or \"shift_jis\"",
            csv.name
        );
        Err(Trouble::new("wrong_encoding", message)
            .data(json!({"source": &*csv.name, "line": line})))
    }
}

/// Puts rows into builders.
#[derive(Debug)]
pub(crate) struct Decoder {
    csv: Arc<Csv>,
    fields: Fields,
    /// The builder that each column goes to.
    targets: Vec<Option<usize>>,
}

impl Decoder {
    /// Reads at most so many rows from `at` on, and returns how many there were; none at the chunk's end.
    pub(crate) fn decode(
        &mut self,
        chunk: &Chunk,
        at: &mut usize,
        builders: &mut [Builder],
        rows_max: usize,
    ) -> Result<usize> {
        let csv = &*self.csv;
        let targets = self.targets.as_slice();
        if chunk.is_first && *at == 0 && csv.dialect.has_header && self.fields.begin_row(chunk, at)
        {
            self.fields.row(chunk, at, |_| Ok(()))?;
        }
        let mut rows = 0;
        while rows < rows_max && self.fields.begin_row(chunk, at) {
            let begin = *at;
            let mut number = 0;
            self.fields.row(chunk, at, |field| {
                if let Some(Some(target)) = targets.get(number) {
                    let builder = &mut builders[*target];
                    if field.bytes.is_empty() && !(field.is_quoted && builder.takes_empty()) {
                        builder.push_null();
                    } else {
                        let text = field.text(csv, chunk)?;
                        if csv.dialect.values.is_null(text) {
                            builder.push_null();
                        } else if builder.push_text(text).is_err() {
                            let line = chunk.line_at(field.at);
                            return Err(csv.mismatch(&csv.columns[number], text, line));
                        }
                    }
                }
                number += 1;
                Ok(())
            })?;
            if number != targets.len() {
                let hint = match csv.dialect.delimiter {
                    Some(_) => "",
                    None => "; say in `delimiter` what separates them if they were not found",
                };
                let columns = targets.len();
                let what = format!("{number} fields, but there are {columns} columns{hint}");
                return Err(self.fields.wrong(chunk, begin, &what));
            }
            rows += 1;
        }
        Ok(rows)
    }
}
