//! Days and times that are written in a pattern of the file's own.

use std::{fmt::Write as _, sync::Arc};

use chrono::{
    DateTime, Datelike as _, FixedOffset, NaiveDate, NaiveDateTime, Timelike as _,
    format::{Fixed, Item, Numeric, Parsed, StrftimeItems, parse},
};
use report_document::calendar::{MICROS_PER_DAY, Moment};

use super::Kind;

/// How the days of a column are written, by a pattern with percent signs: `%d.%m.%Y`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DayFormat {
    items: Arc<[Item<'static>]>,
    kind: Kind,
}

impl DayFormat {
    /// What is wrong with the pattern, if it doesn't say which day, or which time of the day, something is.
    pub(crate) fn new(pattern: &str) -> Result<Self, &'static str> {
        let items = StrftimeItems::new(pattern).parse_to_owned();
        let items = items.map_err(|_| "there is no such letter behind a percent sign")?;
        if items.iter().any(is_zone_name) {
            return Err("the names of zones (%Z) have several meanings; %z reads +02:00");
        }
        let format = Self {
            kind: kind(&items),
            items: items.into(),
        };
        // What it writes, it has to read.
        let sample = sample().ok_or("there is no such day")?;
        let mut text = String::new();
        write!(text, "{}", sample.format_with_items(format.items.iter()))
            .map_err(|_| "it can't be written")?;
        let read = format.read(&text).map(|moment| match format.kind {
            Kind::Date => moment.micros + i64::from(SAMPLE_HOUR) * 3_600_000_000,
            _ => moment.micros.div_euclid(3_600_000_000) * 3_600_000_000,
        });
        match read == Some(sample.naive_utc().and_utc().timestamp_micros()) {
            true => Ok(format),
            false => {
                Err("it has to say the whole day (%d.%m.%Y), or day and time (%d.%m.%Y %H:%M)")
            }
        }
    }

    /// A date, a timestamp, or a point in time.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What is less than a microsecond is cut off.
    pub(super) fn read(&self, text: &str) -> Option<Moment> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, self.items.iter()).ok()?;
        let (shown, offset) = match self.kind {
            Kind::Date => (parsed.to_naive_date().ok()?.and_hms_opt(0, 0, 0)?, None),
            Kind::Timestamp => (parsed.to_naive_datetime_with_offset(0).ok()?, None),
            _ => {
                // Seconds since 1970 have no zone.
                let offset = parsed.offset().unwrap_or_default();
                let shown = parsed.to_naive_datetime_with_offset(offset).ok()?;
                (shown, Some(offset))
            }
        };
        moment(shown, offset)
    }

    pub(super) fn day(&self, text: &str) -> Option<i32> {
        i32::try_from(self.read(text)?.micros.div_euclid(MICROS_PER_DAY)).ok()
    }
}

/// Nothing for a leap second, and years that are not written with four digits.
fn moment(shown: NaiveDateTime, offset: Option<i32>) -> Option<Moment> {
    let is_shown = (0..=9999).contains(&shown.year()) && shown.nanosecond() < 1_000_000_000;
    is_shown.then(|| Moment {
        micros: shown.and_utc().timestamp_micros(),
        offset,
    })
}

const SAMPLE_HOUR: u32 = 15;

/// An hour in the afternoon, of a day that no other order of its numbers is.
fn sample() -> Option<DateTime<FixedOffset>> {
    let day = NaiveDate::from_ymd_opt(2026, 11, 21)?.and_hms_opt(SAMPLE_HOUR, 0, 0)?;
    Some(day.and_utc().fixed_offset())
}

fn is_zone_name(item: &Item<'_>) -> bool {
    matches!(item, Item::Fixed(Fixed::TimezoneName))
}

fn kind(items: &[Item<'_>]) -> Kind {
    let is_zone = |item: &Item<'_>| {
        matches!(
            item,
            Item::Numeric(Numeric::Timestamp, _)
                | Item::Fixed(
                    Fixed::TimezoneOffset
                        | Fixed::TimezoneOffsetColon
                        | Fixed::TimezoneOffsetDoubleColon
                        | Fixed::TimezoneOffsetTripleColon
                        | Fixed::TimezoneOffsetColonZ
                        | Fixed::TimezoneOffsetZ
                        | Fixed::RFC2822
                        | Fixed::RFC3339
                        | Fixed::Internal(_)
                )
        )
    };
    let is_time = |item: &Item<'_>| {
        matches!(
            item,
            Item::Numeric(
                Numeric::Hour
                    | Numeric::Hour12
                    | Numeric::Minute
                    | Numeric::Second
                    | Numeric::Nanosecond,
                _
            )
        )
    };
    if items.iter().any(is_zone) {
        Kind::Instant
    } else if items.iter().any(is_time) {
        Kind::Timestamp
    } else {
        Kind::Date
    }
}

#[cfg(test)]
mod tests {
    use report_document::calendar::timestamp_text;

    use super::*;

    /// What is right was found by Python: `datetime.strptime(text, pattern)`.
    #[test]
    fn days_are_read_by_their_pattern() {
        for (pattern, text, kind, expected) in [
            ("%d.%m.%Y", "31.01.2026", Kind::Date, "2026-01-31 00:00:00"),
            ("%m/%d/%Y", "1/5/2026", Kind::Date, "2026-01-05 00:00:00"),
            ("%d-%b-%y", "05-Mar-26", Kind::Date, "2026-03-05 00:00:00"),
            (
                "%d %B %Y",
                "5 march 2026",
                Kind::Date,
                "2026-03-05 00:00:00",
            ),
            ("%Y%m%d", "20260131", Kind::Date, "2026-01-31 00:00:00"),
            (
                "%d.%m.%Y %H:%M",
                "31.01.2026 07:05",
                Kind::Timestamp,
                "2026-01-31 07:05:00",
            ),
            (
                "%m/%d/%Y %I:%M %p",
                "01/31/2026 07:05 PM",
                Kind::Timestamp,
                "2026-01-31 19:05:00",
            ),
            (
                "%Y-%m-%d %H:%M:%S%z",
                "2026-01-31 00:05:09+0200",
                Kind::Instant,
                "2026-01-30 22:05:09",
            ),
            ("%s", "1769810709", Kind::Instant, "2026-01-30 22:05:09"),
        ] {
            let format =
                DayFormat::new(pattern).unwrap_or_else(|wrong| panic!("{pattern}: {wrong}"));
            assert_eq!(format.kind(), kind, "{pattern}");
            let read = format
                .read(text)
                .unwrap_or_else(|| panic!("{pattern} {text}"));
            assert_eq!(timestamp_text(read.utc()), expected, "{pattern}");
        }
    }

    #[test]
    fn patterns_say_which_day() {
        for wrong in [
            "",
            "%d.%m.",
            "%H:%M",
            "%Y-%m",
            "%d.%m.%Y %I:%M",
            "%d.%m.%Y %M",
            "%Q",
            "%",
            "dd.MM.yyyy",
            "%d.%m.%Y %H:%M %Z",
        ] {
            assert!(DayFormat::new(wrong).is_err(), "{wrong}");
        }
        let format = DayFormat::new("%d.%m.%Y").unwrap();
        for wrong in [
            "29.02.2025",
            "31.04.2026",
            "2026-01-31",
            "31.01.2026 ",
            "31.01.2026x",
            "",
            "1.13.2026",
            "+1.1.2026",
            "31.01.20260",
        ] {
            assert!(format.read(wrong).is_none(), "{wrong:?}");
        }
    }
}
