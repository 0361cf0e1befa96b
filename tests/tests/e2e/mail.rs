//! The main job: real mail to a real SMTP server, by the thousand.

use std::collections::HashSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tests::{Host, Mail, Plugin, Setup, SmtpServer, wait_until};

const COUNT: usize = 1000;
/// Dots and `From` at the beginning of lines, a line longer than SMTP takes, and no line end at the end.
const TEXT: &str = "Grüße 🎉\n.\n..two dots\nFrom here on\n\n";

fn host_with_mail(smtp: &SmtpServer) -> Host {
    let config = format!("[plugins.mail]\nconfig = {{ url = {:?} }}", smtp.url());
    Setup::new()
        .plugin(Plugin::Mail)
        .plugin(Plugin::Good)
        .config(&config)
        .start()
}

fn address(number: usize) -> String {
    format!("user{number}@example.org")
}

fn subject(number: usize) -> String {
    format!(
        "Grüße 🎉 an Nummer {number} – mit einem Betreff, der länger ist als eine Zeile einer Nachricht sein soll"
    )
}

fn text(number: usize) -> String {
    format!(
        "{TEXT}{}\nNr. {number}",
        "ein langes Wort und noch eines ".repeat(60)
    )
}

/// All 256 bytes, and something of its own.
fn attachment(number: usize) -> Vec<u8> {
    (0..=255).chain(number.to_be_bytes()).collect()
}

fn attachment_args(bytes: &[u8]) -> Value {
    json!({"name": "Übersicht 📎.bin", "media_type": "application/x-test", "data": BASE64_STANDARD.encode(bytes)})
}

/// Every message arrived exactly once, and as it was meant.
#[track_caller]
fn expect_all_intact(smtp: &SmtpServer, attachment: impl Fn(usize) -> Vec<u8>) -> Vec<Mail> {
    wait_until("the server to have stored them all", || {
        smtp.received() >= COUNT
    });
    let mails = smtp.mails();
    assert_eq!(mails.len(), COUNT);
    let mut seen = HashSet::new();
    for mail in &mails {
        let recipients = mail.recipients();
        let [to] = recipients[..] else {
            panic!("not one recipient: {recipients:?}")
        };
        let number = to
            .strip_prefix("user")
            .and_then(|rest| rest.strip_suffix("@example.org"));
        let number: usize = number
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("to {to}"));
        assert!(seen.insert(number), "number {number} got two");
        assert_eq!(mail.0["envelope_from"], "news@example.com");
        assert_eq!(mail.header("subject"), subject(number));
        assert_eq!(mail.header("from"), "Die Redaktion – Ä <news@example.com>");
        assert!(!mail.header("date").is_empty());
        assert_eq!(mail.0["text"].as_str().unwrap().trim_end(), text(number));
        let expected = json!([attachment_args(&attachment(number))]);
        assert_eq!(mail.0["attachments"], expected, "number {number}");
    }
    let ids: HashSet<&str> = mails.iter().map(|mail| mail.header("message-id")).collect();
    assert_eq!(ids.len(), COUNT, "every message has an id of its own");
    mails
}

/// Asks on a connection of its own until `done`. Counts how often an answer came while mail was on its way.
fn answered_meanwhile(host: &Host, done: &AtomicBool) -> usize {
    let mut client = host.client();
    let mut count = 0;
    while !done.load(Ordering::Relaxed) {
        client.ping();
        assert_eq!(client.result("echo", json!("beside")), "beside");
        // More than this very request.
        count += usize::from(client.status()["in_flight"].as_u64().unwrap() > 1);
    }
    count
}

#[test]
fn a_thousand_requests_on_one_connection_send_a_thousand_mails() {
    let smtp = SmtpServer::start();
    let host = host_with_mail(&smtp);
    let done = AtomicBool::new(false);
    let mut message_ids = HashSet::new();
    thread::scope(|scope| {
        let bystander = scope.spawn(|| answered_meanwhile(&host, &done));
        let mut client = host.client();
        for number in 0..COUNT {
            let args = json!({
                "from": "Die Redaktion – Ä <news@example.com>",
                "to": address(number),
                "subject": subject(number),
                "contents": text(number),
                "attachments": [attachment_args(&attachment(number))],
            });
            client.send(json!({"id": number, "function": "send_mail", "args": args}));
        }
        let mut answered = HashSet::new();
        for _ in 0..COUNT {
            let reply = client.reply();
            let number = usize::try_from(reply.id.as_u64().unwrap()).unwrap();
            assert!(answered.insert(number), "{number} was answered twice");
            let sent = reply.outcome.unwrap();
            assert_eq!(sent["accepted"], json!([address(number)]), "{sent}");
            assert_eq!(sent["rejected"], json!([]), "{sent}");
            assert_eq!(sent["transport"], "smtp", "{sent}");
            message_ids.insert(sent["message_id"].as_str().unwrap().to_owned());
        }
        done.store(true, Ordering::Relaxed);
        assert!(bystander.join().unwrap() > 0, "nobody was served meanwhile");
    });
    let mails = expect_all_intact(&smtp, attachment);
    let arrived: HashSet<String> = mails
        .iter()
        .map(|mail| mail.header("message-id").to_owned())
        .collect();
    assert_eq!(arrived, message_ids);
}

#[test]
fn one_bulk_request_sends_a_thousand_mails_and_says_how_far_it_is() {
    let smtp = SmtpServer::start();
    let host = host_with_mail(&smtp);
    let recipients: Vec<Value> = (0..COUNT)
        .map(|number| json!({"to": address(number), "variables": {"number": number, "text": text(number)}}))
        .collect();
    let bytes = attachment(0);
    let args = json!({
        "from": "Die Redaktion – Ä <news@example.com>",
        "subject": subject(0).replace("Nummer 0", "Nummer {{ number }}"),
        "contents": "{{ text }}",
        "attachments": [attachment_args(&bytes)],
        "recipients": recipients,
    });
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let bystander = scope.spawn(|| answered_meanwhile(&host, &done));
        let mut client = host.client();
        client.send(json!({"id": "bulk", "function": "send_bulk", "args": args, "progress": true}));
        let mut done_last = 0;
        let mut events = 0;
        let reply = loop {
            let line = client.recv();
            assert_eq!(line["id"], "bulk");
            if line.get("ok").is_some() {
                break line;
            }
            assert_eq!(line["total"], COUNT);
            let done = line["done"].as_u64().unwrap();
            assert!(done >= done_last, "{line} after {done_last}");
            done_last = done;
            events += 1;
        };
        done.store(true, Ordering::Relaxed);
        let result = &reply["result"];
        assert_eq!(result["sent"], COUNT, "{reply}");
        assert_eq!(result["failed"], json!([]), "{reply}");
        assert_eq!(result["transport"], "smtp", "{reply}");
        assert!(events > 1, "it said nothing on its way");
        assert!(bystander.join().unwrap() > 0, "nobody was served meanwhile");
    });
    expect_all_intact(&smtp, |_| bytes.clone());
}

#[test]
fn one_bad_address_stops_nobody_else() {
    let smtp = SmtpServer::start();
    let host = host_with_mail(&smtp);
    let mut recipients: Vec<Value> = (0..50)
        .map(|number| json!({"to": address(number)}))
        .collect();
    recipients[7] = json!({"to": "refused@example.org"});
    recipients[20] = json!({"to": "not an address"});
    recipients[33] = json!({"to": "later@example.org"});
    let args = json!({"from": "news@example.com", "subject": "s", "contents": "c", "recipients": recipients});
    let result = host.client().result("send_bulk", args);
    assert_eq!(result["total"], 50, "{result}");
    assert_eq!(result["sent"], 47, "{result}");
    let failed = result["failed"].as_array().unwrap();
    let indexes: Vec<_> = failed
        .iter()
        .map(|failure| failure["index"].as_u64().unwrap())
        .collect();
    assert_eq!(indexes, [7, 20, 33], "{result}");
    assert_eq!(
        (&failed[0]["code"], &failed[0]["retryable"]),
        (&json!(550), &json!(false)),
        "{result}"
    );
    assert_eq!(
        (&failed[1]["code"], &failed[1]["retryable"]),
        (&json!(null), &json!(false)),
        "{result}"
    );
    assert_eq!(
        (&failed[2]["code"], &failed[2]["retryable"]),
        (&json!(450), &json!(true)),
        "{result}"
    );
    wait_until("the others to have arrived", || smtp.received() == 47);
}

#[test]
fn a_message_to_many_says_who_was_refused_and_why() {
    let smtp = SmtpServer::start();
    let host = host_with_mail(&smtp);
    let mut client = host.client();
    let mut args = json!({
        "from": "a@example.com",
        "to": ["one@example.org", "refused@example.org"],
        "cc": "Zwei <two@example.org>",
        "bcc": ["later@example.org", "three@example.org"],
        "reply_to": "answers@example.com",
        "headers": {"X-Campaign": "Grüße"},
        "contents": "text",
        "html": "<p>Grüße 🎉</p>",
    });
    let sent = client.result("send_mail", args.clone());
    assert_eq!(
        sent["accepted"],
        json!(["one@example.org", "two@example.org", "three@example.org"]),
        "{sent}"
    );
    let rejected = sent["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 2, "{sent}");
    assert_eq!(
        (&rejected[0]["address"], &rejected[0]["code"]),
        (&json!("refused@example.org"), &json!(550)),
        "{sent}"
    );
    assert_eq!(
        (&rejected[1]["address"], &rejected[1]["retryable"]),
        (&json!("later@example.org"), &json!(true)),
        "{sent}"
    );
    let mails = smtp.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(
        mails[0].recipients(),
        ["one@example.org", "two@example.org", "three@example.org"]
    );
    assert_eq!(mails[0].header("cc"), "Zwei <two@example.org>");
    assert_eq!(mails[0].header("bcc"), "", "nobody may know");
    assert_eq!(mails[0].header("reply-to"), "answers@example.com");
    assert_eq!(mails[0].header("x-campaign"), "Grüße");
    assert_eq!(
        mails[0].0["html"].as_str().unwrap().trim_end(),
        "<p>Grüße 🎉</p>"
    );
    assert_eq!(mails[0].0["text"].as_str().unwrap().trim_end(), "text");

    args["to"] = json!("refused@example.org");
    args["cc"] = json!([]);
    args["bcc"] = json!([]);
    let failure = client.failure("send_mail", args);
    failure.expect("handler_failed", &["550"]);
    assert!(!failure.retryable);
}

#[test]
fn header_injection_is_refused() {
    let smtp = SmtpServer::start();
    let host = host_with_mail(&smtp);
    let mut client = host.client();
    let injected = "x\r\nBcc: victim@example.org";
    for (field, value) in [
        ("to", json!(format!("a@example.org{injected}"))),
        ("from", json!(format!("a@example.org{injected}"))),
        ("reply_to", json!(format!("a@example.org{injected}"))),
        ("headers", json!({"X-Test": injected})),
        ("headers", json!({"X-Test\r\nBcc": "victim@example.org"})),
        (
            "attachments",
            json!([{"name": "x\r\nBcc: victim@example.org", "data": ""}]),
        ),
        ("subject", json!(injected)),
    ] {
        let mut args = json!({"from": "a@example.com", "to": "b@example.org", "contents": "c"});
        args[field] = value;
        // Refused, or made harmless by encoding.
        let _ = client.call("send_mail", args);
    }
    for mail in smtp.mails() {
        assert_eq!(mail.header("bcc"), "", "{mail:?}");
        assert_eq!(mail.recipients(), ["b@example.org"], "{mail:?}");
    }
}

#[test]
fn a_bulk_that_is_cancelled_stops_between_messages() {
    let smtp = SmtpServer::start();
    let host = host_with_mail(&smtp);
    let recipients: Vec<Value> = (0..20_000)
        .map(|number| json!({"to": address(number)}))
        .collect();
    let args = json!({"from": "news@example.com", "contents": "c", "recipients": recipients});
    let mut client = host.client();
    client.send(json!({"id": "bulk", "function": "send_bulk", "args": args, "progress": true}));
    // Past its first news it sends.
    assert_eq!(client.recv()["event"], "progress");
    client.send(json!({"id": "cancel", "function": "host.cancel", "args": {"id": "bulk"}}));
    let reply = loop {
        let line = client.recv();
        if line["id"] == "bulk" && line.get("ok").is_some() {
            break line;
        }
    };
    assert_eq!(reply["error"]["code"], "cancelled", "{reply}");
    let sent = smtp.received();
    assert!(sent < 20_000, "all were sent");
    for mail in smtp.mails() {
        assert_eq!(mail.recipients().len(), 1, "{mail:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_worth_another_try() {
    let smtp = SmtpServer::start();
    let url = smtp.url();
    drop(smtp);
    let config = format!("[plugins.mail]\nconfig = {{ url = {url:?} }}");
    let host = Setup::new().plugin(Plugin::Mail).config(&config).start();
    let args = json!({"from": "a@example.com", "to": "b@example.org", "contents": "c"});
    let failure = host.client().failure("send_mail", args);
    failure.expect("handler_failed", &["127.0.0.1"]);
    assert!(failure.retryable, "{failure:?}");
}

#[test]
fn without_a_server_mail_goes_to_the_outbox() {
    let host = Host::with(&[Plugin::Mail]);
    let args = json!({"from": "me@example.org", "to": "you@example.org", "contents": "Hello"});
    let sent = host.client().result("send_mail", args);
    assert_eq!(sent["transport"], "outbox", "{sent}");
    assert_eq!(sent["accepted"], json!(["you@example.org"]), "{sent}");
    let files: Vec<_> = fs::read_dir(host.folder().join("outbox"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0].extension().unwrap(), "eml");
    let message = fs::read_to_string(&files[0]).unwrap();
    assert!(message.contains("Hello"), "{message}");
    assert!(message.contains("To: you@example.org"), "{message}");
}
