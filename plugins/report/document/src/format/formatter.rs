//! Writes the values of a column.

use std::borrow::Cow;

use super::{
    currency,
    digits::{Digits, NumberStyle},
    pattern::{Pattern, Patterns},
    write_raw,
};
use crate::{
    calendar::{self, Date},
    model::{DateStyle, Format, Locale},
    value::Value,
};

/// Integers are not grouped where nothing else is said: they may be years and numbers of articles, and what is true of one
/// has to be true of all of a column.
const INTEGER_GROUP_FROM: u8 = u8::MAX;
/// The fewest digits that are grouped of all other numbers.
const GROUP_FROM: u8 = 4;

/// So many decimals an amount may have, all of which are shown.
pub const AMOUNT_SCALE_MAX: i8 = 10;

/// Writes the values of one column as readers of a language expect them.
#[derive(Debug)]
pub(crate) struct Formatter {
    locale: Locale,
    patterns: &'static Patterns,
    kind: Kind,
    /// How many decimals numbers have at least, where their number is free.
    decimals_min: u8,
}

#[derive(Debug)]
enum Kind {
    Auto,
    Text,
    Number(NumberStyle),
    Date(Cow<'static, Pattern>),
    Timestamp {
        pattern: Cow<'static, Pattern>,
        with_zone: bool,
    },
}

/// How many decimals a number has where their number is free.
pub(crate) fn free_decimals(value: &Value<'_>) -> u8 {
    Digits::of(value).map_or(0, Digits::free_decimals)
}

/// What stands behind a time for readers: `UTC`, or `+02:00`.
pub(crate) fn zone_text(offset: i32) -> String {
    if offset == 0 {
        return String::from("UTC");
    }
    calendar::offset_text(offset)
}

impl Formatter {
    pub(crate) fn new(format: &Format, locale: Locale) -> Self {
        let pattern = || Pattern::of(format, locale).unwrap_or_default();
        let kind = match format {
            Format::Auto => Kind::Auto,
            Format::Text => Kind::Text,
            Format::Number { decimals, grouping } => Kind::Number(NumberStyle {
                decimals: *decimals,
                group_from: if *grouping { GROUP_FROM } else { u8::MAX },
                ..NumberStyle::default()
            }),
            Format::Currency { code, decimals } => {
                let (prefix, suffix) = currency::affixes(code, locale);
                Kind::Number(NumberStyle {
                    decimals: Some(decimals.unwrap_or_else(|| currency::decimals(code))),
                    group_from: GROUP_FROM,
                    prefix,
                    suffix,
                    ..NumberStyle::default()
                })
            }
            Format::Percent { decimals } => Kind::Number(NumberStyle {
                decimals: Some(decimals.unwrap_or(1)),
                group_from: GROUP_FROM,
                power: 2,
                suffix: locale.language().percent.to_owned(),
                ..NumberStyle::default()
            }),
            Format::Date { .. } => Kind::Date(pattern()),
            Format::Timestamp { pattern: own, .. } => Kind::Timestamp {
                pattern: pattern(),
                with_zone: own.is_none(),
            },
        };
        Self {
            locale,
            patterns: Patterns::of(locale),
            kind,
            decimals_min: 0,
        }
    }

    /// With so many decimals at least, where their number is free.
    pub(crate) fn with_decimals_min(mut self, decimals_min: u8) -> Self {
        self.decimals_min = decimals_min;
        if let Kind::Number(style) = &mut self.kind {
            style.decimals_min = decimals_min;
        }
        self
    }

    /// The value as text.
    pub(crate) fn text(&self, value: &Value<'_>) -> String {
        let mut text = String::new();
        self.write(value, &mut text);
        text
    }

    /// Appends the value; nothing for null.
    pub(crate) fn write(&self, value: &Value<'_>, to: &mut String) {
        match value {
            Value::Null => {}
            Value::Text(text) => to.push_str(text),
            Value::Bool(value) => {
                to.push_str(self.locale.language().yes_no[usize::from(!value)]);
            }
            value if matches!(self.kind, Kind::Text) => write_raw(value, to),
            Value::Date(days) => self.write_date(*days, to),
            Value::Timestamp { micros, offset } => self.write_timestamp(*micros, *offset, to),
            Value::Time(micros) => self.write_time(*micros, to),
            number => self.write_number(number, to),
        }
    }

    fn write_date(&self, days: i32, to: &mut String) {
        let pattern = match &self.kind {
            Kind::Date(pattern) => &**pattern,
            _ => self.patterns.date(DateStyle::Short),
        };
        let date = calendar::date_from_days(days);
        pattern.write(date, None, self.locale.language(), to);
    }

    fn write_timestamp(&self, micros: i64, offset: Option<i32>, to: &mut String) {
        let (days, clock) = calendar::split_timestamp(calendar::local(micros, offset));
        let (pattern, with_zone) = match &self.kind {
            Kind::Date(_) => return self.write_date(days, to),
            Kind::Timestamp { pattern, with_zone } => (&**pattern, *with_zone),
            _ => {
                let seconds = clock.second != 0;
                (self.patterns.timestamp(DateStyle::Short, seconds), true)
            }
        };
        let date = calendar::date_from_days(days);
        pattern.write(date, Some(clock), self.locale.language(), to);
        if with_zone && let Some(offset) = offset {
            to.push(' ');
            to.push_str(&zone_text(offset));
        }
    }

    fn write_time(&self, micros: i64, to: &mut String) {
        // No pattern of a time shows the day.
        const ANY_DAY: Date = Date {
            year: 1970,
            month: 1,
            day: 1,
            weekday: 3,
        };
        let clock = calendar::clock(micros);
        let pattern = self.patterns.time(clock.second != 0);
        pattern.write(ANY_DAY, Some(clock), self.locale.language(), to);
    }

    fn write_number(&self, value: &Value<'_>, to: &mut String) {
        let Some(digits) = Digits::of(value) else {
            return;
        };
        let language = self.locale.language();
        if let Kind::Number(style) = &self.kind {
            return digits.write(style, language, to);
        }
        let (decimals, group_from) = match value {
            Value::Int(_) | Value::UInt(_) => (Some(0), INTEGER_GROUP_FROM),
            // More decimals are a quotient's, not an amount's.
            Value::Decimal { scale, .. } if *scale > AMOUNT_SCALE_MAX => (None, GROUP_FROM),
            Value::Decimal { scale, .. } => (u8::try_from((*scale).max(0)).ok(), GROUP_FROM),
            _ => (None, GROUP_FROM),
        };
        let style = NumberStyle {
            decimals,
            decimals_min: self.decimals_min,
            group_from,
            ..NumberStyle::default()
        };
        digits.write(&style, language, to);
    }
}
