//! JSON Web Tokens, signed by a library that is none of ours.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use tests::{
    Gateway, GatewaySetup, Host, Plugin, Session, Socket, run, venv_python, wait_until,
    workspace_dir,
};

fn connect(gateway: &Gateway, token: &Value) -> Result<Session, (u16, String)> {
    let bearer = bearer(token);
    let headers = [
        ("Sec-WebSocket-Protocol", "tasks.v1"),
        ("Authorization", bearer.as_str()),
    ];
    Socket::connect(gateway.port(), &headers).map(Session::greeted)
}

fn bearer(token: &Value) -> String {
    format!("Bearer {}", token.as_str().expect("a token is a text"))
}

/// Tokens, whose keys are put into the folder.
fn sign(folder: &Path, key_id_prefix: &str) -> Value {
    let script = workspace_dir().join("tests/sign_tokens.py");
    let signed = run(venv_python().arg(script).arg(folder).arg(key_id_prefix));
    serde_json::from_str(&signed.output()).unwrap()
}

const JWT: &str = "issuer = \"me\"\naudience = \"tasks\"\nrole_claim = \"role\"\nleeway = \"1ms\"\n[roles.staff]\nallow = [\"*\"]\n";

/// All that a JWKS may have keys for.
const ASYMMETRIC: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

#[test]
fn tokens_signed_by_others_are_checked_and_why_one_is_refused_is_logged() {
    let host = Host::with(&[Plugin::Good]);
    let setup = GatewaySetup::new().host(&host);
    let tokens = sign(setup.folder(), "");
    let gateway = setup
        .config(&format!(
            "[jwt]\nalgorithms = {ASYMMETRIC:?}\njwks_file = \"jwks.json\"\n{JWT}"
        ))
        .start();
    gateway.wait_until_ready();
    for algorithm in ASYMMETRIC.iter().chain(&["no id"]) {
        let mut session = connect(&gateway, &tokens[algorithm])
            .unwrap_or_else(|refusal| panic!("{algorithm}: {refusal:?}"));
        session.call("echo", &json!(1)).unwrap();
    }
    // A secret is none of the keys.
    let mut bad = tokens["bad"].as_object().unwrap().clone();
    bad.insert("secret".to_owned(), tokens["HS256"].clone());
    for (why, token) in &bad {
        let refused = connect(&gateway, token);
        assert_eq!(refused.map(drop).unwrap_err().0, 401, "{why}");
        let bearer = bearer(token);
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        let answer = gateway.answer("POST", "/tasks", &headers, br#"{"function":"echo"}"#);
        assert_eq!(answer.status, 401, "{why}");
        let challenge = answer.header("WWW-Authenticate");
        assert_eq!(challenge, Some("Bearer error=\"invalid_token\""));
    }
    for told in [
        "audience `aud` is not",
        "issuer `iss` is not",
        "it has expired",
        "it has no `exp`",
        "not valid yet (`nbf`)",
        "no `sub` (jwt.user_claim)",
        "`crit`",
        "no key of its kind has signed it",
        "no key is for its `kid`",
        "HS256, which `jwt.algorithms` doesn't list",
    ] {
        gateway.wait_for_log(&["a token was refused", told]);
    }
    for (why, token) in bad.iter().filter(|(why, _)| *why != "text") {
        let [claims, signature] = [1, 2].map(|part| token.as_str().unwrap().split('.').nth(part));
        let log = gateway.log();
        let is_told =
            |part: Option<&str>| part.is_some_and(|part| !part.is_empty() && log.contains(part));
        assert!(!is_told(claims) && !is_told(signature), "{why}");
    }
}

#[test]
fn a_shared_secret_signs_too() {
    let host = Host::with(&[Plugin::Good]);
    let setup = GatewaySetup::new().host(&host);
    let tokens = sign(setup.folder(), "");
    let gateway = setup
        .config(&format!(
            "[jwt]\nalgorithms = [\"HS256\", \"HS384\", \"HS512\"]\nsecret_file = \"secret\"\n{JWT}"
        ))
        .start();
    for algorithm in ["HS256", "HS384", "HS512"] {
        connect(&gateway, &tokens[algorithm]).unwrap();
    }
    let refused = connect(&gateway, &tokens["EdDSA"]).map(drop);
    assert_eq!(refused.unwrap_err().0, 401);
}

#[test]
fn roles_stand_in_lists_and_at_paths() {
    let host = Host::with(&[Plugin::Good]);
    let setup = GatewaySetup::new().host(&host);
    let tokens = sign(setup.folder(), "");
    let gateway = setup
        .config(
            "allow = [\"sleep\"]\n[jwt]\nalgorithms = [\"EdDSA\"]\njwks_file = \"jwks.json\"\n\
             role_claim = \"realm_access.roles\"\n[roles.staff]\nallow = [\"echo\"]\n[roles.readers]\nallow = [\"count\"]",
        )
        .start();
    gateway.wait_until_ready();
    wait_until("the functions to be known", || {
        let bearer = bearer(&tokens["EdDSA"]);
        let headers = [("Authorization", bearer.as_str())];
        gateway
            .request("GET", "/functions.json", &headers, b"")
            .1
            .contains("sleep")
    });
    for (who, functions) in [
        ("staff and others", json!(["count", "echo"])),
        ("others", json!([])),
        ("nobody", json!([])),
        // It has no such claim.
        ("EdDSA", json!(["sleep"])),
    ] {
        let session = connect(&gateway, &tokens[who]).unwrap();
        assert_eq!(session.hello["functions"], functions, "{who}");
    }
}

/// A server of keys, by TLS, which trusts itself; killed when it is dropped.
struct KeyServer {
    child: Child,
    port: u16,
}

const SERVE: &str = r#"
import http.server, ssl, sys
class Keys(http.server.SimpleHTTPRequestHandler):
    def end_headers(self):
        self.send_header("Cache-Control", "max-age=3600")
        super().end_headers()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("chain.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

impl KeyServer {
    fn of(folder: &Path) -> Self {
        let made = run(venv_python()
            .arg(workspace_dir().join("tests/certificate.py"))
            .args([folder.join("chain.pem"), folder.join("key.pem")])
            .arg("server"));
        assert_eq!(made.output(), "");
        let mut child = venv_python()
            .args(["-c", SERVE])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut port).unwrap();
        Self {
            child,
            port: port.trim().parse().unwrap(),
        }
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway whose keys are at that port of this machine.
fn with_keys_at(host: &Host, port: u16, authority: &Path) -> Gateway {
    let gateway = GatewaySetup::new()
        .host(host)
        .env("SSL_CERT_FILE", authority)
        .config(&format!(
            "[jwt]\nalgorithms = {ASYMMETRIC:?}\njwks_url = \"https://localhost:{port}/jwks.json\"\n{JWT}"
        ))
        .start();
    gateway.wait_until_ready();
    gateway
}

#[test]
fn keys_are_fetched_kept_and_fetched_again_for_one_that_is_new() {
    let host = Host::with(&[Plugin::Good]);
    let folder = tempfile::tempdir().unwrap();
    let before = sign(folder.path(), "before-");
    let server = KeyServer::of(folder.path());
    let gateway = with_keys_at(&host, server.port, &folder.path().join("chain.pem"));
    for algorithm in ASYMMETRIC {
        connect(&gateway, &before[algorithm]).unwrap();
    }
    // Rotated: the first token that is signed by a new key finds it.
    let after = sign(folder.path(), "after-");
    connect(&gateway, &after["EdDSA"]).unwrap();
    connect(&gateway, &after["RS256"]).unwrap();
    assert_eq!(
        connect(&gateway, &before["EdDSA"]).map(drop).unwrap_err().0,
        401
    );
    // Also where the token comes later, as a fresh one.
    let mut session = connect(&gateway, &after["EdDSA"]).unwrap();
    let newest = sign(folder.path(), "newest-");
    session.send(&json!({"token": newest["EdDSA"]}));
    assert!(session.recv()["renewed"].is_object());
    // Without the server, the keys stay in use.
    drop(server);
    assert_eq!(
        connect(&gateway, &before["RS256"]).map(drop).unwrap_err().0,
        401
    );
    connect(&gateway, &newest["ES384"]).unwrap();
}

#[test]
fn without_keys_nobody_is_turned_away_for_good() {
    let host = Host::with(&[Plugin::Good]);
    let folder = tempfile::tempdir().unwrap();
    let tokens = sign(folder.path(), "");
    let server = KeyServer::of(folder.path());
    // Nobody vouches for the server: its keys could be anybody's.
    let stranger = tempfile::tempdir().unwrap();
    drop(KeyServer::of(stranger.path()));
    let gateway = with_keys_at(&host, server.port, &stranger.path().join("chain.pem"));
    gateway.wait_for_log(&["the keys can't be fetched", "jwks.json"]);
    let bearer = bearer(&tokens["EdDSA"]);
    let headers = [("Authorization", bearer.as_str())];
    let answer = gateway.answer("GET", "/functions.json", &headers, b"");
    assert_eq!(answer.status, 503);
    assert!(answer.header("Retry-After").is_some());
    let mut socket = gateway.socket();
    socket.send(&json!({"token": tokens["EdDSA"]}));
    assert_eq!(socket.closed().0, 1013);
}

#[test]
fn a_session_ends_with_its_token_unless_there_is_a_fresh_one() {
    let host = Host::with(&[Plugin::Good]);
    let setup = GatewaySetup::new().host(&host);
    let tokens = sign(setup.folder(), "");
    let gateway = setup
        .config(&format!(
            "[jwt]\nalgorithms = [\"EdDSA\"]\njwks_file = \"jwks.json\"\n{JWT}"
        ))
        .start();
    gateway.wait_until_ready();
    let mut ends = connect(&gateway, &tokens["short"]).unwrap();
    let mut lasts = connect(&gateway, &tokens["short"]).unwrap();
    lasts.send(&json!({"token": tokens["EdDSA"]}));
    let left = lasts.recv()["renewed"]["expires_in_ms"].as_u64().unwrap();
    assert!((6_001..=3_600_000).contains(&left), "{left}");
    let place = connect(&gateway, &tokens["short"]).unwrap().cut();
    let long = bearer(&tokens["EdDSA"]);
    let headers = [
        ("Sec-WebSocket-Protocol", "tasks.v1"),
        ("Authorization", long.as_str()),
    ];
    let back = Socket::connect(gateway.port(), &headers).unwrap();
    let mut back = Session::resume(back, place);
    let hello = &back.recv()["hello"];
    assert_eq!(hello["resumed"], true);
    assert!(hello["expires_in_ms"].as_u64().unwrap() > 6_000, "{hello}");
    assert_eq!(ends.socket.closed().0, 4401);
    lasts.call("echo", &json!(1)).unwrap();
    back.call("echo", &json!(2)).unwrap();
}

#[test]
fn new_keys_are_read_when_the_file_changes() {
    let host = Host::with(&[Plugin::Good]);
    let setup = GatewaySetup::new().host(&host);
    let before = sign(setup.folder(), "");
    let gateway = setup
        .config(&format!(
            "[jwt]\nalgorithms = [\"EdDSA\"]\njwks_file = \"jwks.json\"\n{JWT}"
        ))
        .start();
    gateway.wait_until_ready();
    connect(&gateway, &before["EdDSA"]).unwrap();
    // Others of the same names.
    let keys = GatewaySetup::new();
    let after = sign(keys.folder(), "");
    let beside = gateway.folder().join("new.json");
    fs::copy(keys.folder().join("jwks.json"), &beside).unwrap();
    fs::rename(&beside, gateway.folder().join("jwks.json")).unwrap();
    wait_until("the new keys to count", || {
        connect(&gateway, &after["EdDSA"]).is_ok()
    });
    assert!(connect(&gateway, &before["EdDSA"]).is_err());
}
