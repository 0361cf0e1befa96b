//! The same warning over and over: said once, then counted.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::OWN_TARGET;
use crate::sync::lock;

/// For so long after a warning the same one is only counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Different warnings that are remembered; beyond it all are said.
const REMEMBERED_MAX: usize = 256;
/// Longest part of a warning's text that is said again with its count, in bytes.
const TEXT_LEN_MAX: usize = 512;
/// Target of what plugins say: each line is about a task of its own, and counts as said by its author.
const PLUGIN_TARGET: &str = "plugin";

pub(super) struct Repeats(Mutex<Option<HashMap<u64, Repeat>>>);

struct Repeat {
    level: Level,
    target: &'static str,
    text: String,
    since: Instant,
    count: u64,
}

impl Repeats {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Whether the same was said within the last moments. Counts it then.
    pub(super) fn is_repeat(&self, event: &Event<'_>, now: Instant) -> bool {
        let meta = event.metadata();
        if *meta.level() > Level::WARN || [OWN_TARGET, PLUGIN_TARGET].contains(&meta.target()) {
            return false;
        }
        let mut text = Words(String::new());
        event.record(&mut text);
        self.is_said(*meta.level(), meta.target(), text.0, now)
    }

    fn is_said(&self, level: Level, target: &'static str, text: String, now: Instant) -> bool {
        let mut hasher = DefaultHasher::new();
        (level.as_str(), target, &text).hash(&mut hasher);
        let mut said = lock(&self.0);
        let said = said.get_or_insert_default();
        if let Some(repeat) = said.get_mut(&hasher.finish()) {
            repeat.count += 1;
            return true;
        }
        if said.len() < REMEMBERED_MAX {
            let repeat = Repeat {
                level,
                target,
                text,
                since: now,
                count: 0,
            };
            said.insert(hasher.finish(), repeat);
        }
        false
    }

    /// Tells how often that was said of which the window is over. It may be said again then.
    pub(super) fn tell(&self, now: Instant) {
        for repeat in self.take(|repeat| now.duration_since(repeat.since) >= WINDOW) {
            repeat.tell();
        }
    }

    /// Tells all counts.
    pub(super) fn tell_all(&self) {
        for repeat in self.take(|_| true) {
            repeat.tell();
        }
    }

    /// Those that were said again. All that are over are forgotten.
    fn take(&self, is_over: impl Fn(&Repeat) -> bool) -> Vec<Repeat> {
        let mut said = lock(&self.0);
        let Some(said) = said.as_mut() else {
            return Vec::new();
        };
        let over = said.extract_if(|_, repeat| is_over(repeat));
        over.map(|(_, repeat)| repeat)
            .filter(|repeat| repeat.count > 0)
            .collect()
    }
}

impl Repeat {
    fn tell(mut self) {
        let end = self.text.floor_char_boundary(TEXT_LEN_MAX);
        self.text.truncate(end);
        let Self {
            target,
            text,
            count,
            ..
        } = self;
        // A level is a part of the place in the code.
        if self.level == Level::ERROR {
            tracing::error!(target: OWN_TARGET, repeated = count, from = target, "the same again: {text}");
        } else {
            tracing::warn!(target: OWN_TARGET, repeated = count, from = target, "the same again: {text}");
        }
    }
}

/// An event's message and fields as a text.
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let separator = if self.0.is_empty() { "" } else { " " };
        // A String takes whatever is written to it.
        let _ = if field.name() == "message" {
            write!(self.0, "{separator}{value:?}")
        } else {
            write!(self.0, "{separator}{}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(repeats: &Repeats, text: &str, now: Instant) -> bool {
        repeats.is_said(Level::WARN, "test", text.to_owned(), now)
    }

    fn told(repeats: &Repeats, now: Instant) -> Vec<(String, u64)> {
        let over = repeats.take(|repeat| now.duration_since(repeat.since) >= WINDOW);
        over.into_iter()
            .map(|repeat| (repeat.text, repeat.count))
            .collect()
    }

    #[test]
    fn what_is_said_again_is_counted_and_told_once() {
        let repeats = Repeats::new();
        let start = Instant::now();
        assert!(!said(&repeats, "no room", start));
        assert!(!said(&repeats, "no descriptors", start));
        for _ in 0..3 {
            assert!(said(&repeats, "no room", start));
        }
        assert!(told(&repeats, start).is_empty());
        let later = start + WINDOW;
        assert_eq!(told(&repeats, later), [("no room".to_owned(), 3)]);
        assert!(!said(&repeats, "no room", later));
    }

    #[test]
    fn many_different_warnings_are_all_said() {
        let repeats = Repeats::new();
        let now = Instant::now();
        for number in 0..2 * REMEMBERED_MAX {
            assert!(!said(&repeats, &format!("number {number}"), now));
        }
        assert!(!said(&repeats, "one more", now));
        assert!(!said(&repeats, "one more", now));
        assert!(told(&repeats, now + WINDOW).is_empty());
    }
}
