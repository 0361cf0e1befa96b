//! The plugin against a real SMTP server, and against servers that fail at every point of the dialogue.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so does what it is made of"
)]

mod addresses;
mod attachments;
mod bulk;
mod faults;
mod headers;
mod limits;
mod options;
mod scripted;
mod security;
mod send;
mod server;
mod vanishing;

use mail::Mail;
use plugin_api::{
    serde_json::Value,
    testing::{self, CallError, Opened},
};

/// Opens the plugin as a worker would.
fn open(config: Value) -> Opened<Mail> {
    testing::open(config).unwrap_or_else(|error| panic!("{}", error.message()))
}

/// How a task failed: kind, sentence, whether a retry may help, data.
fn failure(result: Result<Value, CallError>) -> (String, String, bool, Value) {
    match result {
        Err(CallError::Failed {
            kind,
            message,
            retryable,
            data,
        }) => (kind, message, retryable, data.unwrap_or_default()),
        other => panic!("not a failure: {other:?}"),
    }
}
