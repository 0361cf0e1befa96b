//! Who is let in by what, and what becomes of them when the configuration changes.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use protocol::{ErrorCode, Request};

use super::*;

fn clients(toml: &str) -> Result<Vec<ClientSettings>, String> {
    let tables: BTreeMap<String, ClientTable> = service::config::parse(toml)?;
    check(tables).map_err(|error| error.to_string())
}

fn of(token: &str) -> String {
    format!("{{ sha256 = \"{}\" }}", TokenHash::of(token))
}

fn access(toml: &str) -> Arc<Access> {
    Arc::new(Access::new(clients(toml).unwrap()))
}

fn caller(pass: &Pass) -> Caller {
    pass.admit(&Request::new("host.ping")).unwrap().0
}

fn task(subject: Option<&str>) -> Request {
    let mut request = Request::new("echo");
    request.subject = subject.map(Into::into);
    request
}

#[test]
fn what_is_wrong_in_a_client_is_named() {
    let token = of("t");
    for (toml, named) in [
        ("[a]\n".to_owned(), "functions"),
        ("[a]\nfunctions = []".to_owned(), "host token new a"),
        (
            format!("[a]\nfunctions = [\"\"]\ntokens = [{token}]"),
            "clients.a.functions",
        ),
        (
            "[a]\nfunctions = []\ntokens = [{ sha256 = \"secret\" }]".to_owned(),
            "host token new NAME",
        ),
        (
            "[a]\nfunctions = []\ntokens = [\"secret\"]".to_owned(),
            "tokens",
        ),
        (
            "[a]\nfunctions = []\ntokens = [{ sha256 = \"\", until = 12:00:00 }]".to_owned(),
            "clients.a.tokens",
        ),
        (
            format!("[a]\nfunctions = []\nusers = [\"no one here\"]\ntokens = [{token}]"),
            "id -u",
        ),
        (
            "[a]\nfunctions = []\ncertificates = [\"no name\"]".to_owned(),
            "no name",
        ),
        (
            "[a]\nfunctions = []\nusers = [0]\nin_flight_max = 0".to_owned(),
            "clients.a.in_flight_max",
        ),
        (
            "[a]\nfunctions = []\nusers = [0]\nrate = \"often\"".to_owned(),
            "often",
        ),
        ("[a]\nfunctions = []\nuser = [0]".to_owned(), "user"),
        (
            "[\"a b\"]\nfunctions = []\nusers = [0]".to_owned(),
            "clients.a b",
        ),
        (
            "[anonymous]\nfunctions = []\nusers = [0]".to_owned(),
            "another name",
        ),
        (
            "[a]\nfunctions = []\nusers = [0]\n[b]\nfunctions = []\nusers = [\"root\"]".to_owned(),
            "which of them",
        ),
    ] {
        let error = clients(&toml).unwrap_err();
        assert!(error.contains(named), "{toml:?} gave {error:?}");
        assert!(!error.contains("\"secret\""), "{error}");
    }
}

#[test]
fn without_clients_everybody_may_do_everything() {
    let access = access("");
    assert!(access.is_open());
    let pass = access.of_nobody(false).unwrap();
    let caller = caller(&pass);
    for function in ["echo", "host.ping", "host.plugins", "host.anything"] {
        assert!(caller.may_call(function), "{function}");
    }
    assert!(caller.is_operator_of("host.status"));
    assert!(pass.admit(&task(Some("ada"))).is_ok());
    assert!(access.of_token("").is_none() && access.of_user(0).is_none());
}

/// Every way to show oneself, and every kind of function.
#[test]
fn who_one_is_decides_what_one_may_call() {
    let access = access(&format!(
        "[web]\nfunctions = [\"send_*\", \"report\"]\ntokens = [{}]\nusers = [33]\n\
         [ops]\nfunctions = [\"*\", \"host.*\"]\ncertificates = [\"ops.example\"]\n\
         [watcher]\nfunctions = [\"host.plugins\"]\nusers = [34]\n[all]\nfunctions = [\"*\"]\nusers = [35]",
        of("w")
    ));
    assert!(!access.is_open());
    assert!(access.of_nobody(false).is_none());
    let certificate = |name: &str| access.of_certificate(|known| known.to_str() == name);
    let own = [
        "host.ping",
        "host.hello",
        "host.functions",
        "host.status",
        "host.cancel",
    ];
    let others = ["host.plugins", "host.tasks", "host.", "host.pings"];
    for (pass, name, may, may_not) in [
        (
            access.of_token("w"),
            "web",
            ["send_mail", "report"].as_slice(),
            ["report2", "echo", ""].as_slice(),
        ),
        (access.of_user(33), "web", &["send_"], &["send", "Report"]),
        (
            certificate("ops.example"),
            "ops",
            &["echo", "host.plugins", "host.tasks"],
            &[],
        ),
        (
            access.of_user(34),
            "watcher",
            &["host.plugins"],
            &["echo", "host.tasks"],
        ),
        (access.of_user(35), "all", &["echo", "report"], &others),
        (
            access.of_nobody(true),
            "anonymous",
            &["echo", "host.plugins"],
            &[],
        ),
    ] {
        let pass = pass.unwrap();
        assert_eq!(pass.to_string(), name);
        let caller = caller(&pass);
        for function in own.iter().chain(may) {
            assert!(caller.may_call(function), "{name} {function}");
        }
        for function in may_not {
            assert!(!caller.may_call(function), "{name} {function}");
        }
        let is_operator = ["ops", "anonymous"].contains(&name);
        assert_eq!(caller.is_operator_of("host.status"), is_operator, "{name}");
    }
    for token in ["", "W", "w ", "ww", &TokenHash::of("w").to_string()] {
        assert!(access.of_token(token).is_none(), "{token}");
    }
    assert!(certificate("web").is_none() && access.of_user(0).is_none());
}

#[test]
fn a_token_has_its_end() {
    let hash = TokenHash::of("t");
    let access = access(&format!(
        "[a]\nfunctions = []\ntokens = [{{ sha256 = \"{hash}\", until = 2000-01-01 }}, {}]\n\
         [b]\nfunctions = []\ntokens = [{{ sha256 = \"{}\", until = 2999-01-01 }}]",
        of("good"),
        TokenHash::of("b")
    ));
    assert!(access.of_token("t").is_none());
    let [good, limited] = ["good", "b"].map(|token| access.of_token(token).unwrap());
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(40_000_000_000);
    access.end_tokens(later);
    assert!(limited.is_revoked() && !good.is_revoked());
    assert!(access.of_token("b").is_none());
    let failure = limited.admit(&task(None)).unwrap_err().0;
    assert_eq!(failure.code, ErrorCode::Unauthorized);
}

#[test]
fn who_may_no_longer_be_here_is_told_and_others_stay() {
    let told = Arc::new(AtomicUsize::new(0));
    let tell = || {
        let told = Arc::clone(&told);
        move || {
            told.fetch_add(1, Ordering::Relaxed);
        }
    };
    let with = |tokens: &[&str]| {
        let tokens: Vec<String> = tokens.iter().map(|token| of(token)).collect();
        format!("[a]\nfunctions = [\"*\"]\ntokens = [{}]", tokens.join(","))
    };
    let access = access(&with(&["one"]));
    let one = access.of_token("one").unwrap();
    let _watch = access.watch(&one, tell());
    // A second token: both are good.
    access.configure(clients(&with(&["one", "two"])).unwrap());
    let two = access.of_token("two").unwrap();
    let _other = access.watch(&two, tell());
    assert!(!one.is_revoked() && access.of_token("one").is_some());
    // The first goes.
    access.configure(clients(&with(&["two"])).unwrap());
    assert!(one.is_revoked() && !two.is_revoked());
    assert!(access.of_token("one").is_none());
    assert_eq!(told.load(Ordering::Relaxed), 1);
    // What comes again is not what has gone.
    access.configure(clients(&with(&["one", "two"])).unwrap());
    assert!(one.is_revoked() && access.of_token("one").is_some());
    // The rules of a client change while it is here.
    access.configure(clients(&with(&["two"]).replace("\"*\"", "\"report\"")).unwrap());
    assert!(!two.is_revoked());
    assert!(!caller(&two).may_call("echo") && caller(&two).may_call("report"));
    // All clients go: the host is open, but not to those who were a client.
    access.configure(Vec::new());
    assert!(two.is_revoked() && access.is_open());
    let nobody = access.of_nobody(false).unwrap();
    access.configure(Vec::new());
    assert!(!nobody.is_revoked());
    let guest_before = access.of_nobody(true).unwrap();
    access.configure(clients(&with(&["two"])).unwrap());
    assert!(nobody.is_revoked() && guest_before.is_revoked());
    let guest = access.of_nobody(true).unwrap();
    access.configure(clients(&with(&["three"])).unwrap());
    assert!(!guest.is_revoked());
}

#[test]
fn a_client_has_limits_of_its_own() {
    let access = access(
        "[a]\nfunctions = [\"*\"]\nusers = [1]\nconnections_max = 1\nin_flight_max = 2\nrate = \"1/h burst 2\"\n\
         [b]\nfunctions = [\"*\"]\nusers = [2]\nvouch = true",
    );
    let [a, b] = [1, 2].map(|user| access.of_user(user).unwrap());
    let visit = a.enter("10.0.0.1").unwrap();
    assert!(
        a.enter("10.0.0.1")
            .unwrap_err()
            .0
            .message
            .contains("connections_max")
    );
    let first = a.admit(&task(None)).unwrap();
    let _second = a.admit(&task(None)).unwrap();
    let full = a.admit(&task(None)).unwrap_err().0;
    assert!(full.message.contains("in_flight_max"), "{full:?}");
    assert_eq!(full.code, ErrorCode::Overloaded);
    drop(first);
    let often = a.admit(&task(None)).unwrap_err().0;
    assert!(
        often.message.contains("`rate`") && often.retry_after().is_some(),
        "{often:?}"
    );
    // What it asks about itself is not counted.
    assert!(a.admit(&Request::new("host.ping")).is_ok());
    let vouched = a.admit(&task(Some("ada"))).unwrap_err().0;
    assert_eq!(vouched.code, ErrorCode::BadRequest);
    let (caller, busy) = b.admit(&task(Some("ada"))).unwrap();
    assert_eq!(
        (caller.client(), caller.subject()),
        (Some("b"), Some("ada"))
    );
    let report = |access: &Access| {
        let report: BTreeMap<String, ClientReport> = access.report().into_iter().collect();
        serde_json::to_value(report).unwrap()
    };
    let now = report(&access);
    assert_eq!(now["a"]["in_flight"], 1);
    assert_eq!(now["a"]["requests"], 2);
    assert_eq!(now["a"]["refused"], 3);
    assert_eq!(now["a"]["addresses"]["10.0.0.1"], 1);
    assert_eq!(now["b"]["subjects"]["ada"], 1);
    drop((busy, visit));
    let now = report(&access);
    assert_eq!(now["b"]["subjects"], serde_json::json!({}));
    assert_eq!(now["a"]["connections"], 0);
}

#[test]
fn a_client_is_told_what_it_may_do() {
    let access = access("[a]\nfunctions = [\"echo\"]\nusers = [1]");
    let told = access.of_user(1).unwrap().introduction();
    assert_eq!(
        told,
        serde_json::json!({"client": "a", "functions": ["echo"], "vouch": false})
    );
    let told = access.of_nobody(true).unwrap().introduction();
    assert_eq!(told["client"], serde_json::Value::Null);
    assert_eq!(told["vouch"], true);
    hello::check(&Bytes::from_static(b"{}"));
}
