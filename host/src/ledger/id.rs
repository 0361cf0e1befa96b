//! What names a task: a UUID of version 7, whose first half is the time.

use std::fmt;
use std::str::FromStr;

use uuid::{ContextV7, Timestamp, Uuid};

/// Names a background task, for as long as it is kept. Ids of one [`TaskIds`] sort by the order in which they were made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskId(Uuid);

impl TaskId {
    /// From what [`Self::as_bytes`] gave.
    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

/// The text form: 36 characters, lower case.
impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no task's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoTaskId;

impl FromStr for TaskId {
    type Err = NoTaskId;

    /// Reads the text form alone, in either case; braces, URNs and the form without hyphens are no task ids.
    fn from_str(text: &str) -> Result<Self, NoTaskId> {
        if text.len() != 36 {
            return Err(NoTaskId);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| NoTaskId)
    }
}

/// Makes ids. One a process: its ids ascend, also where the clock jumps back.
#[derive(Debug)]
pub(crate) struct TaskIds(std::sync::Mutex<ContextV7>);

impl TaskIds {
    pub(crate) fn new() -> Self {
        Self(std::sync::Mutex::new(ContextV7::new()))
    }

    /// A new one, of a task that is taken in at `now` (milliseconds of Unix time).
    pub(crate) fn next(&self, now: i64) -> TaskId {
        let millis = u64::try_from(now).unwrap_or(0);
        let nanos = u32::try_from(millis % 1_000).unwrap_or(0) * 1_000_000;
        // A panic inside leaves a counter as it was: nothing that a poisoned lock would protect.
        let context = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        TaskId(Uuid::new_v7(Timestamp::from_unix(
            &*context,
            millis / 1_000,
            nanos,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_also_when_the_clock_jumps_back() {
        let ids = TaskIds::new();
        let times = [
            1_700_000_000_000,
            1_700_000_000_000,
            1_600_000_000_000,
            0,
            -5,
            1_700_000_000_001,
        ];
        let mut last = ids.next(1_700_000_000_000);
        for now in times.into_iter().cycle().take(100_000) {
            let next = ids.next(now);
            assert!(next > last, "{last} {next} at {now}");
            last = next;
        }
    }

    #[test]
    fn an_id_is_a_uuid_of_version_7_that_starts_with_its_time() {
        let id = TaskIds::new().next(0x0197_f3c2_0a0b).to_string();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[..15], "0197f3c2-0a0b-7");
        assert!(
            matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'),
            "{id}"
        );
    }

    #[test]
    fn only_the_text_form_is_read() {
        // From RFC 9562, appendix A.6.
        let text = "017F22E2-79B0-7CC3-98C4-DC0C0C07398F";
        let id: TaskId = text.parse().unwrap();
        assert_eq!(id.to_string(), text.to_lowercase());
        assert_eq!(TaskId::from_bytes(*id.as_bytes()), id);
        for other in [
            "",
            "017F22E279B07CC398C4DC0C0C07398F",
            "{017F22E2-79B0-7CC3-98C4-DC0C0C07398F}",
            "urn:uuid:017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
            "017F22E2-79B0-7CC3-98C4-DC0C0C07398G",
            "017F22E2-79B0-7CC3-98C4-DC0C0C07398F\n",
        ] {
            assert_eq!(other.parse::<TaskId>(), Err(NoTaskId), "{other:?}");
        }
    }
}
