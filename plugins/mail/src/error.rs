//! What went wrong with a message, in the one form that clients get to see.

use std::{io, path::Path};

use plugin_api::TaskError;

use crate::{
    args::{Failure, Rejection},
    message,
    smtp::{self, Reply},
    template,
};

/// Why a message was not sent.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// A word for programs.
    pub(crate) kind: &'static str,
    /// The server's code, where it gave one.
    pub(crate) code: Option<u16>,
    pub(crate) message: String,
    pub(crate) retryable: bool,
}

impl Trouble {
    /// The server refuses a recipient, or the message to it.
    pub(crate) fn rejected(reply: &Reply) -> Self {
        Self {
            kind: "rejected",
            code: Some(reply.code),
            message: reply.line(),
            retryable: reply.is_transient(),
        }
    }

    pub(crate) fn outbox(folder: &Path, error: &io::Error) -> Self {
        Self {
            kind: "outbox",
            code: None,
            message: format!("the outbox {} can't be written: {error}", folder.display()),
            retryable: true,
        }
    }

    /// The same for a recipient of a bulk, the one at `index`.
    pub(crate) fn into_failure(self, index: usize, to: &str) -> Failure {
        let Self {
            kind,
            code,
            message,
            retryable,
        } = self;
        Failure {
            index,
            to: to.to_owned(),
            kind: kind.to_owned(),
            code,
            message,
            retryable,
        }
    }
}

impl Rejection {
    pub(crate) fn new(address: String, reply: &Reply) -> Self {
        Self {
            address,
            code: reply.code,
            message: reply.line(),
            retryable: reply.is_transient(),
        }
    }
}

impl From<message::Error> for Trouble {
    fn from(error: message::Error) -> Self {
        Self {
            kind: error.kind(),
            code: None,
            message: error.to_string(),
            retryable: false,
        }
    }
}

impl From<template::Error> for Trouble {
    fn from(error: template::Error) -> Self {
        Self {
            kind: error.kind(),
            code: None,
            message: error.to_string(),
            retryable: false,
        }
    }
}

impl From<smtp::Error> for Trouble {
    fn from(error: smtp::Error) -> Self {
        let retryable = error.is_retryable();
        Self {
            kind: error.kind(),
            code: error.code(),
            message: error.to_string(),
            retryable,
        }
    }
}

impl From<Trouble> for TaskError {
    fn from(trouble: Trouble) -> Self {
        let error = Self::new(trouble.kind, trouble.message);
        let error = if trouble.retryable {
            error.retryable()
        } else {
            error
        };
        match trouble.code {
            Some(code) => error.data(serde_json::json!({ "code": code })),
            None => error,
        }
    }
}
