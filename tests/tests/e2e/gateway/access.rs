//! Who may do what.

use std::fs;

use serde_json::{Value, json};
use tests::{Gateway, GatewaySetup, Host, Plugin, Session, Socket, run, venv_python};

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

/// Tokens that a Python library signs, as others would.
const SIGN: &str = r"
import base64, json, sys, time
from cryptography.hazmat.primitives import hashes, serialization, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

def b64(data): return base64.urlsafe_b64encode(data).rstrip(b'=').decode()
def number(n, length): return b64(n.to_bytes(length, 'big'))

folder = sys.argv[1]
secret = b'0123456789abcdef0123456789abcdef'
rsa_key = rsa.generate_private_key(65537, 2048)
ec_key = ec.generate_private_key(ec.SECP256R1())
ed_key = ed25519.Ed25519PrivateKey.generate()
stranger = ed25519.Ed25519PrivateKey.generate()

def sign(alg, data, key=None):
    if alg == 'HS256':
        mac = hmac.HMAC(secret, hashes.SHA256()); mac.update(data); return mac.finalize()
    if alg == 'RS256':
        return rsa_key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    if alg == 'ES256':
        r, s = utils.decode_dss_signature(ec_key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, 'big') + s.to_bytes(32, 'big')
    if alg == 'EdDSA':
        return (key or ed_key).sign(data)
    return b''

def token(alg, claims, kid=None, key=None):
    header = {'alg': alg, 'typ': 'JWT', **({'kid': kid} if kid else {})}
    data = (b64(json.dumps(header).encode()) + '.' + b64(json.dumps(claims).encode())).encode()
    return data.decode() + '.' + b64(sign(alg, data, key))

now = int(time.time())
good = {'sub': 'ada', 'role': 'staff', 'iss': 'me', 'aud': 'tasks', 'exp': now + 3600}
public = rsa_key.public_key().public_numbers()
point = ec_key.public_key().public_numbers()
raw = ed_key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
jwks = {'keys': [
    {'kty': 'RSA', 'alg': 'RS256', 'use': 'sig', 'kid': 'r', 'n': number(public.n, 256), 'e': number(public.e, 3)},
    {'kty': 'EC', 'crv': 'P-256', 'alg': 'ES256', 'kid': 'e', 'x': number(point.x, 32), 'y': number(point.y, 32)},
    {'kty': 'OKP', 'crv': 'Ed25519', 'alg': 'EdDSA', 'kid': 'd', 'x': b64(raw)},
]}
open(folder + '/jwks.json', 'w').write(json.dumps(jwks))
open(folder + '/secret', 'wb').write(secret)
tokens = {
    'HS256': token('HS256', good),
    'RS256': token('RS256', good, 'r'),
    'ES256': token('ES256', good, 'e'),
    'EdDSA': token('EdDSA', good, 'd'),
    'short': token('EdDSA', {**good, 'exp': now + 6}, 'd'),
    'bad': {
        'none': token('none', good),
        'stranger': token('EdDSA', good, 'd', stranger),
        'expired': token('EdDSA', {**good, 'exp': now - 60}, 'd'),
        'no exp': token('EdDSA', {k: v for k, v in good.items() if k != 'exp'}, 'd'),
        'not yet': token('EdDSA', {**good, 'nbf': now + 600}, 'd'),
        'issuer': token('EdDSA', {**good, 'iss': 'eve'}, 'd'),
        'audience': token('EdDSA', {**good, 'aud': 'mail'}, 'd'),
        'no user': token('EdDSA', {k: v for k, v in good.items() if k != 'sub'}, 'd'),
        'other key': token('EdDSA', good, 'r'),
        'half': token('EdDSA', good, 'd')[:-10],
        'text': 'nonsense',
    },
}
print(json.dumps(tokens))
";

fn sign(setup: &GatewaySetup) -> Value {
    let tokens = run(venv_python().args(["-c", SIGN]).arg(setup.folder())).output();
    serde_json::from_str(&tokens).unwrap()
}

const JWT: &str = "issuer = \"me\"\naudience = \"tasks\"\nrole_claim = \"role\"\nleeway = \"1ms\"\n[roles.staff]\nallow = [\"*\"]\n";

#[test]
fn tokens_signed_by_others_are_checked() {
    let host = Host::with(&[Plugin::Good]);
    let setup = GatewaySetup::new().host(&host);
    let tokens = sign(&setup);
    let gateway = setup
        .config(&format!(
            "[jwt]\nalgorithms = [\"RS256\", \"ES256\", \"EdDSA\"]\njwks_file = \"jwks.json\"\n{JWT}"
        ))
        .start();
    gateway.wait_until_ready();
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let header = bearer(tokens[algorithm].as_str().unwrap());
        let mut session = connect(&gateway, &[("Authorization", &header)])
            .unwrap_or_else(|refusal| panic!("{algorithm}: {refusal:?}"));
        session.call("echo", &json!(1)).unwrap();
    }
    let mut bad = tokens["bad"].as_object().unwrap().clone();
    // A secret is none of the keys.
    bad.insert("HS256".to_owned(), tokens["HS256"].clone());
    for (why, token) in bad {
        let header = bearer(token.as_str().unwrap());
        let refused = connect(&gateway, &[("Authorization", &header)]);
        assert_eq!(refused.map(drop).unwrap_err().0, 401, "{why}");
    }
}

#[test]
fn a_shared_secret_signs_too() {
    let host = Host::with(&[Plugin::Good]);
    let setup = GatewaySetup::new().host(&host);
    let tokens = sign(&setup);
    let gateway = setup
        .config(&format!(
            "[jwt]\nalgorithms = [\"HS256\"]\nsecret_file = \"secret\"\n{JWT}"
        ))
        .start();
    gateway.wait_until_ready();
    let header = bearer(tokens["HS256"].as_str().unwrap());
    connect(&gateway, &[("Authorization", &header)]).unwrap();
    let other = bearer(tokens["EdDSA"].as_str().unwrap());
    assert_eq!(
        connect(&gateway, &[("Authorization", &other)])
            .map(drop)
            .unwrap_err()
            .0,
        401
    );
}

#[test]
fn a_session_ends_with_its_token_unless_there_is_a_fresh_one() {
    let host = Host::with(&[Plugin::Good]);
    let setup = GatewaySetup::new().host(&host);
    let tokens = sign(&setup);
    let gateway = setup
        .config(&format!(
            "[jwt]\nalgorithms = [\"EdDSA\"]\njwks_file = \"jwks.json\"\n{JWT}"
        ))
        .start();
    gateway.wait_until_ready();
    let short = bearer(tokens["short"].as_str().unwrap());
    let mut ends = connect(&gateway, &[("Authorization", &short)]).unwrap();
    let mut lasts = connect(&gateway, &[("Authorization", &short)]).unwrap();
    lasts.send(&json!({"token": tokens["EdDSA"]}));
    let left = lasts.recv()["renewed"]["expires_in_ms"].as_u64().unwrap();
    assert!((6_001..=3_600_000).contains(&left), "{left}");
    let place = connect(&gateway, &[("Authorization", &short)])
        .unwrap()
        .cut();
    let long = bearer(tokens["EdDSA"].as_str().unwrap());
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
    let before = sign(&setup);
    let gateway = setup
        .config(&format!(
            "[jwt]\nalgorithms = [\"EdDSA\"]\njwks_file = \"jwks.json\"\n{JWT}"
        ))
        .start();
    gateway.wait_until_ready();
    let old = bearer(before["EdDSA"].as_str().unwrap());
    connect(&gateway, &[("Authorization", &old)]).unwrap();
    // Others of the same names.
    let keys = GatewaySetup::new();
    let after = sign(&keys);
    let beside = gateway.folder().join("new.json");
    fs::copy(keys.folder().join("jwks.json"), &beside).unwrap();
    fs::rename(&beside, gateway.folder().join("jwks.json")).unwrap();
    let new = bearer(after["EdDSA"].as_str().unwrap());
    tests::wait_until("the new keys to count", || {
        connect(&gateway, &[("Authorization", &new)]).is_ok()
    });
    assert!(connect(&gateway, &[("Authorization", &old)]).is_err());
}
