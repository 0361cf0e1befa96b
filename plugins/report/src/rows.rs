//! The engine's rows as the values that reports are written from.

use std::{borrow::Cow, sync::Arc};

use datafusion::arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array,
        Int64Array, RecordBatch, StringViewArray, Time64MicrosecondArray,
        TimestampMicrosecondArray, UInt64Array,
    },
    compute::{can_cast_types, cast},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, Schema,
        Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt64Type,
    },
    util::display::{ArrayFormatter, FormatOptions},
};
use report_document::{AMOUNT_SCALE_MAX, Column, ColumnKind, Value};

use crate::{
    columns::Zone,
    error::{Result, Trouble},
};

/// The columns of a query's rows.
pub(crate) fn columns(schema: &Schema) -> Vec<Column> {
    let fields = schema.fields().iter();
    fields
        .map(|field| Column::new(field.name(), kind(&target(field.data_type()))))
        .collect()
}

/// The type that values of a type are read as. What has none of its own is text.
fn target(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Boolean => DataType::Boolean,
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::UInt64,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => DataType::Decimal128(*precision, *scale),
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(zone)) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(zone)))
        }
        DataType::Null => DataType::Null,
        _ => DataType::Utf8View,
    }
}

fn kind(target: &DataType) -> ColumnKind {
    match target {
        DataType::Boolean => ColumnKind::Bool,
        DataType::Int64 | DataType::UInt64 => ColumnKind::Int,
        DataType::Float64 => ColumnKind::Float,
        DataType::Decimal128(_, scale) => ColumnKind::Decimal { scale: *scale },
        DataType::Date32 => ColumnKind::Date,
        DataType::Time64(_) => ColumnKind::Time,
        DataType::Timestamp(_, zone) => ColumnKind::Timestamp {
            zoned: zone.is_some(),
        },
        DataType::Null => ColumnKind::Nothing,
        _ => ColumnKind::Text,
    }
}

/// Lists, structs and the like, as texts.
fn shown(array: &ArrayRef) -> Result<ArrayRef> {
    let wrong = |error: datafusion::arrow::error::ArrowError| {
        Trouble::new("query_failed", error.to_string())
    };
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(array, &options).map_err(wrong)?;
    let texts = (0..array.len()).map(|row| {
        array
            .is_valid(row)
            .then(|| formatter.value(row).to_string())
    });
    Ok(Arc::new(texts.collect::<StringViewArray>()))
}

/// A batch, column by column.
pub(crate) struct Batch {
    arrays: Vec<ArrayRef>,
    rows: usize,
}

impl Batch {
    pub(crate) fn new(batch: &RecordBatch) -> Result<Self> {
        let arrays = batch.columns().iter().map(|array| {
            let target = target(array.data_type());
            if *array.data_type() == target {
                return Ok(ArrayRef::clone(array));
            }
            if !can_cast_types(array.data_type(), &target) {
                return shown(array);
            }
            cast(array, &target).map_err(|error| Trouble::new("query_failed", error.to_string()))
        });
        Ok(Self {
            arrays: arrays.collect::<Result<_>>()?,
            rows: batch.num_rows(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> Result<Vec<Values<'_>>> {
        self.arrays.iter().map(Values::new).collect()
    }
}

/// The values of a column.
pub(crate) enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int(&'a Int64Array),
    UInt(&'a UInt64Array),
    Float(&'a Float64Array),
    Decimal(&'a Decimal128Array, i8),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray),
    Timestamp(&'a TimestampMicrosecondArray, Option<Zone>),
    Nothing,
    Text(&'a StringViewArray),
}

impl<'a> Values<'a> {
    fn new(array: &'a ArrayRef) -> Result<Self> {
        let values = match array.data_type() {
            DataType::Boolean => array.as_boolean_opt().map(Self::Boolean),
            DataType::Int64 => array.as_primitive_opt::<Int64Type>().map(Self::Int),
            DataType::UInt64 => array.as_primitive_opt::<UInt64Type>().map(Self::UInt),
            DataType::Float64 => array.as_primitive_opt::<Float64Type>().map(Self::Float),
            DataType::Decimal128(_, scale) => array
                .as_primitive_opt::<Decimal128Type>()
                .map(|array| Self::Decimal(array, *scale)),
            DataType::Date32 => array.as_primitive_opt::<Date32Type>().map(Self::Date),
            DataType::Time64(_) => array
                .as_primitive_opt::<Time64MicrosecondType>()
                .map(Self::Time),
            DataType::Timestamp(_, zone) => {
                let zone = zone
                    .as_ref()
                    .map(|zone| Zone::parse(zone).unwrap_or_default());
                let array = array.as_primitive_opt::<TimestampMicrosecondType>();
                array.map(|array| Self::Timestamp(array, zone))
            }
            DataType::Null => Some(Self::Nothing),
            _ => array.as_string_view_opt().map(Self::Text),
        };
        values.ok_or_else(|| {
            Trouble::internal(format!("a column of {} can't be read", array.data_type()))
        })
    }

    #[inline]
    pub(crate) fn value(&self, row: usize) -> Value<'a> {
        match self {
            Self::Boolean(array) if array.is_valid(row) => Value::Bool(array.value(row)),
            Self::Int(array) if array.is_valid(row) => Value::Int(array.value(row)),
            Self::UInt(array) if array.is_valid(row) => Value::UInt(array.value(row)),
            Self::Float(array) if array.is_valid(row) => Value::Float(array.value(row)),
            Self::Decimal(array, scale) if array.is_valid(row) => decimal(array.value(row), *scale),
            Self::Date(array) if array.is_valid(row) => Value::Date(array.value(row)),
            Self::Time(array) if array.is_valid(row) => Value::Time(array.value(row)),
            Self::Timestamp(array, zone) if array.is_valid(row) => {
                let micros = array.value(row);
                Value::Timestamp {
                    micros,
                    offset: zone.map(|zone| zone.offset_at(micros)),
                }
            }
            Self::Text(array) if array.is_valid(row) => {
                Value::Text(Cow::Borrowed(array.value(row)))
            }
            _ => Value::Null,
        }
    }
}

/// More decimals than those of an amount are a quotient's, whose zeros at the end say nothing.
fn decimal(mut unscaled: i128, mut scale: i8) -> Value<'static> {
    if scale > AMOUNT_SCALE_MAX {
        while scale > 0 && unscaled % 10 == 0 {
            unscaled /= 10;
            scale -= 1;
        }
    }
    Value::Decimal { unscaled, scale }
}
