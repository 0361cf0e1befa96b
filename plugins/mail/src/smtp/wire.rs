//! What goes to the server: commands and message contents.

use std::io::Write;

use memchr::memmem;

use crate::{address::Address, message::Message};

/// What a server says it can, in its reply to EHLO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    pub(crate) pipelining: bool,
    pub(crate) start_tls: bool,
    pub(crate) eight_bit_mime: bool,
    pub(crate) smtp_utf8: bool,
    /// Some when SIZE is offered; the number is the longest message in bytes, 0 for no limit.
    pub(crate) size: Option<u64>,
    pub(crate) auth_plain: bool,
    pub(crate) auth_login: bool,
    pub(crate) auth_xoauth2: bool,
    pub(crate) auth_oauthbearer: bool,
    /// The most messages of a session and the most recipients of a message (RFC 9422).
    pub(crate) messages_max: Option<usize>,
    pub(crate) recipients_max: Option<usize>,
    /// All of it, as the server wrote it.
    pub(crate) lines: Vec<String>,
}

impl Extensions {
    /// Reads the text of the reply; its first line is a greeting.
    pub(crate) fn parse(text: &str) -> Self {
        let mut extensions = Self::default();
        for line in text.lines().skip(1) {
            extensions.lines.push(line.trim().to_owned());
            let line = line.to_ascii_uppercase();
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            match words.next() {
                Some("PIPELINING") => extensions.pipelining = true,
                Some("STARTTLS") => extensions.start_tls = true,
                Some("8BITMIME") => extensions.eight_bit_mime = true,
                Some("SMTPUTF8") => extensions.smtp_utf8 = true,
                Some("SIZE") => {
                    extensions.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0));
                }
                Some("AUTH") => {
                    for word in words {
                        extensions.auth_plain |= word == "PLAIN";
                        extensions.auth_login |= word == "LOGIN";
                        extensions.auth_xoauth2 |= word == "XOAUTH2";
                        extensions.auth_oauthbearer |= word == "OAUTHBEARER";
                    }
                }
                Some("LIMITS") => {
                    let words: Vec<_> = words.collect();
                    let limit = |name: &str| {
                        let at = words.iter().position(|word| *word == name)?;
                        let limit: usize = words.get(at + 1)?.parse().ok()?;
                        (limit > 0).then_some(limit)
                    };
                    extensions.messages_max = limit("MAILMAX");
                    extensions.recipients_max = limit("RCPTMAX");
                }
                _ => {}
            }
        }
        extensions
    }
}

/// `MAIL FROM`, with the parameters that this server knows and this message needs.
pub(crate) fn push_mail(out: &mut Vec<u8>, message: &Message, extensions: &Extensions) {
    let from = message.envelope.from.as_ref().map_or("", Address::as_str);
    push(out, format_args!("MAIL FROM:<{from}>"));
    if extensions.size.is_some() {
        push(out, format_args!(" SIZE={}", message.bytes.len()));
    }
    if message.needs_utf8 {
        push(out, format_args!(" BODY=8BITMIME SMTPUTF8"));
    } else if message.needs_8bit {
        push(out, format_args!(" BODY=8BITMIME"));
    }
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn push_recipient(out: &mut Vec<u8>, to: &Address) {
    push(out, format_args!("RCPT TO:<{to}>\r\n"));
}

fn push(out: &mut Vec<u8>, args: std::fmt::Arguments<'_>) {
    out.write_fmt(args)
        .expect("writing to a vector never fails");
}

/// The message with its dots stuffed, and the dot that ends it. `message` ends with CRLF.
pub(crate) fn push_contents(out: &mut Vec<u8>, message: &[u8]) {
    out.reserve(message.len() + message.len() / 64 + 8);
    if message.starts_with(b".") {
        out.push(b'.');
    }
    let mut done = 0;
    for at in memmem::find_iter(message, b"\n.") {
        out.extend_from_slice(&message[done..=at]);
        out.push(b'.');
        done = at + 1;
    }
    out.extend_from_slice(&message[done..]);
    out.extend_from_slice(b".\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::parse_one;

    fn stuffed(message: &str) -> String {
        let mut out = Vec::new();
        push_contents(&mut out, message.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dots_are_stuffed() {
        for (message, wanted) in [
            ("", ".\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            (".\r\n", "..\r\n.\r\n"),
            (
                ".a\r\n..\r\n\r\n.\r\nb.\r\n",
                "..a\r\n...\r\n\r\n..\r\nb.\r\n.\r\n",
            ),
        ] {
            assert_eq!(stuffed(message), wanted, "{message:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_receiver_finds_the_message_again(lines in proptest::collection::vec("[.a]{0,4}", 0..20)) {
            let message: String = lines.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect();
            let wire = stuffed(&message);
            let mut found = String::new();
            let mut lines = wire.split_inclusive("\r\n");
            for line in lines.by_ref().take_while(|line| *line != ".\r\n") {
                found.push_str(line.strip_prefix('.').unwrap_or(line));
            }
            proptest::prop_assert_eq!(found, message);
            proptest::prop_assert_eq!(lines.next(), None);
        }
    }

    #[test]
    fn extensions_are_read() {
        let text = "mx.example.com at your service\nPIPELINING\nsize 35882577\n8bitmime\nSTARTTLS\nAUTH=LOGIN\n\
                    AUTH CRAM-MD5 PLAIN\nSMTPUTF8\nENHANCEDSTATUSCODES\n\
                    LIMITS RCPTMAX=20 MAILMAX=5";
        let wanted = Extensions {
            pipelining: true,
            start_tls: true,
            eight_bit_mime: true,
            smtp_utf8: true,
            size: Some(35_882_577),
            auth_plain: true,
            auth_login: true,
            recipients_max: Some(20),
            messages_max: Some(5),
            lines: text.lines().skip(1).map(str::to_owned).collect(),
            ..Extensions::default()
        };
        assert_eq!(Extensions::parse(text), wanted);
        assert_eq!(
            Extensions::parse("PIPELINING is only my name"),
            Extensions::default()
        );
        assert_eq!(Extensions::parse("x\nSIZE").size, Some(0));
        assert_eq!(Extensions::parse("x\nSIZE many").size, Some(0));
    }

    #[test]
    fn parameters_go_only_where_they_are_known_or_needed() {
        let address = |text: &str| parse_one(text).unwrap().address;
        let mut message = Message {
            id: String::new(),
            envelope: crate::message::Envelope {
                from: Some(address("a@b.de")),
                to: vec![address("c@d.de")],
            },
            bytes: vec![b'x'; 7],
            needs_utf8: false,
            needs_8bit: false,
        };
        let line = |message: &Message, extensions: &Extensions| {
            let mut out = Vec::new();
            push_mail(&mut out, message, extensions);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            line(&message, &Extensions::default()),
            "MAIL FROM:<a@b.de>\r\n"
        );
        let all = Extensions {
            size: Some(0),
            smtp_utf8: true,
            eight_bit_mime: true,
            ..Extensions::default()
        };
        assert_eq!(line(&message, &all), "MAIL FROM:<a@b.de> SIZE=7\r\n");
        message.needs_8bit = true;
        message.envelope.from = None;
        assert_eq!(
            line(&message, &all),
            "MAIL FROM:<> SIZE=7 BODY=8BITMIME\r\n"
        );
        message.needs_utf8 = true;
        assert_eq!(
            line(&message, &all),
            "MAIL FROM:<> SIZE=7 BODY=8BITMIME SMTPUTF8\r\n"
        );
    }
}
