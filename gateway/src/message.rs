//! What gateway and client say to each other over a WebSocket of the subprotocol `tasks.v1`.

use bytes::Bytes;
use protocol::{Progress, Reply, Request, RequestId};
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClientMessage {
    /// A task to run; it has an id.
    Task(Box<Request>),
    Control(Control),
}

/// What a client says that is no task.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Control {
    /// End the task of this id.
    pub(crate) cancel: Option<RequestId>,
    /// Go on with the session of this token.
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
    /// It is nothing that a client may say; with the id, if it is a task's.
    pub(crate) fn parse(text: &Bytes) -> Result<Self, (Option<RequestId>, String)> {
        let bad = match Request::parse(text) {
            Ok(Request { id: None, .. }) => {
                let message =
                    "field `id` is missing: the answer carries it, so that you know whose it is";
                return Err((None, message.to_owned()));
            }
            Ok(request) => return Ok(Self::Task(Box::new(request))),
            Err(bad) => bad,
        };
        match serde_json::from_slice::<Control>(text) {
            Ok(control) if control != Control::default() => Ok(Self::Control(control)),
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
    /// How long the client's token is still valid, and the session lasts; none where that is for ever.
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

/// The client's fresh token is good, and the session lasts as long as it.
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
    numbered(seq, |out| progress.encode(out))
}

/// The last message of a task, or what became none.
pub(crate) fn reply(seq: u64, reply: &Reply) -> Utf8Bytes {
    numbered(seq, |out| reply.encode(out))
}

/// As in the Text protocol.
pub(crate) fn plain_progress(id: &RequestId, progress: Progress) -> Utf8Bytes {
    let progress = Progress {
        id: id.clone(),
        ..progress
    };
    plain(|out| progress.encode(out))
}

/// As in the Text protocol.
pub(crate) fn plain_reply(reply: &Reply) -> Utf8Bytes {
    plain(|out| reply.encode(out))
}

/// The session that the client wants to go on with is gone.
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

fn plain(encode: impl FnOnce(&mut Vec<u8>)) -> Utf8Bytes {
    let mut line = Vec::new();
    encode(&mut line);
    trim_newline(&mut line);
    utf8(line)
}

/// A line of the Text protocol, with the message's number as its first field.
fn numbered(seq: u64, encode: impl FnOnce(&mut Vec<u8>)) -> Utf8Bytes {
    let mut line = Vec::with_capacity(128);
    encode(&mut line);
    trim_newline(&mut line);
    let mut digits = itoa::Buffer::new();
    let number = digits.format(seq);
    let mut message = Vec::with_capacity(line.len() + number.len() + 8);
    message.extend_from_slice(b"{\"seq\":");
    message.extend_from_slice(number.as_bytes());
    message.push(b',');
    message.extend_from_slice(&line[1..]);
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
