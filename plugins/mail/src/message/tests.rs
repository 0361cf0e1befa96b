use super::*;
use crate::address::parse_one;

fn mailbox(text: &str) -> Mailbox {
    parse_one(text).unwrap()
}

struct Parts {
    from: Mailbox,
    to: Vec<Mailbox>,
    headers: Vec<(String, String)>,
}

impl Parts {
    fn new() -> Self {
        Self {
            from: mailbox("Jürgen <juergen@example.com>"),
            to: vec![mailbox("a@example.com")],
            headers: Vec::new(),
        }
    }

    fn draft(&self) -> Draft<'_> {
        Draft {
            from: &self.from,
            envelope_from: None,
            to: &self.to,
            cc: &[],
            bcc: &[],
            reply_to: &[],
            subject: Some("Hello"),
            text: Some("Hello\n"),
            html: None,
            headers: &self.headers,
            attachments: &[],
        }
    }
}

fn attachment(name: &str, media_type: Option<&str>, data: &str) -> Result<Attachment, Error> {
    let source = AttachmentSource {
        name,
        media_type,
        content_id: None,
        data,
    };
    Attachment::new("attachments[3]", &source)
}

fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.bytes).unwrap()
}

#[test]
fn the_three_fields_of_the_recipe_make_a_whole_message() {
    let parts = Parts::new();
    let message = Draft {
        subject: None,
        ..parts.draft()
    }
    .build(10_000)
    .unwrap();
    let text = text(&message);
    for start in [
        "From: ",
        "To: a@example.com\r\n",
        "Date: ",
        "Message-ID: <",
        "MIME-Version: 1.0\r\n",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(start.trim_end())),
            "{start} in {text}"
        );
    }
    assert!(
        text.contains(&format!("Message-ID: {}\r\n", message.id)),
        "{text}"
    );
    assert!(text.ends_with("\r\n\r\nHello\r\n"), "{text}");
    assert!(!message.needs_utf8);
}

#[test]
fn hidden_recipients_are_in_the_envelope_alone() {
    let parts = Parts::new();
    let hidden = [mailbox("hidden@example.com"), mailbox("a@EXAMPLE.com")];
    let message = Draft {
        bcc: &hidden,
        ..parts.draft()
    }
    .build(10_000)
    .unwrap();
    assert!(!text(&message).contains("hidden"));
    let to: Vec<_> = message.envelope.to.iter().map(Address::as_str).collect();
    assert_eq!(
        to,
        ["a@example.com", "hidden@example.com"],
        "and nobody is in it twice"
    );

    let message = Draft {
        to: &[],
        bcc: &hidden,
        ..parts.draft()
    }
    .build(10_000)
    .unwrap();
    assert!(text(&message).contains("To: undisclosed-recipients:;\r\n"));
    assert!(!text(&message).contains("hidden"));
}

#[test]
fn no_field_smuggles_a_header() {
    for evil in [
        "a\r\nBcc: x@y.de",
        "a\nBcc: x@y.de",
        "a\rBcc: x@y.de",
        "a\0b",
        "\u{85}",
        "a\r\n\r\nbody",
    ] {
        let mut parts = Parts::new();
        let error = Draft {
            subject: Some(evil),
            ..parts.draft()
        }
        .build(10_000)
        .unwrap_err();
        assert_eq!(error.kind(), "invalid_header", "{error}");
        parts.headers = vec![("X-Good".to_owned(), evil.to_owned())];
        assert_eq!(
            parts.draft().build(10_000).unwrap_err().kind(),
            "invalid_header"
        );
        assert!(check_name(evil).is_err());
        assert!(attachment(evil, None, "").is_err());
        assert!(attachment("a", Some(evil), "").is_err());
        assert!(attachment("a", Some(&format!("text/plain; x=\"{evil}\"")), "").is_err());
    }
}

#[test]
fn names_of_headers_are_free_but_for_those_with_a_meaning_here() {
    for name in [
        "X-Priority",
        "List-Unsubscribe",
        "In-Reply-To",
        "References",
        "Auto-Submitted",
    ] {
        assert!(check_name(name).is_ok(), "{name}");
    }
    for name in [
        "",
        "a b",
        "a:",
        "ü",
        "From",
        "BCC",
        "content-type",
        "Resent-To",
        "Return-Path",
        "Date",
        "Subject",
    ] {
        assert!(check_name(name).is_err(), "{name}");
    }
    let mut parts = Parts::new();
    parts.headers = vec![
        ("X-A".to_owned(), "1".to_owned()),
        ("x-a".to_owned(), "2".to_owned()),
    ];
    assert_eq!(
        parts.draft().build(10_000).unwrap_err().kind(),
        "invalid_header"
    );
}

#[test]
fn lines_are_never_too_long_and_end_with_crlf() {
    let long = "x".repeat(5000);
    let parts = Parts::new();
    let subjects = [
        "ü".repeat(500),
        "wörter und mehr ".repeat(100),
        "word ".repeat(500),
        " ".repeat(3000),
    ];
    for subject in &subjects {
        let message = Draft {
            subject: Some(subject),
            text: Some(&long),
            html: Some("a\rb\nc"),
            ..parts.draft()
        }
        .build(100_000)
        .unwrap();
        assert!(
            text(&message)
                .split("\r\n")
                .all(|line| line.len() <= 998 && !line.contains(['\r', '\n']))
        );
    }
    // A subject that can't be folded is encoded; what programs read is not.
    let subject = Draft {
        subject: Some(&long),
        ..parts.draft()
    };
    assert!(subject.build(100_000).is_ok());
    let mut parts = Parts::new();
    parts.headers = vec![("X-Long".to_owned(), long)];
    let error = parts.draft().build(100_000).unwrap_err();
    assert_eq!(error.kind(), "invalid_header", "{error}");
}

#[test]
fn address_lists_are_folded_between_addresses_and_within_names() {
    let mut parts = Parts::new();
    let long = format!("{}@{}.example", "l".repeat(64), "d".repeat(60));
    parts.to = [
        "a@example.com".to_owned(),
        "Max <max@example.com>".to_owned(),
        "\"Last, \\\"First\\\" and a great many more\" <last@example.com>".to_owned(),
        "Jürgen Groß <juergen@example.com>".to_owned(),
        long.clone(),
        "b@example.com".to_owned(),
    ]
    .iter()
    .map(|text| mailbox(text))
    .collect();
    let message = parts.draft().build(10_000).unwrap();
    let to = text(&message).split_once("\r\nTo: ").unwrap().1;
    let to = to.split_once("\r\nSubject").unwrap().0;
    let lines: Vec<_> = to.split("\r\n").collect();
    assert_eq!(
        lines,
        [
            "a@example.com, Max <max@example.com>, \"Last, \\\"First\\\" and a great many",
            " more\" <last@example.com>, =?utf-8?b?SsO8cmdlbiBHcm/Dnw==?=",
            " <juergen@example.com>,",
            &format!(" {long},"),
            " b@example.com",
        ]
    );
}

#[test]
fn names_of_any_kind_and_length_keep_to_the_line() {
    let names = [
        "x".repeat(2000),
        "word ".repeat(300),
        "ü".repeat(700),
        "日本語 ".repeat(100),
        "\\\"".repeat(200),
        "=?utf-8?q?not_encoded?=".to_owned(),
    ];
    let mut parts = Parts::new();
    for name in &names {
        let mut one = mailbox("a@example.com");
        one.name = Some(name.trim().to_owned());
        parts.to.extend([one, mailbox("b@example.com")]);
    }
    let message = parts.draft().build(100_000).unwrap();
    let longest = text(&message).split("\r\n").map(str::len).max();
    assert!(longest <= Some(78), "{longest:?}");
}

#[test]
fn what_a_message_may_not_be() {
    let parts = Parts::new();
    let kind = |draft: Draft<'_>| draft.build(2000).unwrap_err().kind();
    assert_eq!(
        kind(Draft {
            text: None,
            ..parts.draft()
        }),
        "no_contents"
    );
    assert_eq!(
        kind(Draft {
            to: &[],
            ..parts.draft()
        }),
        "no_recipient"
    );
    assert_eq!(
        kind(Draft {
            text: Some(&"line\n".repeat(500)),
            ..parts.draft()
        }),
        "message_too_long"
    );
    for data in ["%%%", "YQ=a", "Y"] {
        assert!(
            matches!(attachment("a", None, data), Err(Error::Attachment { .. })),
            "{data}"
        );
    }
    assert!(attachment("a", Some("nonsense"), "").is_err());
    assert!(attachment("a", Some("multipart/mixed"), "").is_err());
    assert!(attachment("", None, "").is_err());
}

#[test]
fn base64_may_be_broken_into_lines_and_go_without_padding() {
    for data in ["aGVsbG8=", "aGVs\r\nbG8=\r\n", "aGVsbG8", " aGVs bG8 "] {
        let attachment = attachment("a.txt", Some("text/plain"), data).unwrap();
        let part = String::from_utf8(attachment.as_bytes().to_vec()).unwrap();
        assert!(part.ends_with("\r\n\r\naGVsbG8=\r\n"), "{part}");
    }
}

#[test]
fn a_local_part_beyond_ascii_needs_a_server_that_takes_it() {
    let mut parts = Parts::new();
    parts.to = vec![mailbox("jürgen@example.com")];
    assert!(parts.draft().build(10_000).unwrap().needs_utf8);
    parts.to = vec![mailbox("juergen@bücher.example")];
    let message = parts.draft().build(10_000).unwrap();
    assert!(!message.needs_utf8);
    assert!(text(&message).contains("To: juergen@xn--bcher-kva.example\r\n"));
}

#[test]
fn ids_never_repeat() {
    let parts = Parts::new();
    let ids: HashSet<_> = (0..1000)
        .map(|_| parts.draft().build(10_000).unwrap().id)
        .collect();
    assert_eq!(ids.len(), 1000);
}

#[test]
fn line_ends_become_crlf() {
    assert_eq!(
        with_crlf("a\nb\r\nc\rd\n\n\r\r\n"),
        "a\r\nb\r\nc\r\nd\r\n\r\n\r\n\r\n"
    );
}
