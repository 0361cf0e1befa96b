//! A message on its way: which of its recipients the server has answered for, and how.

use std::time::Instant;

use super::{error::Error, reply::Reply};
use crate::message::Message;

/// What became of a message for one recipient.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// The server has taken it; the reply to the whole message often tells its name there.
    Accepted(Reply),
    Refused(Reply),
    /// No answer can come any more.
    Failed(Error),
}

/// An answer for every recipient of the envelope, in its order.
pub(crate) type Answers = Vec<Answer>;

/// A message on its way. `tag` is the caller's.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) tag: usize,
    pub(crate) message: Message,
    /// The latest answer for every recipient.
    answers: Vec<Option<Answer>>,
    /// The recipients without a final answer.
    open: Vec<usize>,
    /// When the server first asked to come later.
    refused_since: Option<Instant>,
}

impl Outgoing {
    pub(crate) fn new(tag: usize, message: Message) -> Self {
        let count = message.envelope.to.len();
        Self {
            tag,
            message,
            answers: vec![None; count],
            open: (0..count).collect(),
            refused_since: None,
        }
    }

    /// The recipients that the server is still to be asked for, by their place in the envelope.
    pub(crate) fn open(&self) -> &[usize] {
        &self.open
    }

    /// Whether the server has answered for any of them, if only to come later.
    pub(crate) fn has_answer(&self) -> bool {
        self.answers.iter().any(Option::is_some)
    }

    /// Notes an answer; a recipient stays open where it isn't final.
    pub(super) fn answer(&mut self, recipient: usize, answer: Answer, is_final: bool) {
        self.answers[recipient] = Some(answer);
        if is_final {
            self.open.retain(|open| *open != recipient);
        }
    }

    /// Since when the server has been asking to come later, from `now` on if it is the first time.
    pub(super) fn refused_since(&mut self, now: Instant) -> Instant {
        *self.refused_since.get_or_insert(now)
    }

    /// Some recipient got it: from there on the time counts anew.
    pub(super) fn progressed(&mut self) {
        self.refused_since = None;
    }

    /// Nothing more comes: what is known for every recipient, or only why nothing is.
    pub(crate) fn conclude(&mut self, error: Error) -> Result<Answers, Error> {
        if !self.has_answer() {
            return Err(error);
        }
        let answers = self.answers.iter_mut();
        Ok(answers
            .map(|answer| {
                answer
                    .take()
                    .unwrap_or_else(|| Answer::Failed(error.clone()))
            })
            .collect())
    }
}
