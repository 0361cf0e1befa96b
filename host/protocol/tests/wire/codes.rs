//! The codes, and the page that documents them.

use std::time::Duration;

use protocol::{CodeInfo, ErrorCode, TaskFailure};

fn row(info: &CodeInfo) -> String {
    let word = |answer: Option<bool>, open: &'static str| {
        answer.map_or(open, |yes| if yes { "yes" } else { "no" })
    };
    let CodeInfo {
        name,
        when,
        retryable,
        started,
        ..
    } = *info;
    format!(
        "| `{name}` | {when} | {} | {} |",
        word(retryable, "the handler says"),
        word(started, "either")
    )
}

#[test]
fn the_documented_table_is_the_codes_table() {
    let page = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/PROTOCOL.md"
    ))
    .unwrap();
    let documented: Vec<&str> = page
        .lines()
        .skip_while(|line| !line.starts_with("| code |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let expected: Vec<String> = ErrorCode::ALL.iter().map(|code| row(code.info())).collect();
    assert_eq!(
        documented,
        expected,
        "docs/PROTOCOL.md should hold these rows:\n{}",
        expected.join("\n")
    );
}

#[test]
fn every_code_finds_its_own_row_and_its_way_back() {
    for code in ErrorCode::ALL {
        assert_eq!(code.info().code, code);
        assert_eq!(code.as_str().parse(), Ok(code));
        assert_eq!(code.to_string(), code.as_str());
    }
    assert!("Timeout".parse::<ErrorCode>().is_err());
}

#[test]
fn a_failure_is_what_its_code_says_and_careful_where_that_is_open() {
    let overloaded = TaskFailure::new(ErrorCode::Overloaded, "full");
    assert!(overloaded.retryable && !overloaded.started);
    let timeout = TaskFailure::new(ErrorCode::Timeout, "late");
    assert!(timeout.retryable && timeout.started);
    let failed = TaskFailure::new(ErrorCode::HandlerFailed, "no");
    assert!(!failed.retryable && failed.started);
}

#[test]
fn a_failure_may_say_when_to_try_again_and_so_may_a_handler() {
    for (data, expected_ms) in [
        (r#"{"retry_after_ms":7000}"#, Some(7_000)),
        (
            r#"{"kind":"busy","data":{"retry_after_ms":7000}}"#,
            Some(7_000),
        ),
        (
            r#"{"retry_after_ms":1,"data":{"retry_after_ms":2}}"#,
            Some(1),
        ),
        (r#"{"kind":"busy","data":[7000]}"#, None),
        (r#"{"kind":"busy","data":{"retry_after_ms":"7s"}}"#, None),
        (r#"{"kind":"busy"}"#, None),
        ("7", None),
    ] {
        let mut failure = TaskFailure::new(ErrorCode::HandlerFailed, "no");
        failure.data = Some(data.into());
        let expected = expected_ms.map(Duration::from_millis);
        assert_eq!(failure.retry_after(), expected, "{data}");
    }
}
