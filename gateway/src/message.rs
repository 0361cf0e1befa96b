//! What gateway and client say to each other over a WebSocket of the subprotocol `tasks.v1`.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

use bytes::Bytes;
use protocol::{Progress, Reply, Request, RequestId};
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// About how long the fields of a message are that it always has, in bytes.
const FIELDS_LEN: usize = 64;
/// The same of those that an error has besides.
const ERROR_FIELDS_LEN: usize = 80;

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClientMessage {
    /// A task to run; it has an id.
    Task(Box<Request>),
    Control(Box<Control>),
}

/// What a client says besides tasks.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Control {
    /// Cancel the task of this id.
    pub(crate) cancel: Option<RequestId>,
    /// Resume the session of this token.
    pub(crate) resume: Option<String>,
    /// The last message that the client has seen.
    pub(crate) seen: Option<u64>,
    /// Who the client is.
    pub(crate) token: Option<String>,
}

impl ClientMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// It is not a message of a client. With its id, if it looks like a task.
    pub(crate) fn parse(text: &Bytes) -> Result<Self, (Option<RequestId>, String)> {
        let bad = match Request::parse_without_background(text) {
            Ok(Request { id: None, .. }) => {
                let message =
                    "field `id` is missing: the answer carries it, so that you know whose it is";
                return Err((None, message.to_owned()));
            }
            Ok(request) => return Ok(Self::Task(Box::new(request))),
            Err(bad) => bad,
        };
        match serde_json::from_slice::<Control>(text) {
            Ok(control) if control != Control::default() => Ok(Self::Control(Box::new(control))),
            _ => Err((bad.id, bad.message)),
        }
    }
}

/// Fields of the first message of a session.
#[derive(Debug, Serialize)]
pub(crate) struct Hello<'a> {
    /// For `resume`.
    pub(crate) session: &'a str,
    /// What may be called.
    pub(crate) functions: Vec<&'a str>,
    pub(crate) limits: HelloLimits,
    /// Whether this session was resumed.
    pub(crate) resumed: bool,
    /// Tasks that have not been answered.
    pub(crate) in_flight: Vec<RequestId>,
    /// How long the client's token is still valid, and the session lasts; none if for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_in_ms: Option<u64>,
}

/// Limits that a client can keep to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct HelloLimits {
    pub(crate) message_len_max: usize,
    pub(crate) in_flight_max: usize,
    pub(crate) resume_window_ms: u64,
    pub(crate) heartbeat_ms: u64,
}

pub(crate) fn hello(seq: u64, hello: &Hello<'_>) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Message<'a> {
        seq: u64,
        hello: &'a Hello<'a>,
    }
    to_text(&Message { seq, hello })
}

/// The client's fresh token is valid, and the session lasts as long as it does.
pub(crate) fn renewed(seq: u64, expires_in_ms: Option<u64>) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Renewed {
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_in_ms: Option<u64>,
    }
    #[derive(Serialize)]
    struct Message {
        seq: u64,
        renewed: Renewed,
    }
    to_text(&Message {
        seq,
        renewed: Renewed { expires_in_ms },
    })
}

pub(crate) fn accepted(seq: u64, id: &RequestId) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Message<'a> {
        seq: u64,
        id: &'a RequestId,
        event: &'static str,
    }
    to_text(&Message {
        seq,
        id,
        event: "accepted",
    })
}

pub(crate) fn progress(seq: u64, id: &RequestId, progress: Progress) -> Utf8Bytes {
    let progress = Progress {
        id: id.clone(),
        ..progress
    };
    let len = FIELDS_LEN + progress.message.len();
    numbered(seq, len, |line| progress.encode(line))
}

/// How far a task is that is answered as server-sent events: with the client's id, if there is one.
pub(crate) fn event_progress(id: Option<&RequestId>, progress: Progress) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Message<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RequestId>,
        event: &'static str,
        done: u64,
        total: u64,
        message: String,
    }
    let Progress {
        done,
        total,
        message,
        ..
    } = progress;
    to_text(&Message {
        id,
        event: "progress",
        done,
        total,
        message,
    })
}

/// The last message of a task, or the only one of a request that did not become a task.
pub(crate) fn reply(seq: u64, reply: &Reply) -> Utf8Bytes {
    numbered(seq, reply_len(reply), |line| reply.encode(line))
}

/// As in the Text protocol.
pub(crate) fn plain_progress(id: &RequestId, progress: Progress) -> Utf8Bytes {
    let progress = Progress {
        id: id.clone(),
        ..progress
    };
    let len = FIELDS_LEN + progress.message.len();
    plain(len, |line| progress.encode(line))
}

/// As in the Text protocol.
pub(crate) fn plain_reply(reply: &Reply) -> Utf8Bytes {
    plain(reply_len(reply), |line| reply.encode(line))
}

/// The session that the client wants to resume is gone.
pub(crate) fn session_lost(seq: u64) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Message {
        seq: u64,
        session_lost: bool,
    }
    to_text(&Message {
        seq,
        session_lost: true,
    })
}

/// About how long the line of a reply becomes, in bytes.
fn reply_len(reply: &Reply) -> usize {
    let len = match &reply.outcome {
        Ok(result) => result.len(),
        Err(failure) => {
            let data_len = failure.data.as_ref().map_or(0, Bytes::len);
            ERROR_FIELDS_LEN + failure.message.len() + data_len
        }
    };
    FIELDS_LEN + len
}

/// A line of the Text protocol, which becomes about that long.
fn plain(len: usize, encode: impl FnOnce(&mut Vec<u8>)) -> Utf8Bytes {
    let mut line = Vec::with_capacity(len);
    encode(&mut line);
    trim_newline(&mut line);
    utf8(line)
}

/// A line of the Text protocol, which becomes about that long, with the message's number as its first field.
fn numbered(seq: u64, len: usize, encode: impl FnOnce(&mut Vec<u8>)) -> Utf8Bytes {
    let mut message = Vec::with_capacity(len);
    message.extend_from_slice(b"{\"seq\":");
    message.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
    let line_start = message.len();
    encode(&mut message);
    // The brace that begins the line becomes what separates the number from the line's own fields.
    message[line_start] = b',';
    trim_newline(&mut message);
    utf8(message)
}

fn trim_newline(line: &mut Vec<u8>) {
    if line.last() == Some(&b'\n') {
        line.pop();
    }
}

/// What the protocol crate encodes is UTF-8, since all that passes through it was checked.
fn utf8(message: Vec<u8>) -> Utf8Bytes {
    Utf8Bytes::try_from(Bytes::from(message))
        .unwrap_or_else(|_| to_text(&"an answer that was not UTF-8"))
}

fn to_text(message: &impl Serialize) -> Utf8Bytes {
    // Nothing that is handed here can fail to be JSON.
    serde_json::to_string(message).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use protocol::{ErrorCode, TaskFailure};

    use super::*;

    #[test]
    fn a_number_is_the_first_field_of_what_the_line_says() {
        let id = RequestId::try_from("a").unwrap();
        let ok = Reply {
            id: Some(id.clone()),
            outcome: Ok(Bytes::from_static(b"{\"n\":1}")),
        };
        assert_eq!(
            reply(17, &ok).as_str(),
            r#"{"seq":17,"id":"a","ok":true,"result":{"n":1}}"#
        );
        assert_eq!(
            plain_reply(&ok).as_str(),
            r#"{"id":"a","ok":true,"result":{"n":1}}"#
        );
        let refused = Reply {
            id: None,
            outcome: Err(TaskFailure::new(ErrorCode::BadRequest, "no")),
        };
        assert_eq!(
            reply(1, &refused).as_str(),
            r#"{"seq":1,"ok":false,"error":{"code":"bad_request","message":"no","retryable":false,"started":false}}"#
        );
        let half = Progress {
            id: 7_u64.into(),
            done: 1,
            total: 2,
            message: "half".to_owned(),
        };
        assert_eq!(
            progress(u64::MAX, &id, half).as_str(),
            r#"{"seq":18446744073709551615,"id":"a","event":"progress","done":1,"total":2,"message":"half"}"#
        );
    }
}
