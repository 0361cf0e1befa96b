//! Request lines.

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::{
    BACKGROUND_FIELDS, Background, BadRequest, ErrorCode, Reply, Request, RequestId, Retry, RetryOn,
};

use crate::generators;

fn parse(line: &str) -> Result<Request, BadRequest> {
    Request::parse(&Bytes::copy_from_slice(line.as_bytes()))
}

/// The message and the id, as on the wire, of the refusal of `line`.
fn refused(line: &str) -> (String, Option<String>) {
    let BadRequest { id, message } = parse(line).expect_err(line);
    (message, id.map(|id| id.to_string()))
}

fn encoded(request: &Request) -> Bytes {
    let mut out = Vec::new();
    request.encode(&mut out);
    out.into()
}

#[test]
fn a_request_has_defaults_for_all_but_its_function() {
    assert_eq!(
        parse(r#"{"function":"send_mail"}"#),
        Ok(Request::new("send_mail"))
    );
}

#[test]
fn every_field_is_read_whatever_the_order_the_spacing_and_the_escapes() {
    let wanted = Request {
        id: Some(7_u64.into()),
        function: "säge".to_owned(),
        args: Bytes::from_static(b"{ \"a\" : [1.50, 1e400] }"),
        timeout: Some(Duration::from_millis(1500)),
        progress: true,
        ..Request::new("")
    };
    let line = "\t{ \"progress\":true, \"args\" : { \"a\" : [1.50, 1e400] } ,\"other\":{\"id\":9},\r\
                \"timeout_ms\":1500,\"func\\u0074ion\":\"s\\u00e4ge\",\"id\":7 } ";
    assert_eq!(parse(line), Ok(wanted));
}

#[test]
fn args_are_a_slice_of_the_line_and_may_be_any_json() {
    for args in [
        "{}",
        "[]",
        "null",
        "7",
        "\"\\ud800\"",
        "[[{\"a\":\"\\n\"}]]",
    ] {
        let line = Bytes::from(format!("{{\"function\":\"f\",\"args\":{args}}}"));
        let request = Request::parse(&line).unwrap();
        assert_eq!(request.args, args);
        assert_eq!(request.args.as_ptr(), line[23..].as_ptr(), "{args}");
    }
}

#[test]
fn ids_are_integers_of_64_bits_or_short_strings_and_keep_their_type() {
    let id =
        |id: &str| parse(&format!(r#"{{"function":"f","id":{id}}}"#)).map(|request| request.id);
    assert_eq!(id("-9223372036854775808"), Ok(Some(i64::MIN.into())));
    assert_eq!(id("18446744073709551615"), Ok(Some(u64::MAX.into())));
    assert_eq!(id("7"), id("7"));
    assert_ne!(id("7"), id("\"7\""));
    assert_eq!(RequestId::from(7_i64), RequestId::from(7_u64));
    let longest = "ä".repeat(32);
    assert_eq!(
        id(&format!("\"{longest}\"")),
        Ok(Some(longest.as_str().try_into().unwrap()))
    );

    let expected =
        "field `id` must be a string of 1 to 64 bytes or an integer of at most 64 bits, got ";
    let too_long = format!("\"{longest}a\"");
    for (bad, got) in [
        ("18446744073709551616", "18446744073709551616"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("1.5", "1.5"),
        ("1e2", "1e2"),
        ("null", "null"),
        ("true", "true"),
        ("\"\"", "the string \"\""),
        ("{}", "an object"),
        ("[7]", "an array"),
        (
            &too_long,
            &format!("the string \"{}… (67 bytes)", "ä".repeat(29)),
        ),
    ] {
        assert_eq!(
            id(bad).unwrap_err(),
            BadRequest {
                id: None,
                message: format!("{expected}{got}")
            }
        );
    }
}

#[test]
fn a_field_of_the_wrong_type_is_named_with_what_to_send() {
    for (field, message) in [
        (
            "\"function\":7",
            "field `function` must be a string of Unicode characters, got 7",
        ),
        (
            "\"function\":null",
            "field `function` must be a string of Unicode characters, got null",
        ),
        (
            "\"function\":\"\\ud800\"",
            "field `function` must be a string of Unicode characters, got the string \"\\ud800\"",
        ),
        (
            "\"args\":1",
            "field `function` is missing; it names the function to run",
        ),
    ] {
        assert_eq!(
            refused(&format!("{{\"id\":7,{field}}}")),
            (message.to_owned(), Some("7".to_owned()))
        );
    }
    for (field, message) in [
        (
            "\"timeout_ms\":\"30\"",
            "field `timeout_ms` must be an integer of at least 1, got the string \"30\"",
        ),
        (
            "\"timeout_ms\":0",
            "field `timeout_ms` must be an integer of at least 1, got 0",
        ),
        (
            "\"timeout_ms\":-5",
            "field `timeout_ms` must be an integer of at least 1, got -5",
        ),
        (
            "\"timeout_ms\":1.5",
            "field `timeout_ms` must be an integer of at least 1, got 1.5",
        ),
        (
            "\"timeout_ms\":null",
            "field `timeout_ms` must be an integer of at least 1, got null",
        ),
        (
            "\"progress\":1",
            "field `progress` must be true or false, got 1",
        ),
    ] {
        let (got, id) = refused(&format!("{{\"function\":\"f\",\"id\":\"a\",{field}}}"));
        assert_eq!((got.as_str(), id.as_deref()), (message, Some("\"a\"")));
    }
}

#[test]
fn progress_needs_an_id() {
    let (message, _) = refused(r#"{"function":"f","progress":true}"#);
    assert_eq!(
        message,
        "field `progress` needs an `id`, which names the request in its progress events"
    );
    assert!(parse(r#"{"function":"f","progress":false}"#).is_ok());
}

#[test]
fn a_task_in_the_background_says_how_it_is_kept_and_tried_again() {
    let plain = parse(r#"{"function":"f","background":true}"#).unwrap();
    assert_eq!(plain.background, Some(Box::default()));
    let all = r#"{"id":1,"function":"f","args":{},"timeout_ms":5,"subject":"s","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","background":true,"key":"k","unique_ms":1,"delay_ms":2,"priority":9,"retry":{"max":0,"base_ms":7,"cap_ms":8,"on":"retryable"},"deadline_ms":3,"result_ttl_ms":4,"limit_key":"l","version":"1.0"}"#;
    let request = parse(all).unwrap();
    let background = Background {
        key: Some("k".to_owned()),
        unique_ms: 1,
        delay_ms: 2,
        priority: 9,
        retry: Retry {
            max: 0,
            base_ms: 7,
            cap_ms: 8,
            on: RetryOn::Retryable,
        },
        deadline_ms: Some(3),
        result_ttl_ms: Some(4),
        limit_key: Some("l".to_owned()),
        version: Some("1.0".to_owned()),
    };
    assert_eq!(request.background, Some(Box::new(background)));
    let mut line = Vec::new();
    request.encode(&mut line);
    assert_eq!(String::from_utf8(line).unwrap(), format!("{all}\n"));
    let part = parse(r#"{"function":"f","background":true,"retry":{"max":2}}"#).unwrap();
    let retry = Retry {
        max: 2,
        ..Retry::default()
    };
    assert_eq!(part.background.unwrap().retry, retry);
}

#[test]
fn what_a_task_in_the_background_asks_for_is_kept_or_refused() {
    for field in &BACKGROUND_FIELDS[1..] {
        for background in ["", "\"background\":false,"] {
            let line = format!("{{\"id\":7,\"function\":\"f\",{background}\"{field}\":null}}");
            let (message, id) = refused(&line);
            let says = format!("field `{field}` is for tasks in the background");
            assert!(message.starts_with(&says), "{message}");
            assert_eq!(id.as_deref(), Some("7"));
        }
    }
    for (fields, texts) in [
        (r#""key":"""#, ["`key`", "128"]),
        (r#""unique_ms":1"#, ["`unique_ms`", "`key`"]),
        (r#""delay_ms":-1"#, ["`delay_ms`", "a year"]),
        (r#""delay_ms":31536000001"#, ["`delay_ms`", "a year"]),
        (r#""priority":0"#, ["`priority`", "1 to 9"]),
        (r#""priority":10"#, ["`priority`", "1 to 9"]),
        (r#""priority":"high""#, ["`priority`", "1 to 9"]),
        (r#""retry":3"#, ["`retry`", "max"]),
        (r#""retry":{"tries":3}"#, ["`retry`", "tries"]),
        (r#""retry":{"on":"never"}"#, ["`retry`", "never"]),
        (r#""retry":{"cap_ms":31536000001}"#, ["`retry`", "a year"]),
        (r#""deadline_ms":0"#, ["`deadline_ms`", "1 to"]),
        (r#""result_ttl_ms":1.5"#, ["`result_ttl_ms`", "integer"]),
        (r#""limit_key":7"#, ["`limit_key`", "string"]),
        (r#""traceparent":"00-xyz""#, ["`traceparent`", "W3C"]),
        (r#""id":1,"progress":true"#, ["`progress`", "host.task"]),
    ] {
        let line = format!("{{\"function\":\"f\",\"background\":true,{fields}}}");
        let (message, _) = refused(&line);
        assert!(texts.iter().all(|text| message.contains(text)), "{message}");
    }
    let (message, _) = refused(r#"{"function":"host.ping","background":true}"#);
    assert!(
        message.contains("`host.ping` is answered at once"),
        "{message}"
    );
}

#[test]
fn who_keeps_no_tasks_in_the_background_says_so() {
    let line = br#"{"id":7,"function":"f","background":true}"#;
    let bad = Request::parse_without_background(&Bytes::from_static(line)).unwrap_err();
    assert_eq!(bad.id, Some(RequestId::from(7_u64)));
    assert!(
        bad.message.contains("`background` can't be kept here"),
        "{bad}"
    );
    let line = Bytes::from_static(br#"{"function":"f","background":false}"#);
    assert!(Request::parse_without_background(&line).is_ok());
}

#[test]
fn a_field_that_stands_there_twice_is_refused_and_a_doubtful_id_not_repeated() {
    let (message, id) = refused(r#"{"id":7,"function":"a","function":"b"}"#);
    assert!(
        message.starts_with("the line has the field `function` twice"),
        "{message}"
    );
    assert_eq!(id.as_deref(), Some("7"));
    let (message, id) = refused(r#"{"id":7,"function":"a","id":7}"#);
    assert!(
        message.starts_with("the line has the field `id` twice"),
        "{message}"
    );
    assert_eq!(id, None);
    assert!(parse(r#"{"other":1,"function":"a","other":2}"#).is_ok());
}

#[test]
fn a_line_that_is_no_object_is_refused_with_an_example() {
    for (line, message) in [
        ("", "the line is empty"),
        (" \t", "the line is empty"),
        (
            "hello",
            "the line is not valid JSON: expected value at byte 1",
        ),
        ("[{}]", "the line must be a JSON object, got an array"),
        ("null", "the line must be a JSON object, got null"),
        (
            "{",
            "the line is not valid JSON: EOF while parsing an object at byte 1",
        ),
        (
            r#"{"function":"f"} {}"#,
            "the line is not valid JSON: trailing characters at byte 18",
        ),
    ] {
        let (got, _) = refused(line);
        assert_eq!(
            got,
            format!(
                r#"{message}; a request is one object on one line, like {{"function":"NAME","args":{{}}}}"#
            )
        );
    }
}

#[test]
fn an_id_before_the_fault_is_kept_but_not_one_that_may_be_cut_off() {
    for (line, id) in [
        (r#"{"id":7,"function":"f",}"#, Some("7")),
        (r#"{"id":7,"function":"f"} x"#, Some("7")),
        (r#"{"id":12"#, None),
        (r#"{"id":12 "function":"f"}"#, None),
        (r#"{"id":12,"#, None),
        (r#"{"id":12,"function"#, None),
        (r#"{"id":12,"function""#, Some("12")),
    ] {
        assert_eq!(refused(line).1.as_deref(), id, "{line}");
    }
    let bad_utf8 = Bytes::from_static(b"{\"id\":7,\"function\":\"f\",\"args\":\"M\xfcller\"}");
    let BadRequest { id, message } = Request::parse(&bad_utf8).unwrap_err();
    assert_eq!(id, Some(7_u64.into()));
    assert!(
        message.starts_with("the line is not valid UTF-8 from byte 33 on; "),
        "{message}"
    );
}

#[test]
fn an_unended_line_is_refused_with_its_id() {
    for (rest, id) in [
        (r#"{"id":7,"function":"f"}"#, Some(7_u64.into())),
        (r#"{"id":7"#, None),
        ("\r", None),
    ] {
        let bad_request = BadRequest::unended(&Bytes::from_static(rest.as_bytes()));
        assert_eq!(
            bad_request.message,
            "the last line does not end with a newline; nothing was run"
        );
        assert_eq!(bad_request.id, id);
    }
}

#[test]
fn a_bad_request_is_a_reply() {
    let reply = Reply::from(parse(r#"{"id":7}"#).unwrap_err());
    assert_eq!(reply.id, Some(7_u64.into()));
    assert_eq!(reply.outcome.unwrap_err().code, ErrorCode::BadRequest);
}

#[test]
fn long_input_is_not_repeated() {
    let long = "ä".repeat(100_000);
    for line in [
        format!("{{\"function\":\"f\",\"timeout_ms\":\"{long}\"}}"),
        format!(
            "{{\"function\":\"f\",\"timeout_ms\":{}}}",
            "9".repeat(100_000)
        ),
        format!("\"{long}\""),
        long.clone(),
        format!("{{\"function\":\"f\",\"{long}\":}}"),
    ] {
        let (message, _) = refused(&line);
        assert!(message.len() < 250, "{message}");
    }
}

#[test]
fn deep_nesting_is_read_without_recursion() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let request = parse(&format!(
        "{{\"unknown\":{deep},\"function\":\"f\",\"args\":{deep}}}"
    ))
    .unwrap();
    assert_eq!(request.args.len(), deep.len());
    assert!(parse(&format!("{{\"function\":{objects}}}")).is_err());
    assert!(parse(&format!("{{\"id\":{objects},\"function\":\"f\"}}")).is_err());
    assert!(parse(&deep).is_err());
    assert!(parse(&objects).is_err());
    assert!(parse(&"[".repeat(1_000_000)).is_err());
}

proptest! {
    #[test]
    fn a_request_survives_the_wire(request in generators::request()) {
        let line = encoded(&request);
        prop_assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(line.len() - 1));
        prop_assert_eq!(Request::parse(&line.slice(..line.len() - 1)), Ok(request));
    }

    #[test]
    fn no_line_panics(line in vec(any::<u8>(), 0..200)) {
        let line = Bytes::from(line);
        let _ = Request::parse(&line);
        let _ = BadRequest::unended(&line);
    }

    #[test]
    fn a_broken_line_gets_a_short_answer(
        line in generators::mutated(generators::request().prop_map(|request| encoded(&request).into())),
    ) {
        if let Err(BadRequest { message, .. }) = Request::parse(&line) {
            prop_assert!(message.len() < 250, "{}", message);
        }
    }
}

#[test]
fn a_byte_order_mark_is_named_and_the_id_kept() {
    let (message, id) = refused("\u{feff}{\"id\":7,\"function\":\"f\"}");
    assert!(message.contains("byte order mark (BOM)"), "{message}");
    assert_eq!(id.as_deref(), Some("7"));
}

#[test]
fn keys_that_nobody_knows_may_be_anything() {
    let line = r#"{"\ud800":1,"":2,"id":7,"\udc00\ud800":{"\ud800":[]},"function":"f"}"#;
    assert_eq!(parse(line).unwrap().id, Some(7_u64.into()));
    let (message, id) = refused(r#"{"id":7,"function":"\ud800"}"#);
    assert!(message.contains("`function`"), "{message}");
    assert_eq!(id.as_deref(), Some("7"));
}

#[test]
fn a_name_without_a_place_in_databases_is_refused() {
    for field in ["key", "limit_key", "version", "subject"] {
        let line = format!(r#"{{"id":7,"function":"f","background":true,"{field}":"a\u0000b"}}"#);
        let (message, id) = refused(&line);
        assert!(
            message.contains(&format!("`{field}`")) && message.contains("NUL"),
            "{message}"
        );
        assert_eq!(id.as_deref(), Some("7"));
    }
}

#[test]
fn a_name_longer_than_any_function_has_is_refused() {
    let line = |len: usize| format!(r#"{{"id":7,"function":"{}"}}"#, "f".repeat(len));
    assert_eq!(parse(&line(128)).unwrap().function.len(), 128);
    let (message, id) = refused(&line(129));
    assert!(
        message.contains("129 bytes") && message.contains("at most 128"),
        "{message}"
    );
    assert_eq!(id.as_deref(), Some("7"));
}

#[test]
fn minus_zero_is_zero() {
    assert_eq!(
        parse(r#"{"id":-0,"function":"f"}"#).unwrap().id,
        Some(0_u64.into())
    );
    let (message, _) = refused(r#"{"id":0.5,"function":"f"}"#);
    assert!(message.contains("`id`"), "{message}");
}
