//! A bulk whose server goes away for good, or whose time ends: it reports what was sent, soon.

use std::{collections::HashSet, time::Duration};

use plugin_api::{
    serde_json::{Value, json},
    testing::{CallError, Finished},
};

use crate::{
    failure, open,
    scripted::{Act, At, EVERYWHERE, Place, Scripted},
};

fn bulk(count: usize) -> Value {
    let recipients: Vec<_> = (0..count)
        .map(|index| json!({"to": format!("a{index}@example.com")}))
        .collect();
    json!({"from": "me@example.com", "contents": "x".repeat(3000), "recipients": recipients})
}

/// Sends to four; the wait ends after a minute, whether there is a report or not.
fn run(server: &Scripted, connections: usize) -> Finished {
    let plugin = open(json!({"url": server.url(), "connections": connections}));
    plugin.prepare("send_bulk", bulk(4)).start().wait()
}

/// The report, as the result or as what an error says besides.
fn report(finished: &Finished) -> &Value {
    match &finished.result {
        Ok(report) => report,
        Err(CallError::Failed {
            data: Some(report), ..
        }) => report,
        other => panic!("no report: {other:?}"),
    }
}

#[test]
fn a_server_that_vanishes_leaves_a_report() {
    for connections in [1, 2] {
        for message in 0..4 {
            for at in EVERYWHERE {
                let case = format!("{connections} connections, message {message}, {at:?}");
                let server = Scripted::start(move |place: Place| {
                    if (place.message, place.at) == (message, at) {
                        Act::Vanish
                    } else {
                        Act::Go
                    }
                });
                let finished = run(&server, connections);
                let report = report(&finished);
                let failed = report["failed"].as_array().unwrap();
                let sent = usize::try_from(report["sent"].as_u64().unwrap()).unwrap();
                assert_eq!(
                    (sent + failed.len(), &report["unsent"]),
                    (4, &json!(0)),
                    "{case}: {report}"
                );
                let indices: HashSet<_> = failed.iter().map(|failure| &failure["index"]).collect();
                assert_eq!(indices.len(), failed.len(), "{case}: {report}");
                // Whoever got it is counted as sent, or named as somebody who may have got it.
                let accepted = server.seen().accepted.len();
                let doubtful = failed
                    .iter()
                    .filter(|failure| failure["kind"] == "maybe_delivered");
                assert!(
                    (sent..=sent + doubtful.count()).contains(&accepted),
                    "{case}: {accepted} accepted, {report}"
                );
                if connections == 1 && !matches!(at, At::Greeting | At::Ehlo) {
                    assert_eq!(sent, message, "{case}: {report}");
                }
            }
        }
    }
}

#[test]
fn a_server_that_vanishes_after_the_first_message_is_told_of_everyone_else() {
    let server = Scripted::start(|place| match place {
        Place {
            message: 1,
            at: At::Mail,
            ..
        } => Act::Vanish,
        _ => Act::Go,
    });
    let report = run(&server, 1).result.unwrap();
    assert_eq!((&report["sent"], &report["unsent"]), (&json!(1), &json!(0)));
    let failed = report["failed"].as_array().unwrap();
    let found: Vec<_> = failed
        .iter()
        .map(|failure| (&failure["to"], &failure["retryable"]))
        .collect();
    let retryable = json!(true);
    assert_eq!(
        found,
        [
            (&json!("a1@example.com"), &retryable),
            (&json!("a2@example.com"), &retryable),
            (&json!("a3@example.com"), &retryable),
        ]
    );
}

/// Takes one message and is silent from then on.
fn silent_after_one() -> Scripted {
    Scripted::start(|place| match place {
        Place {
            message: 1,
            at: At::Mail,
            ..
        } => Act::Hang,
        _ => Act::Go,
    })
}

#[test]
fn a_bulk_that_is_cancelled_reports_what_was_sent() {
    for connections in [1, 2] {
        let server = silent_after_one();
        let plugin = open(json!({"url": server.url(), "connections": connections}));
        let running = plugin.prepare("send_bulk", bulk(9)).start();
        server.wait_until(|seen| seen.accepted.len() == connections);
        running.wait_for_progress(connections as u64);
        running.cancel();
        let (kind, text, _, data) = failure(running.wait().result);
        assert_eq!(kind, "cancelled", "{text}");
        assert_eq!(
            (&data["sent"], &data["unsent"], &data["failed"]),
            (&json!(connections), &json!(9 - connections), &json!([]))
        );
    }
}

#[test]
fn a_bulk_reports_before_its_time_is_up() {
    let server = silent_after_one();
    let plugin = open(json!({"url": server.url(), "connections": 1}));
    let limit = Duration::from_secs(4);
    let finished = plugin.prepare("send_bulk", bulk(4)).timeout(limit).run();
    let (kind, text, _, data) = failure(finished.result);
    assert_eq!(kind, "cancelled", "{text}");
    // Nobody would hear of it a moment later.
    assert!(text.starts_with("its time was nearly up"), "{text}");
    assert_eq!((&data["sent"], &data["unsent"]), (&json!(1), &json!(3)));
}
