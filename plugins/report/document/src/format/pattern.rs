//! Patterns of dates and times: read, and filled in.

use std::{borrow::Cow, fmt::Write as _, mem, sync::OnceLock};

use crate::{
    calendar::{Clock, Date},
    error::Error,
    locale::Language,
    model::{DateStyle, Format, Locale},
};

/// A date pattern such as `d. MMMM yyyy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pattern(pub(crate) Vec<Field>);

/// A part of a date pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Literal(String),
    Year,
    YearShort,
    Month,
    MonthPadded,
    MonthShort,
    MonthName,
    Day,
    DayPadded,
    WeekdayShort,
    WeekdayName,
    Hour,
    HourPadded,
    Hour12,
    Hour12Padded,
    Minute,
    Second,
    HalfDay,
}

impl Field {
    /// The field that these letters stand for.
    fn parse(letters: &str, with_time: bool) -> Option<Self> {
        Some(match letters {
            "yyyy" => Self::Year,
            "yy" => Self::YearShort,
            "M" => Self::Month,
            "MM" => Self::MonthPadded,
            "MMM" => Self::MonthShort,
            "MMMM" => Self::MonthName,
            "d" => Self::Day,
            "dd" => Self::DayPadded,
            "EEE" => Self::WeekdayShort,
            "EEEE" => Self::WeekdayName,
            "H" if with_time => Self::Hour,
            "HH" if with_time => Self::HourPadded,
            "h" if with_time => Self::Hour12,
            "hh" if with_time => Self::Hour12Padded,
            "mm" if with_time => Self::Minute,
            "ss" if with_time => Self::Second,
            "a" if with_time => Self::HalfDay,
            _ => return None,
        })
    }
}

impl Pattern {
    /// The pattern that a format asks for; `None` where it doesn't show dates, or its pattern can't be read.
    pub(crate) fn of(format: &Format, locale: Locale) -> Option<Cow<'static, Self>> {
        match format {
            Format::Date {
                pattern: Some(pattern),
                ..
            } => Self::parse(pattern, false).ok().map(Cow::Owned),
            Format::Timestamp {
                pattern: Some(pattern),
                ..
            } => Self::parse(pattern, true).ok().map(Cow::Owned),
            Format::Date {
                style,
                pattern: None,
            } => Some(Cow::Borrowed(Patterns::of(locale).date(*style))),
            Format::Timestamp {
                style,
                pattern: None,
                seconds,
            } => Some(Cow::Borrowed(
                Patterns::of(locale).timestamp(*style, *seconds),
            )),
            _ => None,
        }
    }

    /// Letters are fields, `'words'` and all else stand for themselves.
    pub(crate) fn parse(text: &str, with_time: bool) -> Result<Self, Error> {
        let mut fields: Vec<Field> = Vec::new();
        let mut rest = text;
        let mut literal = String::new();
        while let Some(first) = rest.chars().next() {
            if first == '\'' {
                let inner = rest.get(1..).unwrap_or_default();
                let Some(end) = inner.find('\'') else {
                    return Err(Error::invalid_option(format!(
                        "the pattern {text:?} has a ' without its partner"
                    )));
                };
                literal.push_str(if end == 0 {
                    "'"
                } else {
                    inner.get(..end).unwrap_or_default()
                });
                rest = inner.get(end + 1..).unwrap_or_default();
                continue;
            }
            let len = rest.len() - rest.trim_start_matches(first).len();
            let (run, after) = rest.split_at(len);
            rest = after;
            if !first.is_ascii_alphabetic() {
                literal.push_str(run);
                continue;
            }
            let Some(field) = Field::parse(run, with_time) else {
                let times = if with_time { " HH H hh h mm ss a" } else { "" };
                return Err(Error::invalid_option(format!(
                    "the pattern {text:?} has {run:?}: there are yyyy yy MMMM MMM MM M dd d EEEE EEE{times}, and 'words'"
                )));
            };
            if !literal.is_empty() {
                fields.push(Field::Literal(mem::take(&mut literal)));
            }
            fields.push(field);
        }
        if !literal.is_empty() {
            fields.push(Field::Literal(literal));
        }
        if fields.is_empty() {
            return Err(Error::invalid_option("the pattern is empty"));
        }
        Ok(Self(fields))
    }

    /// Appends date and time; without a `clock`, midnight.
    pub(super) fn write(
        &self,
        date: Date,
        clock: Option<Clock>,
        language: &'static Language,
        to: &mut String,
    ) {
        let clock = clock.unwrap_or(Clock {
            hour: 0,
            minute: 0,
            second: 0,
            micros: 0,
        });
        let hour12 = (clock.hour + 11) % 12 + 1;
        let name = |names: &'static [&'static str], index: u8| {
            names.get(usize::from(index)).copied().unwrap_or("")
        };
        let month = date.month.saturating_sub(1);
        for field in &self.0 {
            // Writing into a string can't fail.
            let _ = match field {
                Field::Literal(text) => to.write_str(text),
                Field::Year => write!(to, "{:04}", date.year),
                Field::YearShort => write!(to, "{:02}", date.year.rem_euclid(100)),
                Field::Month => write!(to, "{}", date.month),
                Field::MonthPadded => write!(to, "{:02}", date.month),
                Field::MonthShort => to.write_str(name(&language.months_short, month)),
                Field::MonthName => to.write_str(name(&language.months, month)),
                Field::Day => write!(to, "{}", date.day),
                Field::DayPadded => write!(to, "{:02}", date.day),
                Field::WeekdayShort => to.write_str(name(&language.days_short, date.weekday)),
                Field::WeekdayName => to.write_str(name(&language.days, date.weekday)),
                Field::Hour => write!(to, "{}", clock.hour),
                Field::HourPadded => write!(to, "{:02}", clock.hour),
                Field::Hour12 => write!(to, "{hour12}"),
                Field::Hour12Padded => write!(to, "{hour12:02}"),
                Field::Minute => write!(to, "{:02}", clock.minute),
                Field::Second => write!(to, "{:02}", clock.second),
                Field::HalfDay => to.write_str(language.half_days[usize::from(clock.hour >= 12)]),
            };
        }
    }
}

/// The patterns of a language.
#[derive(Debug)]
pub(super) struct Patterns {
    /// In the order of [`DateStyle`].
    styles: [StylePatterns; STYLES],
    time: Pattern,
    time_seconds: Pattern,
}

const STYLES: usize = DateStyle::Iso as usize + 1;
const LOCALES: usize = Locale::Ja as usize + 1;

#[derive(Debug)]
struct StylePatterns {
    date: Pattern,
    timestamp: Pattern,
    timestamp_seconds: Pattern,
}

impl Patterns {
    /// Read once, since cells need them.
    pub(super) fn of(locale: Locale) -> &'static Self {
        static ALL: [OnceLock<Patterns>; LOCALES] = [const { OnceLock::new() }; LOCALES];
        ALL[locale as usize].get_or_init(|| Self::parse(locale.language()))
    }

    fn parse(language: &Language) -> Self {
        let parse =
            |text| Pattern::parse(text, true).expect("the patterns of the languages are right");
        let styles = [
            DateStyle::Short,
            DateStyle::Medium,
            DateStyle::Long,
            DateStyle::Full,
            DateStyle::Iso,
        ];
        Self {
            styles: styles.map(|style| {
                let (date, between, time, time_seconds) = match style {
                    DateStyle::Iso => ("yyyy-MM-dd", " ", "HH:mm", "HH:mm:ss"),
                    style => (
                        language.dates[style as usize],
                        language.date_times[style as usize],
                        language.time,
                        language.time_seconds,
                    ),
                };
                let date = parse(date);
                let timestamp = |time| {
                    let mut pattern = date.clone();
                    pattern.0.push(Field::Literal(between.to_owned()));
                    pattern.0.extend(parse(time).0);
                    pattern
                };
                StylePatterns {
                    timestamp: timestamp(time),
                    timestamp_seconds: timestamp(time_seconds),
                    date,
                }
            }),
            time: parse(language.time),
            time_seconds: parse(language.time_seconds),
        }
    }

    pub(super) fn date(&self, style: DateStyle) -> &Pattern {
        &self.styles[style as usize].date
    }

    pub(super) fn timestamp(&self, style: DateStyle, seconds: bool) -> &Pattern {
        let patterns = &self.styles[style as usize];
        if seconds {
            &patterns.timestamp_seconds
        } else {
            &patterns.timestamp
        }
    }

    pub(super) fn time(&self, seconds: bool) -> &Pattern {
        if seconds {
            &self.time_seconds
        } else {
            &self.time
        }
    }
}
