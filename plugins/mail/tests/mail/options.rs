//! What a message may have besides: the envelope's sender, recipients' own parts, defaults, ids and replies.

use plugin_api::serde_json::{Value, json};

use crate::{
    failure, open,
    server::{Server, header},
};

#[test]
fn the_envelope_has_a_sender_of_its_own() {
    let server = Server::start(&json!({}));
    let plugin = open(json!({"url": server.url(), "from": "me@example.com"}));
    for (given, wanted) in [
        (json!(null), "me@example.com"),
        (json!("bounces+7@example.com"), "bounces+7@example.com"),
        // As this server tells of none.
        (json!(""), "<>"),
        (json!("<>"), "<>"),
        (
            json!("b\u{fc}ro@b\u{fc}cher.example"),
            "b\u{fc}ro@xn--bcher-kva.example",
        ),
    ] {
        let args = json!({"to": "a@example.com", "contents": "x", "envelope_from": given});
        plugin.call("send_mail", args).unwrap();
        let message = server.take(1).remove(0);
        assert_eq!(message["from"].as_str().unwrap_or_default(), wanted);
        assert_eq!(header(&message, "From"), "me@example.com");
    }
    let args = json!({"to": "a@example.com", "contents": "x", "envelope_from": "x\r\nRCPT TO:<v@example.com>"});
    assert_eq!(failure(plugin.call("send_mail", args)).0, "invalid_header");

    let bulk = json!({
        "envelope_from": "bounces+{{ id }}@example.com",
        "contents": "x",
        "recipients": [
            {"to": "a1@example.com", "variables": {"id": 1}},
            {"to": "a2@example.com", "variables": {"id": "2>\r\nRCPT TO:<v@example.com"}},
            {"to": "a3@example.com", "variables": {"id": 3}},
        ],
    });
    let report = plugin.call("send_bulk", bulk).unwrap();
    assert_eq!(
        (&report["sent"], &report["failed"][0]["index"]),
        (&json!(2), &json!(1))
    );
    for message in server.take(2) {
        let to = message["to"][0].as_str().unwrap();
        let wanted = to.replace('a', "bounces+").replacen("exbounces+", "exa", 1);
        assert_eq!(message["from"], wanted);
    }

    let folder = tempfile::tempdir().unwrap();
    let plugin = open(json!({"outbox": folder.path()}));
    let args = json!({"from": "me@example.com", "to": "a@example.com", "contents": "x", "envelope_from": ""});
    let sent = plugin.call("send_mail", args).unwrap();
    let file = std::fs::read_to_string(sent["file"].as_str().unwrap()).unwrap();
    assert!(file.starts_with("X-Envelope-From: <>\r\n"), "{file}");
}

#[test]
fn recipients_have_parts_of_their_own() {
    let server = Server::start(&json!({}));
    let plugin = open(json!({"url": server.url(), "from": "me@example.com", "connections": 1}));
    let file = |name: &str, data: &str| json!({"name": name, "data": data});
    let args = json!({
        "subject": "{{ greeting }}, {{ name | default(\"friend\") }}",
        "contents": "{{ shop }}",
        "html": "<p>{{ name | default(\"<friend>\") }}</p>",
        "reply_to": "office@example.com",
        "headers": {"X-Campaign": "{{ shop }}", "X-Kind": "general"},
        "attachments": [file("all.bin", "AA==")],
        "variables": {"shop": "Café", "greeting": "Hello"},
        "recipients": [
            {"to": "a@example.com", "variables": {"name": "Max", "greeting": "Hi"}, "reply_to": {"name": "Ä", "address": "own@example.com"},
             "headers": {"x-kind": "{{ own }}", "References": "<a@b>"}, "attachments": [file("own.bin", "AQ==")]},
            {"to": "b@example.com", "variables": {"name": "", "greeting": null}},
            {"to": "c@example.com", "headers": {"Bcc": "x@example.com"}},
            {"to": "d@example.com", "attachments": [file("bad", "%")]},
            {"to": "e@example.com", "reply_to": "nobody"},
        ],
    });
    let report = plugin.call("send_bulk", args).unwrap();
    let failed: Vec<_> = report["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["index"], &one["kind"]))
        .collect();
    let wanted = [
        (2, "invalid_header"),
        (3, "invalid_attachment"),
        (4, "invalid_address"),
    ]
    .map(|(index, kind)| (json!(index), json!(kind)));
    assert_eq!(failed, wanted.each_ref().map(|(index, kind)| (index, kind)));
    assert!(
        report["failed"][1]["message"]
            .as_str()
            .unwrap()
            .contains("recipients[3].attachments[0]"),
        "{report}"
    );
    let messages = server.take(2);
    let names = |message: &Value| -> Vec<Value> {
        message["attachments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].clone())
            .collect()
    };
    let (own, plain) = (&messages[0], &messages[1]);
    assert_eq!(header(own, "Subject"), "Hi, Max");
    assert_eq!(header(own, "Reply-To"), "Ä <own@example.com>");
    assert_eq!(
        header(own, "X-Kind"),
        "{{ own }}",
        "what is a recipient's own is no template"
    );
    assert_eq!(header(own, "References"), "<a@b>");
    assert_eq!(names(own), ["all.bin", "own.bin"]);
    assert_eq!(header(plain, "Subject"), "Hello, friend");
    assert_eq!(header(plain, "Reply-To"), "office@example.com");
    assert_eq!(header(plain, "X-Kind"), "general");
    assert_eq!(header(plain, "X-Campaign"), "Café");
    assert_eq!(names(plain), ["all.bin"]);
    assert_eq!(plain["text"], "Café");
    assert_eq!(plain["html"], "<p>&lt;friend&gt;</p>");
}

#[test]
fn the_result_has_every_id_and_the_words_of_the_server() {
    let server = Server::start(&json!({}));
    let plugin = open(json!({"url": server.url(), "from": "me@example.com", "connections": 3}));
    let sent = plugin
        .call("send_mail", json!({"to": "a@example.com", "contents": "x"}))
        .unwrap();
    assert_eq!(sent["replies"], json!(["250 2.0.0 OK: queued as Q1"]));
    server.take(1);

    let mut recipients: Vec<_> = (0..40)
        .map(|index| json!({"to": format!("a{index}@example.com")}))
        .collect();
    recipients[7] = json!({"to": "refused@example.com"});
    let report = plugin
        .call(
            "send_bulk",
            json!({"contents": "x", "recipients": recipients}),
        )
        .unwrap();
    let messages = report["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 39);
    assert!(messages.is_sorted_by_key(|one| one["index"].as_u64()));
    let received = server.take(39);
    for one in messages {
        let to = json!([format!("a{}@example.com", one["index"])]);
        let message = received.iter().find(|message| message["to"] == to).unwrap();
        assert_eq!(header(message, "Message-ID"), one["message_id"]);
        assert!(
            one["reply"]
                .as_str()
                .unwrap()
                .starts_with("250 2.0.0 OK: queued as Q"),
            "{one}"
        );
    }
    assert!(
        report["failed"][0]["message_id"]
            .as_str()
            .unwrap()
            .starts_with('<'),
        "{report}"
    );
}

#[test]
fn a_check_sends_nothing_and_says_what_would_come_of_it() {
    let server =
        Server::start(&json!({"auth": {"username": "max", "password": "geheim"}, "size": 5000}));
    let config =
        |password: &str| json!({"url": server.url(), "username": "max", "password": password});
    let plugin = open(config("geheim"));
    let check = plugin.call("check_mail", json!({})).unwrap();
    assert_eq!(
        (&check["transport"], &check["auth"]),
        (&json!("smtp"), &json!("PLAIN"))
    );
    assert_eq!(check["server"], format!("127.0.0.1:{}", server.port));
    assert!(
        check["extensions"]
            .as_array()
            .unwrap()
            .contains(&json!("SIZE 5000")),
        "{check}"
    );
    assert_eq!(check.get("message"), None);
    let args = json!({"from": "me@example.com", "to": ["a@example.com", "b@example.com"], "contents": "x"});
    let check = plugin.call("check_mail", &args).unwrap();
    assert_eq!(check["message"]["recipients"], args["to"]);
    assert_eq!(check["message"]["envelope_from"], "me@example.com");
    assert!(check["message"]["len"].as_u64().unwrap() > 100);

    let kind = |plugin: &plugin_api::testing::Opened<mail::Mail>, args: Value| {
        failure(plugin.call("check_mail", args)).0
    };
    assert_eq!(
        kind(&plugin, json!({"to": "a@example.com", "contents": "x"})),
        "no_sender"
    );
    let long =
        json!({"from": "me@example.com", "to": "a@example.com", "contents": "x\n".repeat(5000)});
    assert_eq!(kind(&plugin, long), "message_too_long");
    assert_eq!(kind(&open(config("wrong")), json!({})), "authentication");
    assert_eq!(
        kind(
            &open(json!({"url": "smtp://127.0.0.1:1?tls=none"})),
            json!({})
        ),
        "unreachable"
    );
    server.take(0);

    let folder = tempfile::tempdir().unwrap();
    let outbox = folder.path().join("outbox");
    let check = open(json!({"outbox": outbox}))
        .call("check_mail", &args)
        .unwrap();
    assert_eq!(
        (&check["transport"], &check["folder"]),
        (&json!("outbox"), &json!(outbox))
    );
    assert_eq!(std::fs::read_dir(&outbox).unwrap().count(), 0);
    std::fs::write(folder.path().join("file"), "").unwrap();
    assert_eq!(
        kind(
            &open(json!({"outbox": folder.path().join("file/outbox")})),
            json!({})
        ),
        "outbox"
    );
}

#[test]
fn a_token_is_read_for_each_connection() {
    let server = Server::start(
        &json!({"auth": {"username": "max@example.com", "token": "ya29.right", "exclude": ["PLAIN", "LOGIN"]}}),
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = json!({"url": server.url(), "username": "max@example.com", "access_token": {"file": file.path()}});
    std::fs::write(file.path(), "ya29.right\n").unwrap();
    let plugin = open(config);
    let args = json!({"from": "me@example.com", "to": "a@example.com", "contents": "x"});
    plugin.call("send_mail", &args).unwrap();
    assert_eq!(server.take(1)[0]["user"], "max@example.com");
    assert_eq!(
        plugin.call("check_mail", json!({})).unwrap()["auth"],
        "XOAUTH2"
    );
    std::fs::write(file.path(), "ya29.wrong").unwrap();
    let (kind, text, retryable, data) = failure(plugin.call("check_mail", json!({})));
    assert_eq!(
        (kind.as_str(), retryable, &data["code"]),
        ("authentication", false, &json!(535)),
        "{text}"
    );
    assert!(
        text.contains("{\"status\":\"400\"") && !text.contains("ya29"),
        "{text}"
    );
    drop(file);
    let (kind, text, ..) = failure(plugin.call("check_mail", json!({})));
    assert_eq!(kind, "authentication", "{text}");
}
