//! Sizes and durations of configurations as plain numbers and [`Duration`]s, for
//! `#[serde(deserialize_with = "kit::units::size")]` and `"kit::units::duration"`.

use std::time::Duration;

use plugin_api::PluginError;
use serde::{Deserialize as _, Deserializer};
use values::units::{Size, Time};

/// Reads a duration: `"500ms"`, `"30s"`, `"1m 30s"`; at least a millisecond, and at most a year.
///
/// # Errors
///
/// The value is not a duration; the message says what one looks like.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Time::deserialize(deserializer).map(|time| time.0)
}

/// Reads a size in bytes: a number, or a text like `"256MiB"` (`MB` is 10^6, `MiB` 2^20).
///
/// # Errors
///
/// The value is not a size; the message says what one looks like.
pub fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Size::deserialize(deserializer).map(|size| size.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_nothing_is_refused_by_its_name() {
        assert!(at_least_one(&[("a", 1), ("b", 2)]).is_ok());
        let error = at_least_one(&[("a", 1), ("b", 0)]).unwrap_err();
        assert_eq!(error.message(), "`b` must be at least 1");
    }
}
