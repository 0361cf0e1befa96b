//! Dates and times of day, as days and microseconds since 1970.

pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

/// `2024-02-29` as days since 1970-01-01.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *bytes else {
        return None;
    };
    let year = number(&[y1, y2, y3, y4])?;
    let (month, day) = (number(&[m1, m2])?, number(&[d1, d2])?);
    days(year, month, day)
}

/// `2024-02-29 12:30`, `2024-02-29T12:30:15.25Z` or a date as microseconds since 1970 in UTC; a zone is reckoned in.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    let date = i64::from(parse_date(text.get(..10)?)?) * DAY_MICROS;
    let Some(time) = text.get(10..).filter(|time| !time.is_empty()) else {
        return Some(date);
    };
    let time = time.strip_prefix(['T', 't', ' '])?;
    let bytes = time.as_bytes();
    let two = |at: usize| number(bytes.get(at..at + 2)?);
    let (hour, minute) = (two(0)?, two(3)?);
    let mut end = 5;
    let mut second = 0;
    let mut micros = 0;
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
            micros = i64::from(number(&digits)?);
            end = 9 + len;
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    let offset = parse_zone(time.get(end..)?)?;
    Some(date + (seconds - offset) * 1_000_000 + micros)
}

/// A zone as seconds east of UTC: nothing, `Z`, `+01:00`, `+0100` or `+01`.
fn parse_zone(text: &str) -> Option<i64> {
    if text.is_empty() || text.eq_ignore_ascii_case("z") {
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
    (hours <= 18 && minutes <= 59).then_some(sign * i64::from(hours * 3600 + minutes * 60))
}

fn number(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0i32, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| value * 10 + i32::from(digit))
    })
}

/// Days since 1970 of a day in the Gregorian calendar, after Howard Hinnant's `days_from_civil`.
pub(crate) fn days(year: i32, month: i32, day: i32) -> Option<i32> {
    if !(0..=9999).contains(&year)
        || !(1..=12).contains(&month)
        || day < 1
        || day > month_len(year, month)
    {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn month_len(year: i32, month: i32) -> i32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Year, month and day of a day since 1970.
pub(crate) fn civil(days: i32) -> (i64, u8, u8) {
    let days = i64::from(days) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (
        year,
        u8::try_from(month).unwrap_or_default(),
        u8::try_from(day).unwrap_or_default(),
    )
}

pub(crate) fn date_text(days: i32) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

pub(crate) fn timestamp_text(micros: i64) -> String {
    let days = i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap_or_default();
    let of_day = micros.rem_euclid(DAY_MICROS);
    let seconds = of_day / 1_000_000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{} {hour:02}:{minute:02}:{second:02}", date_text(days));
    if of_day % 1_000_000 != 0 {
        let fraction = format!(".{:06}", of_day % 1_000_000);
        text.push_str(fraction.trim_end_matches('0'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_ten_thousand_years_there_and_back() {
        let first = days(0, 1, 1).unwrap();
        let last = days(9999, 12, 31).unwrap();
        assert_eq!(days(1970, 1, 1), Some(0));
        for day in first..=last {
            let (year, month, of_month) = civil(day);
            let year = i32::try_from(year).unwrap();
            assert_eq!(days(year, i32::from(month), i32::from(of_month)), Some(day));
        }
        assert_eq!(last - first + 1, 3_652_425);
    }

    #[test]
    fn dates_are_strict() {
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date("2024-02-29"), Some(19_782));
        for wrong in [
            "2023-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-1-1",
            "24-01-01",
            "2024/01/01",
            "",
        ] {
            assert_eq!(parse_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn timestamps_with_and_without_zone() {
        assert_eq!(parse_timestamp("1970-01-01 00:00:01.5"), Some(1_500_000));
        assert_eq!(parse_timestamp("1970-01-01T01:00+01:00"), Some(0));
        assert_eq!(
            parse_timestamp("1970-01-01T00:00:00-0230"),
            Some(9_000_000_000)
        );
        assert_eq!(parse_timestamp("1970-01-02"), Some(DAY_MICROS));
        assert_eq!(timestamp_text(1_500_000), "1970-01-01 00:00:01.5");
        assert_eq!(timestamp_text(-1_000_000), "1969-12-31 23:59:59");
        let wrong = [
            "1970-01-01 24:00",
            "1970-01-01 1:00",
            "1970-01-01 10",
            "1970-01-01T10:00:00.",
            "1970-01-01 10:00 x",
        ];
        for wrong in wrong {
            assert_eq!(parse_timestamp(wrong), None, "{wrong}");
        }
    }
}
