//! What a column may hold, how its type is found, and how its values are collected.

use std::{collections::HashSet, fmt, sync::Arc};

use datafusion::arrow::{
    array::{
        ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder,
        RecordBatch, RecordBatchOptions, StringViewBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use report_document::calendar::{
    MICROS_PER_DAY, date_from_days, parse_day, parse_timestamp, timestamp_text,
};

use crate::error::{Result, Trouble, unknown};

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

/// The narrowest kind that all values seen so far have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guess(Option<Kind>);

impl Guess {
    pub(crate) fn see(&mut self, kind: Kind) {
        self.0 = Some(match (self.0, kind) {
            (None, kind) => kind,
            (Some(a), b) if a == b => a,
            (Some(Kind::Integer), Kind::Number) | (Some(Kind::Number), Kind::Integer) => {
                Kind::Number
            }
            (Some(Kind::Date), Kind::Timestamp) | (Some(Kind::Timestamp), Kind::Date) => {
                Kind::Timestamp
            }
            _ => Kind::Text,
        });
    }

    pub(crate) fn see_text(&mut self, text: &str, decimal_comma: bool) {
        if self.0 != Some(Kind::Text) {
            self.see(guess(text, decimal_comma));
        }
    }

    /// Text, where nothing was seen.
    pub(crate) fn kind(self) -> Kind {
        self.0.unwrap_or(Kind::Text)
    }
}

/// What a text looks like. Leading zeros make text: postal codes, telephone numbers and article numbers have them,
/// numbers don't.
fn guess(text: &str, decimal_comma: bool) -> Kind {
    let bytes = text.as_bytes();
    let Some(first) = bytes.first() else {
        return Kind::Text;
    };
    if matches!(first, b'0'..=b'9' | b'-' | b'+' | b'.' | b',') {
        let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
        if digits.first() == Some(&b'0') && digits.get(1).is_some_and(u8::is_ascii_digit) {
            return Kind::Text;
        }
        if *first != b'+' && parse_integer(text).is_some() {
            return Kind::Integer;
        }
        // More digits than an integer or a number can hold: an identifier.
        if digits.iter().all(u8::is_ascii_digit) {
            return Kind::Text;
        }
        if *first != b'+' && parse_number(text, decimal_comma).is_some() {
            return Kind::Number;
        }
        if parse_day(text).is_some() {
            return Kind::Date;
        }
        if parse_timestamp(text).is_some() {
            return Kind::Timestamp;
        }
        return Kind::Text;
    }
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return Kind::Boolean;
    }
    Kind::Text
}

fn parse_integer(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.first()? {
        b'-' => (true, &bytes[1..]),
        b'+' => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 18 {
        // The long way, which knows where the end of the range is.
        return text.parse().ok();
    }
    let mut value = 0i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

fn parse_number(text: &str, decimal_comma: bool) -> Option<f64> {
    let is_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let value: f64 = if decimal_comma {
        point_for_comma(text)?.parse().ok()?
    } else if text.bytes().all(|byte| is_number(&byte)) {
        text.parse().ok()?
    } else {
        return None;
    };
    value.is_finite().then_some(value)
}

/// `1.234,5` as `1234.5`. Points have to be where thousands are.
fn point_for_comma(text: &str) -> Option<String> {
    let (whole, fraction) = match text.split_once(',') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let mut groups = whole.split('.');
    let mut result = groups.next()?.to_owned();
    for group in groups {
        if group.len() != 3 || result.trim_start_matches(['-', '+']).is_empty() {
            return None;
        }
        result.push_str(group);
    }
    if let Some(fraction) = fraction {
        if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        result.push('.');
        result.push_str(fraction);
    }
    let digits = result.trim_start_matches(['-', '+']);
    let is_plain = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    (is_plain && !digits.is_empty()).then_some(result)
}

fn parse_boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&["true", "t", "yes", "y", "1"]) {
        Some(true)
    } else if is(&["false", "f", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// The value times ten to the power of `scale`. More digits after the point than that are refused, unless they are
/// zeros: nothing is rounded behind anybody's back.
pub(crate) fn parse_decimal(
    text: &str,
    precision: u8,
    scale: i8,
    decimal_comma: bool,
) -> Option<i128> {
    let converted;
    let text = if decimal_comma {
        converted = point_for_comma(text)?;
        converted.as_str()
    } else {
        text
    };
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let scale = usize::from(scale.unsigned_abs());
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > scale {
        return None;
    }
    let mut value = 0i128;
    let zeros = std::iter::repeat_n(b'0', scale - fraction.len());
    for byte in whole.bytes().chain(fraction.bytes()).chain(zeros) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    (value < 10i128.pow(u32::from(precision))).then_some(if negative { -value } else { value })
}

/// The values of a column, as they come.
#[derive(Debug)]
pub(crate) enum Builder {
    Text(StringViewBuilder),
    Integer(Int64Builder),
    Number(Float64Builder),
    Decimal {
        builder: Decimal128Builder,
        precision: u8,
        scale: i8,
    },
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

/// A value that is not of its column's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch;

impl Builder {
    pub(crate) fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Text => Self::Text(StringViewBuilder::with_capacity(rows)),
            Kind::Integer => Self::Integer(Int64Builder::with_capacity(rows)),
            Kind::Number => Self::Number(Float64Builder::with_capacity(rows)),
            Kind::Decimal { precision, scale } => Self::Decimal {
                builder: Decimal128Builder::with_capacity(rows)
                    .with_data_type(DataType::Decimal128(precision, scale)),
                precision,
                scale,
            },
            Kind::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            Kind::Date => Self::Date(Date32Builder::with_capacity(rows)),
            Kind::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows)),
        }
    }

    pub(crate) fn push_null(&mut self) {
        match self {
            Self::Text(builder) => builder.append_null(),
            Self::Integer(builder) => builder.append_null(),
            Self::Number(builder) => builder.append_null(),
            Self::Decimal { builder, .. } => builder.append_null(),
            Self::Boolean(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
        }
    }

    /// A value as text. Spaces around anything but text are left out.
    pub(crate) fn push_text(&mut self, text: &str, decimal_comma: bool) -> Result<(), Mismatch> {
        let trimmed = if matches!(self, Self::Text(_)) {
            text
        } else {
            text.trim_ascii()
        };
        let ok = match self {
            Self::Text(builder) => {
                // The only way to refuse is a value of 4 GB.
                builder.try_append_value(trimmed).ok()
            }
            Self::Integer(builder) => {
                parse_integer(trimmed).map(|value| builder.append_value(value))
            }
            Self::Number(builder) => {
                parse_number(trimmed, decimal_comma).map(|value| builder.append_value(value))
            }
            Self::Decimal {
                builder,
                precision,
                scale,
            } => parse_decimal(trimmed, *precision, *scale, decimal_comma)
                .map(|value| builder.append_value(value)),
            Self::Boolean(builder) => {
                parse_boolean(trimmed).map(|value| builder.append_value(value))
            }
            Self::Date(builder) => parse_day(trimmed).map(|value| builder.append_value(value)),
            Self::Timestamp(builder) => {
                parse_timestamp(trimmed).map(|value| builder.append_value(value))
            }
        };
        ok.ok_or(Mismatch)
    }

    pub(crate) fn push_integer(&mut self, value: i64) -> Result<(), Mismatch> {
        match self {
            Self::Integer(builder) => builder.append_value(value),
            Self::Number(builder) => {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a column of floats is what was asked for"
                )]
                builder.append_value(value as f64);
            }
            _ => return self.push_text(&value.to_string(), false),
        }
        Ok(())
    }

    pub(crate) fn push_number(&mut self, value: f64) -> Result<(), Mismatch> {
        match self {
            // Databases hold NaN and infinity, which no output can show as a number.
            Self::Number(builder) if value.is_finite() => builder.append_value(value),
            Self::Number(builder) => builder.append_null(),
            _ => return self.push_text(&value.to_string(), false),
        }
        Ok(())
    }

    pub(crate) fn push_boolean(&mut self, value: bool) -> Result<(), Mismatch> {
        match self {
            Self::Boolean(builder) => builder.append_value(value),
            Self::Integer(builder) => builder.append_value(i64::from(value)),
            Self::Text(_) => return self.push_text(if value { "true" } else { "false" }, false),
            _ => return Err(Mismatch),
        }
        Ok(())
    }

    pub(crate) fn push_date(&mut self, days: i32) -> Result<(), Mismatch> {
        match self {
            Self::Date(builder) => builder.append_value(days),
            Self::Timestamp(builder) => builder.append_value(i64::from(days) * MICROS_PER_DAY),
            _ => return self.push_text(&date_from_days(days).to_string(), false),
        }
        Ok(())
    }

    pub(crate) fn push_timestamp(&mut self, micros: i64) -> Result<(), Mismatch> {
        match self {
            Self::Timestamp(builder) => builder.append_value(micros),
            _ => return self.push_text(&timestamp_text(micros), false),
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Number(builder) => Arc::new(builder.finish()),
            Self::Decimal { builder, .. } => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
        }
    }
}

/// A batch of what was collected.
pub(crate) fn batch(
    schema: &SchemaRef,
    builders: &mut [Builder],
    rows: usize,
) -> Result<RecordBatch> {
    let arrays = builders.iter_mut().map(Builder::finish).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)
        .map_err(Trouble::internal)
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

    #[test]
    fn texts_are_taken_for_what_they_look_like() {
        let kind = |texts: &[&str]| {
            let mut seen = Guess::default();
            texts.iter().for_each(|text| seen.see_text(text, false));
            seen.kind()
        };
        assert_eq!(kind(&[]), Kind::Text);
        assert_eq!(kind(&["1", "-7", "0"]), Kind::Integer);
        assert_eq!(kind(&["1", "0.5", "1e3"]), Kind::Number);
        assert_eq!(kind(&["01234", "99999"]), Kind::Text);
        assert_eq!(kind(&["9223372036854775807"]), Kind::Integer);
        assert_eq!(kind(&["9223372036854775808"]), Kind::Text);
        assert_eq!(kind(&["+49 30 1"]), Kind::Text);
        assert_eq!(kind(&["+491234"]), Kind::Text);
        assert_eq!(kind(&["true", "FALSE"]), Kind::Boolean);
        assert_eq!(kind(&["2024-02-29", "2023-12-31"]), Kind::Date);
        assert_eq!(kind(&["2024-02-29", "2023-12-31 10:00"]), Kind::Timestamp);
        assert_eq!(kind(&["2023-02-29"]), Kind::Text);
        assert_eq!(kind(&["nan", "inf", "infinity"]), Kind::Text);
        assert_eq!(kind(&["1", "x"]), Kind::Text);
        assert_eq!(kind(&["1.234,50"]), Kind::Text);
    }

    #[test]
    fn decimal_commas() {
        assert_eq!(parse_number("1.234,5", true), Some(1234.5));
        assert_eq!(parse_number("-1.234.567", true), Some(-1_234_567.0));
        assert_eq!(parse_number("0,5", true), Some(0.5));
        for wrong in ["1.2345", "1,2,3", ".123", "1.23", "a", "", "-", "1,5e3"] {
            assert_eq!(parse_number(wrong, true), None, "{wrong}");
        }
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(parse_decimal("12.5", 5, 2, false), Some(1250));
        assert_eq!(parse_decimal("-0.01", 5, 2, false), Some(-1));
        assert_eq!(parse_decimal("1.500", 5, 1, false), Some(15));
        assert_eq!(parse_decimal("999.99", 5, 2, false), Some(99_999));
        assert_eq!(parse_decimal("1.234,56", 12, 2, true), Some(123_456));
        for wrong in ["1000", "0.001", "", ".", "-", "1e2", "1.2.3", "٣"] {
            assert_eq!(parse_decimal(wrong, 5, 2, false), None, "{wrong}");
        }
    }
}
