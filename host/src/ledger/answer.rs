//! How a store answers: by a call, so that one commit answers hundreds of submitters without waking a thread for each.

use std::future::Future;

use tokio::sync::oneshot;

use super::error::{StoreError, StoreErrorKind};

/// Called exactly once, by a thread of the store's; it must not block, and it may be called before the function that it was
/// handed to has returned.
pub(crate) type Done<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// For callers that rather wait: hands `start` a [`Done`], and waits for it to be called.
///
/// # Errors
/// What the store answers; [`StoreErrorKind::Unavailable`] where it ended without an answer.
pub(crate) fn ask<T: Send + 'static>(
    start: impl FnOnce(Done<T>),
) -> impl Future<Output = Result<T, StoreError>> + Send {
    let (sender, receiver) = oneshot::channel();
    start(Box::new(move |answer| {
        // Who no longer waits has gone.
        let _ = sender.send(answer);
    }));
    async move {
        receiver.await.unwrap_or_else(|_| {
            Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "the ledger was closed before it answered",
            ))
        })
    }
}
