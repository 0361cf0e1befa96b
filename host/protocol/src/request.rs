//! What a client sends.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;

use crate::background::{self, Background, TraceParent};
use crate::encode;
use crate::id::{ID_EXPECTED, RequestId};
use crate::object::{Object, field, slice};

/// Names that begin so are the server's own functions.
pub const HOST_PREFIX: &str = "host.";

/// The longest name that a function may have, in bytes.
pub const FUNCTION_LEN_MAX: usize = 128;

/// The longest name of somebody on whose behalf a request is, in bytes.
pub const SUBJECT_LEN_MAX: usize = 128;

/// One request line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its name on its connection; without one it is answered in order.
    pub id: Option<RequestId>,
    /// Whose handler runs.
    pub function: String,
    /// JSON for the handler, byte for byte what the client sent; `{}` if it sent none. A slice of the line: whoever
    /// holds it holds the line's memory.
    pub args: Bytes,
    /// The limit of the whole task from receipt, in whole milliseconds, at least 1.
    pub timeout: Option<Duration>,
    /// Whether progress events are wanted. Only with an `id`.
    pub progress: bool,
    /// On whose behalf it is: a name that the client vouches for, of 1 to [`SUBJECT_LEN_MAX`] bytes.
    pub subject: Option<Box<str>>,
    /// The trace that it is part of, as W3C's Trace Context writes it.
    pub traceparent: Option<TraceParent>,
    /// It is to be written down and answered at once, and run later.
    pub background: Option<Box<Background>>,
}

/// The fields that a request may have.
const FIELDS: [&str; 17] = {
    let [
        key,
        unique_ms,
        delay_ms,
        priority,
        retry,
        deadline_ms,
        result_ttl_ms,
        limit_key,
        version,
    ] = background::FIELDS;
    [
        "id",
        "function",
        "args",
        "timeout_ms",
        "progress",
        "subject",
        "traceparent",
        BACKGROUND,
        key,
        unique_ms,
        delay_ms,
        priority,
        retry,
        deadline_ms,
        result_ttl_ms,
        limit_key,
        version,
    ]
};

const BACKGROUND: &str = "background";

/// The fields by which a request asks for a task in the background.
pub const BACKGROUND_FIELDS: [&str; 10] = {
    let [.., background, a, b, c, d, e, f, g, h, i] = FIELDS;
    [background, a, b, c, d, e, f, g, h, i]
};

/// For clients whose line is not an object.
const EXAMPLE: &str = r#"a request is one object on one line, like {"function":"NAME","args":{}}"#;

impl Request {
    /// A request for `function` with empty `args` and nothing else.
    #[must_use]
    pub fn new(function: impl Into<String>) -> Self {
        Self {
            id: None,
            function: function.into(),
            args: Bytes::from_static(b"{}"),
            timeout: None,
            progress: false,
            subject: None,
            traceparent: None,
            background: None,
        }
    }

    /// Whether the server itself answers it, and no plugin.
    #[must_use]
    pub fn is_for_host(&self) -> bool {
        self.function.starts_with(HOST_PREFIX)
    }

    /// Reads one line, given without its newline.
    ///
    /// # Errors
    /// The line is not a request that can be run; the message is for the client.
    pub fn parse(line: &Bytes) -> Result<Self, BadRequest> {
        let object = Object::read(line, &FIELDS);
        let [id, fields @ ..] = object.fields;
        let id = id.map(|raw| field("id", raw, ID_EXPECTED)).transpose();
        let parsed = match (object.fault, &id) {
            (Some(fault), _) => Err(format!("the line {fault}; {EXAMPLE}")),
            (None, Err(fault)) => Err(fault.clone()),
            (None, Ok(id)) => Self::from_fields(line, id.clone(), fields),
        };
        parsed.map_err(|message| BadRequest {
            id: id.ok().flatten(),
            message,
        })
    }

    /// Reads one line for a server that keeps no tasks in the background.
    ///
    /// # Errors
    /// As [`Self::parse`], or it asks for such a task.
    pub fn parse_without_background(line: &Bytes) -> Result<Self, BadRequest> {
        let request = Self::parse(line)?;
        if request.background.is_none() {
            return Ok(request);
        }
        Err(BadRequest {
            id: request.id,
            message: format!(
                "field `{BACKGROUND}` can't be kept here: send the task to a host itself, or leave it out"
            ),
        })
    }

    fn from_fields(
        line: &Bytes,
        id: Option<RequestId>,
        fields: [Option<&str>; FIELDS.len() - 1],
    ) -> Result<Self, String> {
        let [
            function,
            args,
            timeout_ms,
            progress,
            subject,
            traceparent,
            background,
            of_background @ ..,
        ] = fields;
        let function =
            function.ok_or("field `function` is missing; it names the function to run")?;
        let function: String = field("function", function, "a string of Unicode characters")?;
        if function.len() > FUNCTION_LEN_MAX {
            let len = function.len();
            return Err(format!(
                "field `function` has {len} bytes; names of functions have at most {FUNCTION_LEN_MAX}"
            ));
        }
        let progress = progress.map_or(Ok(false), |raw| field("progress", raw, "true or false"))?;
        if progress && id.is_none() {
            return Err(
                "field `progress` needs an `id`, which names the request in its progress events"
                    .to_owned(),
            );
        }
        let background = Background::read(background, of_background)?;
        if background.is_some() {
            fits_background(&function, progress)?;
        }
        Ok(Self {
            id,
            function,
            args: args.map_or(Bytes::from_static(b"{}"), |raw| slice(line, raw)),
            timeout: timeout_ms.map(parse_timeout).transpose()?,
            progress,
            subject: subject.map(parse_subject).transpose()?,
            traceparent: traceparent.map(TraceParent::read).transpose()?,
            background,
        })
    }

    /// Appends the request as one line, newline included. `args` must be valid JSON, see
    /// [`json::one_line`](crate::json::one_line); raw newlines in it are made spaces.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        encode::id(out, self.id.as_ref());
        out.extend_from_slice(b"\"function\":");
        encode::value(out, &self.function);
        out.extend_from_slice(b",\"args\":");
        encode::raw(out, &self.args);
        if let Some(timeout) = self.timeout {
            out.extend_from_slice(b",\"timeout_ms\":");
            let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            encode::value(out, &timeout_ms.max(1));
        }
        if self.progress {
            out.extend_from_slice(b",\"progress\":true");
        }
        if let Some(subject) = &self.subject {
            out.extend_from_slice(b",\"subject\":");
            encode::value(out, subject);
        }
        if let Some(traceparent) = &self.traceparent {
            out.extend_from_slice(b",\"traceparent\":");
            encode::value(out, traceparent.as_str());
        }
        if let Some(background) = &self.background {
            background.encode(out);
        }
        out.extend_from_slice(b"}\n");
    }
}

/// Whether a task of this function, and with this wish, may run in the background.
fn fits_background(function: &str, progress: bool) -> Result<(), String> {
    if function.starts_with(HOST_PREFIX) {
        return Err(format!(
            "`{function}` is answered at once; leave out `{BACKGROUND}`"
        ));
    }
    if progress {
        return Err(format!(
            "field `progress` does not go with `{BACKGROUND}`: ask for the task's progress by `host.task`"
        ));
    }
    Ok(())
}

fn parse_timeout(raw: &str) -> Result<Duration, String> {
    field::<NonZeroU64>("timeout_ms", raw, "an integer of at least 1")
        .map(|ms| Duration::from_millis(ms.get()))
}

fn parse_subject(raw: &str) -> Result<Box<str>, String> {
    let subject: Box<str> = field("subject", raw, "a string of Unicode characters")?;
    match subject.len() {
        1..=SUBJECT_LEN_MAX if subject.contains('\0') => {
            Err("field `subject` has a NUL character; leave it out".to_owned())
        }
        1..=SUBJECT_LEN_MAX => Ok(subject),
        len => Err(format!(
            "field `subject` has {len} bytes; it names somebody, in 1 to {SUBJECT_LEN_MAX}"
        )),
    }
}

/// A line that is not a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRequest {
    /// The request's id, where it could be read, so that the reply carries it.
    pub id: Option<RequestId>,
    /// What is wrong and what to send, for the client; short, whatever the line was.
    pub message: String,
}

impl BadRequest {
    /// For the rest of a stream that no newline ended: it may be the beginning of anything, so it must not run.
    #[must_use]
    pub fn unended(rest: &Bytes) -> Self {
        let id = match Request::parse(rest) {
            Ok(request) => request.id,
            Err(bad_request) => bad_request.id,
        };
        Self {
            id,
            message: "the last line does not end with a newline; nothing was run".to_owned(),
        }
    }
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadRequest {}
