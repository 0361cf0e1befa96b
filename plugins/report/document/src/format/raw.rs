//! Values as programs read them.

use std::fmt::Write as _;

use crate::{calendar, value::Value};

/// Appends a value as programs read it: `1234.5`, `2026-11-21`, `true`.
pub(crate) fn write_raw(value: &Value<'_>, to: &mut String) {
    // Writing into a string can't fail.
    let _ = match value {
        Value::Null => Ok(()),
        Value::Bool(value) => write!(to, "{value}"),
        Value::Int(value) => write!(to, "{value}"),
        Value::UInt(value) => write!(to, "{value}"),
        Value::Float(value) => {
            if value.is_finite() {
                if *value != 0.0 && !(1e-7..1e21).contains(&value.abs()) {
                    write!(to, "{value:e}")
                } else {
                    write!(to, "{value}")
                }
            } else {
                Ok(())
            }
        }
        Value::Decimal { unscaled, scale } => {
            write_decimal(*unscaled, *scale, to);
            Ok(())
        }
        Value::Date(days) => {
            write!(to, "{}", calendar::date_from_days(*days))
        }
        Value::Time(micros) => {
            write!(to, "{}", calendar::clock(*micros))
        }
        Value::Timestamp { micros, offset } => {
            let (days, clock) = calendar::split_timestamp(calendar::local(*micros, *offset));
            let _ = write!(to, "{}T{clock}", calendar::date_from_days(days));
            match offset {
                None => Ok(()),
                Some(0) => to.write_char('Z'),
                Some(offset) => to.write_str(&calendar::offset_text(*offset)),
            }
        }
        Value::Text(text) => {
            to.push_str(text);
            Ok(())
        }
    };
}

/// Appends `unscaled` × 10^-`scale`, with all of its digits.
pub(crate) fn write_decimal(unscaled: i128, scale: i8, to: &mut String) {
    if unscaled < 0 {
        to.push('-');
    }
    let digits = unscaled.unsigned_abs().to_string();
    if scale <= 0 {
        to.push_str(&digits);
        if unscaled != 0 {
            (scale..0).for_each(|_| to.push('0'));
        }
        return;
    }
    let scale = usize::from(scale.unsigned_abs());
    if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let _ = write!(to, "{whole}.{fraction}");
    } else {
        let _ = write!(to, "0.{digits:0>scale$}");
    }
}
