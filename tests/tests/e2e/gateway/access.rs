//! Who may do what.

use serde_json::{Value, json};
use tests::{Gateway, GatewaySetup, Host, Plugin, Session, Socket};

const ADA: &str = "token-of-ada-0123456789";
const BOB: &str = "token-of-bob-0123456789";

fn with_tokens(host: &Host) -> GatewaySetup {
    GatewaySetup::new().host(host).config(&format!(
        "allow = [\"echo\"]\ncookie = \"task_token\"\n[roles.staff]\nallow = [\"*\"]\n\
         [[tokens]]\ntoken = \"{ADA}\"\nuser = \"ada\"\nrole = \"staff\"\n\
         [[tokens]]\ntoken = \"{BOB}\"\nuser = \"bob\"\n\
         [fill]\n\"args.user_id\" = \"claims.sub\"\n"
    ))
}

fn connect(gateway: &Gateway, headers: &[(&str, &str)]) -> Result<Session, (u16, String)> {
    let mut all = vec![("Sec-WebSocket-Protocol", "tasks.v1")];
    all.extend_from_slice(headers);
    Socket::connect(gateway.port(), &all).map(Session::greeted)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[test]
fn nothing_is_allowed_unless_it_is_listed() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new().host(&host).start();
    gateway.wait_until_ready();
    let mut session = gateway.session();
    assert_eq!(session.hello["functions"], json!([]));
    for function in ["echo", "host.plugins", "host.cancel", "nobody"] {
        let failure = session.call(function, &json!({})).unwrap_err();
        assert_eq!(failure.code, "unknown_function");
    }
    assert_eq!(gateway.post(&json!({"function": "echo"})).0, 404);
}

#[test]
fn tokens_come_by_header_cookie_or_first_message() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = with_tokens(&host).start();
    gateway.wait_until_ready();
    let header = bearer(ADA);
    let cookie = format!("other=1; task_token={ADA}");
    for headers in [
        ("Authorization", header.as_str()),
        ("Cookie", cookie.as_str()),
    ] {
        let mut session = connect(&gateway, &[headers]).unwrap();
        session.call("sleep", &json!({"ms": 1})).unwrap();
    }
    let mut socket = gateway.socket();
    socket.send(&json!({"token": BOB}));
    let mut session = Session::greeted(socket);
    assert_eq!(session.hello["functions"], json!(["echo"]));
    let failure = session.call("sleep", &json!({"ms": 1})).unwrap_err();
    assert_eq!(failure.code, "unknown_function");
    let wrong = bearer("wrong-token-0123456789");
    let (status, _) = connect(&gateway, &[("Authorization", &wrong)]).unwrap_err();
    assert_eq!(status, 401);
    for first in [
        json!({"token": "wrong"}),
        json!({"id": 1, "function": "echo"}),
        json!({"seen": 1}),
    ] {
        let mut socket = gateway.socket();
        socket.send(&first);
        assert_eq!(socket.closed().0, 4401, "{first}");
    }
    assert_eq!(gateway.post(&json!({"function": "echo"})).0, 401);
    assert_eq!(gateway.get("/functions.json").0, 401);
    assert_eq!(gateway.get("/openapi.json").0, 401);
}

#[test]
fn who_says_nothing_has_five_seconds() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = with_tokens(&host)
        .config("[limits]\nauth_timeout = \"300ms\"")
        .start();
    let mut socket = gateway.socket();
    assert_eq!(socket.closed().0, 4408);
}

#[test]
fn claims_fill_arguments_whatever_the_client_says() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = with_tokens(&host).start();
    gateway.wait_until_ready();
    let header = bearer(BOB);
    let mut session = connect(&gateway, &[("Authorization", &header)]).unwrap();
    for args in [
        json!({}),
        json!({"user_id": "ada"}),
        json!({"user_id": ["ada"], "n": 1}),
    ] {
        let seen = session.call("echo", &args).unwrap();
        assert_eq!(seen["user_id"], "bob", "{args}");
        assert_eq!(seen.get("n"), args.get("n"));
    }
    assert_eq!(
        session.call("echo", &json!([1])).unwrap_err().code,
        "invalid_args"
    );
    let headers = [
        ("Content-Type", "application/json"),
        ("Authorization", header.as_str()),
    ];
    let body = json!({"function": "echo", "args": {"user_id": "ada"}}).to_string();
    let (status, answer) = gateway.request("POST", "/tasks", &headers, body.as_bytes());
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["result"]["user_id"]), (200, &json!("bob")));
}

#[test]
fn a_session_is_its_users_own() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = with_tokens(&host).start();
    gateway.wait_until_ready();
    let ada = connect(&gateway, &[("Authorization", &bearer(ADA))]).unwrap();
    let stolen = ada.cut();
    let mut bob = connect(&gateway, &[("Authorization", &bearer(BOB))]).unwrap();
    bob.send(&json!({"resume": stolen.0, "seen": stolen.1}));
    assert_eq!(bob.recv()["session_lost"], true);
}

#[test]
fn pages_of_other_origins_are_refused() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("origins = [\"https://app.example\"]")
        .start();
    gateway.wait_until_ready();
    let own = format!("http://127.0.0.1:{}", gateway.port());
    for origin in [own.as_str(), "https://app.example"] {
        let mut session = connect(&gateway, &[("Origin", origin)]).unwrap();
        session.call("echo", &json!(1)).unwrap();
    }
    let body = json!({"function": "echo"}).to_string();
    for origin in [
        "https://evil.example",
        "http://app.example",
        "null",
        "https://app.example:444",
    ] {
        assert_eq!(
            connect(&gateway, &[("Origin", origin)]).unwrap_err().0,
            403,
            "{origin}"
        );
        let headers = [("Content-Type", "application/json"), ("Origin", origin)];
        let (status, _) = gateway.request("POST", "/tasks", &headers, body.as_bytes());
        assert_eq!(status, 403, "{origin}");
        assert_eq!(
            gateway.request("OPTIONS", "/tasks", &headers, b"").0,
            403,
            "{origin}"
        );
    }
    // A name of another's that leads to this machine.
    let rebound = [
        ("Host", "evil.example"),
        ("Content-Type", "application/json"),
    ];
    assert_eq!(
        gateway
            .request("POST", "/tasks", &rebound, body.as_bytes())
            .0,
        403
    );
}
