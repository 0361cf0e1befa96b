//! `send_mail`, against the real server and the outbox.

use plugin_api::serde_json::{Value, json};

use crate::{
    failure, open,
    server::{Server, header},
};

const SUBJECT: &str =
    "Grüße aus Köln 😀 – und noch mehr, damit die Zeile bestimmt gefaltet werden muß: äöüß €";

#[test]
fn a_message_arrives_intact() {
    let server = Server::start(&json!({}));
    let plugin = open(json!({"url": server.url()}));
    let data: String = "AAECAwQNCg0KLg0K/v8=".to_owned();
    let text = "Hallo,\n.\n..mit Punkt\n\nFrom hier an: Ümläute, 日本語, 😀 und eine lange Zeile: "
        .to_owned()
        + &"lang ".repeat(400)
        + "\nTabs\tund Leerzeichen am Ende  \n";
    let sent = plugin
        .call(
            "send_mail",
            json!({
                "from": "Jürgen Groß <juergen@example.com>",
                "to": ["Max Müller <max@example.com>", "b@example.com, \"Last, First\" <c@example.com>"],
                "cc": "d@example.com",
                "bcc": ["e@example.com"],
                "reply_to": "Büro <office@example.com>",
                "subject": SUBJECT,
                "contents": text,
                "html": "<p>Grüße &amp; 😀</p>\n",
                "headers": {"X-Kampagne": "März – 2026", "List-Unsubscribe": "<https://example.com/u?id=1>"},
                "attachments": [
                    {"name": "Rechnung für März 2026 – 日本.pdf", "media_type": "application/pdf", "data": data},
                    {"name": "leer.bin", "data": ""},
                    {"name": "a \"b\"; c.txt", "media_type": "text/plain; charset=utf-8", "data": "w7w="},
                ],
            }),
        )
        .unwrap();
    assert_eq!(sent["transport"], "smtp");
    assert_eq!(sent["rejected"], json!([]));
    let recipients = json!([
        "max@example.com",
        "b@example.com",
        "c@example.com",
        "d@example.com",
        "e@example.com"
    ]);
    assert_eq!(sent["accepted"], recipients);

    let message = server.take(1).remove(0);
    assert_eq!(message["from"], "juergen@example.com");
    assert_eq!(message["to"], recipients);
    assert_eq!(message["defects"], json!([]));
    assert_eq!(message["has_bare_line_end"], false);
    assert!(message["longest_line"].as_u64().unwrap() <= 998);
    assert_eq!(message["text"], text);
    assert_eq!(message["html"], "<p>Grüße &amp; 😀</p>\n");
    let wanted = [
        ("From", "Jürgen Groß <juergen@example.com>"),
        (
            "To",
            "Max Müller <max@example.com>, b@example.com, \"Last, First\" <c@example.com>",
        ),
        ("Cc", "d@example.com"),
        ("Reply-To", "Büro <office@example.com>"),
        ("Subject", SUBJECT),
        ("X-Kampagne", "März – 2026"),
        ("List-Unsubscribe", "<https://example.com/u?id=1>"),
        ("Message-ID", sent["message_id"].as_str().unwrap()),
    ];
    for (name, value) in wanted {
        assert_eq!(header(&message, name), value, "{name}");
    }
    assert_eq!(header(&message, "Bcc"), Value::Null);
    assert!(header(&message, "Date").as_str().unwrap().contains("20"));
    let attachments = message["attachments"].as_array().unwrap();
    let found: Vec<_> = attachments
        .iter()
        .map(|one| (&one["name"], &one["media_type"], &one["data"]))
        .collect();
    let wanted = [
        (
            &json!("Rechnung für März 2026 – 日本.pdf"),
            &json!("application/pdf"),
            &json!(data),
        ),
        (
            &json!("leer.bin"),
            &json!("application/octet-stream"),
            &json!(""),
        ),
        (
            &json!("a \"b\"; c.txt"),
            &json!("text/plain"),
            &json!("w7w="),
        ),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn texts_arrive_as_they_were() {
    let server = Server::start(&json!({}));
    let plugin = open(json!({"url": server.url(), "from": "me@example.com"}));
    let texts = [
        "a".to_owned(),
        "a\n".to_owned(),
        "\n\na\n\n".to_owned(),
        ".".to_owned(),
        "ü".to_owned(),
        "ü\n\n".to_owned(),
        "日本語のテキスト\n".repeat(50),
        "x".repeat(5000),
        "trailing space \ntab\t\n=20 =C3 ==\n".to_owned(),
        "ümlaut and trailing space \nFrom me\n.\n".to_owned(),
        "nul \0 and bell \u{7} and ü".to_owned(),
        "-- \nsignature\n--b\n--\n".to_owned(),
    ];
    for text in &texts {
        plugin
            .call(
                "send_mail",
                json!({"to": "a@example.com", "contents": text}),
            )
            .unwrap();
        plugin
            .call(
                "send_mail",
                json!({"to": "a@example.com", "contents": text, "html": text}),
            )
            .unwrap();
    }
    let messages = server.take(texts.len() * 2);
    for (text, pair) in texts.iter().zip(messages.chunks(2)) {
        // A message that is nothing but a text may have to end with a line end that the text has not.
        let alone = pair[0]["text"].as_str().unwrap();
        let with_end = format!("{text}\n");
        assert!(
            alone == text || (alone == with_end && !text.ends_with('\n')),
            "{alone:?} for {text:?}"
        );
        assert_eq!(pair[1]["text"], *text);
        assert_eq!(pair[1]["html"], *text);
        assert!(pair.iter().all(
            |message| message["has_bare_line_end"] == false && message["defects"] == json!([])
        ));
    }
}

#[test]
fn subjects_arrive_as_they_were() {
    let server = Server::start(&json!({}));
    let plugin = open(json!({"url": server.url(), "from": "me@example.com"}));
    let many_words = "only ASCII but many words in a row ".repeat(40);
    let subjects = [
        "plain",
        "",
        "  two  spaces  everywhere  ",
        "=?utf-8?q?not_decoded?=",
        "a tab\there",
        "😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀",
        &"wörter und ASCII gemischt ".repeat(40),
        many_words.trim_end(),
        "x\u{a0}y\u{200b}z",
    ];
    for subject in subjects {
        let args = json!({"to": "a@example.com", "contents": "x", "subject": subject});
        plugin.call("send_mail", args).unwrap();
    }
    for (subject, message) in subjects.iter().zip(server.take(subjects.len())) {
        assert_eq!(header(&message, "Subject"), *subject);
    }
}

#[test]
fn one_connection_serves_many_messages() {
    for pipelining in [true, false] {
        let server = Server::start(&json!({"pipelining": pipelining}));
        let plugin = open(json!({"url": server.url(), "from": "me@example.com"}));
        for index in 0..20 {
            let args = json!({"to": format!("a{index}@example.com"), "contents": "x"});
            assert_eq!(
                plugin.call("send_mail", args).unwrap()["accepted"],
                json!([format!("a{index}@example.com")])
            );
        }
        let messages = server.take(20);
        assert!(
            messages
                .iter()
                .all(|message| message["peer"] == messages[0]["peer"]),
            "one connection"
        );
    }
}

#[test]
fn a_refused_recipient_keeps_nobody_from_getting_it() {
    for pipelining in [true, false] {
        let server = Server::start(&json!({"pipelining": pipelining}));
        let plugin = open(json!({"url": server.url(), "from": "me@example.com"}));
        let to = [
            "refused@example.com",
            "good@example.com",
            "later@example.com",
            "fine@example.com",
        ];
        let sent = plugin
            .call("send_mail", json!({"to": to, "contents": "x"}))
            .unwrap();
        assert_eq!(
            sent["accepted"],
            json!(["good@example.com", "fine@example.com"])
        );
        let text = "5.1.1 no such mailbox 5.1.1 and there never was";
        assert_eq!(
            sent["rejected"],
            json!([
                {"address": "refused@example.com", "kind": "rejected", "code": 550, "message": text, "retryable": false},
                {"address": "later@example.com", "kind": "rejected", "code": 450, "message": "4.2.1 mailbox busy", "retryable": true},
            ])
        );
        assert_eq!(
            server.take(1)[0]["to"],
            json!(["good@example.com", "fine@example.com"])
        );
    }
}

#[test]
fn refused_for_everybody_is_an_error() {
    for pipelining in [true, false] {
        let server = Server::start(&json!({"pipelining": pipelining}));
        let plugin = open(json!({"url": server.url()}));
        let send = |from: &str, to: Value, test: &str| {
            let args =
                json!({"from": from, "to": to, "contents": "x", "headers": {"X-Test": test}});
            failure(plugin.call("send_mail", args))
        };
        let cases = [
            (
                "me@x.de",
                json!(["refused@x.de", "refused2@x.de"]),
                "",
                550,
                false,
            ),
            ("me@x.de", json!(["later@x.de"]), "", 450, true),
            (
                "me@x.de",
                json!(["later@x.de", "refused@x.de"]),
                "",
                450,
                true,
            ),
            (
                "me@x.de",
                json!(["refused@x.de", "later@x.de"]),
                "",
                550,
                true,
            ),
            ("refused@x.de", json!(["a@x.de", "b@x.de"]), "", 550, false),
            ("me@x.de", json!(["a@x.de", "b@x.de"]), "spam", 554, false),
        ];
        for (from, to, test, code, retryable) in cases {
            let (kind, message, is_retryable, data) = send(from, to.clone(), test);
            assert_eq!(
                (kind.as_str(), is_retryable),
                ("rejected", retryable),
                "{message}"
            );
            assert_eq!(
                data["rejected"].as_array().unwrap().len(),
                to.as_array().unwrap().len()
            );
            assert_eq!(data["rejected"][0]["code"], code);
        }
        // The connection is in order after all that.
        plugin
            .call(
                "send_mail",
                json!({"from": "me@x.de", "to": "a@x.de", "contents": "x"}),
            )
            .unwrap();
        server.take(1);
    }
}

#[test]
fn what_can_not_be_a_message_is_refused_before_anybody_hears_of_it() {
    // Nobody listens there: whatever gets as far as connecting fails differently.
    let plugin = open(json!({"url": "smtp://127.0.0.1:1?tls=none"}));
    let evil = "x\r\nBcc: victim@example.com";
    let cases = [
        (
            json!({"to": "nobody"}),
            "invalid_address",
            "`to`: `nobody` is not an address: it has no @",
        ),
        (
            json!({"to": ["a@b.de", "c@d@e"]}),
            "invalid_address",
            "`to[1]`",
        ),
        (json!({"to": ["a@b.de", ""]}), "invalid_address", "`to[1]`"),
        (
            json!({"to": "a@b.de", "cc": "<"}),
            "invalid_address",
            "`cc`",
        ),
        (
            json!({"from": "x", "to": "a@b.de"}),
            "invalid_address",
            "`from`",
        ),
        (
            json!({"from": "a@b.de, c@d.de", "to": "a@b.de"}),
            "invalid_address",
            "a list where one address",
        ),
        (json!({"to": ""}), "no_recipient", "recipient"),
        (json!({}), "no_recipient", "recipient"),
        (json!({"from": null, "to": "a@b.de"}), "no_sender", "`from`"),
        (
            json!({"to": "a@b.de", "contents": null}),
            "no_contents",
            "`contents`",
        ),
        (json!({"to": evil}), "invalid_header", "line break"),
        (
            json!({"to": "\"x\r\nBcc: y\" <a@b.de>"}),
            "invalid_header",
            "line break",
        ),
        (
            json!({"from": evil, "to": "a@b.de"}),
            "invalid_header",
            "line break",
        ),
        (
            json!({"to": "a@b.de", "subject": evil}),
            "invalid_header",
            "`subject`",
        ),
        (
            json!({"to": "a@b.de", "subject": "x\n"}),
            "invalid_header",
            "`subject`",
        ),
        (
            json!({"to": "a@b.de", "reply_to": evil}),
            "invalid_header",
            "`reply_to`",
        ),
        (
            json!({"to": "a@b.de", "headers": {"X-A": evil}}),
            "invalid_header",
            "`X-A`",
        ),
        (
            json!({"to": "a@b.de", "headers": {"X-A: b\r\nBcc": "x@y.de"}}),
            "invalid_header",
            "name",
        ),
        (
            json!({"to": "a@b.de", "headers": {"bcc": "x@y.de"}}),
            "invalid_header",
            "`bcc`",
        ),
        (
            json!({"to": "a@b.de", "attachments": [{"name": evil, "data": ""}]}),
            "invalid_header",
            "attachments[0].name",
        ),
        (
            json!({"to": "a@b.de", "attachments": [{"name": "a", "media_type": evil, "data": ""}]}),
            "invalid_header",
            "",
        ),
        (
            json!({"to": "a@b.de", "attachments": [{"name": "a", "data": "%"}]}),
            "invalid_attachment",
            "attachments[0]",
        ),
    ];
    for (changes, kind, words) in cases {
        let mut args = json!({"from": "me@example.com", "contents": "x"});
        args.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let (found, message, retryable, _) = failure(plugin.call("send_mail", args.clone()));
        assert_eq!(
            (found.as_str(), retryable),
            (kind, false),
            "{args}: {message}"
        );
        assert!(message.contains(words), "{args}: {message}");
    }
    for args in [
        json!({"too": "a@b.de"}),
        json!({"to": 5}),
        json!({"to": "a@b.de", "headers": ["x"]}),
    ] {
        let error = plugin.call("send_mail", args).unwrap_err().to_string();
        assert!(error.starts_with("invalid arguments: "), "{error}");
    }
    let (kind, _, retryable, _) = failure(plugin.call(
        "send_mail",
        json!({"from": "a@b.de", "to": "a@b.de", "contents": "x"}),
    ));
    assert_eq!((kind.as_str(), retryable), ("unreachable", true));
}

#[test]
fn limits_of_the_server_and_of_the_config_hold() {
    let server = Server::start(&json!({"size": 5000, "smtputf8": false}));
    let send = |config: Value, to: &str, len: usize| {
        let plugin = open(config);
        plugin.call(
            "send_mail",
            json!({"from": "me@example.com", "to": to, "contents": "x".repeat(len)}),
        )
    };
    let config = json!({"url": server.url()});
    send(config.clone(), "a@example.com", 100).unwrap();
    let (kind, message, ..) = failure(send(config.clone(), "a@example.com", 10_000));
    assert_eq!(kind, "message_too_long", "{message}");
    assert!(message.contains("takes 5000"), "{message}");
    let (kind, message, ..) = failure(send(
        json!({"url": server.url(), "message_len_max": 900}),
        "a@example.com",
        1000,
    ));
    assert_eq!(kind, "message_too_long", "{message}");
    let (kind, message, ..) = failure(send(config.clone(), "jürgen@example.com", 100));
    assert_eq!(kind, "no_smtputf8", "{message}");
    // A domain beyond ASCII is nothing that a server has to know.
    send(config, "juergen@bücher.example", 100).unwrap();
    assert_eq!(
        server.take(2)[1]["to"],
        json!(["juergen@xn--bcher-kva.example"])
    );
}

#[test]
fn an_address_beyond_ascii_needs_and_finds_smtputf8() {
    let server = Server::start(&json!({}));
    let plugin = open(json!({"url": server.url()}));
    let sent = plugin
        .call(
            "send_mail",
            json!({"from": "me@example.com", "to": "Jürgen <jürgen@example.com>", "contents": "x"}),
        )
        .unwrap();
    assert_eq!(sent["accepted"], json!(["jürgen@example.com"]));
    let message = server.take(1).remove(0);
    assert_eq!(message["to"], json!(["jürgen@example.com"]));
    assert!(
        message["options"]
            .as_array()
            .unwrap()
            .contains(&json!("SMTPUTF8"))
    );
}

#[test]
fn php_writes_empty_objects_as_lists() {
    let server = Server::start(&json!({}));
    let plugin = open(json!({"url": server.url()}));
    let args = json!({"from": "me@x.de", "to": "a@x.de", "contents": "x", "cc": [], "headers": [], "attachments": []});
    plugin.call("send_mail", args).unwrap();
    server.take(1);
}

#[test]
fn without_a_server_messages_become_files() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = folder.path().join("outbox");
    let plugin = open(json!({"outbox": outbox}));
    assert!(!outbox.exists(), "it is made when it is needed");
    let args = json!({"from": "me@example.com", "to": "a@example.com", "bcc": "b@example.com", "contents": "Hello\n"});
    let sent = plugin.call("send_mail", args).unwrap();
    assert_eq!(sent["transport"], "outbox");
    assert_eq!(sent["accepted"], json!(["a@example.com", "b@example.com"]));
    let file = std::fs::read_to_string(sent["file"].as_str().unwrap()).unwrap();
    let start = "X-Envelope-From: <me@example.com>\r\nX-Envelope-To: <a@example.com>\r\nX-Envelope-To: <b@example.com>\r\n";
    assert!(file.starts_with(start), "{file}");
    assert!(file.ends_with("\r\n\r\nHello\r\n"), "{file}");
    assert!(sent["file"].as_str().unwrap().ends_with(".eml"));
}
