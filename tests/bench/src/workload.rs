//! What is asked of a server, and what it must answer.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use protocol::{Outcome, Reply, ServerLine};
use serde_json::Value;

use crate::error::BenchError;
use crate::gearman;
use crate::queues;
use crate::websocket;

/// So much of a wrong reply is shown, in characters: enough for an error's message.
const SHOWN_LEN_MAX: usize = 300;
/// What stands behind the id of a task that is promised: synced by the host, or by the database that hosts share.
const PROMISED: [&[u8]; 2] = [
    b"\",\"state\":\"available\",\"durable\":\"fsync\",\"duplicate\":false}}",
    b"\",\"state\":\"available\",\"durable\":\"commit\",\"duplicate\":false}}",
];

/// How a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// With the very line that it was sent.
    LineEcho,
    /// With a reply of the Text protocol.
    Text,
    /// With the very WebSocket message that it was sent.
    WebSocketEcho,
    /// With the gateway's messages.
    TasksV1,
    /// With the very data of a job for `gearmand`.
    Gearman,
    /// With the Text protocol's promise that a background task is on disk.
    Background,
    /// With the number of a job that `beanstalkd` has taken in.
    Beanstalk,
    /// With the length of the list of Redis that has it now.
    Redis,
    /// With the handle of a job that `gearmand` has taken in, and that nobody waits for.
    GearmanBackground,
}

/// One kind of request, numbered.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) dialect: Dialect,
    pub(crate) with_ids: bool,
    pub(crate) job: Job,
    /// The functions that are called, in turns.
    pub(crate) functions: Functions,
}

/// What each task does.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// Results in its args, which hold the request's number and this text.
    Echo { text: String },
    /// Sleeps so many milliseconds.
    Sleep { ms: u64 },
}

/// Names of functions.
#[derive(Clone, Debug)]
pub(crate) enum Functions {
    /// That of the fixture plugin `good` which does the job.
    Good,
    /// These, each of which does it.
    These(Arc<[String]>),
}

impl Functions {
    /// The one for request `number`.
    fn name(&self, number: u64, job: &Job) -> &str {
        match (self, job) {
            (Self::Good, Job::Echo { .. }) => "echo",
            (Self::Good, Job::Sleep { .. }) => "sleep",
            (Self::These(names), _) => {
                let turn = number % names.len() as u64;
                &names[usize::try_from(turn).expect("there are as many")]
            }
        }
    }
}

impl Workload {
    /// Appends request `number` with its newline. Equal numbers make equal lines, but for `gearmand`'s background jobs,
    /// which have names of their own.
    pub(crate) fn request(&self, number: u64, out: &mut Vec<u8>) {
        match self.dialect {
            Dialect::LineEcho | Dialect::Text | Dialect::Background => {
                self.body(number, out);
                out.push(b'\n');
            }
            Dialect::Beanstalk => queues::put(&self.body_alone(number), out),
            Dialect::Redis => queues::lpush(&self.body_alone(number), out),
            Dialect::WebSocketEcho | Dialect::TasksV1 => {
                let start = websocket::begin_text(out);
                self.body(number, out);
                websocket::end_text(out, start);
            }
            Dialect::Gearman => {
                let start = gearman::begin_job(out);
                self.body(number, out);
                gearman::end_job(out, start);
            }
            Dialect::GearmanBackground => {
                let start = gearman::begin_background_job(out);
                self.body(number, out);
                gearman::end_job(out, start);
            }
        }
    }

    /// Where its length comes before it.
    fn body_alone(&self, number: u64) -> Vec<u8> {
        let mut body = Vec::new();
        self.body(number, &mut body);
        body
    }

    fn body(&self, number: u64, out: &mut Vec<u8>) {
        out.push(b'{');
        self.id(number, out);
        let function = self.functions.name(number, &self.job);
        push(out, format_args!("\"function\":\"{function}\",\"args\":"));
        self.args(number, out);
        if self.dialect == Dialect::Background {
            out.extend_from_slice(b",\"background\":true");
        }
        out.push(b'}');
    }

    /// Whether it answers nothing: what the gateway greets with.
    pub(crate) fn is_aside(&self, line: &[u8]) -> bool {
        self.dialect == Dialect::TasksV1 && line.starts_with(b"{\"seq\":1,\"hello\":")
    }

    /// Which request a line answers, if it answers it rightly. `alone` is the one in flight, where there are no ids.
    /// `scratch` is only there to be reused.
    pub(crate) fn check(
        &self,
        line: &Bytes,
        alone: u64,
        scratch: &mut Vec<u8>,
    ) -> Result<u64, BenchError> {
        let line = &self.without_seq(line);
        let number = if self.with_ids {
            leading_id(line).ok_or_else(|| wrong("a reply with an id", line))?
        } else {
            alone
        };
        scratch.clear();
        let is_taken_in = match self.dialect {
            Dialect::Background => Some(self.is_promise(line, number, scratch)),
            Dialect::Beanstalk => Some(queues::is_inserted(line)),
            Dialect::Redis => Some(queues::is_list_len(line)),
            Dialect::GearmanBackground => Some(gearman::is_handle(line)),
            _ => None,
        };
        match is_taken_in {
            Some(true) => return Ok(number),
            Some(false) => return Err(wrong("that it is taken in, and on disk", line)),
            None => {}
        }
        match (&self.job, self.dialect) {
            (Job::Sleep { ms }, Dialect::Text | Dialect::TasksV1) => {
                return check_slept(line, *ms).map(|()| number);
            }
            (_, Dialect::LineEcho | Dialect::WebSocketEcho | Dialect::Gearman) => {
                self.body(number, scratch);
            }
            _ => self.echo_reply(number, scratch),
        }
        if scratch.get(1..) == line.get(1..) {
            Ok(number)
        } else {
            Err(wrong(&String::from_utf8_lossy(scratch), line))
        }
    }

    /// Whether a line promises that a task is on disk. Compared byte for byte, as other replies are.
    fn is_promise(&self, line: &[u8], number: u64, scratch: &mut Vec<u8>) -> bool {
        scratch.push(b'{');
        self.id(number, scratch);
        scratch.extend_from_slice(b"\"ok\":true,\"result\":{\"task\":\"");
        let rest = line.strip_prefix(&scratch[..]).unwrap_or_default();
        let mut tasks = PROMISED.iter().filter_map(|end| rest.strip_suffix(*end));
        tasks.next().is_some_and(is_task_id)
    }

    /// The reply from its id on, as a reply of the Text protocol is.
    fn without_seq(&self, line: &Bytes) -> Bytes {
        let is_numbered = self.dialect == Dialect::TasksV1 && line.starts_with(b"{\"seq\":");
        match line.iter().position(|byte| *byte == b',') {
            // The comma takes the place of the brace.
            Some(at) if is_numbered => line.slice(at..),
            _ => line.clone(),
        }
    }

    /// Compared byte for byte, which is far cheaper than to parse each reply: the client shares the machine with the
    /// server.
    fn echo_reply(&self, number: u64, out: &mut Vec<u8>) {
        out.push(b'{');
        self.id(number, out);
        out.extend_from_slice(b"\"ok\":true,\"result\":");
        self.args(number, out);
        out.push(b'}');
    }

    fn id(&self, number: u64, out: &mut Vec<u8>) {
        if self.with_ids {
            push(out, format_args!("\"id\":{number},"));
        }
    }

    fn args(&self, number: u64, out: &mut Vec<u8>) {
        match &self.job {
            Job::Echo { text } => {
                push(out, format_args!("{{\"number\":{number},\"text\":\""));
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\"}");
            }
            Job::Sleep { ms } => push(out, format_args!("{{\"ms\":{ms}}}")),
        }
    }
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("a Vec takes all that is written");
}

fn leading_id(line: &[u8]) -> Option<u64> {
    let rest = line.get(1..)?.strip_prefix(b"\"id\":")?;
    let len = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    str::from_utf8(&rest[..len]).ok()?.parse().ok()
}

/// Whether it is a UUID of version 7: <https://www.rfc-editor.org/rfc/rfc9562.html#section-5.7>.
fn is_task_id(text: &[u8]) -> bool {
    let is_right = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        14 => *byte == b'7',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.iter().enumerate().all(is_right)
}

fn check_slept(line: &Bytes, ms: u64) -> Result<(), BenchError> {
    let slept_ms = match ServerLine::parse(line) {
        Ok(ServerLine::Reply(Reply { outcome, .. })) => slept_ms(&outcome),
        _ => None,
    };
    match slept_ms {
        Some(slept_ms) if slept_ms >= ms => Ok(()),
        _ => Err(wrong(&format!("slept_ms of at least {ms}"), line)),
    }
}

fn slept_ms(outcome: &Outcome) -> Option<u64> {
    let result: Value = serde_json::from_slice(outcome.as_ref().ok()?).ok()?;
    result.get("slept_ms")?.as_u64()
}

fn wrong(expected: &str, got: &[u8]) -> BenchError {
    let shown = |text: &str| text.chars().take(SHOWN_LEN_MAX).collect();
    BenchError::WrongReply {
        expected: shown(expected),
        got: shown(&String::from_utf8_lossy(got)),
    }
}

#[cfg(test)]
mod tests {
    use protocol::Request;

    use super::*;

    fn echo(dialect: Dialect, with_ids: bool) -> Workload {
        Workload {
            dialect,
            with_ids,
            job: Job::Echo {
                text: "xyz".to_owned(),
            },
            functions: Functions::Good,
        }
    }

    fn line(workload: &Workload, number: u64) -> Bytes {
        let mut out = Vec::new();
        workload.request(number, &mut out);
        assert_eq!(out.pop(), Some(b'\n'));
        out.into()
    }

    #[test]
    fn requests_are_the_protocols_own() {
        let request = Request::parse(&line(&echo(Dialect::Text, true), 7)).unwrap();
        assert_eq!(request.id, Some(7_u64.into()));
        assert_eq!(request.function, "echo");
        assert_eq!(&request.args[..], br#"{"number":7,"text":"xyz"}"#);
        let request = Request::parse(&line(&echo(Dialect::Text, false), 7)).unwrap();
        assert_eq!(request.id, None);
    }

    #[test]
    fn functions_take_turns() {
        let workload = Workload {
            functions: Functions::These(["a", "b"].map(str::to_owned).into()),
            ..echo(Dialect::Text, true)
        };
        let names = [4, 5, 6].map(|number| Request::parse(&line(&workload, number)).unwrap());
        assert_eq!(names.map(|request| request.function), ["a", "b", "a"]);
    }

    #[test]
    fn a_reply_must_be_the_right_one() {
        for with_ids in [true, false] {
            let workload = echo(Dialect::Text, with_ids);
            let request = Request::parse(&line(&workload, 7)).unwrap();
            let mut reply = Vec::new();
            Reply {
                id: request.id,
                outcome: Ok(request.args),
            }
            .encode(&mut reply);
            reply.pop();
            let reply = Bytes::from(reply);
            let mut scratch = Vec::new();
            assert_eq!(workload.check(&reply, 7, &mut scratch).unwrap(), 7);
            let text = String::from_utf8(reply.to_vec()).unwrap();
            for wrong in [
                text.replace("\"number\":7", "\"number\":8"),
                text.replace("xyz", "xy"),
                r#"{"id":7,"ok":false,"error":{}}"#.to_owned(),
                String::new(),
            ] {
                assert!(
                    workload.check(&wrong.into(), 7, &mut scratch).is_err(),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn a_promise_must_be_the_right_one() {
        for with_ids in [true, false] {
            let workload = echo(Dialect::Background, with_ids);
            let request: Value = serde_json::from_slice(&line(&workload, 7)).unwrap();
            assert_eq!(request["background"], true);
            // The example of the protocol's page.
            let id = if with_ids { "\"id\":7," } else { "" };
            let reply = format!(
                "{{{id}\"ok\":true,\"result\":{{\"task\":\"0197f3c2-8e21-7c3a-9d52-0c1b5f3a7e44\",\
                 \"state\":\"available\",\"durable\":\"fsync\",\"duplicate\":false}}}}"
            );
            let mut scratch = Vec::new();
            let mut check = |reply: String| workload.check(&reply.into(), 7, &mut scratch);
            for place in ["fsync", "commit"] {
                assert_eq!(check(reply.replace("fsync", place)).unwrap(), 7);
            }
            for (right, wrong) in [
                ("fsync", "write"),
                ("available", "scheduled"),
                ("\"duplicate\":false", "\"duplicate\":true"),
                ("-7c3a-", "-4c3a-"),
                ("0197f3c2", "0197f3c"),
                ("\"ok\":true", "\"ok\":false"),
            ] {
                assert!(check(reply.replace(right, wrong)).is_err(), "{wrong}");
            }
            assert!(check(String::new()).is_err());
        }
    }

    #[test]
    fn queues_are_sent_the_request_and_must_say_that_they_have_it() {
        let body = r#"{"function":"echo","args":{"number":7,"text":"xyz"}}"#;
        let mut scratch = Vec::new();
        for (dialect, right, wrong) in [
            (Dialect::Beanstalk, "INSERTED 1", "BURIED 1"),
            (
                Dialect::Redis,
                ":1",
                "-MISCONF Errors writing to the AOF file",
            ),
            (Dialect::GearmanBackground, "H:lap:1", ""),
        ] {
            let workload = echo(dialect, false);
            let mut out = Vec::new();
            workload.request(7, &mut out);
            let text = String::from_utf8_lossy(&out);
            assert!(text.trim_end().ends_with(body), "{text:?}");
            assert_eq!(workload.check(&right.into(), 7, &mut scratch).unwrap(), 7);
            assert!(workload.check(&wrong.into(), 7, &mut scratch).is_err());
        }
    }

    #[test]
    fn a_line_comes_back_as_it_was_sent() {
        let workload = echo(Dialect::LineEcho, true);
        let mut scratch = Vec::new();
        let line = line(&workload, 9);
        assert_eq!(workload.check(&line, 0, &mut scratch).unwrap(), 9);
        assert!(workload.check(&line.slice(1..), 9, &mut scratch).is_err());
    }

    #[test]
    fn a_sleeper_that_slept_too_little() {
        let workload = Workload {
            dialect: Dialect::Text,
            with_ids: true,
            job: Job::Sleep { ms: 50 },
            functions: Functions::Good,
        };
        let reply = |ms: u64| {
            Bytes::from(format!(
                r#"{{"id":3,"ok":true,"result":{{"slept_ms":{ms}}}}}"#
            ))
        };
        let mut scratch = Vec::new();
        assert_eq!(workload.check(&reply(50), 0, &mut scratch).unwrap(), 3);
        assert!(workload.check(&reply(49), 0, &mut scratch).is_err());
    }
}
