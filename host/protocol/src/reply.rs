//! What a server sends.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::code::ErrorCode;
use crate::encode;
use crate::id::RequestId;
use crate::line::LineTooLong;
use crate::request::BadRequest;

/// Hints of when to try again lie between these.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(50);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// The last line of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// As in the request.
    pub id: Option<RequestId>,
    /// The result or what went wrong.
    pub outcome: Outcome,
}

/// A handler's result as JSON, or why there is none.
pub type Outcome = Result<Bytes, TaskFailure>;

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailure {
    /// The kind of failure.
    pub code: ErrorCode,
    /// For a human.
    pub message: String,
    /// The same request may succeed later.
    pub retryable: bool,
    /// The handler may have begun, so that a retry may do the work twice.
    pub started: bool,
    /// More for programs: valid JSON.
    pub data: Option<Bytes>,
}

impl TaskFailure {
    /// A failure that is as retryable and started as its code says. Where the code leaves it open it is taken not to
    /// be retryable, and to have started.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let info = code.info();
        Self {
            code,
            message: message.into(),
            retryable: info.retryable.unwrap_or(false),
            started: info.started.unwrap_or(true),
            data: None,
        }
    }

    /// The same, with `data` that says after how long to try again: 50 ms to a minute, neither a hammer nor a farewell.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        let wait = wait.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX);
        let retry_after_ms = wait.as_millis();
        self.data = Some(format!("{{\"retry_after_ms\":{retry_after_ms}}}").into());
        self
    }

    /// After how long to try again, where it says so: by `retry_after_ms` in its data, or, where a handler has failed, in
    /// the handler's own, which stands in there as `data`.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        #[derive(Deserialize)]
        struct Data<'a> {
            retry_after_ms: Option<u64>,
            #[serde(borrow)]
            data: Option<&'a RawValue>,
        }
        let read = |data: &[u8]| {
            serde_json::from_slice::<Data<'_>>(data)
                .ok()?
                .retry_after_ms
        };
        let outer: Data<'_> = serde_json::from_slice(self.data.as_ref()?).ok()?;
        let ms = outer
            .retry_after_ms
            .or_else(|| read(outer.data?.get().as_bytes()));
        ms.map(Duration::from_millis)
    }
}

impl From<LineTooLong> for TaskFailure {
    fn from(error: LineTooLong) -> Self {
        Self::new(ErrorCode::TooLarge, error.to_string())
    }
}

impl From<LineTooLong> for Reply {
    fn from(error: LineTooLong) -> Self {
        Self {
            id: None,
            outcome: Err(error.into()),
        }
    }
}

impl From<BadRequest> for Reply {
    fn from(BadRequest { id, message }: BadRequest) -> Self {
        Self {
            id,
            outcome: Err(TaskFailure::new(ErrorCode::BadRequest, message)),
        }
    }
}

impl Reply {
    /// Appends the reply as one line, newline included. A result and `data` must be valid JSON, see
    /// [`json::one_line`](crate::json::one_line); raw newlines in them are made spaces.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        encode::id(out, self.id.as_ref());
        match &self.outcome {
            Ok(result) => {
                out.extend_from_slice(b"\"ok\":true,\"result\":");
                encode::raw(out, result);
            }
            Err(failure) => {
                out.extend_from_slice(b"\"ok\":false,\"error\":");
                failure.encode(out);
            }
        }
        out.extend_from_slice(b"}\n");
    }
}

impl TaskFailure {
    /// Appends it as a reply has it under `error`: one object.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"code\":");
        encode::value(out, self.code.as_str());
        out.extend_from_slice(b",\"message\":");
        encode::value(out, &self.message);
        out.extend_from_slice(b",\"retryable\":");
        encode::value(out, &self.retryable);
        out.extend_from_slice(b",\"started\":");
        encode::value(out, &self.started);
        if let Some(data) = &self.data {
            out.extend_from_slice(b",\"data\":");
            encode::raw(out, data);
        }
        out.push(b'}');
    }
}

/// News of another kind, from a request that is answered by a stream of them (`host.plugins` with `watch`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// As in the request.
    pub id: RequestId,
    /// What kind of news: never `progress`.
    pub name: String,
    /// The news: valid JSON.
    pub data: Bytes,
}

impl Event {
    /// Appends the event as one line, newline included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        encode::id(out, Some(&self.id));
        out.extend_from_slice(b"\"event\":");
        encode::value(out, &self.name);
        out.extend_from_slice(b",\"data\":");
        encode::raw(out, &self.data);
        out.extend_from_slice(b"}\n");
    }
}

/// How far a task is. Any number of these come before a request's reply, if it asked for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// As in the request.
    pub id: RequestId,
    /// Units done; never falls.
    pub done: u64,
    /// Units in all, as far as is known.
    pub total: u64,
    /// For a human; may be empty.
    pub message: String,
}

impl Progress {
    /// Appends the event as one line, newline included.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        encode::id(out, Some(&self.id));
        out.extend_from_slice(b"\"event\":\"progress\",\"done\":");
        encode::value(out, &self.done);
        out.extend_from_slice(b",\"total\":");
        encode::value(out, &self.total);
        out.extend_from_slice(b",\"message\":");
        encode::value(out, &self.message);
        out.extend_from_slice(b"}\n");
    }
}
