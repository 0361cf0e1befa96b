//! The Text protocol: one JSON object per line, both ways. Wire types and the line codec, without I/O.
//!
//! [`LineDecoder`] cuts a byte stream into lines. A server reads each with [`Request::parse`] and answers with
//! [`Reply::encode`], [`Progress::encode`] and [`Event::encode`]; a client writes with [`Request::encode`] and reads with
//! [`ServerLine::parse`]. `docs/PROTOCOL.md` is the page for those who write clients in other languages.
//!
//! Nothing here recurses on input, and no input panics. JSON that only passes through (`args`, `result`, `data`) is
//! checked but never built up: it stays a slice of the line it came in.

mod background;
mod code;
mod encode;
mod excerpt;
mod id;
pub mod json;
mod line;
mod object;
mod reply;
mod request;
mod server_line;

pub use background::{ASKED_MS_MAX, Background, NAME_LEN_MAX, Retry, RetryOn, TraceParent};
pub use code::{CodeInfo, ErrorCode};
pub use excerpt::excerpt;
pub use id::{BadRequestId, RequestId};
pub use line::{LINE_LEN_MAX_DEFAULT, LineDecoder, LineTooLong};
pub use reply::{Event, Outcome, Progress, Reply, TaskFailure};
pub use request::{
    BACKGROUND_FIELDS, BadRequest, FUNCTION_LEN_MAX, HOST_PREFIX, Request, SUBJECT_LEN_MAX,
};
pub use server_line::{BadServerLine, ServerLine};
