//! Times and sizes as people write them.

use std::time::Duration;

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

/// `"500ms"`, `"30s"`, `"2m"`, `"1h"`: a whole number and a unit, more than nothing.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    match scaled(text, &TIMES) {
        Some(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(format!(
            "{text:?} is no time; write a whole number above 0 and ms, s, m or h, like \"30s\""
        )),
    }
}

/// `"10MiB"`, `"512KiB"`, `"1GB"`: a whole number and a unit.
pub(super) fn size(text: &str) -> Result<u64, String> {
    scaled(text, &SIZES)
        .ok_or_else(|| format!("{text:?} is no size; write a whole number and B, kB, KiB, MB, MiB, GB or GiB, like \"10MiB\""))
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_with_their_units() {
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("2 m"), Ok(Duration::from_secs(120)));
        assert_eq!(size("10MiB"), Ok(10 << 20));
        assert_eq!(size("3 GB"), Ok(3_000_000_000));
    }

    #[test]
    fn what_is_no_time_is_refused() {
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
            assert!(time(text).is_err(), "{text:?}");
        }
    }
}
