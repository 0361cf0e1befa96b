//! Time zones: which clock a report reads, and what it shows.

use std::fmt;

use chrono::{DateTime, TimeZone as _};
use datafusion::arrow::array::timezone::Tz;
use report_document::calendar::{offset_text, timestamp_text};

/// The time zone of a report, or of a column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zone(Option<Tz>);

impl Zone {
    /// By its name in the IANA list (`Europe/Berlin`, `UTC`), or as an offset (`+02:00`).
    pub(crate) fn parse(name: &str) -> Option<Self> {
        if name == "UTC" {
            return Some(Self::default());
        }
        name.parse().ok().map(|zone| Self(Some(zone)))
    }

    /// How many seconds it is east of UTC at this time, in microseconds since 1970 in UTC.
    pub(crate) fn offset_at(self, micros: i64) -> i32 {
        let (Some(zone), Some(time)) = (self.0, DateTime::from_timestamp_micros(micros)) else {
            return 0;
        };
        let local = zone.from_utc_datetime(&time.naive_utc()).naive_local();
        let ahead = local.signed_duration_since(time.naive_utc());
        i32::try_from(ahead.num_seconds()).unwrap_or(0)
    }

    /// What a clock there shows, both in microseconds since 1970.
    pub(crate) fn local(self, micros: i64) -> i64 {
        micros.saturating_add(i64::from(self.offset_at(micros)) * 1_000_000)
    }

    /// When a clock there shows this. What it shows twice is taken for the first time; what it skips, for what it would
    /// have shown.
    pub(crate) fn instant(self, local: i64) -> i64 {
        let (Some(zone), Some(shown)) = (self.0, DateTime::from_timestamp_micros(local)) else {
            return local;
        };
        match zone.from_local_datetime(&shown.naive_utc()).earliest() {
            Some(time) => time.timestamp_micros(),
            None => {
                let before = self.offset_at(local.saturating_sub(DAY));
                local.saturating_sub(i64::from(before) * 1_000_000)
            }
        }
    }

    /// A point in time as it is written, with its zone: `2026-07-01 00:30:00+02:00`.
    pub(crate) fn text(self, micros: i64) -> String {
        let offset = self.offset_at(micros);
        let local = timestamp_text(self.local(micros));
        format!("{local}{}", offset_text(offset))
    }

    /// As `PostgreSQL` takes it, whose plain offsets count the other way.
    pub(crate) fn for_postgres(self) -> String {
        let name = self.to_string();
        if name.starts_with(['+', '-']) {
            format!("INTERVAL '{name}' HOUR TO MINUTE")
        } else {
            format!("'{name}'")
        }
    }
}

const DAY: i64 = report_document::calendar::MICROS_PER_DAY;

impl Default for Zone {
    /// UTC.
    fn default() -> Self {
        Self(None)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("UTC"),
            Some(zone) => zone.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use report_document::calendar::parse_timestamp;

    use super::*;

    /// What is right was found by Python's `zoneinfo`.
    #[test]
    fn clocks_are_read_and_shown_around_changes() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        for (local, utc) in [
            ("2026-07-01 00:30:00", "2026-06-30 22:30:00"),
            ("2026-01-01 00:00:00", "2025-12-31 23:00:00"),
            // Skipped in March, and there twice in October.
            ("2026-03-29 01:59:59", "2026-03-29 00:59:59"),
            ("2026-03-29 02:30:00", "2026-03-29 01:30:00"),
            ("2026-03-29 03:00:00", "2026-03-29 01:00:00"),
            ("2026-10-25 02:30:00", "2026-10-25 00:30:00"),
            ("2026-10-25 03:00:00", "2026-10-25 02:00:00"),
        ] {
            let read = parse_timestamp(local).unwrap().micros;
            assert_eq!(timestamp_text(berlin.instant(read)), utc, "{local}");
        }
        let at = |utc: &str| berlin.offset_at(parse_timestamp(utc).unwrap().micros);
        assert_eq!(at("2026-10-25 00:59:59"), 7_200);
        assert_eq!(at("2026-10-25 01:00:00"), 3_600);
        let offset = Zone::parse("-09:30").unwrap();
        assert_eq!(offset.offset_at(0), -34_200);
        assert_eq!(offset.for_postgres(), "INTERVAL '-09:30' HOUR TO MINUTE");
        assert_eq!(berlin.for_postgres(), "'Europe/Berlin'");
        for wrong in ["", "Berlin", "utc ", "'; DROP TABLE x", "Europe/berlin/"] {
            assert!(Zone::parse(wrong).is_none(), "{wrong:?}");
        }
        let _ = (berlin.local(i64::MAX), berlin.instant(i64::MIN));
    }
}
