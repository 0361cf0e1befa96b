//! The line by which a client shows who it is: `{"function":"host.hello","args":{"token":"…"}}`. Pure.

use bytes::Bytes;
use protocol::{Request, RequestId};
use serde::Deserialize;

/// By this function a client shows itself, and is told what it may do.
pub(crate) const HELLO: &str = "host.hello";

/// What a first line says of its client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FirstLine {
    /// It shows this token.
    Hello(Hello),
    /// Something else: the id of the request, where it has one.
    Other(Option<RequestId>),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) id: Option<RequestId>,
    pub(crate) token: String,
}

/// The token that a request for [`HELLO`] shows, if it shows one.
pub(crate) fn token(request: &Request) -> Option<String> {
    #[derive(Deserialize)]
    struct Args {
        token: String,
    }
    // Serde would take an array for it as well.
    let is_object = request.args.first() == Some(&b'{');
    let args: Option<Args> = serde_json::from_slice(&request.args).ok();
    args.filter(|_| is_object).map(|args| args.token)
}

/// Reads a first line, given without its newline.
pub(crate) fn read(line: &Bytes) -> FirstLine {
    let request = match Request::parse(line) {
        Ok(request) => request,
        Err(bad_request) => return FirstLine::Other(bad_request.id),
    };
    if request.function != HELLO {
        return FirstLine::Other(request.id);
    }
    match token(&request) {
        Some(token) => FirstLine::Hello(Hello {
            id: request.id,
            token,
        }),
        None => FirstLine::Other(request.id),
    }
}

/// What must hold for any line, for fuzzers: another reader of JSON finds the same token in it.
#[cfg(any(test, fuzzing))]
pub(crate) fn check(line: &[u8]) {
    let first = read(&Bytes::copy_from_slice(line));
    if let FirstLine::Hello(hello) = first {
        // It takes neither any number nor any depth.
        if let Ok(value) = serde_json::from_slice::<serde_json::Value>(line) {
            assert_eq!(value["function"], HELLO);
            assert_eq!(value["args"]["token"], hello.token.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hello_with_a_token_shows_anything() {
        let read = |text: &'static str| read(&Bytes::from_static(text.as_bytes()));
        let hello = |id: Option<u64>| {
            FirstLine::Hello(Hello {
                id: id.map(RequestId::from),
                token: "t".to_owned(),
            })
        };
        let lines = [
            r#"{"function":"host.hello","args":{"token":"t"}}"#,
            r#" {"args":{"token":"t","more":1},"function":"host.hello"} "#,
            r#"{"function":"host.\u0068ello","args":{"token":"\u0074"}}"#,
        ];
        for line in lines {
            assert_eq!(read(line), hello(None), "{line}");
            check(line.as_bytes());
        }
        let with_id = r#"{"id":7,"function":"host.hello","args":{"token":"t"}}"#;
        assert_eq!(read(with_id), hello(Some(7)));
        for line in [
            "",
            "t",
            r#"{"function":"host.hello"}"#,
            r#"{"function":"host.hello","args":{"token":7}}"#,
            r#"{"function":"host.hello","args":["t"]}"#,
            r#"{"function":"host.hello","args":{"token":"t","token":"u"}}"#,
            r#"{"function":"host.hello","args":{"token":"t"}"#,
            r#"{"function":"echo","args":{"token":"t"}}"#,
            r#"[{"function":"host.hello","args":{"token":"t"}}]"#,
            "GET / HTTP/1.1",
        ] {
            assert_eq!(read(line), FirstLine::Other(None), "{line}");
        }
        let named = r#"{"id":"a","function":"echo"}"#;
        let FirstLine::Other(Some(id)) = read(named) else {
            panic!("it has an id")
        };
        assert_eq!(id.to_string(), "\"a\"");
    }
}
