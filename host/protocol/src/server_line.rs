//! A client's view of what the server sends.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;

use crate::code::ErrorCode;
use crate::excerpt::excerpt;
use crate::id::{ID_EXPECTED, RequestId};
use crate::object::{Object, field, slice};
use crate::reply::{Event, Progress, Reply, TaskFailure};

/// One line from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerLine {
    /// The last line of a request.
    Reply(Reply),
    /// News of a request that goes on.
    Progress(Progress),
    /// News of another kind.
    Event(Event),
}

const LINE_FIELDS: [&str; 9] = [
    "id", "event", "ok", "result", "error", "done", "total", "message", "data",
];
const ERROR_FIELDS: [&str; 5] = ["code", "message", "retryable", "started", "data"];

impl ServerLine {
    /// Reads one line, given without its newline.
    ///
    /// # Errors
    /// The line is not one that a server of this protocol sends.
    pub fn parse(line: &Bytes) -> Result<Self, BadServerLine> {
        parse(line).map_err(|message| BadServerLine { message })
    }
}

fn parse(line: &Bytes) -> Result<ServerLine, String> {
    let object = Object::read(line, &LINE_FIELDS);
    if let Some(fault) = object.fault {
        return Err(format!("the line {fault}"));
    }
    let [id, event, ok, result, error, done, total, message, data] = object.fields;
    let id: Option<RequestId> = id.map(|raw| field("id", raw, ID_EXPECTED)).transpose()?;
    if let Some(event) = event {
        let event: String = field("event", event, "a string")?;
        if event != "progress" {
            return Ok(ServerLine::Event(Event {
                id: id.ok_or("field `id` is missing")?,
                name: event,
                data: slice(line, data.ok_or("field `data` is missing")?),
            }));
        }
        return Ok(ServerLine::Progress(Progress {
            id: id.ok_or("field `id` is missing")?,
            done: required("done", done, "an integer of at least 0")?,
            total: required("total", total, "an integer of at least 0")?,
            message: required("message", message, "a string")?,
        }));
    }
    let outcome = if required("ok", ok, "true or false")? {
        Ok(slice(line, result.ok_or("field `result` is missing")?))
    } else {
        Err(parse_failure(
            line,
            error.ok_or("field `error` is missing")?,
        )?)
    };
    Ok(ServerLine::Reply(Reply { id, outcome }))
}

fn parse_failure(line: &Bytes, raw: &str) -> Result<TaskFailure, String> {
    let object = Object::read(raw.as_bytes(), &ERROR_FIELDS);
    if let Some(fault) = object.fault {
        return Err(format!("the field `error` {fault}"));
    }
    let [code, message, retryable, started, data] = object.fields;
    let code: String = required("code", code, "a string")?;
    Ok(TaskFailure {
        code: code
            .parse::<ErrorCode>()
            .map_err(|_| format!("the error code {} is not known", excerpt(&code)))?,
        message: required("message", message, "a string")?,
        retryable: required("retryable", retryable, "true or false")?,
        started: required("started", started, "true or false")?,
        data: data.map(|raw| slice(line, raw)),
    })
}

fn required<'a, T: Deserialize<'a>>(
    name: &str,
    raw: Option<&'a str>,
    expected: &str,
) -> Result<T, String> {
    field(
        name,
        raw.ok_or_else(|| format!("field `{name}` is missing"))?,
        expected,
    )
}

/// A line that is not one of the protocol's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadServerLine {
    message: String,
}

impl fmt::Display for BadServerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadServerLine {}
