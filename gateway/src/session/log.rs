//! What a client is told, in order: kept until the client is known to have it.

use std::collections::VecDeque;

use tokio_tungstenite::tungstenite::Utf8Bytes;

/// So many gaps, which messages that were taken back have left, are kept before the log is compacted.
const GAPS_MAX: usize = 64;

/// How many messages of one session are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogLimits {
    /// Messages of one session.
    pub(crate) count_max: usize,
    /// Bytes of all messages together.
    pub(crate) len_max: usize,
}

/// The messages of a session that its client may not have yet.
#[derive(Debug)]
pub(super) struct Log {
    limits: LogLimits,
    entries: VecDeque<Entry>,
    /// Entries that still have a message, and the length of these together.
    count: usize,
    len: usize,
    /// The length of those that the socket has not taken.
    unsent_len: usize,
    /// The number of the newest message.
    seq_last: u64,
    /// The number of the first message that the socket has not taken.
    next: u64,
    /// All messages up to this one are gone, whether the client has them or not.
    forgotten: u64,
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    /// None for progress that newer progress has made pointless.
    message: Option<Utf8Bytes>,
}

/// More messages wait for the client than may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

impl Log {
    pub(super) fn new(limits: LogLimits) -> Self {
        Self {
            limits,
            entries: VecDeque::new(),
            count: 0,
            len: 0,
            unsent_len: 0,
            seq_last: 0,
            next: 1,
            forgotten: 0,
        }
    }

    /// The number that the next message gets.
    pub(super) fn seq_next(&self) -> u64 {
        self.seq_last + 1
    }

    /// The length of all that is kept.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The length of what the socket has not taken.
    pub(super) fn unsent_len(&self) -> usize {
        self.unsent_len
    }

    /// The number of the last message that the socket has taken.
    pub(super) fn seq_taken(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    /// Adds the message with the number [`Log::seq_next`]. What the client has been sent, but may not have, makes room
    /// for it.
    ///
    /// # Errors
    /// Messages that were never sent fill the log already. The message is not added.
    pub(super) fn push(&mut self, message: Utf8Bytes) -> Result<u64, Overflow> {
        while self.count + 1 > self.limits.count_max
            || self.len + message.len() > self.limits.len_max
        {
            match self.entries.front() {
                Some(entry) if entry.seq < self.next => {
                    self.forgotten = entry.seq;
                    self.pop();
                }
                // A single message that is longer than all that may be kept is sent all the same.
                None => break,
                Some(_) => return Err(Overflow),
            }
        }
        self.seq_last += 1;
        self.count += 1;
        self.len += message.len();
        self.unsent_len += message.len();
        self.entries.push_back(Entry {
            seq: self.seq_last,
            message: Some(message),
        });
        Ok(self.seq_last)
    }

    /// Takes back a message that has become pointless, if it has not been sent.
    pub(super) fn retract(&mut self, seq: u64) {
        if seq < self.next {
            return;
        }
        let at = self.index_of(seq);
        if let Some(message) = self
            .entries
            .get_mut(at)
            .filter(|entry| entry.seq == seq)
            .and_then(|entry| entry.message.take())
        {
            self.count -= 1;
            self.len -= message.len();
            self.unsent_len -= message.len();
            self.compact();
        }
    }

    /// The client has everything up to this message.
    pub(super) fn acknowledge(&mut self, seq: u64) {
        // What was never sent can't have been seen.
        let seq = seq.min(self.seq_taken());
        while self.entries.front().is_some_and(|entry| entry.seq <= seq) {
            self.pop();
        }
        self.forgotten = self.forgotten.max(seq);
        if self.entries.is_empty() {
            // Idle clients are many.
            self.entries = VecDeque::new();
        }
    }

    /// The messages to send next: those that fit into `len_max` bytes, and one at least.
    pub(super) fn take(&mut self, len_max: usize, into: &mut Vec<Utf8Bytes>) {
        let start = self.index_of(self.next);
        if start >= self.entries.len() {
            return;
        }
        let mut len = 0;
        for entry in self.entries.range(start..) {
            if let Some(message) = &entry.message {
                if len > 0 && len + message.len() > len_max {
                    break;
                }
                len += message.len();
                into.push(message.clone());
            }
            self.next = entry.seq + 1;
        }
        self.unsent_len -= len;
    }

    /// Goes on after the message that the client has seen last.
    ///
    /// # Errors
    /// Messages after it are gone, or it was never sent.
    pub(super) fn resume(&mut self, seen: u64) -> Result<(), Overflow> {
        if seen < self.forgotten || seen >= self.next {
            return Err(Overflow);
        }
        self.acknowledge(seen);
        self.next = seen + 1;
        self.unsent_len = self.len;
        Ok(())
    }

    /// Where the message of that number is, or would be.
    fn index_of(&self, seq: u64) -> usize {
        let (Some(first), Some(last)) = (self.entries.front(), self.entries.back()) else {
            return 0;
        };
        if seq > last.seq {
            return self.entries.len();
        }
        // There are seldom gaps before it.
        let near = usize::try_from(seq.saturating_sub(first.seq)).unwrap_or(usize::MAX);
        match self.entries.get(near) {
            Some(entry) if entry.seq == seq => near,
            _ => self.entries.partition_point(|entry| entry.seq < seq),
        }
    }

    /// Removes the gaps when they outnumber the messages.
    fn compact(&mut self) {
        if self.entries.len() > 2 * self.count + GAPS_MAX {
            self.entries.retain(|entry| entry.message.is_some());
        }
    }

    fn pop(&mut self) {
        if let Some(message) = self.entries.pop_front().and_then(|entry| entry.message) {
            self.count -= 1;
            self.len -= message.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(count_max: usize, len_max: usize) -> Log {
        Log::new(LogLimits { count_max, len_max })
    }

    fn push(log: &mut Log) -> Result<u64, Overflow> {
        let message = format!("{:04}", log.seq_next());
        log.push(message.into())
    }

    fn take(log: &mut Log, len_max: usize) -> Vec<String> {
        let mut messages = Vec::new();
        log.take(len_max, &mut messages);
        messages.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn messages_are_sent_once_and_in_order() {
        let mut log = log(10, 100);
        for _ in 0..5 {
            push(&mut log).unwrap();
        }
        assert_eq!(take(&mut log, 8), ["0001", "0002"]);
        assert_eq!(take(&mut log, 1), ["0003"]);
        assert!(log.unsent_len() > 0);
        assert_eq!(take(&mut log, 100), ["0004", "0005"]);
        assert_eq!(log.unsent_len(), 0);
        assert_eq!(take(&mut log, 100), [""; 0]);
    }

    #[test]
    fn what_was_taken_back_leaves_no_trace() {
        let mut log = log(100, 10_000);
        let first = push(&mut log).unwrap();
        let mut before = push(&mut log).unwrap();
        for _ in 0..10_000 {
            log.retract(before);
            before = push(&mut log).unwrap();
        }
        assert!(log.entries.len() < 200, "{}", log.entries.len());
        assert_eq!((log.count, log.unsent_len()), (2, log.len()));
        log.retract(before - 1);
        assert_eq!(take(&mut log, 100).len(), 2);
        assert_eq!(log.seq_taken(), before);
        log.resume(first).unwrap();
        assert_eq!(take(&mut log, 100), [format!("{before:04}")]);
        push(&mut log).unwrap();
        assert_eq!(take(&mut log, 100), [format!("{:04}", before + 1)]);
        log.acknowledge(before + 1);
        assert_eq!((log.len(), log.count), (0, 0));
    }

    #[test]
    fn a_resumed_client_gets_what_it_has_not_seen() {
        let mut log = log(10, 100);
        for _ in 0..5 {
            push(&mut log).unwrap();
        }
        assert_eq!(log.resume(1), Err(Overflow), "it can't have seen it");
        take(&mut log, 100);
        push(&mut log).unwrap();
        log.resume(3).unwrap();
        assert_eq!(take(&mut log, 100), ["0004", "0005", "0006"]);
        assert_eq!(log.resume(2), Err(Overflow), "it has said that it has them");
        log.resume(6).unwrap();
        assert_eq!(take(&mut log, 100), [""; 0]);
        assert_eq!(log.len(), 0);
    }

    #[test]
    fn what_was_sent_makes_room_for_what_was_not() {
        let mut log = log(3, 100);
        for _ in 0..3 {
            push(&mut log).unwrap();
        }
        assert_eq!(push(&mut log), Err(Overflow));
        assert_eq!(take(&mut log, 8), ["0001", "0002"]);
        assert_eq!(push(&mut log), Ok(4));
        assert_eq!(log.resume(0), Err(Overflow), "the first is gone");
        log.resume(1).unwrap();
        assert_eq!(take(&mut log, 100), ["0002", "0003", "0004"]);
    }

    #[test]
    fn bytes_count_as_messages_do() {
        let mut log = log(100, 10);
        push(&mut log).unwrap();
        push(&mut log).unwrap();
        assert_eq!(push(&mut log), Err(Overflow));
        log.retract(2);
        assert_eq!(push(&mut log), Ok(3));
        assert_eq!(take(&mut log, 100), ["0001", "0003"]);
        log.acknowledge(3);
        assert_eq!(
            log.push("x".repeat(1000).into()),
            Ok(4),
            "one alone always fits"
        );
    }

    #[test]
    fn what_was_sent_is_not_taken_back() {
        let mut log = log(10, 100);
        push(&mut log).unwrap();
        push(&mut log).unwrap();
        assert_eq!(take(&mut log, 4), ["0001"]);
        log.retract(1);
        log.retract(2);
        log.retract(7);
        assert_eq!(take(&mut log, 100), [""; 0]);
        assert_eq!(log.unsent_len(), 0);
        log.resume(0).unwrap();
        assert_eq!(take(&mut log, 100), ["0001"]);
    }

    #[test]
    fn nobody_acknowledges_what_was_not_sent() {
        let mut log = log(10, 100);
        push(&mut log).unwrap();
        log.acknowledge(99);
        assert_eq!(take(&mut log, 100), ["0001"]);
        log.acknowledge(99);
        assert_eq!(log.len(), 0);
        assert_eq!(push(&mut log), Ok(2));
    }
}
