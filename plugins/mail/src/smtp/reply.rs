//! Replies of an SMTP server: bytes in, replies out, with bounds.

use std::fmt;

use memchr::memchr;

/// Longer than any server's line (RFC 5321 says 512), short enough to hold.
const LINE_LEN_MAX: usize = 4096;
const REPLY_LEN_MAX: usize = 64 * 1024;

/// One reply, of one line or of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// 200 to 599.
    pub(crate) code: u16,
    /// The text after the code, an enhanced status code included; lines are separated by `\n`. Free of control characters.
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn is_positive(&self) -> bool {
        self.code < 300
    }

    /// 4xx: the server may take the same thing later.
    pub(crate) fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// The text on one line.
    pub(crate) fn line(&self) -> String {
        self.text.replace('\n', " ")
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.line())
    }
}

/// What the server sent is not a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyError {
    TooLong,
    Malformed,
}

/// Cuts a stream of bytes into replies.
#[derive(Default)]
pub(crate) struct ReplyParser {
    buffer: Vec<u8>,
    /// How much of the buffer is done with.
    start: usize,
    /// Code and text of a reply whose last line has not come yet.
    open: Option<(u16, String)>,
}

impl ReplyParser {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether nothing is left over, not even a part of a reply.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.buffer.len() && self.open.is_none()
    }

    /// The next whole reply, if it is there.
    pub(crate) fn pop(&mut self) -> Result<Option<Reply>, ReplyError> {
        loop {
            let rest = &self.buffer[self.start..];
            let Some(end) = memchr(b'\n', rest) else {
                return if rest.len() > LINE_LEN_MAX {
                    Err(ReplyError::TooLong)
                } else {
                    Ok(None)
                };
            };
            if end > LINE_LEN_MAX {
                return Err(ReplyError::TooLong);
            }
            let (code, is_last, text) = parse_line(&rest[..end]).ok_or(ReplyError::Malformed)?;
            self.start += end + 1;
            let text = match self.open.take() {
                None => text,
                Some((first, _)) if first != code => return Err(ReplyError::Malformed),
                Some((_, before)) if before.len() + text.len() > REPLY_LEN_MAX => {
                    return Err(ReplyError::TooLong);
                }
                Some((_, mut before)) => {
                    before.push('\n');
                    before.push_str(&text);
                    before
                }
            };
            if is_last {
                return Ok(Some(Reply { code, text }));
            }
            self.open = Some((code, text));
        }
    }
}

/// `250-text` or `250 text` or `250`: code, whether it is the last line, text.
fn parse_line(line: &[u8]) -> Option<(u16, bool, String)> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (code, rest) = line.split_at_checked(3)?;
    if !matches!(code, [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9']) {
        return None;
    }
    let code = code
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let (is_last, text) = match rest.split_first() {
        None => (true, rest),
        Some((b' ', text)) => (true, text),
        Some((b'-', text)) => (false, text),
        Some(_) => return None,
    };
    let text = String::from_utf8_lossy(text)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    Some((code, is_last, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(chunks: &[&[u8]]) -> Result<Vec<Reply>, ReplyError> {
        let mut parser = ReplyParser::default();
        let mut replies = Vec::new();
        for chunk in chunks {
            parser.push(chunk);
            while let Some(reply) = parser.pop()? {
                replies.push(reply);
            }
        }
        Ok(replies)
    }

    fn reply(code: u16, text: &str) -> Reply {
        Reply {
            code,
            text: text.to_owned(),
        }
    }

    const STREAM: &[u8] = b"220 hi\r\n250-one\r\n250-two\r\n250 three\r\n354\r\n550 5.1.1 no\xff\x07 such user\n421-\r\n421 \r\n";

    #[test]
    fn every_split_gives_the_same_replies() {
        let wanted = vec![
            reply(220, "hi"),
            reply(250, "one\ntwo\nthree"),
            reply(354, ""),
            reply(550, "5.1.1 no\u{fffd}  such user"),
            reply(421, "\n"),
        ];
        assert_eq!(parse(&[STREAM]), Ok(wanted.clone()));
        for at in 0..=STREAM.len() {
            let (a, b) = STREAM.split_at(at);
            assert_eq!(parse(&[a, b]), Ok(wanted.clone()), "split at {at}");
        }
        let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(parse(&bytes), Ok(wanted));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for line in [
            "",
            "hi",
            "25",
            "25x ok",
            "199 x",
            "600 x",
            "250_x",
            "HTTP/1.1 400 Bad Request",
            "250-a\r\n251 b",
        ] {
            assert_eq!(
                parse(&[line.as_bytes(), b"\r\n"]),
                Err(ReplyError::Malformed),
                "{line}"
            );
        }
    }

    #[test]
    fn a_reply_has_bounds() {
        assert_eq!(
            parse(&[&[b'2'; LINE_LEN_MAX], b"22"]),
            Err(ReplyError::TooLong)
        );
        let line = format!("250-{}\r\n", "x".repeat(1000));
        assert_eq!(parse(&vec![line.as_bytes(); 70]), Err(ReplyError::TooLong));
    }

    #[test]
    fn a_leftover_shows() {
        let mut parser = ReplyParser::default();
        assert!(parser.is_empty());
        for chunk in [&b"220-a\r\n"[..], b"220 b\r\n2"] {
            parser.push(chunk);
            let _ = parser.pop();
            assert!(!parser.is_empty());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(chunks in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..40), 0..10)) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let _ = parse(&chunks);
        }
    }
}
