//! Days and times of the proleptic Gregorian calendar, in UTC: days and microseconds since 1970-01-01, and their texts.

use std::fmt;

use chrono::{Datelike as _, NaiveDate, NaiveTime, Timelike as _};

/// A day, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Negative before the year 0.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 is Monday.
    pub weekday: u8,
}

/// A time of the day, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// 0 to 23.
    pub(crate) hour: u8,
    /// 0 to 59.
    pub(crate) minute: u8,
    /// 0 to 59.
    pub(crate) second: u8,
    /// 0 to 999,999.
    pub(crate) micros: u32,
}

impl fmt::Display for Date {
    /// `2024-02-29`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Clock {
    /// `12:30:15`, or `12:30:15.25`, with as many decimals as it takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.hour, self.minute, self.second)?;
        if self.micros == 0 {
            return Ok(());
        }
        let micros = format!("{:06}", self.micros);
        write!(f, ".{}", micros.trim_end_matches('0'))
    }
}

/// Days have no leap seconds.
pub const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The calendar repeats itself after so many days, which are 400 years.
const DAYS_PER_ERA: i32 = 146_097;

/// The date that many days after 1970-01-01.
#[must_use]
pub fn date_from_days(days: i32) -> Date {
    // A library's calendar has an end, days have none: the same day of the era that begins in 1970 is looked up.
    let era = days.div_euclid(DAYS_PER_ERA);
    let day = NaiveDate::from_epoch_days(days.rem_euclid(DAYS_PER_ERA)).unwrap_or_default();
    let byte = |value: u32| u8::try_from(value).unwrap_or(0);
    Date {
        year: i64::from(day.year()) + i64::from(era) * 400,
        month: byte(day.month()),
        day: byte(day.day()),
        weekday: byte(day.weekday().num_days_from_monday()),
    }
}

/// What a clock that far east of UTC shows, in seconds; without, the clock is the one that was read.
pub(crate) fn local(micros: i64, offset: Option<i32>) -> i64 {
    micros.saturating_add(i64::from(offset.unwrap_or(0)) * 1_000_000)
}

/// How far a zone is east of UTC, as ISO 8601 has it: `+02:00`, with seconds where there are any.
#[must_use]
pub fn offset_text(offset: i32) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let seconds = offset.unsigned_abs();
    let mut text = format!("{sign}{:02}:{:02}", seconds / 3_600, seconds / 60 % 60);
    if !seconds.is_multiple_of(60) {
        text.push_str(&format!(":{:02}", seconds % 60));
    }
    text
}

/// Day and time of a timestamp.
pub(crate) fn split_timestamp(micros: i64) -> (i32, Clock) {
    let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).unwrap_or(0);
    (days, clock(micros.rem_euclid(MICROS_PER_DAY)))
}

/// The time that many microseconds after midnight.
pub(crate) fn clock(micros: i64) -> Clock {
    let micros = micros.rem_euclid(MICROS_PER_DAY);
    let part = |value: i64| u32::try_from(value).unwrap_or(0);
    let (seconds, micros) = (part(micros / 1_000_000), part(micros % 1_000_000));
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, 0).unwrap_or_default();
    let byte = |value: u32| u8::try_from(value).unwrap_or(0);
    Clock {
        hour: byte(time.hour()),
        minute: byte(time.minute()),
        second: byte(time.second()),
        micros,
    }
}

/// `2024-02-29` as days since 1970-01-01; years have four digits.
#[must_use]
pub fn parse_day(text: &str) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text.as_bytes() else {
        return None;
    };
    let year = i32::try_from(number(&[y1, y2, y3, y4])?).ok()?;
    let (month, day) = (number(&[m1, m2])?, number(&[d1, d2])?);
    NaiveDate::from_ymd_opt(year, month, day).map(|day| day.to_epoch_days())
}

/// A timestamp as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// What the clock showed, in microseconds since 1970-01-01, 00:00.
    pub micros: i64,
    /// How many seconds east of UTC the clock was, where that is said.
    pub offset: Option<i32>,
}

impl Moment {
    /// Microseconds since 1970 in UTC; a clock of which nothing is said is taken for one of UTC.
    #[must_use]
    pub fn utc(self) -> i64 {
        self.micros - i64::from(self.offset.unwrap_or(0)) * 1_000_000
    }
}

/// `2024-02-29 12:30`, `2024-02-29T12:30:15.25Z` or a date. What is less than a microsecond is cut off.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<Moment> {
    let date = i64::from(parse_day(text.get(..10)?)?) * MICROS_PER_DAY;
    let Some(time) = text.get(10..).filter(|time| !time.is_empty()) else {
        return Some(Moment {
            micros: date,
            offset: None,
        });
    };
    let time = time.strip_prefix(['T', 't', ' '])?;
    let bytes = time.as_bytes();
    let two = |at: usize| number(bytes.get(at..at + 2)?);
    let (hour, minute) = (two(0)?, two(3)?);
    let mut end = 5;
    let (mut second, mut micros) = (0, 0);
    if bytes.get(2) != Some(&b':') {
        return None;
    }
    if bytes.get(5) == Some(&b':') {
        second = two(6)?;
        end = 8;
        if bytes.get(8) == Some(&b'.') {
            let fraction = &bytes[9..];
            let len = fraction
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if len == 0 || len > 9 {
                return None;
            }
            let mut digits = [b'0'; 6];
            let kept = len.min(6);
            digits[..kept].copy_from_slice(&fraction[..kept]);
            micros = number(&digits)?;
            end = 9 + len;
        }
    }
    let clock = NaiveTime::from_hms_micro_opt(hour, minute, second, micros)?;
    let seconds = i64::from(clock.num_seconds_from_midnight());
    let zone = time.get(end..)?;
    let offset = match zone.is_empty() {
        true => None,
        false => Some(parse_zone(zone)?),
    };
    Some(Moment {
        micros: date + seconds * 1_000_000 + i64::from(micros),
        offset,
    })
}

/// A zone as seconds east of UTC: `Z`, `+01:00`, `+0100` or `+01`, perhaps behind a space.
fn parse_zone(text: &str) -> Option<i32> {
    let text = text.strip_prefix(' ').unwrap_or(text);
    if text.eq_ignore_ascii_case("z") || text.eq_ignore_ascii_case("utc") {
        return Some(0);
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match *digits.as_bytes() {
        [h1, h2] => (number(&[h1, h2])?, 0),
        [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => (number(&[h1, h2])?, number(&[m1, m2])?),
        _ => return None,
    };
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    (hours <= 18 && minutes <= 59).then_some(sign * seconds)
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| value * 10 + u32::from(digit))
    })
}

/// A timestamp as `2024-02-29 12:30:15`.
#[must_use]
pub fn timestamp_text(micros: i64) -> String {
    let (days, clock) = split_timestamp(micros);
    format!("{} {clock}", date_from_days(days))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_dates_without_end() {
        // A leap day, and the era's first and last day, far away as well.
        for (days, expected) in [
            (0, "1970-01-01"),
            (-719_468, "0000-03-01"),
            (-719_529, "-001-12-31"),
            (11_016, "2000-02-29"),
            (146_096, "2369-12-31"),
            (146_097, "2370-01-01"),
            (i32::MAX, "5881580-07-11"),
            (i32::MIN, "-5877641-06-23"),
        ] {
            assert_eq!(date_from_days(days).to_string(), expected);
        }
        let date = date_from_days(20_778);
        assert_eq!(
            (date.year, date.month, date.day, date.weekday),
            (2026, 11, 21, 5)
        );
        assert_eq!(
            date_from_days(-1),
            Date {
                year: 1969,
                month: 12,
                day: 31,
                weekday: 2
            }
        );
    }

    #[test]
    fn every_day_of_ten_thousand_years_there_and_back() {
        let first = parse_day("0000-01-01").unwrap();
        let last = parse_day("9999-12-31").unwrap();
        for day in first..=last {
            assert_eq!(parse_day(&date_from_days(day).to_string()), Some(day));
        }
        assert_eq!(last - first + 1, 3_652_425);
    }

    #[test]
    fn only_days_that_exist_are_parsed() {
        assert_eq!(parse_day("1970-01-01"), Some(0));
        assert_eq!(parse_day("1970-01-02"), Some(1));
        assert_eq!(parse_day("2024-02-29"), Some(19_782));
        for wrong in [
            "2023-02-29",
            "2023-13-01",
            "2023-00-01",
            "2024-00-01",
            "24-01-01",
            "2024/01/01",
            "2023-1-1",
            "20230101",
            "",
            "2023-01-01-01",
            "+123-01-01",
        ] {
            assert_eq!(parse_day(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn timestamps_before_1970_are_split_downwards() {
        let (days, clock) = split_timestamp(-1);
        assert_eq!(
            (days, clock.hour, clock.minute, clock.second, clock.micros),
            (-1, 23, 59, 59, 999_999)
        );
    }

    #[test]
    fn timestamps_with_and_without_zone() {
        let parsed = |text| parse_timestamp(text).map(|moment| (moment.utc(), moment.offset));
        assert_eq!(parsed("1970-01-01 00:00:01.5"), Some((1_500_000, None)));
        assert_eq!(parsed("1970-01-01T01:00+01:00"), Some((0, Some(3_600))));
        assert_eq!(
            parsed("1970-01-01 01:00:00 UTC"),
            Some((3_600_000_000, Some(0)))
        );
        assert_eq!(
            parsed("1970-01-01T00:00:00-0230"),
            Some((9_000_000_000, Some(-9_000)))
        );
        assert_eq!(parsed("1970-01-02"), Some((MICROS_PER_DAY, None)));
        assert_eq!(timestamp_text(1_500_000), "1970-01-01 00:00:01.5");
        assert_eq!(timestamp_text(-1_000_000), "1969-12-31 23:59:59");
        let wrong = [
            "1970-01-01 24:00",
            "1970-01-01 1:00",
            "1970-01-01 10",
            "1970-01-01T10:00:00.",
            "1970-01-01 10:00 x",
            "1970-01-01 10:00 ",
            "1970-01-01 10:00+1",
        ];
        for wrong in wrong {
            assert_eq!(parse_timestamp(wrong), None, "{wrong}");
        }
    }
}
