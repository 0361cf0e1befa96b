//! The body of a request: read whole within bounds, or refused and read on, so that its sender sees why.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{EXPECT, HeaderMap};
use protocol::{ErrorCode, TaskFailure};
use service::bytes::HeldBytes;
use tokio::time::timeout;

use crate::limits::{INCOMING_FREE_LEN, too_many_bytes};

/// How long the whole body of a request may take, whether it is taken or discarded.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the sender of a body that is discarded may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// A request's body.
#[derive(Debug)]
pub(super) struct RequestBody {
    incoming: Incoming,
    /// The client waits to be asked for it.
    is_on_demand: bool,
    is_begun: bool,
    is_over: bool,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, headers: &HeaderMap) -> Self {
        let is_on_demand = headers
            .get(EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        Self {
            is_on_demand,
            is_begun: false,
            is_over: incoming.is_end_stream(),
            incoming,
        }
    }

    /// Whether it may never come, since the request was answered before the client was asked for it.
    pub(super) fn may_never_come(&self) -> bool {
        self.is_on_demand && !self.is_begun && !self.is_over
    }

    /// All of it. `held` counts its bytes while it comes.
    ///
    /// # Errors
    /// It is longer than `len_max` bytes, too slow, or broken off.
    pub(super) async fn read(
        &mut self,
        len_max: usize,
        held: HeldBytes,
    ) -> Result<Bytes, TaskFailure> {
        let said = self.incoming.size_hint().lower();
        if usize::try_from(said).map_or(true, |len| len > len_max) {
            // Known before the client is asked for it.
            return Err(too_long(len_max));
        }
        self.is_begun = true;
        timeout(BODY_TIMEOUT, self.collect(len_max, held))
            .await
            .unwrap_or_else(|_| Err(bad("the request was not complete in time")))
    }

    async fn collect(&mut self, len_max: usize, mut held: HeldBytes) -> Result<Bytes, TaskFailure> {
        let mut read = Vec::new();
        while let Some(frame) = self.incoming.frame().await {
            let Ok(data) = frame.map_err(|_| bad("the request broke off"))?.into_data() else {
                continue;
            };
            let len = read.len() + data.len();
            if len > len_max {
                return Err(too_long(len_max));
            }
            if !held.try_set(len.saturating_sub(INCOMING_FREE_LEN)) {
                return Err(too_many_bytes());
            }
            read.extend_from_slice(&data);
        }
        self.is_over = true;
        // A task may keep a part of it for as long as it runs.
        read.shrink_to_fit();
        Ok(read.into())
    }

    /// Whether there is more to come.
    pub(super) fn has_rest(&self) -> bool {
        !self.is_over
    }

    /// Reads on within bounds and forgets it: the kernel takes an answer back that is followed by a close while bytes come.
    /// To be begun after the answer, or the client is asked for what nobody wants.
    pub(super) async fn discard(mut self) {
        let rest = async {
            while let Ok(Some(Ok(_))) = timeout(SILENCE_MAX, self.incoming.frame()).await {}
        };
        drop(timeout(BODY_TIMEOUT, rest).await);
    }
}

fn too_long(len_max: usize) -> TaskFailure {
    let message = format!("the request is longer than {len_max} bytes (limits.message_len_max)");
    TaskFailure::new(ErrorCode::TooLarge, message)
}

fn bad(message: &str) -> TaskFailure {
    TaskFailure::new(ErrorCode::BadRequest, message)
}
