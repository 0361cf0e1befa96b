//! JSON Lines, and rows in a request: an object a line, its keys being the columns.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use memchr::memchr;
use serde::{
    Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{json, value::RawValue};

use crate::{
    columns::{Builder, Column, Guess, Kind, Mismatch, Writing},
    error::{Result, Trouble, excerpt},
    source::{
        bytes::Bytes,
        chunks::{Chunk, Chunks},
        csv::SAMPLE_ROWS,
        dialect::Values,
        lines::Lines,
    },
    warning::SourceWarning,
    watch::Watch,
};

/// A file of JSON Lines, or rows of a request, whose columns are known.
#[derive(Debug)]
pub(crate) struct JsonLines {
    pub(crate) name: Arc<str>,
    pub(crate) bytes: Bytes,
    pub(crate) columns: Vec<Column>,
    /// What a line is called: `line` or `row`.
    unit: &'static str,
    values: Values,
    /// A later row had a key that none of the first ones has.
    has_more_keys: AtomicBool,
}

impl JsonLines {
    pub(crate) fn file(name: Arc<str>, bytes: Bytes, values: Values) -> Result<Self> {
        Self::open(name, bytes, values, "line", SAMPLE_ROWS)
    }

    /// Rows of a request, each of them an object.
    pub(crate) fn rows(name: Arc<str>, rows: &[Box<RawValue>], values: Values) -> Result<Self> {
        let len = rows.iter().map(|row| row.get().len() + 1).sum();
        let mut lines = Vec::with_capacity(len);
        for row in rows {
            // In valid JSON line breaks are nothing but white space.
            lines.extend(row.get().bytes().map(|byte| match byte {
                b'\n' | b'\r' => b' ',
                byte => byte,
            }));
            lines.push(b'\n');
        }
        let bytes = Bytes::Memory(lines.into());
        Self::open(name, bytes, values, "row", usize::MAX)
    }

    /// No rows, but columns.
    pub(crate) fn without_rows(name: Arc<str>, columns: &[String]) -> Result<Self> {
        let mut empty = Self::rows(name, &[], Values::default())?;
        let columns = columns.iter().cloned();
        empty.columns = columns
            .map(|name| Column::found(name, Kind::Nothing))
            .collect();
        Ok(empty)
    }

    fn open(
        name: Arc<str>,
        bytes: Bytes,
        values: Values,
        unit: &'static str,
        rows_max: usize,
    ) -> Result<Self> {
        let mut lines = Self {
            name,
            bytes,
            columns: Vec::new(),
            unit,
            values,
            has_more_keys: AtomicBool::new(false),
        };
        lines.columns = lines.find_columns(rows_max)?;
        Ok(lines)
    }

    pub(crate) fn chunks(&self, watch: Option<&Arc<Watch>>) -> Chunks {
        Chunks::new(Arc::clone(&self.name), &self.bytes, Lines::default(), watch)
    }

    pub(crate) fn warning(&self) -> Option<SourceWarning> {
        self.has_more_keys
            .load(Ordering::Relaxed)
            .then(|| SourceWarning {
                kind: "unknown_keys",
                message: format!(
                    "source `{}` has keys after its first {SAMPLE_ROWS} rows that these don't have; they were left out",
                    self.name
                ),
            })
    }

    fn find_columns(&self, rows_max: usize) -> Result<Vec<Column>> {
        let mut chunks = self.chunks(None);
        let mut chunk = Chunk::default();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut columns: Vec<(String, Guess)> = Vec::new();
        let mut rows = 0;
        let mut is_all = true;
        while is_all && chunks.next(&mut chunk)? {
            let mut at = 0;
            while let Some((line, begin)) = next_line(&chunk, &mut at) {
                if rows == rows_max {
                    is_all = false;
                    break;
                }
                self.object(line, &chunk, begin, |key, value| {
                    let place = match places.get(&*key) {
                        Some(place) => *place,
                        None => {
                            places.insert(key.clone().into_owned(), columns.len());
                            columns.push((key.into_owned(), Guess::default()));
                            columns.len() - 1
                        }
                    };
                    if !self.is_null(value) {
                        see(&mut columns[place].1, value);
                    }
                    Ok(())
                })?;
                rows += 1;
            }
        }
        if columns.is_empty() && rows > 0 {
            let message = format!("the rows of source `{}` have no columns", self.name);
            return Err(Trouble::new("empty_source", message));
        }
        let columns = columns.into_iter();
        Ok(columns
            .map(|(name, guess)| {
                Column::written(name, guess.kind(is_all), self.values.writing.clone())
            })
            .collect())
    }

    /// Whether a value, as it stands in JSON, stands for none.
    fn is_null(&self, value: &str) -> bool {
        let inside = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        match inside {
            // Escaped or not, it is the same text.
            Some(inside) if inside.contains('\\') && !self.values.nulls.is_empty() => {
                let text: Result<String, _> = serde_json::from_str(value);
                text.is_ok_and(|text| self.values.is_null(&text))
            }
            _ => self.values.is_null(inside.unwrap_or(value)),
        }
    }

    /// Hands over keys and values of an object.
    fn object<'c>(
        &self,
        line: &'c [u8],
        chunk: &Chunk,
        begin: usize,
        take: impl FnMut(Cow<'c, str>, &'c str) -> Result<()>,
    ) -> Result<()> {
        let mut reader = serde_json::Deserializer::from_slice(line);
        let mut trouble = None;
        let visitor = Pairs {
            take,
            trouble: &mut trouble,
        };
        let read = (&mut reader)
            .deserialize_map(visitor)
            .and_then(|()| reader.end());
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        read.map_err(|error| self.wrong(&error, line, chunk.line_at(begin)))
    }

    fn wrong(&self, error: &serde_json::Error, text: &[u8], line: u64) -> Trouble {
        let data = json!({"source": &*self.name, self.unit: line});
        if std::str::from_utf8(text).is_err() {
            let message = format!("source `{}`, {} {line}: not UTF-8", self.name, self.unit);
            return Trouble::new("wrong_encoding", message).data(data);
        }
        if text.trim_ascii_start().starts_with(b"[") {
            let message = format!(
                "source `{}`, {} {line}: this is a JSON array, not an object in each {}",
                self.name, self.unit, self.unit
            );
            return Trouble::new("invalid_json", message).data(data);
        }
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default();
        let message = format!(
            "source `{}`, {} {line}, character {}: {reason}; each {} has to be an object",
            self.name,
            self.unit,
            error.column(),
            self.unit
        );
        Trouble::new("invalid_json", message).data(data)
    }

    fn mismatch(&self, column: &Column, value: &str, line: u64) -> Trouble {
        let shown = excerpt(value, 100);
        let message = format!(
            "source `{}`, {} {line}, column `{}`: {shown} is not of the type {}; give the column another type in `types`, such as text",
            self.name, self.unit, column.name, column.kind
        );
        Trouble::new("type_mismatch", message).data(json!({
            "source": &*self.name, self.unit: line, "column": column.name,
            "value": shown, "type": column.kind.to_string(),
        }))
    }

    pub(crate) fn decoder(self: &Arc<Self>, projection: &[usize]) -> Decoder {
        let names = self.columns.iter().map(|column| column.name.clone());
        Decoder {
            lines: Arc::clone(self),
            places: names.zip(0..).collect(),
            columns: projection.to_vec(),
            targets: {
                let mut targets = vec![None; self.columns.len()];
                for (target, column) in projection.iter().enumerate() {
                    targets[*column] = Some(target);
                }
                targets
            },
            is_filled: vec![false; projection.len()],
        }
    }
}

/// What a value looks like. Texts are texts, unless they are dates.
fn see(guess: &mut Guess, value: &str) {
    match value.as_bytes().first() {
        Some(b'n') | None => {}
        Some(b't' | b'f') => guess.see(Kind::Boolean),
        Some(b'"') => {
            let inside = value.get(1..value.len() - 1).unwrap_or_default();
            let mut text = Guess::default();
            text.see_text(inside, &Writing::default());
            match text.kind(false) {
                kind @ (Kind::Date | Kind::Timestamp | Kind::Instant) => guess.see(kind),
                _ => guess.see(Kind::Text),
            }
        }
        Some(b'{' | b'[') => guess.see(Kind::Text),
        Some(_) => guess.see_json(value),
    }
}

/// The next line that isn't empty, and where it begins.
fn next_line<'c>(chunk: &'c Chunk, at: &mut usize) -> Option<(&'c [u8], usize)> {
    loop {
        let begin = *at;
        let rest = chunk.bytes.get(begin..).filter(|rest| !rest.is_empty())?;
        let len = memchr(b'\n', rest).unwrap_or(rest.len());
        *at = begin + len + 1;
        let line = rest[..len].trim_ascii();
        if !line.is_empty() {
            return Some((line, begin));
        }
    }
}

struct Pairs<'t, F> {
    take: F,
    trouble: &'t mut Option<Trouble>,
}

impl<'de, F: FnMut(Cow<'de, str>, &'de str) -> Result<()>> Visitor<'de> for Pairs<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let value: &RawValue = map.next_value()?;
            if let Err(trouble) = (self.take)(key.0, value.get()) {
                *self.trouble = Some(trouble);
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// A key, borrowed where nothing in it is escaped.
#[derive(serde::Deserialize)]
pub(crate) struct Key<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Puts rows into builders.
#[derive(Debug)]
pub(crate) struct Decoder {
    lines: Arc<JsonLines>,
    places: HashMap<String, usize>,
    columns: Vec<usize>,
    /// The builder that each column goes to.
    targets: Vec<Option<usize>>,
    is_filled: Vec<bool>,
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
        let Self {
            lines,
            places,
            columns,
            targets,
            is_filled,
        } = self;
        let mut rows = 0;
        while rows < rows_max {
            let Some((line, begin)) = next_line(chunk, at) else {
                break;
            };
            is_filled.fill(false);
            let mut expected = 0;
            lines.object(line, chunk, begin, |key, value| {
                // Most rows have their keys in the same order.
                let place = match lines.columns.get(expected) {
                    Some(column) if *column.name == *key => expected,
                    _ => match places.get(&*key) {
                        Some(place) => *place,
                        None => {
                            lines.has_more_keys.store(true, Ordering::Relaxed);
                            return Ok(());
                        }
                    },
                };
                expected = place + 1;
                let Some(target) = targets[place].filter(|target| !is_filled[*target]) else {
                    return Ok(());
                };
                is_filled[target] = true;
                if lines.is_null(value) {
                    builders[target].push_null();
                    return Ok(());
                }
                push(&mut builders[target], value).map_err(|Mismatch| {
                    lines.mismatch(&lines.columns[columns[target]], value, chunk.line_at(begin))
                })
            })?;
            for (builder, is_filled) in builders.iter_mut().zip(&*is_filled) {
                if !is_filled {
                    builder.push_null();
                }
            }
            rows += 1;
        }
        Ok(rows)
    }
}

/// A value as it stands in JSON. Lists and objects are texts.
fn push(builder: &mut Builder, value: &str) -> Result<(), Mismatch> {
    match value.as_bytes().first() {
        None | Some(b'n') => {
            builder.push_null();
            Ok(())
        }
        Some(b't') => builder.push_boolean(true),
        Some(b'f') => builder.push_boolean(false),
        Some(b'"') => {
            let inside = value.get(1..value.len() - 1).ok_or(Mismatch)?;
            if !inside.contains('\\') {
                return builder.push_quoted(inside);
            }
            let text: String = serde_json::from_str(value).map_err(|_| Mismatch)?;
            builder.push_quoted(&text)
        }
        Some(_) => builder.push_json(value),
    }
}
