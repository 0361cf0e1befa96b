//! JSON that passes through.

use bytes::Bytes;
use proptest::prelude::*;
use protocol::json::one_line;

use crate::generators;

fn refused(json: &'static [u8]) -> String {
    one_line(&Bytes::from_static(json))
        .expect_err("the caller knows it to be wrong")
        .to_string()
}

#[test]
fn json_on_one_line_is_not_copied() {
    let json = Bytes::from_static(b" {\"a\": [1, 2]}\n");
    let line = one_line(&json).unwrap();
    assert_eq!(line, r#"{"a": [1, 2]}"#);
    assert_eq!(line.as_ptr(), json[1..].as_ptr());
}

#[test]
fn raw_newlines_become_spaces() {
    let json = Bytes::from_static(b"{\r\n  \"a\\n\": 1\n}\n");
    assert_eq!(one_line(&json).unwrap(), "{    \"a\\n\": 1 }");
    assert_eq!(json, "{\r\n  \"a\\n\": 1\n}\n");
}

#[test]
fn what_is_not_one_json_text_is_refused_with_its_place() {
    assert_eq!(
        refused(b""),
        "not valid JSON: EOF while parsing a value at byte 0"
    );
    assert_eq!(
        refused(b"1 2"),
        "not valid JSON: trailing characters at byte 3"
    );
    assert_eq!(
        refused(b"{\n1}"),
        "not valid JSON: key must be a string at line 2 column 1"
    );
    assert_eq!(refused(b"\"\xff\""), "not valid UTF-8 from byte 2 on");
    assert_eq!(
        refused(b"\"a\nb\""),
        "not valid JSON: control character (\\u0000-\\u001F) found while parsing a string at byte 2"
    );
}

#[test]
fn deep_nesting_neither_overflows_nor_is_refused() {
    let deep = Bytes::from([vec![b'['; 1_000_000], vec![b']'; 1_000_000]].concat());
    assert_eq!(one_line(&deep).unwrap(), deep);
    assert!(one_line(&deep.slice(1..)).is_err());
    assert!(one_line(&deep.slice(..1_999_999)).is_err());
}

proptest! {
    #[test]
    fn one_line_json_stays_as_it_is(json in generators::json()) {
        prop_assert_eq!(one_line(&json), Ok(json));
    }

    #[test]
    fn nothing_panics_and_no_newline_gets_through(json in generators::mutated(generators::json().prop_map(Into::into))) {
        match one_line(&json) {
            Ok(line) => {
                prop_assert!(!line.iter().any(|byte| b"\r\n".contains(byte)));
                let value: serde_json::Result<&serde_json::value::RawValue> = serde_json::from_slice(&line);
                prop_assert!(value.is_ok());
            }
            Err(error) => prop_assert!(error.to_string().len() < 200, "{}", error),
        }
    }
}
