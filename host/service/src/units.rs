//! Times and sizes as people write them, in configurations and on command lines: `"30s"`, `"10MiB"`.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

const TIMES: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads `"500ms"`, `"30s"`, `"2m"`, `"1h"`: a whole number above 0 and a unit.
///
/// # Errors
/// The text is not a duration; the message says what to write.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    match scaled(text, &TIMES) {
        Some(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(format!(
            "{text:?} is not a duration: write a whole number above 0 and `ms`, `s`, `m` or `h`, like \"30s\""
        )),
    }
}

/// Reads `"10MiB"`, `"512KiB"`, `"1GB"`: a whole number and a unit.
///
/// # Errors
/// The text is not a size; the message says what to write.
pub fn parse_size(text: &str) -> Result<u64, String> {
    scaled(text, &SIZES).ok_or_else(|| {
        format!(
            "{text:?} is not a size: write a whole number and `B`, `kB`, `KiB`, `MB`, `MiB`, `GB` or `GiB`, like \"10MiB\""
        )
    })
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// A time in a configuration, as [`parse_time`] reads it.
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
                f.write_str("a text like \"30s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                parse_time(text).map(Time).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Bytes in a configuration: a number, or a text as [`parse_size`] reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "NumberOrText")]
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

#[derive(Deserialize)]
#[serde(untagged, expecting = "a number of bytes, or a text like \"10MiB\"")]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl TryFrom<NumberOrText> for Size {
    type Error = String;

    fn try_from(value: NumberOrText) -> Result<Self, String> {
        match value {
            NumberOrText::Number(bytes) => Ok(Self(bytes)),
            NumberOrText::Text(text) => parse_size(&text).map(Self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_with_their_units() {
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("2 m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_size("10MiB"), Ok(10 << 20));
        assert_eq!(parse_size("3 GB"), Ok(3_000_000_000));
    }

    #[test]
    fn other_texts_are_refused_with_what_to_write() {
        for text in [
            "",
            "5",
            "s",
            "0s",
            "-1s",
            "1.5s",
            "1 day",
            "99999999999999999999h",
            "9999999999999999h",
        ] {
            let error = parse_time(text).unwrap_err();
            assert!(error.contains("write a whole number"), "{text:?}: {error}");
        }
        let error = parse_size("10 furlongs").unwrap_err();
        assert!(error.contains("`MiB`"), "{error}");
    }

    #[test]
    fn configurations_hold_them() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Config {
            time: Time,
            text: Size,
            number: Size,
        }
        let config: Config = toml::from_str("time = \"1h\"\ntext = \"2kB\"\nnumber = 0").unwrap();
        assert_eq!(config.time, Time::secs(3600));
        assert_eq!(
            (config.text.to_usize(), config.number.to_limit()),
            (2000, None)
        );
        assert!(toml::from_str::<Time>("5").is_err());
    }
}
