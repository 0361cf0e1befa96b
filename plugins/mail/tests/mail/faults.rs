//! Servers that fail: at most once, nothing lost in silence, no wait without an end.

use std::{collections::HashSet, time::Duration};

use plugin_api::{
    serde_json::{Value, json},
    testing::CallError,
};

use crate::{
    failure, open,
    scripted::{Act, At, EVERYWHERE, Place, Scripted},
};

const FRESH: [At; 6] = [
    At::Greeting,
    At::Ehlo,
    At::Mail,
    At::Recipient,
    At::Data,
    At::Contents,
];
const LATER: [At; 4] = [At::Mail, At::Recipient, At::Data, At::Contents];

fn message(to: &str) -> Value {
    json!({"from": "me@example.com", "to": to, "contents": "x".repeat(3000)})
}

fn bulk(count: usize) -> Value {
    let recipients: Vec<_> = (0..count)
        .map(|index| json!({"to": format!("a{index}@example.com")}))
        .collect();
    json!({"from": "me@example.com", "contents": "x".repeat(3000), "recipients": recipients})
}

/// With time limits that a test can wait for.
fn impatient(server: &Scripted) -> Value {
    json!({"url": server.url(), "command_timeout": "300ms", "data_timeout": "300ms"})
}

/// Does `act` there, on the message of this number, of the first connection only.
fn once(at: At, message: usize, act: Act) -> impl Fn(Place) -> Act + Send + Sync + 'static {
    move |place| {
        if (place.connection, place.message, place.at) == (0, message, at) {
            act
        } else {
            Act::Go
        }
    }
}

#[test]
fn a_fresh_connection_that_is_lost_is_an_error_worth_a_retry() {
    for at in FRESH {
        let server = Scripted::start(once(at, 0, Act::Close));
        let plugin = open(json!({"url": server.url()}));
        let (kind, message, retryable, data) =
            failure(plugin.call("send_mail", message("a@example.com")));
        // In the contents no reply is awaited: whether they are all in the network depends on whose packet is first.
        if at != At::Contents {
            assert_eq!(
                (kind.as_str(), &data["code"]),
                ("connection_lost", &Value::Null),
                "{at:?}: {message}"
            );
            assert!(retryable, "{at:?}: {message}");
        }
        let seen = server.seen();
        assert_eq!(
            (seen.connections, seen.accepted.len()),
            (1, 0),
            "{at:?}: it was not tried twice"
        );
    }
}

#[test]
fn a_server_that_says_not_now_is_asked_again() {
    for at in FRESH {
        for act in [
            Act::SayAndClose("421 4.3.2 shutting down"),
            Act::Say("451 4.3.0 try again"),
        ] {
            if at == At::Contents {
                continue;
            }
            let server = Scripted::start(once(at, 0, act));
            let plugin = open(json!({"url": server.url()}));
            let sent = plugin
                .call("send_mail", message("a@example.com"))
                .unwrap_or_else(|error| panic!("{at:?} {act:?}: {error}"));
            assert_eq!(sent["accepted"], json!(["a@example.com"]));
            let seen = server.seen();
            assert_eq!(
                (seen.connections, seen.accepted.len()),
                (2, 1),
                "{at:?} {act:?}"
            );
        }
    }
}

#[test]
fn a_server_that_goes_on_saying_so_is_told_of() {
    for (at, kind) in [
        (At::Greeting, "refused"),
        (At::Ehlo, "refused"),
        (At::Mail, "connection_lost"),
        (At::Recipient, "connection_lost"),
        (At::Data, "connection_lost"),
        (At::End, "rejected"),
    ] {
        let server = Scripted::start(move |place| {
            if place.at == at {
                Act::SayAndClose("421 4.3.2 shutting down")
            } else {
                Act::Go
            }
        });
        let plugin = open(json!({"url": server.url(), "retry_for": "1s"}));
        let (found, text, retryable, data) =
            failure(plugin.call("send_mail", message("a@example.com")));
        assert_eq!((found.as_str(), retryable), (kind, true), "{at:?}: {text}");
        assert!(text.contains("shutting down"), "{at:?}: {text}");
        let code = if at == At::End {
            &data["rejected"][0]["code"]
        } else {
            &data["code"]
        };
        assert_eq!(code, 421, "{at:?}");
        assert!((2..10).contains(&server.seen().connections), "{at:?}");
    }
}

#[test]
fn a_pooled_connection_that_is_lost_is_replaced_unless_the_message_was_handed_over() {
    for at in LATER {
        for act in [Act::Close, Act::SayAndClose("421 4.3.2 shutting down")] {
            if at == At::Contents {
                continue;
            }
            let server = Scripted::start(once(at, 1, act));
            let plugin = open(json!({"url": server.url()}));
            for to in ["a@example.com", "b@example.com", "c@example.com"] {
                let sent = plugin.call("send_mail", message(to)).unwrap();
                assert_eq!(sent["accepted"], json!([to]), "{at:?}");
            }
            let seen = server.seen();
            assert_eq!(
                seen.accepted,
                ["a@example.com", "b@example.com", "c@example.com"],
                "{at:?}"
            );
            assert_eq!(seen.connections, 2, "{at:?}");
        }
    }
}

#[test]
fn a_connection_that_was_closed_while_idle_is_replaced() {
    let server = Scripted::start(|place| match place.at {
        At::End => Act::SayAndClose("250 taken, and goodbye"),
        _ => Act::Go,
    });
    let plugin = open(json!({"url": server.url()}));
    for _ in 0..3 {
        plugin.call("send_mail", message("a@example.com")).unwrap();
    }
    assert_eq!(server.seen().connections, 3);
}

#[test]
fn a_message_without_an_answer_may_have_been_delivered_and_is_never_sent_again() {
    for nth in [0, 1] {
        let server = Scripted::start(once(At::End, nth, Act::Close));
        let plugin = open(json!({"url": server.url()}));
        for _ in 0..nth {
            plugin
                .call("send_mail", message("first@example.com"))
                .unwrap();
        }
        let (kind, text, retryable, _) =
            failure(plugin.call("send_mail", message("a@example.com")));
        assert_eq!(
            (kind.as_str(), retryable),
            ("maybe_delivered", false),
            "{text}"
        );
        assert!(text.contains("may have been delivered"), "{text}");
        let seen = server.seen();
        assert_eq!((seen.connections, seen.accepted.len()), (1, nth + 1));
    }
}

#[test]
fn a_421_after_the_message_means_that_nobody_got_it() {
    let server = Scripted::start(once(
        At::End,
        0,
        Act::SayAndClose("421 4.3.2 shutting down"),
    ));
    let plugin = open(json!({"url": server.url()}));
    plugin.call("send_mail", message("a@example.com")).unwrap();
    assert_eq!(server.seen().accepted, ["a@example.com"]);
}

#[test]
fn a_bulk_survives_connections_that_break_everywhere() {
    for at in LATER {
        // Every third message of every connection meets it.
        let act = move |place: Place| {
            if place.message == 2 && place.at == at {
                Act::Close
            } else {
                Act::Go
            }
        };
        let server = Scripted::start(act);
        let plugin = open(json!({"url": server.url(), "connections": 4}));
        let report = plugin.call("send_bulk", bulk(60)).unwrap();
        let failed = report["failed"].as_array().unwrap();
        let accepted = server.seen().accepted.clone();
        let unique: HashSet<_> = accepted.iter().collect();
        assert_eq!(unique.len(), accepted.len(), "{at:?}: nobody got two");
        assert_eq!(report["sent"], accepted.len(), "{at:?}");
        if at == At::Contents {
            // The contents are in the network when the server closes: the client can't know.
            assert!(
                failed
                    .iter()
                    .all(|failure| failure["kind"] == "maybe_delivered"),
                "{failed:?}"
            );
            assert_eq!(accepted.len() + failed.len(), 60);
        } else {
            assert_eq!(accepted.len(), 60, "{at:?}: {failed:?}");
        }
    }
}

#[test]
fn a_bulk_names_those_who_may_have_got_it() {
    let server = Scripted::start(|place| match place {
        Place {
            message: 4,
            at: At::End,
            ..
        } => Act::Close,
        _ => Act::Go,
    });
    let plugin = open(json!({"url": server.url(), "connections": 3}));
    let report = plugin.call("send_bulk", bulk(100)).unwrap();
    let failed = report["failed"].as_array().unwrap();
    assert!(!failed.is_empty());
    assert!(
        failed
            .iter()
            .all(|failure| failure["kind"] == "maybe_delivered" && failure["retryable"] == false)
    );
    let accepted = server.seen().accepted.clone();
    assert_eq!(
        accepted.iter().collect::<HashSet<_>>().len(),
        100,
        "everybody was served"
    );
    assert_eq!(accepted.len(), 100, "and nobody twice");
    assert_eq!(report["sent"].as_u64().unwrap() + failed.len() as u64, 100);
}

#[test]
fn a_bulk_gives_up_on_a_server_that_takes_nothing() {
    let server = Scripted::start(|place| {
        if place.at == At::Data {
            Act::Close
        } else {
            Act::Go
        }
    });
    let plugin = open(json!({"url": server.url(), "connections": 4}));
    let (kind, text, retryable, data) = failure(plugin.call("send_bulk", bulk(500)));
    assert_eq!(
        (kind.as_str(), retryable),
        ("connection_lost", true),
        "{text}"
    );
    assert_eq!(
        (&data["sent"], data["failed"].as_array().unwrap().len()),
        (&json!(0), 500)
    );
    let connections = server.seen().connections;
    assert!(connections <= 12, "{connections} connections for nothing");
}

#[test]
fn a_bulk_goes_on_with_the_connections_it_gets() {
    let server = Scripted::start(|place| match place {
        Place {
            connection: 1..,
            at: At::Greeting,
            ..
        } => Act::SayAndClose("421 too many connections"),
        _ => Act::Go,
    });
    let plugin = open(json!({"url": server.url(), "connections": 8}));
    let report = plugin.call("send_bulk", bulk(200)).unwrap();
    assert_eq!(report["sent"], 200);
    assert_eq!(server.seen().accepted.len(), 200);
}

#[test]
fn a_silent_server_is_left_in_time() {
    for at in EVERYWHERE {
        let server = Scripted::start(once(at, 0, Act::Hang));
        let plugin = open(impatient(&server));
        let (kind, text, retryable, _) =
            failure(plugin.call("send_mail", message("a@example.com")));
        // In the contents, all of them are in the network: whether the server has read them nobody knows.
        let is_handed_over = matches!(at, At::Contents | At::End);
        let wanted = if is_handed_over {
            "maybe_delivered"
        } else {
            "server_timeout"
        };
        assert_eq!(
            (kind.as_str(), retryable),
            (wanted, !is_handed_over),
            "{at:?}: {text}"
        );
        assert!(text.contains("300ms"), "{text}");
        assert_eq!(server.seen().connections, 1);
    }
}

#[test]
fn a_task_that_is_stopped_waits_no_longer() {
    for at in EVERYWHERE {
        let server = Scripted::start(once(at, 0, Act::Hang));
        let plugin = open(json!({"url": server.url()}));
        let running = plugin
            .prepare("send_mail", message("a@example.com"))
            .start();
        server.wait_until(|seen| seen.places.contains(&at));
        running.cancel();
        let finished = running.wait();
        match finished.result {
            Err(CallError::Cancelled(_)) => {
                assert!(!matches!(at, At::Contents | At::End), "{at:?}");
            }
            result => assert_eq!(failure(result).0, "maybe_delivered", "{at:?}"),
        }
    }
    let server = Scripted::start(once(At::Mail, 0, Act::Hang));
    let plugin = open(json!({"url": server.url(), "connections": 1}));
    let running = plugin.prepare("send_bulk", bulk(10)).start();
    server.wait_until(|seen| seen.places.contains(&At::Mail));
    running.cancel();
    let (kind, text, _, data) = failure(running.wait().result);
    assert_eq!(kind, "cancelled", "{text}");
    assert_eq!(
        (&data["sent"], &data["unsent"], &data["failed"]),
        (&json!(0), &json!(10), &json!([]))
    );
}

#[test]
fn a_time_limit_is_kept() {
    let server = Scripted::start(once(At::Mail, 0, Act::Hang));
    let plugin = open(json!({"url": server.url()}));
    let limit = Duration::from_millis(200);
    let finished = plugin
        .prepare("send_mail", message("a@example.com"))
        .timeout(limit)
        .run();
    assert!(
        matches!(finished.result, Err(CallError::Timeout(_))),
        "{:?}",
        finished.result
    );
    assert!(!finished.killed, "it stops when it is told");
}

#[test]
fn contents_are_withheld_when_nobody_is_left_to_get_them() {
    let server = Scripted::start(once(At::Recipient, 0, Act::Say("550 nobody here")));
    let plugin = open(json!({"url": server.url()}));
    let (kind, ..) = failure(plugin.call("send_mail", message("a@example.com")));
    assert_eq!(kind, "rejected");
    assert_eq!(server.seen().contents_len, 0);
    plugin.call("send_mail", message("b@example.com")).unwrap();
    let seen = server.seen();
    assert_eq!(
        (seen.connections, &*seen.accepted),
        (1, &["b@example.com".to_owned()][..])
    );
}

#[test]
fn what_is_no_smtp_ends_the_connection() {
    let cases = [
        (At::Greeting, "HTTP/1.1 400 Bad Request"),
        (At::Ehlo, "250-a\r\n251 b"),
        (At::Mail, "354 go on"),
        (At::Recipient, "hello"),
        (At::Data, "250 taken already"),
        (At::Greeting, "220 a\r\n220 and again"),
    ];
    for (at, words) in cases {
        let server = Scripted::start(once(at, 0, Act::Say(words)));
        let plugin = open(impatient(&server));
        let (kind, text, ..) = failure(plugin.call("send_mail", message("a@example.com")));
        // One reply too many shifts all the others; it shows as soon as one of them makes no sense.
        assert!(
            ["protocol", "server_timeout"].contains(&kind.as_str()),
            "{words}: {kind}: {text}"
        );
        assert!(server.seen().accepted.is_empty());
    }
}

#[test]
fn nothing_said_before_tls_is_believed_after_it() {
    let injected = "220 go\r\n250 PIPELINING";
    let server = Scripted::start(move |place| match place.at {
        At::Ehlo => Act::Say("250-scripted\r\n250 STARTTLS"),
        // Where the script is asked at STARTTLS.
        At::Data => Act::Say(injected),
        _ => Act::Go,
    });
    let plugin = open(json!({"url": format!("smtp://127.0.0.1:{}?tls=required", server.port)}));
    let (kind, text, ..) = failure(plugin.call("send_mail", message("a@example.com")));
    assert_eq!(kind, "protocol", "{text}");
}

#[test]
fn idle_connections_are_closed_in_good_order() {
    let is_over =
        |seen: &crate::scripted::Seen| seen.commands.iter().any(|command| command == "QUIT");
    let server = Scripted::start(|_| Act::Go);
    let plugin = open(json!({"url": server.url(), "idle_timeout": "50ms"}));
    plugin.call("send_mail", message("a@example.com")).unwrap();
    server.wait_until(is_over);
    plugin.call("send_mail", message("a@example.com")).unwrap();
    assert_eq!(server.seen().connections, 2);

    let server = Scripted::start(|_| Act::Go);
    let plugin = open(json!({"url": server.url()}));
    plugin.call("send_mail", message("a@example.com")).unwrap();
    drop(plugin);
    server.wait_until(is_over);
}
