//! The values of columns, collected in batches.

use std::sync::Arc;

use datafusion::arrow::{
    array::{
        ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder,
        RecordBatch, RecordBatchOptions, StringViewBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, SchemaRef},
};
use report_document::calendar::{
    MICROS_PER_DAY, date_from_days, parse_day, parse_timestamp, timestamp_text,
};

use super::{
    Kind,
    text::{parse_boolean, parse_decimal, parse_integer, parse_number},
};
use crate::error::{Result, Trouble};

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
