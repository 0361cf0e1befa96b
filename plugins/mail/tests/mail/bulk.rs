//! `send_bulk`, against the real server and the outbox.

use std::{
    collections::HashSet,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use plugin_api::{
    serde_json::{Value, json},
    testing::CallError,
};

use crate::{
    failure, open,
    server::{Server, header},
};

fn recipients(count: usize) -> Vec<Value> {
    let recipient = |index| json!({"to": format!("Nr. {index} <a{index}@example.com>"), "variables": {"n": index}});
    (0..count).map(recipient).collect()
}

fn args(recipients: &[Value]) -> Value {
    json!({
        "from": "me@example.com",
        "subject": "Grüße 😀 {{ n }}",
        "contents": "Hallo Nr. {{ n }}\n",
        "html": "<p>{{ n }}</p>\n",
        "headers": {"List-Unsubscribe": "<https://example.com/u?n={{ n }}>"},
        "attachments": [{"name": "für alle.txt", "media_type": "text/plain", "data": "aGVsbG8="}],
        "recipients": recipients,
    })
}

#[test]
fn a_thousand_get_their_own_and_one_bad_address_stops_nobody() {
    let server = Server::start(&json!({}));
    let plugin = open(json!({"url": server.url()}));
    let mut recipients = recipients(1000);
    recipients[500]["to"] = json!("no address");
    let finished = plugin.prepare("send_bulk", args(&recipients)).run();
    let report = finished.result.unwrap();
    assert_eq!(
        (&report["total"], &report["sent"], &report["unsent"]),
        (&json!(1000), &json!(999), &json!(0))
    );
    assert_eq!(report["transport"], "smtp");
    let failed = report["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (&failed[0]["index"], &failed[0]["to"]),
        (&json!(500), &json!("no address"))
    );
    assert_eq!(
        (&failed[0]["kind"], &failed[0]["retryable"]),
        (&json!("invalid_address"), &json!(false))
    );

    let messages = server.take(999);
    let to: HashSet<_> = messages
        .iter()
        .map(|message| message["to"][0].as_str().unwrap())
        .collect();
    assert_eq!(to.len(), 999, "nobody got two");
    assert!(!to.contains("a500@example.com"));
    let peers: HashSet<_> = messages
        .iter()
        .map(|message| message["peer"].as_u64())
        .collect();
    assert!(
        (2..=8).contains(&peers.len()),
        "{} connections",
        peers.len()
    );
    let ids: HashSet<_> = messages
        .iter()
        .map(|message| header(message, "Message-ID").to_string())
        .collect();
    assert_eq!(ids.len(), 999);
    for message in &messages {
        let to = message["to"][0].as_str().unwrap();
        let n = to.trim_start_matches('a').split('@').next().unwrap();
        assert_eq!(header(message, "To"), format!("\"Nr. {n}\" <{to}>"));
        assert_eq!(header(message, "Subject"), format!("Grüße 😀 {n}"));
        assert_eq!(
            header(message, "List-Unsubscribe"),
            format!("<https://example.com/u?n={n}>")
        );
        assert_eq!(message["text"], format!("Hallo Nr. {n}\n"));
        assert_eq!(message["html"], format!("<p>{n}</p>\n"));
        assert_eq!(message["attachments"][0]["data"], "aGVsbG8=");
        assert_eq!(message["defects"], json!([]));
    }

    let progress = finished.progress;
    assert!(
        progress.is_sorted_by_key(|step| step.done),
        "it never goes back"
    );
    let last = progress.last().unwrap();
    assert_eq!(
        (last.done, last.total, last.message.as_str()),
        (1000, 1000, "999 of 1000 sent, 1 failed")
    );
}

#[test]
fn every_failure_is_named() {
    for pipelining in [true, false] {
        let server = Server::start(&json!({"pipelining": pipelining}));
        let plugin = open(json!({"url": server.url(), "connections": 3}));
        let mut recipients = recipients(20);
        recipients[0] = json!({"to": "refused@example.com", "variables": {"n": 0}});
        recipients[3] = json!({"to": "later@example.com", "variables": {"n": 0}});
        recipients[5] = json!({"to": "a@example.com", "variables": {"m": 0}});
        recipients[7] =
            json!({"to": "a@example.com", "variables": {"n": "x\r\nBcc: victim@example.com"}});
        recipients[9] = json!({"variables": {"n": 0}});
        recipients[11] = json!({"to": "a@example.com, b@example.com", "variables": {"n": 0}});
        recipients[13] = json!({"to": "x\r\nBcc: victim@example.com", "variables": {"n": 0}});
        recipients[15] = json!({"to": "a@example.com", "variables": []});
        let report = plugin.call("send_bulk", args(&recipients)).unwrap();
        let failed = report["failed"].as_array().unwrap();
        let found: Vec<_> = failed
            .iter()
            .map(|failure| {
                let kind = failure["kind"].as_str().unwrap();
                (
                    failure["index"].as_u64().unwrap(),
                    kind,
                    failure["code"].as_u64(),
                    failure["retryable"] == true,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                (0, "rejected", Some(550), false),
                (3, "rejected", Some(450), true),
                (5, "undefined_variable", None, false),
                (7, "invalid_header", None, false),
                (9, "invalid_address", None, false),
                (11, "invalid_address", None, false),
                (13, "invalid_header", None, false),
                (15, "undefined_variable", None, false),
            ]
        );
        assert!(
            failed[2]["message"].as_str().unwrap().contains("`n`"),
            "{}",
            failed[2]
        );
        assert_eq!(report["sent"], 12);
        server.take(12);
    }
}

#[test]
fn what_is_wrong_for_everybody_is_an_error() {
    let plugin = open(json!({"url": "smtp://127.0.0.1:1?tls=none"}));
    let cases = [
        (json!({"subject": "{{ n"}), "invalid_template"),
        (json!({"contents": null, "html": null}), "no_contents"),
        (json!({"from": null}), "no_sender"),
        (json!({"from": "x"}), "invalid_address"),
        (json!({"reply_to": "x"}), "invalid_address"),
        (json!({"headers": {"To": "x@y.de"}}), "invalid_header"),
        (
            json!({"attachments": [{"name": "x", "data": "%"}]}),
            "invalid_attachment",
        ),
    ];
    for (changes, wanted) in cases {
        let mut args = args(&recipients(3));
        args.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let (kind, message, ..) = failure(plugin.call("send_bulk", args));
        assert_eq!(kind, wanted, "{message}");
    }
    assert_eq!(plugin.call("send_bulk", args(&[])).unwrap()["total"], 0);
}

#[test]
fn a_server_that_is_not_there_is_an_error_of_the_whole_task() {
    let plugin = open(json!({"url": "smtp://127.0.0.1:1?tls=none"}));
    let mut recipients = recipients(100);
    recipients[50]["to"] = json!("no address");
    let (kind, message, retryable, data) = failure(plugin.call("send_bulk", args(&recipients)));
    assert_eq!(
        (kind.as_str(), retryable),
        ("unreachable", true),
        "{message}"
    );
    assert_eq!((&data["total"], &data["sent"]), (&json!(100), &json!(0)));
    assert_eq!(data["failed"].as_array().unwrap().len(), 100);
    assert_eq!(data["failed"][50]["kind"], "invalid_address");
}

#[test]
fn cancelling_stops_between_messages() {
    let server = Server::start(&json!({}));
    let plugin = open(json!({"url": server.url(), "connections": 2}));
    let running = plugin
        .prepare("send_bulk", args(&recipients(20_000)))
        .start();
    running.wait_for_progress(10);
    running.cancel();
    let finished = running.wait();
    let Err(CallError::Failed {
        kind,
        message,
        data,
        ..
    }) = finished.result
    else {
        panic!("{:?}", finished.result)
    };
    assert_eq!(kind, "cancelled", "{message}");
    let data = data.unwrap();
    let number = |name: &str| usize::try_from(data[name].as_u64().unwrap()).unwrap();
    assert!(number("sent") >= 10 && number("unsent") > 0, "{message}");
    assert_eq!(
        number("sent") + number("unsent"),
        20_000,
        "{}",
        data["failed"]
    );
    // What it says was sent is what arrived, neither more nor less.
    server.take(number("sent"));
}

#[test]
fn without_a_server_every_message_becomes_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = open(json!({"outbox": folder.path().join("outbox")}));
    let mut recipients = recipients(50);
    recipients[7]["to"] = json!("no address");
    let report = plugin.call("send_bulk", args(&recipients)).unwrap();
    assert_eq!(
        (&report["sent"], &report["transport"]),
        (&json!(49), &json!("outbox"))
    );
    let folder = report["folder"].as_str().unwrap();
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 49);
}

/// What the host takes for a line, in bytes.
const LINE_LEN_MAX: usize = 10 << 20;

#[test]
fn a_report_fits_into_a_line_however_many_fail() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = open(json!({"outbox": folder.path().join("outbox")}));
    let mut recipients = vec![json!({"to": "\u{1}", "variables": {"n": 0}}); 100_000];
    recipients[99_999]["to"] = json!("a@example.com");
    let report = plugin.call("send_bulk", args(&recipients)).unwrap();
    let len = report.to_string().len();
    assert!(len < LINE_LEN_MAX * 2 / 3, "{len} bytes");
    let failed = report["failed"].as_array().unwrap();
    assert!(failed.len() > 10_000, "{}", failed.len());
    let left_out = report["failed_left_out"].as_u64().unwrap();
    assert_eq!(
        (failed.len() as u64 + left_out, &report["sent"]),
        (99_999, &json!(1))
    );
    assert_eq!(report["unsent"], 0);
    // There is no room for it beside the failures, and it is counted.
    let messages = report["messages"].as_array().unwrap().len() as u64;
    let messages_left_out = report["messages_left_out"].as_u64().unwrap_or(0);
    assert_eq!(messages + messages_left_out, 1);
}

/// The port of a server that refuses every recipient in these words.
fn refusing(reply: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move |mut socket: TcpStream, reply: String| {
        socket.write_all(b"220 hi\r\n")?;
        for line in BufReader::new(socket.try_clone()?).lines() {
            let line = line?;
            let words = match line.get(..4) {
                Some("RCPT") => reply.as_str(),
                Some("DATA") => "503 nobody takes it\r\n",
                _ => "250 ok\r\n",
            };
            socket.write_all(words.as_bytes())?;
        }
        Ok::<_, io::Error>(())
    };
    thread::spawn(move || {
        for socket in listener.incoming() {
            let reply = reply.clone();
            // A client that goes away has what it wanted.
            thread::spawn(move || socket.and_then(|socket| serve(socket, reply)).ok());
        }
    });
    port
}

#[test]
fn a_result_fits_into_a_line_however_much_the_server_says() {
    let line = |sign: char| format!("550{sign}{}\r\n", "no ".repeat(1300));
    let reply: String = [line('-').repeat(15), line(' ')].concat();
    let port = refusing(reply);
    let plugin = open(json!({"url": format!("smtp://127.0.0.1:{port}?tls=none")}));
    let report = plugin.call("send_bulk", args(&recipients(300))).unwrap();
    assert!(report.to_string().len() < LINE_LEN_MAX * 2 / 3);
    let failed = report["failed"].as_array().unwrap();
    let left_out = report["failed_left_out"].as_u64().unwrap();
    assert!(failed.len() > 50 && failed.len() as u64 + left_out == 300);

    let to: Vec<_> = (0..300).map(|n| format!("a{n}@example.com")).collect();
    let message = json!({"from": "me@example.com", "to": to, "contents": "x"});
    let (kind, _, _, data) = failure(plugin.call("send_mail", message));
    assert_eq!(kind, "rejected");
    assert!(data.to_string().len() < LINE_LEN_MAX * 2 / 3);
    let rejected = data["rejected"].as_array().unwrap();
    let left_out = data["rejected_left_out"].as_u64().unwrap();
    assert!(rejected.len() > 50 && rejected.len() as u64 + left_out == 300);
}
