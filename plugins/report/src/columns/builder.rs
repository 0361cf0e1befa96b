//! The values of columns, collected in batches.

use std::sync::Arc;

use datafusion::arrow::{
    array::{
        ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder,
        NullBuilder, RecordBatch, RecordBatchOptions, StringViewBuilder,
        TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, SchemaRef},
};
use report_document::calendar::{
    MICROS_PER_DAY, Moment, date_from_days, parse_day, parse_timestamp, timestamp_text,
};

use super::{
    Column, Kind, Zone,
    days::DayFormat,
    guess,
    text::{parse_boolean, parse_decimal, parse_integer, parse_number},
    writing::Writing,
};
use crate::error::{Result, Trouble};

/// The values of a column, as they come.
#[derive(Debug)]
pub(crate) struct Builder {
    values: Values,
    /// Whose clock points in time are read from and shown by.
    zone: Zone,
    /// Nobody said what the column holds: what would be another text when it is written again is no value of it.
    is_exact: bool,
    writing: Writing,
    is_plain: bool,
    format: Option<DayFormat>,
}

#[derive(Debug)]
enum Values {
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
    Instant(TimestampMicrosecondBuilder),
    Nothing(NullBuilder),
}

/// A value that is not of its column's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch;

impl Builder {
    pub(crate) fn new(column: &Column, zone: Zone, rows: usize) -> Self {
        let values = match column.kind {
            Kind::Text => Values::Text(StringViewBuilder::with_capacity(rows)),
            Kind::Integer => Values::Integer(Int64Builder::with_capacity(rows)),
            Kind::Number => Values::Number(Float64Builder::with_capacity(rows)),
            Kind::Decimal { precision, scale } => Values::Decimal {
                builder: Decimal128Builder::with_capacity(rows)
                    .with_data_type(DataType::Decimal128(precision, scale)),
                precision,
                scale,
            },
            Kind::Boolean => Values::Boolean(BooleanBuilder::with_capacity(rows)),
            Kind::Date => Values::Date(Date32Builder::with_capacity(rows)),
            Kind::Timestamp => Values::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows)),
            Kind::Instant => Values::Instant(
                TimestampMicrosecondBuilder::with_capacity(rows)
                    .with_timezone(zone.to_string().as_str()),
            ),
            Kind::Nothing => Values::Nothing(NullBuilder::new()),
        };
        Self {
            values,
            zone,
            is_exact: !column.is_given,
            writing: column.writing.clone(),
            is_plain: column.writing.is_plain(),
            format: column.format.clone(),
        }
    }

    /// Whether a text without a character is a value.
    pub(crate) fn takes_empty(&self) -> bool {
        matches!(self.values, Values::Text(_))
    }

    pub(crate) fn push_null(&mut self) {
        match &mut self.values {
            Values::Text(builder) => builder.append_null(),
            Values::Integer(builder) => builder.append_null(),
            Values::Number(builder) => builder.append_null(),
            Values::Decimal { builder, .. } => builder.append_null(),
            Values::Boolean(builder) => builder.append_null(),
            Values::Date(builder) => builder.append_null(),
            Values::Timestamp(builder) | Values::Instant(builder) => builder.append_null(),
            Values::Nothing(builder) => builder.append_null(),
        }
    }

    /// A value as text, written as the column's are. Spaces around anything but text are left out.
    pub(crate) fn push_text(&mut self, text: &str) -> Result<(), Mismatch> {
        let trimmed = text.trim_ascii();
        if matches!(
            self.values,
            Values::Integer(_) | Values::Number(_) | Values::Decimal { .. }
        ) {
            return match self.is_plain {
                true => self.push_plain(trimmed, false),
                false => {
                    let plain = guess::plain(trimmed, &self.writing).ok_or(Mismatch)?;
                    self.push_plain(&plain, false)
                }
            };
        }
        let is_exact = self.is_exact;
        let zone = self.zone;
        let format = self.format.as_ref();
        let moment = || match format {
            Some(format) => format.read(trimmed),
            None => parse_timestamp(trimmed),
        };
        let pushed = match &mut self.values {
            Values::Text(builder) => {
                // The only way to refuse is a value of 4 GB.
                builder.try_append_value(text).ok()
            }
            Values::Boolean(builder) => match is_exact {
                true => guess::boolean(trimmed),
                false => parse_boolean(trimmed),
            }
            .map(|value| builder.append_value(value)),
            Values::Date(builder) => match format {
                Some(format) => format.day(trimmed),
                None => parse_day(trimmed),
            }
            .map(|value| builder.append_value(value)),
            // A zone would be lost.
            Values::Timestamp(builder) => moment()
                .filter(|moment| moment.offset.is_none())
                .map(|moment| builder.append_value(moment.micros)),
            Values::Instant(builder) => {
                let instant = |moment: Moment| match moment.offset {
                    Some(_) => moment.utc(),
                    None => zone.instant(moment.micros),
                };
                moment().map(|moment| builder.append_value(instant(moment)))
            }
            _ => None,
        };
        pushed.ok_or(Mismatch)
    }

    /// A number as it stands in JSON.
    pub(crate) fn push_json(&mut self, text: &str) -> Result<(), Mismatch> {
        match self.values {
            Values::Integer(_) | Values::Number(_) | Values::Decimal { .. } => {
                self.push_plain(text, true)
            }
            _ => self.push_text(text),
        }
    }

    /// A number as programs write it.
    fn push_plain(&mut self, plain: &str, is_json: bool) -> Result<(), Mismatch> {
        let is_exact = self.is_exact;
        let pushed = match &mut self.values {
            Values::Integer(builder) => match is_exact {
                true => guess::integer(plain),
                false => parse_integer(plain),
            }
            .map(|value| builder.append_value(value)),
            Values::Number(builder) => match (is_exact, is_json) {
                (true, true) => guess::json_number(plain),
                (true, false) => guess::number(plain),
                (false, _) => parse_number(plain),
            }
            .map(|value| builder.append_value(value)),
            Values::Decimal {
                builder,
                precision,
                scale,
            } => parse_decimal(plain, *precision, *scale).map(|value| builder.append_value(value)),
            _ => None,
        };
        pushed.ok_or(Mismatch)
    }

    /// A text in quotes, where numbers have none: in a column of numbers it is a value of another type.
    pub(crate) fn push_quoted(&mut self, text: &str) -> Result<(), Mismatch> {
        if self.is_exact
            && matches!(
                self.values,
                Values::Integer(_) | Values::Number(_) | Values::Boolean(_)
            )
        {
            return Err(Mismatch);
        }
        self.push_text(text)
    }

    pub(crate) fn push_integer(&mut self, value: i64) -> Result<(), Mismatch> {
        match &mut self.values {
            Values::Integer(builder) => builder.append_value(value),
            Values::Number(_) if self.is_exact && !guess::fits_number(value) => {
                return Err(Mismatch);
            }
            Values::Number(builder) => {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "it fits, or a column of floats is what was asked for"
                )]
                builder.append_value(value as f64);
            }
            _ => return self.push_text(&value.to_string()),
        }
        Ok(())
    }

    pub(crate) fn push_number(&mut self, value: f64) -> Result<(), Mismatch> {
        match &mut self.values {
            // Databases hold NaN and infinity, which no output can show as a number.
            Values::Number(builder) if value.is_finite() => builder.append_value(value),
            Values::Number(builder) => builder.append_null(),
            _ => return self.push_text(&value.to_string()),
        }
        Ok(())
    }

    pub(crate) fn push_boolean(&mut self, value: bool) -> Result<(), Mismatch> {
        match &mut self.values {
            Values::Boolean(builder) => builder.append_value(value),
            Values::Integer(builder) if !self.is_exact => builder.append_value(i64::from(value)),
            Values::Text(_) => {
                return self.push_text(if value { "true" } else { "false" });
            }
            _ => return Err(Mismatch),
        }
        Ok(())
    }

    pub(crate) fn push_date(&mut self, days: i32) -> Result<(), Mismatch> {
        let midnight = i64::from(days) * MICROS_PER_DAY;
        match &mut self.values {
            Values::Date(builder) => builder.append_value(days),
            Values::Timestamp(builder) => builder.append_value(midnight),
            Values::Instant(builder) => builder.append_value(self.zone.instant(midnight)),
            _ => return self.push_text(&date_from_days(days).to_string()),
        }
        Ok(())
    }

    /// What a clock on the wall showed.
    pub(crate) fn push_timestamp(&mut self, micros: i64) -> Result<(), Mismatch> {
        match &mut self.values {
            Values::Timestamp(builder) => builder.append_value(micros),
            Values::Instant(builder) => builder.append_value(self.zone.instant(micros)),
            _ => return self.push_text(&timestamp_text(micros)),
        }
        Ok(())
    }

    /// A point in time, in UTC.
    pub(crate) fn push_instant(&mut self, micros: i64) -> Result<(), Mismatch> {
        match &mut self.values {
            Values::Instant(builder) => builder.append_value(micros),
            Values::Timestamp(builder) => builder.append_value(self.zone.local(micros)),
            _ => return self.push_text(&self.zone.text(micros)),
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> ArrayRef {
        match &mut self.values {
            Values::Text(builder) => Arc::new(builder.finish()),
            Values::Integer(builder) => Arc::new(builder.finish()),
            Values::Number(builder) => Arc::new(builder.finish()),
            Values::Decimal { builder, .. } => Arc::new(builder.finish()),
            Values::Boolean(builder) => Arc::new(builder.finish()),
            Values::Date(builder) => Arc::new(builder.finish()),
            Values::Timestamp(builder) | Values::Instant(builder) => Arc::new(builder.finish()),
            Values::Nothing(builder) => Arc::new(builder.finish()),
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
