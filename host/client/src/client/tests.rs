//! Every exchange as plain calls.

use std::time::Duration;

use protocol::{ErrorCode, Reply, TaskFailure};

use super::*;

const ROOM: Room = Room {
    tasks_max: 2,
    line_len_max: 100,
    unwritten_len_max: 1000,
};

fn client() -> Client<&'static str> {
    Client::new(ROOM)
}

fn send(client: &mut Client<&'static str>, function: &str, kept: &'static str) -> u64 {
    client.send(Request::new(function), None, kept).unwrap()
}

fn refusal(client: &mut Client<&'static str>, request: Request) -> Refusal {
    client.send(request, None, "refused").unwrap_err().why
}

fn written(client: &mut Client<&'static str>) -> String {
    let mut bytes = Vec::new();
    client.take_unwritten(&mut bytes);
    client.wrote(bytes.len());
    String::from_utf8(bytes).unwrap()
}

/// What the client makes of a line from the host, in short.
fn received(client: &mut Client<&'static str>, line: &str) -> String {
    let line = ServerLine::parse(&Bytes::from(line.to_owned())).unwrap();
    match client.receive(line) {
        Received::Ended(Ended { kept, outcome, .. }) => match outcome {
            Ok(result) => format!("{kept} {}", String::from_utf8_lossy(&result)),
            Err(failure) => format!("{kept} {}", failure.code),
        },
        Received::Progress(kept, progress) => format!("{kept} at {}", progress.done),
        Received::Event { kept, name, data } => {
            format!("{kept} {name} {}", String::from_utf8_lossy(&data))
        }
        Received::OfConnection(outcome) => format!("connection {}", outcome.unwrap_err().code),
        Received::Late => "late".to_owned(),
        Received::ForNobody => "nobody".to_owned(),
    }
}

#[test]
fn each_answer_finds_the_one_who_asked() {
    let mut client = client();
    let mut request = Request::new("echo");
    request.id = Some("mine".try_into().unwrap());
    request.progress = true;
    assert_eq!(client.send(request, None, "ada").unwrap(), 1);
    assert_eq!(send(&mut client, "host.plugins", "bob"), 2);
    assert!(client.has_unwritten());
    assert_eq!(
        written(&mut client),
        "{\"id\":1,\"function\":\"echo\",\"args\":{},\"progress\":true}\n\
         {\"id\":2,\"function\":\"host.plugins\",\"args\":{}}\n"
    );
    assert!(!client.has_unwritten());
    for (line, expected) in [
        (
            r#"{"id":2,"event":"live","data":{"name":"mail"}}"#,
            "bob live {\"name\":\"mail\"}",
        ),
        (
            r#"{"id":1,"event":"progress","done":3,"total":9,"message":""}"#,
            "ada at 3",
        ),
        (r#"{"id":2,"ok":true,"result":7}"#, "bob 7"),
        (r#"{"id":2,"ok":true,"result":8}"#, "nobody"),
        (r#"{"id":2,"event":"live","data":{}}"#, "nobody"),
        (
            r#"{"id":1,"ok":false,"error":{"code":"timeout","message":"","retryable":true,"started":true}}"#,
            "ada timeout",
        ),
        (
            r#"{"id":1,"event":"progress","done":4,"total":9,"message":""}"#,
            "nobody",
        ),
        (r#"{"id":"1","ok":true,"result":7}"#, "nobody"),
        (r#"{"id":-1,"ok":true,"result":7}"#, "nobody"),
        (
            r#"{"ok":false,"error":{"code":"overloaded","message":"","retryable":true,"started":false}}"#,
            "connection overloaded",
        ),
    ] {
        assert_eq!(received(&mut client, line), expected, "{line}");
    }
    assert_eq!(send(&mut client, "echo", "ada"), 3, "no id is used twice");
}

#[test]
fn a_request_comes_back_with_its_end() {
    let mut client = client();
    let mut request = Request::new("echo");
    request.args = Bytes::from_static(b"[7]");
    client.send(request, None, "ada").unwrap();
    let reply = ServerLine::Reply(Reply {
        id: Some(1_u64.into()),
        outcome: Err(TaskFailure::new(ErrorCode::ShuttingDown, "")),
    });
    let Received::Ended(ended) = client.receive(reply) else {
        panic!("it has ended");
    };
    assert_eq!(
        (&*ended.request.function, &ended.request.args[..]),
        ("echo", &b"[7]"[..])
    );
    assert_eq!(client.tasks(), 0);
}

#[test]
fn there_is_room_for_so_many_tasks_and_always_for_the_host_itself() {
    let mut client = client();
    send(&mut client, "echo", "ada");
    send(&mut client, "echo", "bob");
    assert_eq!(refusal(&mut client, Request::new("echo")), Refusal::Full);
    send(&mut client, "host.ping", "ping");
    assert_eq!(client.tasks(), 2);
    received(&mut client, r#"{"id":3,"ok":true,"result":{}}"#);
    assert_eq!(client.tasks(), 2);
    received(&mut client, r#"{"id":1,"ok":true,"result":{}}"#);
    send(&mut client, "echo", "eve");
    client.set_room(Room {
        tasks_max: 1,
        ..ROOM
    });
    assert_eq!((client.tasks(), client.room().tasks_max), (2, 1));
    received(&mut client, r#"{"id":2,"ok":true,"result":{}}"#);
    assert_eq!(refusal(&mut client, Request::new("echo")), Refusal::Full);
}

#[test]
fn what_is_too_long_leaves_nothing_behind() {
    let mut client = client();
    send(&mut client, "echo", "ada");
    let before = client.unwritten.clone();
    let mut request = Request::new("echo");
    request.args = Bytes::from(format!("\"{}\"", "x".repeat(100)));
    let why = refusal(&mut client, request.clone());
    assert_eq!(why, Refusal::TooLong(100));
    assert!(why.to_string().contains("100 bytes"), "{why}");
    assert_eq!((client.unwritten.clone(), client.tasks()), (before, 1));
    // Without the newline exactly as long as it may be.
    let around = "{\"id\":2,\"function\":\"echo\",\"args\":\"\"}".len();
    request.args = Bytes::from(format!("\"{}\"", "x".repeat(100 - around)));
    assert_eq!(client.send(request, None, "bob").unwrap(), 2);
}

#[test]
fn bytes_that_nobody_takes_leave_no_room_until_they_are_taken() {
    let mut client = Client::new(Room {
        unwritten_len_max: 10,
        ..Room::UNLIMITED
    });
    send(&mut client, "echo", "ada");
    assert_eq!(refusal(&mut client, Request::new("echo")), Refusal::Clogged);
    send(&mut client, "host.ping", "ping");
    let mut bytes = Vec::new();
    client.take_unwritten(&mut bytes);
    send(&mut client, "echo", "bob");
}

#[test]
fn who_cancels_is_answered_all_the_same() {
    let mut client = client();
    send(&mut client, "echo", "ada");
    written(&mut client);
    assert!(client.cancel(1));
    assert_eq!(
        written(&mut client),
        "{\"id\":2,\"function\":\"host.cancel\",\"args\":{\"id\":1}}\n"
    );
    assert_eq!(
        received(&mut client, r#"{"id":2,"ok":true,"result":{}}"#),
        "nobody"
    );
    assert_eq!(
        received(&mut client, r#"{"id":1,"ok":true,"result":1}"#),
        "ada 1"
    );
    assert!(!client.cancel(1) && !client.cancel(99));
    assert!(!client.has_unwritten());
}

#[test]
fn what_is_not_answered_in_time_is_cancelled_and_keeps_its_place_until_it_ends() {
    let now = Instant::now();
    let at = |seconds: u64| now + Duration::from_secs(seconds);
    let mut client = Client::new(Room {
        tasks_max: 2,
        ..Room::UNLIMITED
    });
    client
        .send(Request::new("echo"), Some(at(5)), "soon")
        .unwrap();
    client.send(Request::new("echo"), None, "whenever").unwrap();
    client
        .send(Request::new("host.ping"), Some(at(9)), "later")
        .unwrap();
    written(&mut client);
    assert!(client.expire(at(4)).is_empty());
    let expired = client.expire(at(5));
    assert_eq!((expired.len(), expired[0].kept), (1, "soon"));
    assert_eq!(
        written(&mut client),
        "{\"id\":4,\"function\":\"host.cancel\",\"args\":{\"id\":1}}\n"
    );
    // The host may be busy with it all the same.
    assert!(client.expire(at(6)).is_empty());
    assert_eq!(client.tasks(), 2);
    assert_eq!(refusal(&mut client, Request::new("echo")), Refusal::Full);
    assert_eq!(
        received(&mut client, r#"{"id":4,"ok":true,"result":{}}"#),
        "nobody"
    );
    assert_eq!(client.tasks(), 2);
    assert_eq!(
        received(&mut client, r#"{"id":1,"ok":true,"result":{}}"#),
        "late"
    );
    assert_eq!(client.tasks(), 1);
    assert_eq!(client.expire(at(100))[0].kept, "later");
    assert_eq!(
        received(&mut client, r#"{"id":2,"ok":true,"result":2}"#),
        "whenever 2"
    );
    assert_eq!(client.tasks(), 0);
}

#[test]
fn what_the_socket_has_not_taken_whole_has_not_started() {
    let lens: Vec<usize> = {
        let mut client = client();
        ["echo", "host.ping", "fail"]
            .map(|function| {
                send(&mut client, function, "");
                written(&mut client).len()
            })
            .to_vec()
    };
    let all = lens.iter().sum();
    for taken in 0..=all {
        let mut client = client();
        for name in ["echo", "host.ping", "fail"] {
            send(&mut client, name, "");
        }
        let mut bytes = Vec::new();
        client.take_unwritten(&mut bytes);
        client.wrote(taken);
        let mut orphans = client.end();
        orphans.sort_by_key(|orphan| orphan.request.id.as_ref().unwrap().as_u64());
        let mut end = 0;
        for (orphan, len) in orphans.iter().zip(&lens) {
            end += len;
            assert_eq!(orphan.may_have_started, end <= taken, "{taken}: {orphan:?}");
        }
        assert_eq!((orphans.len(), client.tasks()), (3, 0));
    }
}

#[test]
fn nothing_is_taken_once_it_is_over() {
    let mut client = client();
    send(&mut client, "echo", "ada");
    written(&mut client);
    assert_eq!(client.end().len(), 1);
    for function in ["echo", "host.ping"] {
        assert_eq!(refusal(&mut client, Request::new(function)), Refusal::Ended);
    }
    assert!(!client.cancel(1) && !client.has_unwritten());
    assert_eq!(
        received(&mut client, r#"{"id":1,"ok":true,"result":1}"#),
        "nobody"
    );
    assert!(client.end().is_empty());
}

#[test]
fn its_own_requests_are_nobodys_orphans() {
    let mut client = client();
    send(&mut client, "echo", "ada");
    client.cancel(1);
    let orphans = client.end();
    assert_eq!((orphans.len(), orphans[0].kept), (1, "ada"));
}
