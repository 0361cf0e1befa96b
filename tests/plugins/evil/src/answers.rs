//! Answers that no handler could give by the front door.

use std::mem;

use plugin_api::{__private::answer_raw, Completion, abi::status};

/// Answers with `bytes` as they are, and with nothing else.
pub(crate) fn raw<R>(completion: Completion<R>, bytes: &[u8]) {
    raw_first(&completion, bytes);
    // Dropped, it would answer once more.
    mem::forget(completion);
}

/// Answers with `bytes` as they are; the completion doesn't know of it.
pub(crate) fn raw_first<R>(completion: &Completion<R>, bytes: &[u8]) {
    answer_raw(completion.task(), status::OK, bytes.to_vec());
}
