//! What must hold of a client's message, whatever it is: for the fuzzers of `tests/fuzz`, and for a few texts in every
//! test.

use bytes::Bytes;
use protocol::Reply;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{ClientMessage, reply};

/// Longest message to a client about what it said, in bytes.
const MESSAGE_LEN_MAX: usize = 1000;

/// Reads a text: what is a task has an id, and its answer is JSON that carries it and the arguments unharmed; what is
/// none of ours gets a short message; another reader finds no control in what isn't an object of known fields.
pub(crate) fn messages(text: &[u8]) {
    if str::from_utf8(text).is_err() {
        // Of a WebSocket, texts come checked.
        return;
    }
    let text = Bytes::copy_from_slice(text);
    match ClientMessage::parse(&text) {
        Err((_, message)) => assert!(message.len() <= MESSAGE_LEN_MAX, "{message}"),
        Ok(ClientMessage::Control(_)) => {
            let value: Value = serde_json::from_slice(&text).expect("a control is JSON");
            let known = ["cancel", "resume", "seen", "token"];
            let fields = value.as_object().expect("a control is an object");
            assert!(fields.keys().all(|key| known.contains(&key.as_str())));
            assert!(!fields.contains_key("function"));
        }
        Ok(ClientMessage::Task(request)) => {
            let id = request.id.clone().expect("a task has an id");
            let answer = Reply {
                id: Some(id),
                outcome: Ok(request.args.clone()),
            };
            let answer = reply(7, &answer);
            assert!(!answer.contains('\n'), "an answer is one line");
            let _: IgnoredAny = serde_json::from_str(&answer).expect("an answer is JSON");
            // Numbers of any size are passed on, and not all of them have a value here.
            if let Ok(args) = serde_json::from_slice::<Value>(&request.args) {
                let told: Value = serde_json::from_str(&answer).expect("an answer is JSON");
                assert_eq!((&told["seq"], &told["ok"]), (&7.into(), &true.into()));
                assert_eq!(told["result"], args);
            }
        }
    }
}

/// Controls, alone and together, and what is nearly one.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        r#"{"cancel":"a"}"#,
        r#"{"cancel":7,"seen":3}"#,
        r#"{"resume":"AAAA","seen":0,"token":"secret"}"#,
        r#"{"token":null}"#,
        r#"{"id":"a","function":"echo","args":{"b":[1.50,"\u00e4"]},"progress":true,"timeout_ms":5}"#,
        r#"{"id":"a","function":"echo","args":{"b":4e9000001433}}"#,
        r#"{"function":"echo"}"#,
        "[]",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
