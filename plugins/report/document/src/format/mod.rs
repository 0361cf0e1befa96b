//! Numbers, money and dates as readers of a language expect them.
//!
//! It is called once for each cell of a table.

mod currency;
mod digits;
mod formatter;
mod pattern;
mod raw;

pub use self::formatter::AMOUNT_SCALE_MAX;
pub(crate) use self::{
    currency::{decimals as currency_decimals, sign as currency_sign},
    formatter::{Formatter, free_decimals, zone_text},
    pattern::{Field, Pattern},
    raw::{write_decimal, write_raw},
};
use crate::{
    error::Error,
    model::{DateStyle, Document, Format},
    value::{ColumnKind, Value},
};

impl Format {
    /// Whether the format's own details are possible.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Number {
                decimals: Some(decimals),
                ..
            }
            | Self::Currency {
                decimals: Some(decimals),
                ..
            }
            | Self::Percent {
                decimals: Some(decimals),
            } if *decimals > 15 => {
                return Err(Error::invalid_option(format!(
                    "{decimals} decimals are more than 15"
                )));
            }
            _ => {}
        }
        match self {
            Self::Currency { code, .. }
                if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) =>
            {
                Err(Error::invalid_option(format!(
                    "{code:?} is not a currency: write the three capital letters of ISO 4217, such as \"EUR\""
                )))
            }
            Self::Date {
                pattern: Some(pattern),
                ..
            } => Pattern::parse(pattern, false).map(drop),
            Self::Timestamp {
                pattern: Some(pattern),
                ..
            } => Pattern::parse(pattern, true).map(drop),
            _ => Ok(()),
        }
    }

    /// Whether values of this kind can be shown so.
    pub(crate) fn suits(&self, kind: ColumnKind) -> bool {
        match self {
            _ if kind == ColumnKind::Nothing => true,
            Self::Auto | Self::Text => true,
            Self::Number { .. } | Self::Currency { .. } | Self::Percent { .. } => kind.is_number(),
            Self::Date { .. } | Self::Timestamp { .. } => {
                matches!(kind, ColumnKind::Date | ColumnKind::Timestamp { .. })
            }
        }
    }

    /// The format's name, for messages.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Number { .. } => "number",
            Self::Currency { .. } => "currency",
            Self::Percent { .. } => "percent",
            Self::Date { .. } => "date",
            Self::Timestamp { .. } => "timestamp",
        }
    }
}

/// The day that a document speaks of, in words.
pub(crate) fn long_date(document: &Document) -> Option<String> {
    let day = document.date?;
    let format = Format::Date {
        style: DateStyle::Long,
        pattern: None,
    };
    Some(Formatter::new(&format, document.locale).text(&Value::Date(day.days)))
}

#[cfg(test)]
mod tests;
