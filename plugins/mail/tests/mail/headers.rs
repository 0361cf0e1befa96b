//! Headers with a structure, written by the plugin and read by Python as they stand.

use plugin_api::serde_json::{Value, json};

use crate::{failure, open, server::Server};

fn raw<'a>(message: &'a Value, name: &str) -> &'a str {
    let headers = message["raw_headers"].as_array().unwrap();
    let found = headers.iter().find(|header| header[0] == name);
    found.map_or("", |header| header[1].as_str().unwrap())
}

#[test]
fn what_programs_read_is_never_encoded() {
    let server = Server::start(&json!({}));
    let plugin = open(json!({"url": server.url(), "from": "me@example.com"}));
    let many_ids: Vec<_> = (0..60)
        .map(|n| format!("<some-message-{n}@mail.example.com>"))
        .collect();
    let long_url = format!("<https://example.com/u?token={}>", "a1=?".repeat(100));
    // As it is given, and as a program has to find it.
    let cases = [
        (
            "References",
            "<a@example.com> <b@example.com> ".to_owned(),
            "<a@example.com> <b@example.com>".to_owned(),
        ),
        ("References", many_ids.join("  "), many_ids.join(" ")),
        (
            "In-Reply-To",
            "<a=?utf-8?q?b?=@example.com>".to_owned(),
            "<a=?utf-8?q?b?=@example.com>".to_owned(),
        ),
        (
            "List-Unsubscribe",
            "<https://example.com/?a==?utf-8?b?eA==?=>".to_owned(),
            "<https://example.com/?a==?utf-8?b?eA==?=>".to_owned(),
        ),
        (
            "List-Unsubscribe",
            format!("{long_url},  <mailto:u@example.com> "),
            format!("{long_url}, <mailto:u@example.com>"),
        ),
        (
            "List-Unsubscribe-Post",
            " List-Unsubscribe=One-Click".to_owned(),
            "List-Unsubscribe=One-Click".to_owned(),
        ),
        (
            "X-SMTPAPI",
            "{\"category\":  \"a =? b\"} ".to_owned(),
            "{\"category\":  \"a =? b\"}".to_owned(),
        ),
        (
            "Feedback-ID",
            "1:2:shop:example ".to_owned(),
            "1:2:shop:example".to_owned(),
        ),
        (
            "Auto-Submitted",
            "auto-generated".to_owned(),
            "auto-generated".to_owned(),
        ),
    ];
    for (name, value, wanted) in &cases {
        let args = json!({"to": "a@example.com", "contents": "x", "headers": {*name: value}});
        plugin.call("send_mail", args).unwrap();
        let message = server.take(1).remove(0);
        assert_eq!(raw(&message, name), wanted);
        assert_eq!(message["defects"], json!([]), "{name}");
        assert!(message["longest_line"].as_u64().unwrap() <= 998, "{name}");
    }
}

#[test]
fn names_are_encoded_and_their_addresses_are_not() {
    let server = Server::start(&json!({}));
    let plugin = open(json!({"url": server.url(), "from": "me@example.com"}));
    let args = json!({"to": "a@example.com", "contents": "x", "headers": {
        "Sender": "Jürgen Groß <juergen@example.com>",
        "Disposition-Notification-To": "Büro <office@example.com>, b@example.com",
        "List-Id": "Grüße aus Köln <news.example.com>",
    }});
    plugin.call("send_mail", args).unwrap();
    let message = server.take(1).remove(0);
    assert_eq!(
        message["addresses"]["Sender"],
        json!([["Jürgen Groß", "juergen@example.com"]])
    );
    assert_eq!(
        message["addresses"]["Disposition-Notification-To"],
        json!([["Büro", "office@example.com"], ["", "b@example.com"]])
    );
    assert!(
        raw(&message, "List-Id").ends_with(" <news.example.com>"),
        "{message}"
    );
    assert_eq!(
        message["options"]
            .as_array()
            .unwrap()
            .iter()
            .find(|option| *option == "SMTPUTF8"),
        None
    );
}

#[test]
fn what_has_another_structure_is_refused() {
    let plugin = open(json!({"url": "smtp://127.0.0.1:1?tls=none", "from": "me@example.com"}));
    for (name, value, kind) in [
        ("References", "the mail of yesterday", "invalid_header"),
        ("List-Unsubscribe", "click here", "invalid_header"),
        (
            "List-Unsubscribe-Post",
            "Ja, bitte für mich",
            "invalid_header",
        ),
        ("Sender", "nobody", "invalid_address"),
        ("Sender", "a@example.com, b@example.com", "invalid_address"),
    ] {
        let args = json!({"to": "a@example.com", "contents": "x", "headers": {name: value}});
        let (found, text, ..) = failure(plugin.call("send_mail", args));
        assert_eq!(found, kind, "{name}: {value}: {text}");
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn addresses_that_are_wrong_say_what_to_do() {
    let plugin = open(json!({"url": "smtp://127.0.0.1:1?tls=none", "from": "me@example.com"}));
    let long = format!("{}@example.org", "x".repeat(65));
    for (to, words) in [
        ("Doe, Jane <jane@example.org>", "has to be quoted"),
        ("foo..bar@example.org", "two in a row"),
        (".foo@example.org", "begins or ends with a dot"),
        (&long, "longer than 64 bytes"),
        ("a@example.org <b@example.org>", "quote a name"),
    ] {
        let (kind, text, ..) =
            failure(plugin.call("send_mail", json!({"to": to, "contents": "x"})));
        assert_eq!(kind, "invalid_address", "{to}");
        assert!(text.contains(words), "{to}: {text}");
    }
}

#[test]
fn name_and_address_may_be_given_apart_wherever_an_address_stands() {
    let server = Server::start(&json!({}));
    let name = |n: u8| format!("Nr. {n}, \"Jür\" <evil@example.org>, x");
    let one = |n: u8| json!({"name": name(n), "address": format!("a{n}@example.com")});
    let plugin = open(json!({"url": server.url(), "from": one(0)}));
    let args = json!({
        "to": one(1),
        "cc": [one(2), "plain@example.com, Max <max@example.com>"],
        "bcc": [{"address": "a4@example.com"}],
        "reply_to": one(5),
        "envelope_from": one(6),
        "contents": "x",
    });
    plugin.call("send_mail", &args).unwrap();
    let bulk = json!({"from": one(7), "reply_to": [one(5)], "contents": "x", "recipients": [{"to": one(8)}]});
    assert_eq!(plugin.call("send_bulk", bulk).unwrap()["sent"], 1);
    let messages = server.take(2);
    let shown = |n: u8| json!([name(n), format!("a{n}@example.com")]);
    let found = &messages[0]["addresses"];
    assert_eq!(found["From"], json!([shown(0)]));
    assert_eq!(found["To"], json!([shown(1)]));
    assert_eq!(
        found["Cc"],
        json!([
            shown(2),
            ["", "plain@example.com"],
            ["Max", "max@example.com"]
        ])
    );
    assert_eq!(found["Reply-To"], json!([shown(5)]));
    assert_eq!(messages[0]["from"], "a6@example.com");
    assert_eq!(messages[0]["to"][4], "a4@example.com");
    assert_eq!(messages[1]["addresses"]["From"], json!([shown(7)]));
    assert_eq!(messages[1]["addresses"]["To"], json!([shown(8)]));

    for to in [
        json!({"name": "Max", "address": "Moritz <a@example.com>"}),
        json!({"name": "x\r\nBcc: y@example.com", "address": "a@example.com"}),
        json!({"name": "Max", "address": ""}),
    ] {
        let (kind, ..) = failure(plugin.call("send_mail", json!({"to": to, "contents": "x"})));
        assert!(
            ["invalid_address", "invalid_header"].contains(&kind.as_str()),
            "{to}: {kind}"
        );
    }
    for to in [
        json!({"name": "Max"}),
        json!({"email": "a@example.com"}),
        json!(7),
    ] {
        let error = plugin
            .call("send_mail", json!({"to": to, "contents": "x"}))
            .unwrap_err();
        assert!(
            error.to_string().starts_with("invalid arguments: "),
            "{error}"
        );
    }
}

#[test]
fn an_address_book_writes_the_address_in_place_of_the_name() {
    let server = Server::start(&json!({}));
    let plugin = open(json!({"url": server.url(), "from": "me@example.com"}));
    let args = json!({"to": "jane@example.org <jane@example.org>", "contents": "x"});
    plugin.call("send_mail", args).unwrap();
    assert_eq!(
        server.take(1)[0]["addresses"]["To"],
        json!([["", "jane@example.org"]])
    );
}
