//! How one connects × who one is × what one calls: every cell.

use serde_json::{Value, json};

use super::{
    Config, Conversation, EXPIRED, OPS, TLS, WEB, as_connect, certify, converse, hash, hello,
    own_user, web,
};

/// Ways to connect, in the order of the host's addresses, and again by TLS with certificates.
const WAYS: [&str; 9] = [
    "tcp",
    "tcp, guests",
    "tls",
    "unix, a client's user",
    "unix, guests",
    "tls, ops's certificate",
    "tls, a certificate that is nobody's",
    "tls, a certificate of another authority",
    "unix by TLS",
];

/// What is shown by the first line.
const SHOWN: [&str; 6] = ["nothing", "web", "ops", "wrong", "expired", "no text"];

/// Who one is then: `-` is nobody, and unauthorized; `x` can't even connect.
const WHO: [[&str; 6]; 9] = [
    // nothing, web, ops, wrong, expired, no text
    ["-", "web", "ops", "-", "-", "-"],
    ["guest", "web", "ops", "-", "-", "guest"],
    ["-", "web", "ops", "-", "-", "-"],
    ["local", "web", "ops", "-", "-", "local"],
    ["local", "web", "ops", "-", "-", "local"],
    ["ops", "web", "ops", "-", "-", "ops"],
    ["-", "web", "ops", "-", "-", "-"],
    ["x", "x", "x", "x", "x", "x"],
    ["local", "web", "ops", "-", "-", "local"],
];

/// What is called.
const CALLS: [&str; 9] = [
    "echo",
    "sleep",
    "count",
    "nothing_like_it",
    "host.ping",
    "host.functions",
    "host.status",
    "host.plugins",
    "host.nothing_like_it",
];

/// What comes of it: `+` a result, `own` a result that says nothing of others, `?` the function is not there.
fn expected(who: &str) -> [&'static str; 9] {
    match who {
        "web" => ["+", "+", "?", "?", "+", "own", "own", "?", "?"],
        "local" => ["?", "?", "+", "?", "+", "own", "own", "+", "?"],
        "ops" | "guest" => ["+", "+", "+", "?", "+", "+", "+", "+", "?"],
        other => panic!("nobody is {other}"),
    }
}

fn first_line(shown: &str) -> Option<Value> {
    let token = match shown {
        "nothing" => return None,
        "no text" => return Some(json!({"function": "host.hello", "args": {"token": 7}})),
        "web" => WEB,
        "ops" => OPS,
        "expired" => EXPIRED,
        _ => "task_wrong",
    };
    Some(hello(token))
}

fn config() -> Config {
    let expired = format!("{{ sha256 = \"{}\", until = 2020-12-31 }}", hash(EXPIRED));
    Config::new(
        "[\"127.0.0.1:0\", { address = \"127.0.0.1:0\", guests = true }, \"tls://127.0.0.1:0\", \"unix:one.sock\", \
         { address = \"unix:two.sock\", guests = true }, \"tls://unix:three.sock\"]",
    )
    .and(TLS)
    .client("web", &web(&[WEB]).replacen('[', &format!("[{expired}, "), 1))
    .client(
        "ops",
        &format!(
            "tokens = [{{ sha256 = \"{}\" }}]\ncertificates = [\"ops.example\"]\nfunctions = [\"*\", \"host.*\"]",
            hash(OPS)
        ),
    )
    .client(
        "local",
        &format!("users = [{}]\nfunctions = [\"count\", \"host.plugins\"]", own_user()),
    )
}

#[test]
fn every_way_to_connect_and_everybody_and_everything_that_can_be_called() {
    let setup = config().setup();
    certify(setup.folder());
    let host = setup.start();
    let addresses = host.addresses(6);
    let way = |index: usize| match index {
        0..=4 => (as_connect(&addresses[index]), None),
        5 => (as_connect(&addresses[2]), Some("ops")),
        6 => (as_connect(&addresses[2]), Some("unknown")),
        7 => (as_connect(&addresses[2]), Some("forged")),
        _ => ("unix:three.sock".to_owned(), Some("tls")),
    };
    let mut cells = Vec::new();
    let mut conversations = Vec::new();
    for (row, named) in WAYS.iter().enumerate() {
        for (column, shown) in SHOWN.iter().enumerate() {
            for (number, call) in CALLS.iter().enumerate() {
                let (connect, certificate) = way(row);
                let mut lines: Vec<Value> = first_line(shown).into_iter().collect();
                let args = match *call {
                    "sleep" => json!({"ms": 1}),
                    _ => json!({}),
                };
                lines.push(json!({"id": 7, "function": call, "args": args}));
                conversations.push(Conversation {
                    connect,
                    certificate,
                    lines,
                });
                cells.push((
                    format!("{named}; {shown}; {call}"),
                    WHO[row][column],
                    number,
                ));
            }
        }
    }
    assert_eq!(cells.len(), 9 * 6 * 9);
    // Way by way, since a program that runs for too long counts as hanging.
    let rows = conversations.chunks(SHOWN.len() * CALLS.len());
    let answers = rows.flat_map(|row| converse(host.folder(), row));
    for ((cell, who, call), answers) in cells.iter().zip(answers) {
        check(cell, who, *call, answers);
    }
    let status = host_status(&host);
    assert_eq!(status["clients"]["web"]["connections"], 0, "{status}");
    assert!(
        status["clients"]["web"]["requests"].as_u64() > Some(0),
        "{status}"
    );
}

fn host_status(host: &tests::Host) -> Value {
    let connect = as_connect(&host.addresses(6)[1]);
    let lines = vec![json!({"function": "host.status"})];
    let conversation = Conversation {
        connect,
        certificate: None,
        lines,
    };
    let mut answers = converse(host.folder(), &[conversation]);
    answers.remove(0).unwrap()[0]["result"].clone()
}

#[track_caller]
fn check(cell: &str, who: &str, call: usize, answers: Option<Vec<Value>>) {
    if who == "x" {
        // TLS 1.3 tells a client that it is refused when it reads first.
        let answers = answers.unwrap_or_default();
        assert!(answers.iter().all(Value::is_null), "{cell}: {answers:?}");
        return;
    }
    let answers = answers.unwrap_or_else(|| panic!("{cell}: no connection"));
    let last = answers.last().unwrap();
    if who == "-" {
        let (first, rest) = answers.split_first().unwrap();
        assert_eq!(first["error"]["code"], "unauthorized", "{cell}: {first}");
        assert_eq!(first["error"]["started"], false);
        assert!(rest.iter().all(Value::is_null), "{cell}: {rest:?}");
        return;
    }
    assert_eq!(last["id"], 7, "{cell}: {answers:?}");
    match expected(who)[call] {
        "?" => {
            assert_eq!(last["error"]["code"], "unknown_function", "{cell}: {last}");
            let said = last["error"]["message"].as_str().unwrap();
            // No near miss is one that it may not call.
            if who == "web" {
                assert!(
                    !said.contains("count_") && !said.contains("host.plugins`?"),
                    "{cell}: {said}"
                );
            }
        }
        "own" => {
            assert_eq!(last["ok"], true, "{cell}: {last}");
            let said = last["result"].to_string();
            let of_others = match CALLS[call] {
                "host.functions" if who == "web" => "\"name\":\"count\"",
                "host.functions" => "\"name\":\"echo\"",
                _ => "\"pid\"",
            };
            assert!(!said.contains(of_others), "{cell}: {said}");
            assert!(!said.contains("\"ops\""), "{cell}: {said}");
        }
        _ => assert_eq!(last["ok"], true, "{cell}: {last}"),
    }
}

/// What is not there and what one may not call look the same.
#[test]
fn a_function_that_one_may_not_call_is_not_there() {
    let host = Config::new("\"127.0.0.1:0\"")
        .client("web", &web(&[WEB]))
        .setup()
        .start();
    let mut client = host.client();
    client.result("host.hello", json!({"token": WEB}));
    // `count` is there, `coumt` isn't.
    for [there, missing] in [["count", "coumt"], ["host.plugins", "host.plumins"]] {
        let [one, other] = [there, missing].map(|name| {
            let failure = client.failure(name, json!({}));
            let said = failure.message.replace(name, "NAME");
            (failure.code, said, failure.data)
        });
        assert_eq!(one, other);
        assert!(!one.1.contains(there), "{one:?}");
    }
    let near = client.failure("ecko", json!({}));
    near.expect("unknown_function", &["did you mean `echo`"]);
}
