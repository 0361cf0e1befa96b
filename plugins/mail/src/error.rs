//! What went wrong with a message, in the one form that clients get to see.

use std::{io, path::Path};

use plugin_api::{TaskError, serde_json::json};

use crate::{
    args::{Failure, Rejection},
    message,
    smtp::{self, Answer, Reply},
    template,
};

/// Why a message was not sent.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    trouble: kit::Trouble,
    /// The server's code, where it gave one.
    code: Option<u16>,
}

impl Trouble {
    fn new(kind: &'static str, message: String) -> Self {
        Self {
            trouble: kit::Trouble::new(kind, message),
            code: None,
        }
    }

    /// The server refuses a recipient, or the message to it.
    pub(crate) fn rejected(reply: &Reply) -> Self {
        Self {
            trouble: kit::Trouble::new("rejected", reply.line()).retryable_if(reply.is_transient()),
            code: Some(reply.code),
        }
    }

    pub(crate) fn outbox(folder: &Path, error: &io::Error) -> Self {
        let message = format!("the outbox {} can't be written: {error}", folder.display());
        Self {
            trouble: kit::Trouble::new("outbox", message).retryable(),
            code: None,
        }
    }

    /// Why a recipient got nothing, or the reply of the server that took the message.
    pub(crate) fn of(answer: Answer) -> Result<Reply, Self> {
        match answer {
            Answer::Accepted(reply) => Ok(reply),
            Answer::Refused(reply) => Err(Self::rejected(&reply)),
            Answer::Failed(error) => Err(error.into()),
        }
    }

    /// The same for a recipient of a message to several.
    pub(crate) fn into_rejection(self, address: String) -> Rejection {
        let Self { trouble, code } = self;
        Rejection {
            address,
            kind: trouble.kind.to_owned(),
            code,
            message: trouble.message,
            retryable: trouble.retryable,
        }
    }

    /// The same for a recipient of a bulk, the one at `index`; `message_id` is that of the message made for it.
    pub(crate) fn into_failure(
        self,
        index: usize,
        to: String,
        message_id: Option<String>,
    ) -> Failure {
        let Self { trouble, code } = self;
        Failure {
            index,
            to,
            message_id,
            kind: trouble.kind.to_owned(),
            code,
            message: trouble.message,
            retryable: trouble.retryable,
        }
    }
}

impl From<message::Error> for Trouble {
    fn from(error: message::Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

impl From<template::Error> for Trouble {
    fn from(error: template::Error) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

impl From<smtp::Error> for Trouble {
    fn from(error: smtp::Error) -> Self {
        Self {
            trouble: kit::Trouble::new(error.kind(), error.to_string())
                .retryable_if(error.is_retryable()),
            code: error.code(),
        }
    }
}

impl From<Trouble> for TaskError {
    fn from(Trouble { trouble, code }: Trouble) -> Self {
        match code {
            Some(code) => trouble.data(json!({ "code": code })),
            None => trouble,
        }
        .into()
    }
}
