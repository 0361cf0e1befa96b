//! When something ends: a date or a moment of a configuration. Pure.

use std::time::{Duration, SystemTime};

use toml::value::{Datetime, Offset};

const DAY: i64 = 24 * 3600;

/// The first moment after what is written: the end of a date's day, or the moment itself. What names no offset is in UTC.
///
/// # Errors
/// It is only a time of day, or before 1970.
pub(super) fn end_of(written: &Datetime) -> Result<SystemTime, &'static str> {
    let date = written
        .date
        .ok_or("a time without a date ends nothing; write a date, like 2027-01-31")?;
    let days = days_since_1970(
        i64::from(date.year),
        i64::from(date.month),
        i64::from(date.day),
    );
    let offset_minutes = match written.offset {
        Some(Offset::Custom { minutes }) => i64::from(minutes),
        Some(Offset::Z) | None => 0,
    };
    let in_day = match written.time {
        None => DAY,
        Some(time) => {
            let [hour, minute] = [time.hour, time.minute].map(i64::from);
            hour * 3600 + minute * 60 + time.second.map_or(0, i64::from)
        }
    };
    let seconds = u64::try_from(days * DAY + in_day - offset_minutes * 60)
        .map_err(|_| "it is before 1970")?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, by counting from a March, so that leap days come last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // Of months from March on, five have 153 days.
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `date -u -d … +%s` of coreutils.
    #[test]
    fn dates_are_those_of_others() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01", 86_400),
            ("1999-12-31T23:59:59Z", 946_684_799),
            ("2000-02-29", 951_868_800),
            ("2000-03-01T00:00:00", 951_868_800),
            ("2024-02-29T12:30:15Z", 1_709_209_815),
            ("2027-01-31", 1_801_440_000),
            ("2027-01-31T01:00:00+01:00", 1_801_353_600),
            ("2027-01-30T19:00:00-05:00", 1_801_353_600),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("2400-02-29T00:00:00Z", 13_574_563_200),
        ] {
            let end = end_of(&text.parse().unwrap()).unwrap();
            let since = end.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            assert_eq!(since.as_secs(), seconds, "{text}");
        }
        for text in ["12:00:00", "1969-12-30"] {
            assert!(end_of(&text.parse().unwrap()).is_err(), "{text}");
        }
    }
}
