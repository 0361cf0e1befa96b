//! Lists of a result, with as many as there is room for: a line of the host holds 10 MiB, and a result that doesn't fit
//! would be lost whole, after mails were sent.

use std::io;

use plugin_api::serde_json;
use serde::Serialize;

/// Room for all lists of one result together, in bytes of JSON. Of a failure too: its data has half a line.
pub(crate) const LISTS_LEN_MAX: usize = 4 << 20;

/// As many as there is room for, and how many more there were.
pub(crate) struct Listed<T> {
    pub(crate) items: Vec<T>,
    pub(crate) left_out: usize,
    len: usize,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            left_out: 0,
            len: 0,
        }
    }
}

impl<T: Serialize> Listed<T> {
    /// Adds one, if there is room for it.
    pub(crate) fn push(&mut self, item: T) {
        let len = json_len(&item);
        if self.len + len > LISTS_LEN_MAX {
            self.left_out += 1;
            return;
        }
        self.len += len;
        self.items.push(item);
    }

    /// How many there were.
    pub(crate) fn count(&self) -> usize {
        self.items.len() + self.left_out
    }

    /// Leaves no more than there is room for beside others, by taking away the last ones.
    pub(crate) fn make_room<U>(&mut self, others: &Listed<U>) {
        while self.len + others.len > LISTS_LEN_MAX
            && let Some(item) = self.items.pop()
        {
            self.len -= json_len(&item);
            self.left_out += 1;
        }
    }
}

/// The length in a list, with a comma.
fn json_len(item: &impl Serialize) -> usize {
    /// Counts what is written.
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(1);
    // What can't be written is nothing that has room.
    match serde_json::to_writer(&mut count, item) {
        Ok(()) => count.0,
        Err(_) => usize::MAX / 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_end_where_their_room_does_and_count_on() {
        let mut failed = Listed::default();
        // Each is three times as long in JSON.
        let item = "\"\u{1}".repeat(1 << 18);
        let len = serde_json::to_string(&item).unwrap().len() + 1;
        for _ in 0..10 {
            failed.push(item.as_str());
        }
        let room = LISTS_LEN_MAX / len;
        assert_eq!((failed.items.len(), failed.count()), (room, 10));
        // A short one still fits.
        failed.push("x");
        assert_eq!((failed.items.len(), failed.count()), (room + 1, 11));
        let mut sent = Listed::default();
        for _ in 0..LISTS_LEN_MAX / 4 {
            sent.push("");
        }
        sent.make_room(&failed);
        let all = serde_json::to_string(&(&failed.items, &sent.items)).unwrap();
        assert!(all.len() > LISTS_LEN_MAX - 8 && all.len() <= LISTS_LEN_MAX + 8);
        assert_eq!(sent.count(), LISTS_LEN_MAX / 4);
    }
}
