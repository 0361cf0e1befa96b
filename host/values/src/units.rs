//! Sizes and durations: `"256MiB"`, `"1m 30s"`.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// Longer than anybody waits, and short enough to be added to any time.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A kilobyte is 1000 bytes, a kibibyte 1024 (IEC 80000-13). Upper and lower case are the same.
const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads `"500ms"`, `"30s"`, `"1m 30s"`, `"2h"`: whole milliseconds, at least one, and at most a year.
///
/// # Errors
/// The text is not a duration; the message says what to write.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if is_whole_millis(time) && time <= DURATION_MAX => Ok(time),
        _ => Err(format!(
            "{text:?} is not a duration: write a whole number above 0 and `ms`, `s`, `m` or `h`, like \"30s\", up to a year"
        )),
    }
}

fn is_whole_millis(time: Duration) -> bool {
    !time.is_zero() && time.subsec_nanos().is_multiple_of(1_000_000)
}

/// Reads `"10MiB"`, `"512KiB"`, `"1GB"`: a whole number and a unit.
///
/// # Errors
/// The text is not a size; the message says what to write.
pub fn parse_size(text: &str) -> Result<u64, String> {
    scaled(text.trim()).ok_or_else(|| {
        format!(
            "{text:?} is not a size: write a whole number and `B`, `kB`, `KiB`, `MB`, `MiB`, `GB` or `GiB`, like \"10MiB\""
        )
    })
}

fn scaled(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let (_, scale) = SIZES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// A duration in a configuration, as [`parse_time`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

impl Time {
    /// So many milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// So many seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration like \"30s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                parse_time(text).map(Time).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Bytes in a configuration: a number, or a text as [`parse_size`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Size {
    /// As a length in memory; the longest that there is, if it is longer.
    #[must_use]
    pub fn to_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// As a limit, where 0 stands for "no limit".
    #[must_use]
    pub fn to_limit(self) -> Option<u64> {
        (self.0 > 0).then_some(self.0)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, or a size like \"10MiB\"")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                let bytes = u64::try_from(bytes);
                bytes
                    .map(Size)
                    .map_err(|_| E::custom("a size can't be negative"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                parse_size(text).map(Size).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn times_and_sizes_are_read_with_their_units() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("2 m", 120_000),
            ("1m 30s", 90_000),
            ("1.5s", 1500),
            ("1h", 3_600_000),
            ("366days", 366 * 86_400_000),
        ] {
            assert_eq!(
                parse_time(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for (text, bytes) in [
            ("0B", 0),
            ("2kB", 2000),
            ("2KB", 2000),
            ("256MB", 256_000_000),
            ("10MiB", 10_485_760),
            ("10 mib", 10_485_760),
            ("3 GB", 3_000_000_000),
            ("1GiB", 1_073_741_824),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_what_to_write() {
        for text in [
            "",
            "5",
            "s",
            "0s",
            "-1s",
            "soon",
            "1500us",
            "367days",
            "1000000h",
            "99999999999999999999h",
        ] {
            let error = parse_time(text).unwrap_err();
            assert!(error.contains("write a whole number"), "{text:?}: {error}");
        }
        for text in ["", "MB", "1TBX", "7", "-1MB", "1.5GB", "99999999999999GB"] {
            let error = parse_size(text).unwrap_err();
            assert!(error.contains("`MiB`"), "{text:?}: {error}");
        }
    }

    #[test]
    fn configurations_hold_them() {
        let time = |value| from_value::<Time>(value).map_err(|error| error.to_string());
        let size = |value| from_value::<Size>(value).map_err(|error| error.to_string());
        assert_eq!(time(json!("1h")), Ok(Time::secs(3600)));
        assert_eq!(size(json!("2kB")).map(Size::to_usize), Ok(2000));
        assert_eq!(size(json!(0)).map(Size::to_limit), Ok(None));
        assert_eq!(size(json!(7)).map(Size::to_limit), Ok(Some(7)));
        assert!(time(json!(5)).unwrap_err().contains("a duration like"));
        for (wrong, told) in [
            (json!("much"), "\"much\" is not a size"),
            (json!(-1), "can't be negative"),
            (json!([1]), "a number of bytes"),
            (json!(1.5), "a number of bytes"),
        ] {
            let error = size(wrong).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
