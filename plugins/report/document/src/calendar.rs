//! Days and times of the proleptic Gregorian calendar.

/// A day, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    /// Negative before the year 0.
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: u8,
    /// 1 to 31.
    pub(crate) day: u8,
    /// 0 is Monday.
    pub(crate) weekday: u8,
}

/// A time of the day, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
    pub(crate) micros: u32,
}

pub(crate) const MICROS_PER_DAY: i64 = 86_400_000_000;

fn byte(value: i64) -> u8 {
    u8::try_from(value).unwrap_or(0)
}

/// The date that many days after 1970-01-01.
pub(crate) fn date_from_days(days: i32) -> Date {
    // Eras of 400 years that begin on the first of March, so that the leap day is a year's last.
    let shifted = i64::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Date {
        year,
        month: byte(month),
        day: byte(day),
        weekday: byte((i64::from(days) + 3).rem_euclid(7)),
    }
}

/// Days from 1970-01-01 to this date.
pub(crate) fn days_from_date(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_index = (month + 9) % 12;
    let day_of_year = (153 * month_index + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Day and time of a timestamp.
pub(crate) fn split_timestamp(micros: i64) -> (i32, Clock) {
    let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).unwrap_or(0);
    (days, clock(micros.rem_euclid(MICROS_PER_DAY)))
}

/// The time that many microseconds after midnight.
pub(crate) fn clock(micros: i64) -> Clock {
    let micros = micros.rem_euclid(MICROS_PER_DAY);
    let seconds = micros / 1_000_000;
    Clock {
        hour: byte(seconds / 3_600),
        minute: byte(seconds / 60 % 60),
        second: byte(seconds % 60),
        micros: u32::try_from(micros % 1_000_000).unwrap_or(0),
    }
}

/// Days since 1970-01-01 of `2026-11-21`.
pub(crate) fn parse_day(text: &str) -> Option<i32> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if parts.next().is_some() || !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
        return None;
    }
    let (year, month, day) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    if !(1..=12).contains(&month) {
        return None;
    }
    let days = i32::try_from(days_from_date(year, month, day)).ok()?;
    let date = date_from_days(days);
    (date.year == year && i64::from(date.month) == month && i64::from(date.day) == day)
        .then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for days in (-800_000..3_000_000).step_by(37) {
            let date = date_from_days(days);
            assert_eq!(
                days_from_date(date.year, date.month.into(), date.day.into()),
                i64::from(days)
            );
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
        date_from_days(i32::MIN);
        date_from_days(i32::MAX);
    }

    #[test]
    fn only_days_that_exist_are_parsed() {
        assert_eq!(parse_day("1970-01-01"), Some(0));
        assert_eq!(parse_day("2024-02-29"), Some(19_782));
        for wrong in [
            "2023-02-29",
            "2023-13-01",
            "2023-00-01",
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
}
