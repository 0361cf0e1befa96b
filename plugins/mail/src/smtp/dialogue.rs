//! The dialogue of a connection that is ready for messages. No I/O: it says what to write, and is told what was read.
//!
//! With PIPELINING (RFC 2920) a message takes one turn: its contents, the final dot, and MAIL, RCPT and DATA of the
//! next message leave in one write, and all their replies are read before the next one. Without it, every command waits
//! for its reply.

use std::collections::VecDeque;

use super::{
    limits::{Step, Verdict, is_too_many},
    outgoing::Outgoing,
    reply::Reply,
    wire::{self, Extensions},
};

/// How many commands may be without a reply. Their replies fit into any socket's buffer, so that client and server
/// never wait for each other, both of them writing.
const COMMANDS_MAX: usize = 64;

/// What became of a message.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The server has answered: a verdict for each of the recipients that were open. `is_first`: it was the
    /// connection's first.
    Answered {
        verdicts: Vec<Verdict>,
        is_first: bool,
    },
    /// The connection went before the message was handed over: nobody got it. `is_first`: it was the connection's first.
    Returned { is_first: bool },
    /// The connection went after the message was handed over, and before the answer: nobody knows.
    Unanswered,
}

/// A message that has left the dialogue.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) mail: Outgoing,
    pub(crate) outcome: Outcome,
}

/// The reply ends the dialogue: call [`Dialogue::lost`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// 421: the server closes the connection.
    Closing(Reply),
    /// A reply that has no place there.
    Unexpected,
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Reset,
    Mail,
    Recipient(usize),
    Data,
    /// The verdict on the whole message.
    End,
}

/// The command that goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Mail,
    Recipient(usize),
    Data,
    /// None, until DATA is answered.
    Asked,
    /// None: the server waits for the contents.
    Granted,
}

#[derive(Debug)]
struct Transaction {
    mail: Outgoing,
    /// The recipients that this transaction asks for, as indices of the envelope.
    recipients: Vec<usize>,
    /// What refuses the recipient of the same index.
    refusals: Vec<Option<(Step, Reply)>>,
    stage: Stage,
    is_mail_accepted: bool,
    has_accepted: bool,
    is_first: bool,
}

impl Transaction {
    fn has_recipient(&self) -> bool {
        self.refusals.iter().any(Option::is_none)
    }

    /// Refuses everyone who is not refused yet.
    fn refuse_all(&mut self, step: Step, reply: &Reply) {
        for refusal in self.refusals.iter_mut().filter(|refusal| refusal.is_none()) {
            *refusal = Some((step, reply.clone()));
        }
    }

    /// The server takes no more recipients: those it wasn't asked for yet wait for another transaction.
    fn close(&mut self) {
        if let Stage::Recipient(next) = self.stage {
            self.recipients.truncate(next);
            self.refusals.truncate(next);
            self.stage = Stage::Data;
        }
    }

    /// `reply` is the one to the whole message; without it everybody was refused.
    fn answered(self, reply: Option<&Reply>) -> Finished {
        let verdict = |refusal: Option<(Step, Reply)>| match (refusal, reply) {
            (Some((step, reply)), _) => Verdict::Refused { reply, step },
            (None, Some(reply)) => Verdict::Accepted(reply.clone()),
            (None, None) => Verdict::Unasked,
        };
        let mut verdicts: Vec<_> = self.refusals.into_iter().map(verdict).collect();
        verdicts.resize(self.mail.open().len(), Verdict::Unasked);
        Finished {
            mail: self.mail,
            outcome: Outcome::Answered {
                verdicts,
                is_first: self.is_first,
            },
        }
    }

    fn returned(self) -> Finished {
        Finished {
            mail: self.mail,
            outcome: Outcome::Returned {
                is_first: self.is_first,
            },
        }
    }
}

pub(crate) struct Dialogue {
    extensions: Extensions,
    /// Which replies are to come, in their order.
    expected: VecDeque<Expected>,
    /// Its contents are sent, its verdict is to come.
    finishing: Option<Transaction>,
    /// Its commands are under way, or the server has asked for its contents.
    active: Option<Transaction>,
    /// Follows the contents of `active` in the same write.
    queued: Option<Transaction>,
    /// A transaction stands open on the server; MAIL would be refused.
    needs_reset: bool,
    is_used: bool,
}

impl Dialogue {
    pub(crate) fn new(extensions: Extensions) -> Self {
        Self {
            extensions,
            expected: VecDeque::new(),
            finishing: None,
            active: None,
            queued: None,
            needs_reset: false,
            is_used: false,
        }
    }

    pub(crate) fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Whether [`start`](Self::start) may be called now.
    pub(crate) fn wants_mail(&self) -> bool {
        match &self.active {
            None => self.finishing.is_none() || self.extensions.pipelining,
            Some(active) => {
                self.extensions.pipelining
                    && active.stage == Stage::Granted
                    && self.queued.is_none()
            }
        }
    }

    /// Takes on a message, for its first `recipients_max` open recipients; there is at least one.
    pub(crate) fn start(&mut self, mail: Outgoing, recipients_max: usize) {
        let recipients: Vec<_> = mail.open().iter().copied().take(recipients_max).collect();
        let refusals = vec![None; recipients.len()];
        let is_first = !std::mem::replace(&mut self.is_used, true);
        let transaction = Transaction {
            mail,
            recipients,
            refusals,
            stage: Stage::Mail,
            is_mail_accepted: false,
            has_accepted: false,
            is_first,
        };
        if self.active.is_none() {
            self.active = Some(transaction);
        } else {
            self.queued = Some(transaction);
        }
    }

    /// Whether replies are outstanding.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.expected.is_empty()
    }

    /// Whether the verdict on a whole message is outstanding.
    pub(crate) fn is_finishing(&self) -> bool {
        self.finishing.is_some()
    }

    /// Whether there is no message in it.
    pub(crate) fn is_idle(&self) -> bool {
        self.finishing.is_none() && self.active.is_none()
    }

    /// What the next reply is called, for a message about its absence.
    pub(crate) fn waiting_for(&self) -> &'static str {
        match self.expected.front() {
            Some(Expected::Reset) => "reply to RSET",
            Some(Expected::Mail) => "reply to MAIL FROM",
            Some(Expected::Recipient(_)) => "reply to RCPT TO",
            Some(Expected::Data) => "reply to DATA",
            Some(Expected::End) | None => "reply to the message",
        }
    }

    /// Appends what is to be written now, nothing when the dialogue is idle. Returned: how much of `out` has to be
    /// written for the server to have a whole message.
    pub(crate) fn push_output(&mut self, out: &mut Vec<u8>) -> Option<usize> {
        let mut handed_over = None;
        if let Some(active) = self.active.take_if(|active| active.stage == Stage::Granted) {
            if active.has_recipient() {
                wire::push_contents(out, &active.mail.message.bytes);
                handed_over = Some(out.len());
            } else {
                // RFC 2920, 3.1: the server wants contents although it took no recipient. It gets none.
                out.extend_from_slice(b".\r\n");
            }
            self.expected.push_back(Expected::End);
            self.finishing = Some(active);
            self.active = self.queued.take();
        }
        self.push_commands(out);
        handed_over
    }

    fn push_commands(&mut self, out: &mut Vec<u8>) {
        let waiting_max = if self.extensions.pipelining {
            COMMANDS_MAX
        } else {
            1
        };
        let Some(active) = &mut self.active else {
            return;
        };
        while self.expected.len() < waiting_max {
            let message = &active.mail.message;
            let expected = match active.stage {
                Stage::Mail if self.needs_reset => {
                    out.extend_from_slice(b"RSET\r\n");
                    self.needs_reset = false;
                    Expected::Reset
                }
                Stage::Mail => {
                    wire::push_mail(out, message, &self.extensions);
                    active.stage = Stage::Recipient(0);
                    Expected::Mail
                }
                Stage::Recipient(index) => {
                    let to = &message.envelope.to[active.recipients[index]];
                    wire::push_recipient(out, to);
                    let is_last = index + 1 == active.recipients.len();
                    active.stage = if is_last {
                        Stage::Data
                    } else {
                        Stage::Recipient(index + 1)
                    };
                    Expected::Recipient(index)
                }
                Stage::Data => {
                    out.extend_from_slice(b"DATA\r\n");
                    active.stage = Stage::Asked;
                    Expected::Data
                }
                Stage::Asked | Stage::Granted => return,
            };
            self.expected.push_back(expected);
        }
    }

    /// Takes the next reply. `Some`: a message is through.
    pub(crate) fn on_reply(&mut self, reply: Reply) -> Result<Option<Finished>, Violation> {
        let expected = self.expected.pop_front().ok_or(Violation::Unexpected)?;
        if let Expected::End = expected {
            return self.on_verdict(&reply).map(Some);
        }
        if reply.code == 421 {
            return Err(Violation::Closing(reply));
        }
        let active = self.active.as_mut().ok_or(Violation::Unexpected)?;
        match (expected, reply.code) {
            (Expected::Data, 354) => active.stage = Stage::Granted,
            (Expected::Data, 400..) => {
                active.refuse_all(Step::Data, &reply);
                return Ok(self.refused());
            }
            (Expected::Data, _) | (_, 300..400) => return Err(Violation::Unexpected),
            (Expected::Reset, 400..) => return Err(Violation::Unexpected),
            (Expected::Mail, 400..) => active.refuse_all(Step::Mail, &reply),
            (Expected::Mail, _) => active.is_mail_accepted = true,
            // When MAIL was refused, that is what to tell, and not what the server says of the commands after it.
            (Expected::Recipient(index), 400..) => {
                if active.has_accepted && is_too_many(&reply) {
                    active.close();
                }
                active.refusals[index].get_or_insert((Step::Recipient, reply));
            }
            (Expected::Recipient(_), _) => active.has_accepted = true,
            (Expected::Reset | Expected::End, _) => {}
        }
        // Once nobody is left, the commands that were not sent yet are spared.
        let is_over = self.expected.is_empty() && !active.has_recipient();
        let is_in_commands = matches!(
            active.stage,
            Stage::Mail | Stage::Recipient(_) | Stage::Data
        );
        Ok(if is_over && is_in_commands {
            self.refused()
        } else {
            None
        })
    }

    /// Ends the active transaction before its contents.
    fn refused(&mut self) -> Option<Finished> {
        let active = self.active.take()?;
        self.needs_reset = active.is_mail_accepted;
        Some(active.answered(None))
    }

    fn on_verdict(&mut self, reply: &Reply) -> Result<Finished, Violation> {
        if (300..400).contains(&reply.code) {
            return Err(Violation::Unexpected);
        }
        let mut finishing = self.finishing.take().ok_or(Violation::Unexpected)?;
        if !reply.is_positive() {
            finishing.refuse_all(Step::End, reply);
        }
        Ok(finishing.answered(Some(reply)))
    }

    /// The connection is gone: hands out what is left in it. `handed_over`: as far as was promised by the last
    /// [`push_output`](Self::push_output), everything was written.
    pub(crate) fn lost(&mut self, handed_over: bool) -> Vec<Finished> {
        self.expected.clear();
        let finishing = self.finishing.take().map(|finishing| {
            if !finishing.has_recipient() {
                finishing.answered(None)
            } else if handed_over {
                Finished {
                    mail: finishing.mail,
                    outcome: Outcome::Unanswered,
                }
            } else {
                finishing.returned()
            }
        });
        let others = [self.active.take(), self.queued.take()]
            .into_iter()
            .flatten()
            .map(Transaction::returned);
        finishing.into_iter().chain(others).collect()
    }
}

#[cfg(test)]
mod tests;
