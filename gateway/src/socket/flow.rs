//! What was sent to a client, and when it is pinged to learn what it has, so that the rest need not be kept.

use std::mem;

use crate::session::SessionLimits;

/// The client is pinged after so many messages, or so many bytes.
const ASKED_EACH_COUNT: usize = 128;
const ASKED_EACH_LEN: usize = 256 * 1024;

/// What was sent to a client, and what it was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// The client is pinged after so much.
    asked_each: Amount,
    /// The number of the last message that was sent.
    sent: u64,
    /// The number of the last message that had been sent when the client was pinged.
    asked: u64,
    since_asked: Amount,
    /// Pings of the heartbeat since the client said anything.
    missed: u32,
}

/// Messages, and their length in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    count: usize,
    len: usize,
}

impl Flow {
    /// For a client of which so much is kept.
    pub(super) fn new(kept: &SessionLimits) -> Self {
        Self {
            asked_each: Amount {
                count: ASKED_EACH_COUNT.min(kept.log.count_max / 4),
                len: ASKED_EACH_LEN.min(kept.log.len_max / 4),
            },
            sent: 0,
            asked: 0,
            since_asked: Amount::default(),
            missed: 0,
        }
    }

    /// A message is sent.
    pub(super) fn sending(&mut self, len: usize) {
        self.since_asked.count += 1;
        self.since_asked.len += len;
    }

    /// All messages up to that number are sent.
    pub(super) fn sent(&mut self, seq: u64) {
        self.sent = seq;
    }

    /// Whether the client is to be pinged.
    pub(super) fn is_to_ask(&self) -> bool {
        self.since_asked.count >= self.asked_each.count
            || self.since_asked.len >= self.asked_each.len
    }

    /// The number of the message for the next ping: the last one that had been sent at the ping before, since the client may
    /// not have looked at what has only just arrived.
    pub(super) fn ask(&mut self) -> u64 {
        self.since_asked = Amount::default();
        mem::replace(&mut self.asked, self.sent)
    }

    /// The number of the message for a ping of the heartbeat: the last one that was sent.
    pub(super) fn beat(&mut self) -> u64 {
        self.missed += 1;
        self.ask();
        self.sent
    }

    /// The client has said something.
    pub(super) fn heard(&mut self) {
        self.missed = 0;
    }

    /// Pings of the heartbeat since the client said anything.
    pub(super) fn missed(&self) -> u32 {
        self.missed
    }

    /// The client goes on with a session of which it has everything up to that message.
    pub(super) fn resumed(&mut self, seen: u64) {
        self.asked = seen;
        self.since_asked = Amount::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::LogLimits;

    fn flow(count_max: usize, len_max: usize) -> Flow {
        Flow::new(&SessionLimits {
            log: LogLimits { count_max, len_max },
            unsent_len_max: 0,
        })
    }

    #[test]
    fn the_client_is_asked_for_what_was_sent_before_the_last_time() {
        let mut flow = flow(40, 1 << 20);
        for seq in 1..=10 {
            assert!(!flow.is_to_ask());
            flow.sending(1);
            flow.sent(seq);
        }
        assert!(flow.is_to_ask());
        assert_eq!(flow.ask(), 0);
        assert!(!flow.is_to_ask());
        flow.sent(15);
        assert_eq!(flow.ask(), 10);
        flow.resumed(3);
        assert_eq!(flow.ask(), 3);
    }

    #[test]
    fn bytes_count_as_messages_do() {
        let mut flow = flow(10_000, 1000);
        flow.sending(249);
        assert!(!flow.is_to_ask());
        flow.sending(1);
        assert!(flow.is_to_ask());
    }

    #[test]
    fn the_heartbeat_asks_for_everything() {
        let mut flow = flow(10_000, 1 << 20);
        flow.sent(7);
        assert_eq!(flow.beat(), 7);
        assert_eq!(flow.beat(), 7);
        assert_eq!(flow.missed(), 2);
        flow.heard();
        assert_eq!((flow.missed(), flow.ask()), (0, 7));
    }
}
