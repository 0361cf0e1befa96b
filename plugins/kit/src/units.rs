//! Sizes and durations as people write them in configurations: `"256MiB"`, `"1m 30s"`.
//!
//! For `#[serde(deserialize_with = "kit::units::size")]` and `"kit::units::duration"`.

use std::{borrow::Cow, fmt, time::Duration};

use plugin_api::PluginError;
use serde::{
    Deserializer,
    de::{self, Visitor},
};

/// Longer than anybody waits, and short enough to be added to any time.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Reads a duration, `"500ms"`, `"30s"`, `"1m 30s"`: more than nothing, and at most a year.
///
/// # Errors
///
/// The value is not a duration; the message says what one looks like.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = deserializer.deserialize_str(DurationText)?;
    match humantime::parse_duration(&text) {
        Ok(duration) if !duration.is_zero() && duration <= DURATION_MAX => Ok(duration),
        _ => Err(de::Error::custom(format!(
            "{text:?} is not a duration: write a whole number above 0 and ms, s, m or h, like \"30s\", up to a year"
        ))),
    }
}

/// Reads a size in bytes: a number, or a text like `"256MiB"`. KB, MB and GB are powers of 1024, like KiB, MiB and GiB.
///
/// # Errors
///
/// The value is not a size; the message says what one looks like.
pub fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Size)
}

/// Refuses a limit of 0; `limits` are the settings' names and values.
///
/// # Errors
///
/// The first one that is 0, by its name.
pub fn at_least_one(limits: &[(&str, u64)]) -> Result<(), PluginError> {
    match limits.iter().find(|(_, limit)| *limit == 0) {
        None => Ok(()),
        Some((key, _)) => Err(PluginError::new(format!("`{key}` must be at least 1"))),
    }
}

struct DurationText;

impl<'de> Visitor<'de> for DurationText {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration like \"30s\"")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

struct Size;

impl Visitor<'_> for Size {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, or a size like \"256MiB\"")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
        Ok(bytes)
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
        u64::try_from(bytes).map_err(|_| E::custom("a size can't be negative"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        parse_size(text).ok_or_else(|| {
            E::custom(format!(
                "{text:?} is not a size: write a whole number and B, KiB, MiB or GiB, like \"256MiB\""
            ))
        })
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "KB" | "KIB" => 10,
        "MB" | "MIB" => 20,
        "GB" | "GIB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use plugin_api::serde_json::{Value, json};

    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("256MB"), Some(256 << 20));
        assert_eq!(parse_size("256 MiB"), Some(256 << 20));
        assert_eq!(parse_size("1 gb"), Some(1 << 30));
        assert_eq!(parse_size("7"), Some(7));
        for wrong in ["", "MB", "1TBX", "-1", "1.5GB", "99999999999999GB"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
        assert_eq!(size(json!(7)).unwrap(), 7);
        assert_eq!(size(json!("64KB")).unwrap(), 65_536);
        for (wrong, told) in [
            (json!("much"), "\"much\" is not a size"),
            (json!(-1), "can't be negative"),
            (json!([1]), "a number of bytes"),
        ] {
            let error = size(wrong).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn durations() {
        let read = |value: Value| duration(value).map_err(|error| error.to_string());
        assert_eq!(read(json!("500ms")), Ok(Duration::from_millis(500)));
        assert_eq!(read(json!("1m 30s")), Ok(Duration::from_secs(90)));
        for wrong in ["", "5", "0s", "soon", "1000000h"] {
            let error = read(json!(wrong)).unwrap_err();
            assert!(error.contains("is not a duration"), "{error}");
        }
        assert!(read(json!(5)).unwrap_err().contains("a duration like"));
    }

    #[test]
    fn a_limit_of_nothing_is_refused_by_its_name() {
        assert!(at_least_one(&[("a", 1), ("b", 2)]).is_ok());
        let error = at_least_one(&[("a", 1), ("b", 0)]).unwrap_err();
        assert_eq!(error.message(), "`b` must be at least 1");
    }
}
