//! What servers allow, as a part of sending: messages in a session and in a second, recipients in a transaction, and
//! refusals that only mean "not now". `judge` decides; nothing here waits or does I/O.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::reply::Reply;

/// The wait after the first refusal that asks to come later, and the longest one; each further one doubles it.
const DELAY_MIN: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(8);

/// At which command a transaction was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Mail,
    Recipient,
    Data,
    /// The whole message.
    End,
}

/// How a transaction ended for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted(Reply),
    Refused {
        reply: Reply,
        step: Step,
    },
    /// The transaction was full before.
    Unasked,
}

/// What is to be done for a recipient, the least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Again {
    /// That was its answer, or the next transaction will bring it.
    #[default]
    Here,
    /// The session is exhausted.
    NewConnection,
    /// The server wants less, for a while.
    Later,
}

/// Whether a recipient's verdict is final: `None`, or how to go on. `has_accepted`: the transaction was accepted for
/// others; `is_first`: it was its connection's first.
pub(crate) fn judge(verdict: &Verdict, has_accepted: bool, is_first: bool) -> Option<Again> {
    match verdict {
        Verdict::Accepted(_) => None,
        Verdict::Unasked => Some(Again::Here),
        Verdict::Refused { reply, step } => match step {
            Step::Recipient if has_accepted && is_too_many(reply) => Some(Again::Here),
            _ if !reply.is_transient() => None,
            Step::Recipient if is_about_mailbox(reply) => None,
            Step::Mail if !is_first => Some(Again::NewConnection),
            Step::Mail | Step::Recipient | Step::Data | Step::End => Some(Again::Later),
        },
    }
}

/// Whether the reply to RCPT, after others were accepted, means that the transaction is full (RFC 5321, 4.5.3.1.10; some
/// servers say 552).
pub(crate) fn is_too_many(reply: &Reply) -> bool {
    match reply.code {
        452 => !is_about_mailbox(reply),
        552 => reply.text.starts_with("5.5.3"),
        _ => reply.text.starts_with("4.5.3"),
    }
}

/// Whether a temporary refusal is about the recipient's mailbox, so that waiting a little brings nothing (RFC 3463, 3.2
/// and 3.3).
fn is_about_mailbox(reply: &Reply) -> bool {
    let mut parts = reply.text.splitn(3, '.');
    match (parts.next(), parts.next()) {
        (Some("4"), Some(subject)) => matches!(subject, "1" | "2"),
        _ => reply.code == 450,
    }
}

/// How long to wait after so many refusals in a row: doubled each time, a random part of it taken off, so that lanes
/// that were refused at once don't come back at once.
pub(crate) fn delay(refusals: u32) -> Duration {
    let doubled = DELAY_MIN.saturating_mul(1 << refusals.saturating_sub(1).min(10));
    doubled.min(DELAY_MAX).mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// What all connections of a worker keep to.
pub(crate) struct Limits {
    /// The time between two messages, where there is a limit of them in a second.
    interval: Option<Duration>,
    /// When the next message may go.
    next: Mutex<Option<Instant>>,
    /// How many recipients the server has shown to take in a transaction.
    recipients_max: AtomicUsize,
}

impl Limits {
    pub(crate) fn new(messages_per_second_max: Option<f64>) -> Self {
        Self {
            interval: messages_per_second_max.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            next: Mutex::default(),
            recipients_max: AtomicUsize::new(usize::MAX),
        }
    }

    /// Takes the turn of one message, or says when it is.
    pub(crate) fn take_turn(&self, now: Instant) -> Result<(), Instant> {
        let Some(interval) = self.interval else {
            return Ok(());
        };
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        match *next {
            Some(at) if at > now => Err(at),
            at => {
                // Without a debt: a pause is not made up for by a burst.
                let since = at
                    .filter(|at| now.duration_since(*at) < interval)
                    .unwrap_or(now);
                *next = Some(since + interval);
                Ok(())
            }
        }
    }

    pub(crate) fn recipients_max(&self) -> usize {
        self.recipients_max.load(Ordering::Relaxed)
    }

    /// The server took so many and called the next one too many.
    pub(crate) fn learn_recipients_max(&self, count: usize) {
        self.recipients_max
            .fetch_min(count.max(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(step: Step, code: u16, text: &str) -> Verdict {
        Verdict::Refused {
            step,
            reply: Reply {
                code,
                text: text.to_owned(),
            },
        }
    }

    #[test]
    fn every_refusal_is_understood() {
        use Again::{Here, Later, NewConnection};
        use Step::{Data, End, Mail, Recipient};
        let cases = [
            // Step, code, text, others accepted, first of its connection.
            (
                Mail,
                452,
                "4.4.5 Maximum number of messages per session",
                false,
                false,
                Some(NewConnection),
            ),
            (
                Mail,
                452,
                "4.4.5 Maximum number of messages per session",
                false,
                true,
                Some(Later),
            ),
            (
                Mail,
                450,
                "4.7.1 Rate limit exceeded",
                false,
                true,
                Some(Later),
            ),
            (Mail, 550, "5.7.1 not you", false, false, None),
            (
                Recipient,
                452,
                "4.5.3 Too many recipients",
                true,
                true,
                Some(Here),
            ),
            (
                Recipient,
                452,
                "Too many recipients",
                true,
                true,
                Some(Here),
            ),
            (
                Recipient,
                552,
                "5.5.3 Too many recipients",
                true,
                true,
                Some(Here),
            ),
            (Recipient, 552, "5.2.2 full", true, true, None),
            (Recipient, 452, "4.2.2 mailbox full", true, true, None),
            (
                Recipient,
                452,
                "4.5.3 Too many recipients",
                false,
                true,
                Some(Later),
            ),
            (Recipient, 450, "4.2.1 mailbox busy", false, true, None),
            (Recipient, 450, "mailbox busy", false, true, None),
            (Recipient, 451, "4.7.1 slow down", false, true, Some(Later)),
            (Recipient, 450, "4.7.1 slow down", true, true, Some(Later)),
            (Recipient, 550, "5.1.1 nobody", true, true, None),
            (Data, 451, "4.3.0 later", false, false, Some(Later)),
            (End, 421, "4.3.2 shutting down", false, true, Some(Later)),
            (End, 554, "5.7.1 spam", false, true, None),
        ];
        for (step, code, text, has_accepted, is_first, wanted) in cases {
            let verdict = refused(step, code, text);
            assert_eq!(
                judge(&verdict, has_accepted, is_first),
                wanted,
                "{step:?} {code} {text}"
            );
        }
    }

    #[test]
    fn turns_are_spread_over_the_second() {
        let limits = Limits::new(Some(10.0));
        let start = Instant::now();
        let mut now = start;
        for _ in 0..25 {
            while let Err(at) = limits.take_turn(now) {
                assert!(at > now);
                now = at;
            }
        }
        assert_eq!(now - start, Duration::from_millis(2400));
        // A pause is not made up for.
        now += Duration::from_secs(60);
        assert!(limits.take_turn(now).is_ok());
        assert!(limits.take_turn(now).is_err());
        assert!(Limits::new(None).take_turn(now).is_ok());
    }

    #[test]
    fn delays_grow_to_a_limit() {
        for (refusals, longest) in [(1, 250), (2, 500), (5, 4000), (6, 8000), (1000, 8000)] {
            let longest = Duration::from_millis(longest);
            assert!(
                (longest / 2..=longest).contains(&delay(refusals)),
                "{refusals}"
            );
        }
    }
}
