//! Decoders that panic. No decoder should, whatever is in a file. If one does, the task ends with an error about the file.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
};

/// Runs what reads a file; `None` when it panics. What it has worked on must not be used any more.
///
/// The kit's hook keeps panics of handlers from being printed, and their place from getting to the client.
pub(crate) fn caught<R>(run: impl FnOnce() -> R) -> Option<R> {
    panic::catch_unwind(AssertUnwindSafe(run))
        .inspect_err(|payload| tracing::debug!(reason = reason(&**payload), "a decoder panicked"))
        .ok()
}

fn reason(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or_default()
}
