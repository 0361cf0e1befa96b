//! Replies and progress events.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::{ErrorCode, Event, LineTooLong, Progress, Reply, ServerLine, TaskFailure};

use crate::generators;

fn encoded(line: &ServerLine) -> Bytes {
    let mut out = b"before".to_vec();
    match line {
        ServerLine::Reply(reply) => reply.encode(&mut out),
        ServerLine::Progress(progress) => progress.encode(&mut out),
        ServerLine::Event(event) => event.encode(&mut out),
    }
    Bytes::from(out).slice(6..)
}

fn refused(line: &'static str) -> String {
    ServerLine::parse(&Bytes::from_static(line.as_bytes()))
        .expect_err(line)
        .to_string()
}

#[test]
fn lines_look_as_documented() {
    let result = |id, result: &'static str| Reply {
        id,
        outcome: Ok(Bytes::from_static(result.as_bytes())),
    };
    let mut failure = TaskFailure::new(ErrorCode::Timeout, "it ran past its limit of \"2 s\"\n");
    let failed = |failure: &TaskFailure| Reply {
        id: Some("a\n".try_into().unwrap()),
        outcome: Err(failure.clone()),
    };
    let without_data = failed(&failure);
    failure.data = Some(Bytes::from_static(b"{\"limit_ms\":2000}"));
    for (line, wanted) in [
        (
            ServerLine::Reply(result(None, "[1]")),
            r#"{"ok":true,"result":[1]}"#,
        ),
        (
            ServerLine::Reply(result(Some((-7_i64).into()), "null")),
            r#"{"id":-7,"ok":true,"result":null}"#,
        ),
        (
            ServerLine::Reply(without_data),
            r#"{"id":"a\n","ok":false,"error":{"code":"timeout","message":"it ran past its limit of \"2 s\"\n","retryable":true,"started":true}}"#,
        ),
        (
            ServerLine::Reply(failed(&failure)),
            r#"{"id":"a\n","ok":false,"error":{"code":"timeout","message":"it ran past its limit of \"2 s\"\n","retryable":true,"started":true,"data":{"limit_ms":2000}}}"#,
        ),
        (
            ServerLine::Progress(Progress {
                id: 7_u64.into(),
                done: 40,
                total: 100,
                message: String::new(),
            }),
            r#"{"id":7,"event":"progress","done":40,"total":100,"message":""}"#,
        ),
        (
            ServerLine::Event(Event {
                id: 7_u64.into(),
                name: "plugin".to_owned(),
                data: Bytes::from_static(b"{\"plugin\":\n\"mail\"}"),
            }),
            r#"{"id":7,"event":"plugin","data":{"plugin": "mail"}}"#,
        ),
    ] {
        assert_eq!(encoded(&line), format!("{wanted}\n"));
    }
}

#[test]
fn a_line_over_the_limit_has_its_reply() {
    let TaskFailure {
        code,
        message,
        retryable,
        started,
        ..
    } = LineTooLong { line_len_max: 10 }.into();
    assert_eq!(
        (code, retryable, started),
        (ErrorCode::TooLarge, false, false)
    );
    assert!(message.contains("10 bytes"), "{message}");
}

#[test]
fn raw_newlines_in_passing_json_never_break_the_framing() {
    let data = Some(Bytes::from_static(b"[\n1,\r\n2]"));
    let failure = TaskFailure {
        data,
        ..TaskFailure::new(ErrorCode::HandlerFailed, "no")
    };
    let line = encoded(&ServerLine::Reply(Reply {
        id: None,
        outcome: Err(failure),
    }));
    assert!(line.ends_with(b"\"data\":[ 1,  2]}}\n"));
    let line = encoded(&ServerLine::Reply(Reply {
        id: None,
        outcome: Ok(Bytes::from_static(b"{\n}")),
    }));
    assert_eq!(line, "{\"ok\":true,\"result\":{ }}\n");
}

#[test]
fn a_line_that_no_server_sends_is_refused_with_the_reason() {
    for (line, message) in [
        ("", "the line is empty"),
        ("{}", "field `ok` is missing"),
        (r#"{"ok":true}"#, "field `result` is missing"),
        (r#"{"ok":false}"#, "field `error` is missing"),
        (
            r#"{"ok":false,"error":7}"#,
            "the field `error` must be a JSON object, got 7",
        ),
        (
            r#"{"ok":false,"error":{"code":"timeout"}}"#,
            "field `message` is missing",
        ),
        (
            r#"{"ok":false,"error":{"code":"new","message":"","retryable":true,"started":true}}"#,
            "the error code new is not known",
        ),
        (
            r#"{"event":"progress","done":1,"total":2,"message":""}"#,
            "field `id` is missing",
        ),
        (r#"{"id":7,"event":"plugin"}"#, "field `data` is missing"),
        (
            r#"{"id":7,"event":"progress","done":-1,"total":2,"message":""}"#,
            "field `done` must be an integer of at least 0, got -1",
        ),
    ] {
        assert_eq!(refused(line), message);
    }
}

fn server_line() -> impl Strategy<Value = ServerLine> {
    prop_oneof![
        generators::reply().prop_map(ServerLine::Reply),
        generators::progress().prop_map(ServerLine::Progress),
    ]
}

proptest! {
    #[test]
    fn a_server_line_survives_the_wire(sent in server_line()) {
        let line = encoded(&sent);
        prop_assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(line.len() - 1));
        prop_assert_eq!(ServerLine::parse(&line.slice(..line.len() - 1)), Ok(sent));
    }

    #[test]
    fn any_bytes_passed_through_leave_one_newline_at_the_end(bytes in vec(any::<u8>(), 0..50)) {
        let line = encoded(&ServerLine::Reply(Reply { id: None, outcome: Ok(bytes.into()) }));
        prop_assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(line.len() - 1));
        prop_assert!(!line.contains(&b'\r'));
    }

    #[test]
    fn no_line_panics(line in generators::mutated(server_line().prop_map(|line| encoded(&line).into()))) {
        if let Err(error) = ServerLine::parse(&line) {
            prop_assert!(error.to_string().len() < 250, "{}", error);
        }
    }
}
