//! What a column may hold, how its type is found, and how its values are collected.

mod builder;
mod days;
mod guess;
mod text;
mod writing;
mod zone;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::error::{Result, unknown};

pub(crate) use self::{
    builder::{Builder, Mismatch, batch},
    days::DayFormat,
    guess::Guess,
    writing::Writing,
    zone::Zone,
};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Number,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Boolean,
    Date,
    /// What a clock on the wall showed.
    Timestamp,
    /// A point in time: a timestamp whose zone is known.
    Instant,
    /// Nothing but nulls, in a source that was read to its end.
    Nothing,
}

impl Kind {
    /// The type as requests write it: `text`, `decimal(12,2)`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        Some(match text.as_str() {
            "text" | "string" | "varchar" => Self::Text,
            "integer" | "int" | "bigint" => Self::Integer,
            "number" | "float" | "double" => Self::Number,
            "boolean" | "bool" => Self::Boolean,
            "date" => Self::Date,
            "timestamp" | "datetime" => Self::Timestamp,
            "timestamptz" | "timestamp with time zone" => Self::Instant,
            other => {
                let inside = other.strip_prefix("decimal")?.trim();
                let inside = inside.strip_prefix('(')?.strip_suffix(')')?;
                let (precision, scale) = inside.split_once(',').unwrap_or((inside, "0"));
                let precision: u8 = precision.trim().parse().ok()?;
                let scale: i8 = scale.trim().parse().ok()?;
                if !(1..=38).contains(&precision) || scale < 0 || scale.unsigned_abs() > precision {
                    return None;
                }
                Self::Decimal { precision, scale }
            }
        })
    }

    /// Points in time are shown in `zone`.
    fn data_type(self, zone: Zone) -> DataType {
        match self {
            Self::Text => DataType::Utf8View,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Instant => {
                DataType::Timestamp(TimeUnit::Microsecond, Some(zone.to_string().into()))
            }
            Self::Nothing => DataType::Null,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Integer => f.write_str("integer"),
            Self::Number => f.write_str("number"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Boolean => f.write_str("boolean"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Instant => f.write_str("timestamptz"),
            Self::Nothing => f.write_str("null"),
        }
    }
}

/// A column of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The request says so: then values are taken that are written in another way than they would be written back.
    pub(crate) is_given: bool,
    /// How its numbers are written, where they are texts.
    pub(crate) writing: Writing,
    /// How its days are written, where the request says so.
    pub(crate) format: Option<DayFormat>,
}

impl Column {
    /// Whose kind was found.
    pub(crate) fn found(name: String, kind: Kind) -> Self {
        Self::written(name, kind, Writing::default())
    }

    /// Whose kind was found, and how its numbers are written.
    pub(crate) fn written(name: String, kind: Kind, writing: Writing) -> Self {
        Self {
            name,
            kind,
            is_given: false,
            writing,
            format: None,
        }
    }
}

/// What a request says of a source's columns, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub(crate) kinds: Vec<(String, Kind)>,
    pub(crate) formats: Vec<(String, DayFormat)>,
}

pub(crate) fn schema(columns: &[Column], zone: Zone) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .map(|column| Field::new(&column.name, column.kind.data_type(zone), true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// The column of this name, which `option` speaks of.
fn named<'c>(
    source: &str,
    columns: &'c mut [Column],
    option: &str,
    name: &str,
) -> Result<&'c mut Column> {
    match columns.iter().position(|column| column.name == name) {
        Some(place) => Ok(&mut columns[place]),
        None => {
            let known = columns.iter().map(|column| column.name.as_str());
            let trouble = unknown("unknown_column", "column", name, known);
            Err(trouble.within(&format!("`{option}` of source `{source}`")))
        }
    }
}

/// Puts what a request says of columns in place of what was found.
pub(crate) fn apply(source: &str, columns: &mut [Column], given: &Given) -> Result<()> {
    for (name, format) in &given.formats {
        let column = named(source, columns, "date_formats", name)?;
        column.is_given = true;
        column.kind = format.kind();
        column.format = Some(format.clone());
    }
    override_kinds(source, columns, &given.kinds)
}

/// Puts the types of a request in place of those that were found.
pub(crate) fn override_kinds(
    source: &str,
    columns: &mut [Column],
    kinds: &[(String, Kind)],
) -> Result<()> {
    for (name, kind) in kinds {
        let column = named(source, columns, "types", name)?;
        column.is_given = true;
        // A timestamp has a zone if its values have.
        if (column.kind, *kind) != (Kind::Instant, Kind::Timestamp) {
            column.kind = *kind;
        }
    }
    Ok(())
}

/// Names that are there, and there once. Those that are there once already stay as they are.
pub(crate) fn unique_names(names: Vec<String>) -> Vec<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for name in &names {
        *counts.entry(name.clone()).or_default() += 1;
    }
    let mut seen = HashSet::new();
    names
        .into_iter()
        .enumerate()
        .map(|(index, name)| {
            let is_own = !name.is_empty();
            let name = match is_own {
                true => name,
                false => format!("column_{}", index + 1),
            };
            let mut unique = name.clone();
            let mut number = 2;
            let is_taken = |unique: &String| {
                let is_new = !is_own || *unique != name;
                seen.contains(unique) || (is_new && counts.contains_key(unique))
            };
            while is_taken(&unique) {
                unique = format!("{name}_{number}");
                number += 1;
            }
            seen.insert(unique.clone());
            unique
        })
        .collect()
}

/// Which names became which others, in words.
pub(crate) fn renamed(names: &[String], unique: &[String]) -> Option<String> {
    let changed: Vec<String> = names
        .iter()
        .zip(unique)
        .filter(|(name, unique)| name != unique && !name.is_empty())
        .map(|(name, unique)| format!("one more `{name}` is `{unique}`"))
        .collect();
    (!changed.is_empty()).then(|| changed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_written_and_read_alike() {
        for text in [
            "text",
            "integer",
            "number",
            "boolean",
            "date",
            "timestamp",
            "timestamptz",
            "decimal(12,2)",
        ] {
            assert_eq!(Kind::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "decimal",
            "decimal(39,2)",
            "decimal(2,3)",
            "decimal(2,-1)",
            "money",
        ] {
            assert_eq!(Kind::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_are_unique_and_change_as_little_as_possible() {
        let unique = |names: &[&str]| unique_names(names.iter().map(ToString::to_string).collect());
        assert_eq!(unique(&["a", "b"]), ["a", "b"]);
        assert_eq!(unique(&["v", "v", "v_2", "v"]), ["v", "v_3", "v_2", "v_4"]);
        assert_eq!(
            unique(&["", "", "column_2"]),
            ["column_1", "column_2_2", "column_2"]
        );
    }
}
