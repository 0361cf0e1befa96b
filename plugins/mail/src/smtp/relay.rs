//! Between the caller's messages and one connection after the other: what a server didn't take now goes again, as
//! `limits` judges it.

use std::{
    collections::VecDeque,
    mem, thread,
    time::{Duration, Instant},
};

use super::{
    Mails,
    connection::{Taken, Traffic},
    dialogue::{Finished, Outcome},
    error::Error,
    limits::{self, Again, Limits, Verdict},
    outgoing::{Answer, Outgoing},
    stream::{IsStopped, SLICE},
};

pub(super) struct Relay<'a> {
    mails: &'a mut dyn Mails,
    limits: &'a Limits,
    /// How long a server that says "not now" is tried again, and when that ends at the latest.
    retry_for: Duration,
    until: Option<Instant>,
    /// They are sent again before any others.
    again: VecDeque<Outgoing>,
    /// They were in a connection that failed.
    lost: Vec<Finished>,
    has_answer: bool,
    /// What those in `again` need; nothing more goes over this connection if they need more than it.
    wants: Again,
    /// How often in a row the server has said "not now".
    refusals: u32,
    /// Since when the server has wanted no connection.
    knocking_since: Option<Instant>,
}

impl<'a> Relay<'a> {
    pub(super) fn new(
        mails: &'a mut dyn Mails,
        limits: &'a Limits,
        retry_for: Duration,
        until: Option<Instant>,
    ) -> Self {
        Self {
            mails,
            limits,
            retry_for,
            until,
            again: VecDeque::new(),
            lost: Vec::new(),
            has_answer: false,
            wants: Again::Here,
            refusals: 0,
            knocking_since: None,
        }
    }

    /// Whether a connection that was in use before is good for what comes.
    pub(super) fn may_reuse(&self) -> bool {
        self.wants == Again::Here
    }

    pub(super) fn connected(&mut self) {
        self.has_answer = false;
        self.wants = Again::Here;
        self.knocking_since = None;
    }

    /// The server refused a connection: whether to try again, after [`pause`](Self::pause).
    pub(super) fn may_knock_again(&mut self, error: &Error) -> bool {
        let since = *self.knocking_since.get_or_insert_with(Instant::now);
        let is_worth_it =
            error.asks_for_later() && self.mails.is_last() && self.may_retry(since, Instant::now());
        if is_worth_it {
            self.refuse(Again::Later);
        }
        is_worth_it
    }

    /// Waits if the server wants that. Stopped meanwhile, it gives back what there is.
    pub(super) fn pause(&mut self, is_stopped: IsStopped<'_>) -> Result<(), Error> {
        if self.wants < Again::Later {
            return Ok(());
        }
        let until = Instant::now() + limits::delay(self.refusals);
        loop {
            if is_stopped() {
                self.give_back();
                return Err(Error::Stopped);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(SLICE));
        }
    }

    /// A connection broke: what was in it goes again, or gets its result. Returned: how many connections in a row have
    /// failed without an answer.
    pub(super) fn sort_out(&mut self, error: &Error, failures: usize) -> usize {
        let asks_for_later = error.asks_for_later();
        self.refuse(Again::NewConnection);
        for Finished { mut mail, outcome } in mem::take(&mut self.lost) {
            match outcome {
                Outcome::Answered { verdicts, is_first } => self.judge(mail, verdicts, is_first),
                Outcome::Unanswered => {
                    let cause = Box::new(error.clone());
                    self.conclude(mail, Error::Unanswered { cause });
                }
                Outcome::Returned { is_first: true } if !matches!(error, Error::Stopped) => {
                    let now = Instant::now();
                    if asks_for_later && self.may_retry(mail.refused_since(now), now) {
                        self.refuse(Again::Later);
                        self.again.push_back(mail);
                    } else {
                        self.conclude(mail, error.clone());
                    }
                }
                Outcome::Returned { .. } => self.again.push_back(mail),
            }
        }
        if asks_for_later {
            0
        } else if self.has_answer {
            1
        } else {
            failures + 1
        }
    }

    pub(super) fn has_more(&mut self) -> bool {
        if self.again.is_empty() {
            self.again.extend(self.mails.next());
        }
        !self.again.is_empty()
    }

    pub(super) fn give_back(&mut self) {
        self.again
            .drain(..)
            .for_each(|mail| self.mails.give_back(mail));
    }

    /// Whether there is time for another try of what has been refused since then.
    fn may_retry(&self, since: Instant, now: Instant) -> bool {
        let next = now + limits::delay(self.refusals + 1);
        next < since + self.retry_for && self.until.is_none_or(|until| next < until)
    }

    fn refuse(&mut self, wants: Again) {
        if wants == Again::Later && self.wants < Again::Later {
            self.refusals += 1;
        }
        self.wants = self.wants.max(wants);
    }

    fn conclude(&mut self, mut mail: Outgoing, error: Error) {
        let result = mail.conclude(error);
        self.mails.result(mail, result);
    }

    /// Notes the answers of a transaction; who has none that is final goes again, in time.
    fn judge(&mut self, mut mail: Outgoing, verdicts: Vec<Verdict>, is_first: bool) {
        let now = Instant::now();
        let accepted = verdicts
            .iter()
            .filter(|verdict| matches!(verdict, Verdict::Accepted(_)))
            .count();
        let has_accepted = accepted > 0;
        if has_accepted {
            self.has_answer = true;
            self.refusals = 0;
            mail.progressed();
        }
        let mut wants = None;
        let recipients = mail.open().to_vec();
        for (recipient, verdict) in recipients.into_iter().zip(verdicts) {
            let again = limits::judge(&verdict, has_accepted, is_first);
            let again = again.filter(|again| {
                *again < Again::Later || self.may_retry(mail.refused_since(now), now)
            });
            wants = wants.max(again);
            match verdict {
                Verdict::Unasked => {}
                Verdict::Accepted(reply) => mail.answer(recipient, Answer::Accepted(reply), true),
                Verdict::Refused { reply, .. } => {
                    if again == Some(Again::Here) {
                        self.limits.learn_recipients_max(accepted);
                    }
                    mail.answer(recipient, Answer::Refused(reply), again.is_none());
                }
            }
        }
        match wants {
            Some(wants) => {
                self.refuse(wants);
                self.again.push_back(mail);
            }
            None => {
                self.has_answer = true;
                self.conclude(mail, Error::Stopped);
            }
        }
    }
}

impl Traffic for Relay<'_> {
    fn next(&mut self) -> Taken {
        if self.wants > Again::Here || !self.has_more() {
            return Taken::Nothing;
        }
        match self.limits.take_turn(Instant::now()) {
            Ok(()) => self.again.pop_front().map_or(Taken::Nothing, Taken::Mail),
            Err(at) => Taken::NotBefore(at),
        }
    }

    fn recipients_max(&self) -> usize {
        self.limits.recipients_max()
    }

    fn unfit(&mut self, mail: Outgoing, error: Error) {
        self.conclude(mail, error);
    }

    fn finished(&mut self, finished: Finished) {
        match finished {
            Finished {
                mail,
                outcome: Outcome::Answered { verdicts, is_first },
            } => self.judge(mail, verdicts, is_first),
            lost => self.lost.push(lost),
        }
    }
}
