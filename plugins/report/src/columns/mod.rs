//! What a column may hold, how its type is found, and how its values are collected.

mod builder;
mod text;

use std::{collections::HashSet, fmt, sync::Arc};

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::error::{Result, unknown};

pub(crate) use self::{
    builder::{Builder, Mismatch, batch},
    text::Guess,
};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Number,
    Decimal { precision: u8, scale: i8 },
    Boolean,
    Date,
    Timestamp,
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

    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8View,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
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
        }
    }
}

/// A column of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

pub(crate) fn schema(columns: &[Column]) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .map(|column| Field::new(&column.name, column.kind.data_type(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// Puts the types of a request in place of those that were found.
pub(crate) fn override_kinds(
    source: &str,
    columns: &mut [Column],
    kinds: &[(String, Kind)],
) -> Result<()> {
    for (name, kind) in kinds {
        let Some(column) = columns.iter_mut().find(|column| column.name == *name) else {
            let known: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
            let known = known.iter().map(String::as_str);
            let trouble = unknown("unknown_column", "column", name, known);
            return Err(trouble.within(&format!("`types` of source `{source}`")));
        };
        column.kind = *kind;
    }
    Ok(())
}

/// Names that are there, and there once.
pub(crate) fn unique_names(names: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names
        .into_iter()
        .enumerate()
        .map(|(index, name)| {
            let name = if name.is_empty() {
                format!("column_{}", index + 1)
            } else {
                name
            };
            let mut unique = name.clone();
            let mut number = 2;
            while !seen.insert(unique.clone()) {
                unique = format!("{name}_{number}");
                number += 1;
            }
            unique
        })
        .collect()
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
}
