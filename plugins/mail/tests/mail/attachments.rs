//! Attachments and inline pictures, read by Python.

use plugin_api::serde_json::{Value, json};

use crate::{failure, open, server::Server};

const NESTED: &str = concat!(
    "From: Max <max@example.com>\nTo: you@example.com\nSubject: Inner\nMIME-Version: 1.0\n",
    "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n",
);

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(bytes)
}

fn send(server: &Server, changes: &Value) -> Value {
    let plugin = open(json!({"url": server.url()}));
    let mut args = json!({"from": "me@example.com", "to": "a@example.com", "contents": "text"});
    args.as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    plugin.call("send_mail", args).unwrap();
    let message = server.take(1).remove(0);
    assert_eq!(message["defects"], json!([]));
    assert_eq!(message["has_bare_line_end"], false);
    message
}

#[test]
fn a_message_within_a_message_travels_as_it_is() {
    let server = Server::start(&json!({}));
    for (text, encoding, option) in [
        ("Hello\n", "7bit", false),
        ("Grüße\r\n.\r\nEnd", "8bit", true),
    ] {
        let data = base64(format!("{NESTED}{text}").as_bytes());
        let attachment = json!({"name": "inner.eml", "media_type": "message/rfc822", "data": data});
        let message = send(&server, &json!({"attachments": [attachment]}));
        let found = &message["attachments"][0];
        assert_eq!(
            (&found["media_type"], &found["encoding"]),
            (&json!("message/rfc822"), &json!(encoding))
        );
        assert_eq!(
            (&found["nested"]["subject"], &found["nested"]["to"]),
            (&json!("Inner"), &json!("you@example.com"))
        );
        let read = found["nested"]["text"]
            .as_str()
            .unwrap()
            .replace("\r\n", "\n");
        assert_eq!(read.trim_end(), text.replace("\r\n", "\n").trim_end());
        assert_eq!(
            message["options"]
                .as_array()
                .unwrap()
                .contains(&json!("BODY=8BITMIME")),
            option
        );
    }
    let plugin = open(json!({"url": server.url()}));
    let attachment =
        json!({"name": "x.eml", "media_type": "message/rfc822", "data": base64(&[b'x'; 2000])});
    let args = json!({"from": "me@example.com", "to": "a@example.com", "contents": "x", "attachments": [attachment]});
    let (kind, text, ..) = failure(plugin.call("send_mail", args));
    assert_eq!(kind, "invalid_attachment");
    assert!(text.contains("application/octet-stream"), "{text}");
}

#[test]
fn names_reach_new_and_old_readers() {
    let server = Server::start(&json!({}));
    let names = [
        "plain.pdf",
        "with space and \"quotes\" \\ and ; semicolon.pdf",
        "Rechnung für März.pdf",
        "日本語のとても長い名前のファイル、一行には収まらないほど長い名前のファイル.pdf",
        &format!("{}.pdf", "long ".repeat(40)),
        "=?utf-8?q?x?=.pdf",
    ];
    let attachments: Vec<_> = names
        .iter()
        .map(|name| json!({"name": name, "media_type": "application/pdf", "data": "eA=="}))
        .collect();
    let message = send(&server, &json!({"attachments": attachments}));
    assert!(
        message["longest_line"].as_u64().unwrap() <= 250,
        "{message}"
    );
    for (name, found) in names.iter().zip(message["attachments"].as_array().unwrap()) {
        assert_eq!(found["name"], *name);
        assert_eq!(found["disposition"], "attachment");
        // What looks encoded is read as such by the old ones; the new ones have the other parameter.
        if !name.starts_with("=?") {
            assert_eq!(found["type_name"], *name);
        }
    }
}

#[test]
fn pictures_are_shown_by_the_html() {
    let server = Server::start(&json!({}));
    let picture = |cid: &str| json!({"name": "logo.png", "media_type": "image/png", "data": "iVBORw0=", "cid": cid});
    let html = "<img src=\"cid:logo\"><img src=\"cid:b@x\">";
    let file = json!({"name": "a.bin", "data": "AA=="});
    let message = send(
        &server,
        &json!({"html": html, "attachments": [picture("logo"), file, picture("<b@x>")]}),
    );
    assert_eq!(
        message["structure"],
        json!([
            "multipart/mixed",
            [
                "multipart/alternative",
                "text/plain",
                ["multipart/related", "text/html", "image/png", "image/png"]
            ],
            "application/octet-stream"
        ])
    );
    let inline = message["inline"].as_array().unwrap();
    let found: Vec<_> = inline
        .iter()
        .map(|one| (&one["cid"], &one["disposition"], &one["data"]))
        .collect();
    let (kind, data) = (json!("inline"), json!("iVBORw0="));
    assert_eq!(
        found,
        [
            (&json!("<logo>"), &kind, &data),
            (&json!("<b@x>"), &kind, &data)
        ]
    );
    assert_eq!(message["html"].as_str().unwrap().trim_end(), html);

    let alone = send(
        &server,
        &json!({"contents": null, "html": html, "attachments": [picture("logo")]}),
    );
    assert_eq!(
        alone["structure"],
        json!(["multipart/related", "text/html", "image/png"])
    );

    let plugin = open(json!({"url": server.url()}));
    for (html, attachments) in [
        (json!("x"), json!([picture("a b")])),
        (json!("x"), json!([picture("")])),
        (json!("x"), json!([picture("a"), picture("a")])),
        (Value::Null, json!([picture("a")])),
    ] {
        let args = json!({"from": "me@example.com", "to": "a@example.com", "contents": "x", "html": html, "attachments": attachments});
        let (kind, text, ..) = failure(plugin.call("send_mail", args));
        assert_eq!(kind, "invalid_attachment", "{text}");
        assert!(text.contains("cid"), "{text}");
    }
}
