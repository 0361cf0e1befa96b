//! Clients that speak HTTP or TLS to this port.
//!
//! Any web page can make its visitor's browser send a POST here, with lines of the page's choice in the body. What
//! comes before these lines gives the browser away, so that nothing after it is taken for a request.

use protocol::{ErrorCode, TaskFailure};

/// The first byte of a TLS connection: a record that belongs to the handshake. No JSON begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// Headers that tell HTTP even where its request line was not recognised. Whoever sends a body sends one of the first
/// three before it.
const HEADERS: [&str; 7] = [
    "host",
    "content-length",
    "transfer-encoding",
    "content-type",
    "user-agent",
    "accept",
    "connection",
];

/// A protocol that the host doesn't speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    Http,
    Tls,
}

impl Foreign {
    /// What a connection speaks that begins with this byte. A client of TLS waits for an answer to its first record,
    /// which need not have a newline in it.
    pub(super) fn from_first_byte(byte: u8) -> Option<Self> {
        (byte == TLS_HANDSHAKE).then_some(Self::Tls)
    }

    /// What a connection speaks that has this line in it, given without its newline.
    pub(super) fn from_line(line: &[u8]) -> Option<Self> {
        let line = line.trim_ascii();
        // Requests leave here.
        if line.first() == Some(&b'{') {
            return None;
        }
        (is_request_line(line) || is_header(line)).then_some(Self::Http)
    }
}

/// `GET /path HTTP/1.1`, and the beginning of one that a newline in the path has cut in two.
fn is_request_line(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return false;
    };
    let ends_as_one = words
        .next_back()
        .is_some_and(|word| word.starts_with(b"HTTP/"));
    let begins_as_one = target.first() == Some(&b'/') && method.iter().all(u8::is_ascii_uppercase);
    is_token(method) && (ends_as_one || begins_as_one)
}

fn is_header(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    name.len() < line.len()
        && HEADERS
            .iter()
            .any(|header| name.eq_ignore_ascii_case(header.as_bytes()))
}

/// What RFC 9110 lets a method consist of; nothing that JSON could begin with but for words and numbers.
fn is_token(word: &[u8]) -> bool {
    let is_token_byte =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !word.is_empty() && word.iter().all(is_token_byte)
}

impl From<Foreign> for TaskFailure {
    fn from(foreign: Foreign) -> Self {
        let message = match foreign {
            Foreign::Http => {
                "this port takes JSON objects, one a line, and no HTTP; nothing of it was run. \
                 Browsers and other HTTP clients go through the gateway: start `gateway --host` with this address, \
                 and connect to the gateway's"
            }
            Foreign::Tls => {
                "this port takes JSON objects, one a line, and no TLS; nothing of it was run. \
                 For encrypted connections (https, wss) start `gateway --host` with this address and a `[tls]` table \
                 in its configuration, and connect to the gateway's"
            }
        };
        Self::new(ErrorCode::BadRequest, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines_and_headers_are_http() {
        let lines = [
            "POST / HTTP/1.1",
            "GET /a/path?with=a%20query HTTP/1.0",
            "OPTIONS * HTTP/1.1",
            "CONNECT example.org:443 HTTP/1.1",
            "PRI * HTTP/2.0",
            "GET http://127.0.0.1:12345/ HTTP/1.1",
            "M-SEARCH * HTTP/1.1",
            "its_own x HTTP/1.1",
            "POST /a path with blanks HTTP/1.1",
            "GET /",
            "POST /cut",
            "  POST / HTTP/1.1 ",
            "Host: 127.0.0.1",
            "host:127.0.0.1",
            "HOST:",
            "Content-Length: 24",
            "transfer-encoding: chunked",
            "User-Agent: curl/8.5.0",
        ];
        for line in lines {
            assert_eq!(
                Foreign::from_line(line.as_bytes()),
                Some(Foreign::Http),
                "{line:?}"
            );
        }
    }

    #[test]
    fn what_is_or_was_meant_for_json_is_not() {
        let lines = [
            "",
            " ",
            r#"{"function":"host.ping"}"#,
            r#" {"function":"x","args":"POST / HTTP/1.1"}"#,
            r#"{Host: POST / HTTP/1.1"#,
            r#""POST / HTTP/1.1""#,
            r#"["POST", / HTTP/1.1"#,
            "null",
            "hello",
            "hello world",
            "hello, this is HTTP/1.1",
            "GET",
            "HTTP/1.1",
            "GET HTTP/1.1",
            "get /",
            "function: host.ping",
            "Host",
            "hosts: 1",
            "\u{16}\u{3}\u{1}",
            "\u{0}",
        ];
        for line in lines {
            assert_eq!(Foreign::from_line(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn only_a_handshake_begins_tls() {
        for byte in 0..=u8::MAX {
            let foreign = Foreign::from_first_byte(byte);
            assert_eq!(foreign.is_some(), byte == 0x16, "{byte}");
        }
    }
}
