//! Files, and what comes of them.

use futures_util::FutureExt;
use service::config::parse;

use super::*;

fn load(text: &str) -> Result<Config, String> {
    Config::of(text)
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let config = load("").unwrap();
    assert_eq!(config.listen.addresses(), [LISTEN_DEFAULT.parse().unwrap()]);
    assert_eq!(config.upstream.hosts, ["127.0.0.1:12345"]);
    assert!(config.http.console && !config.access.is_required());
    assert!(!config.access.anonymous().may_call("resize"));
    assert_eq!(config.session.resume_window, Duration::from_secs(120));
    assert_eq!(config.socket.heartbeat.interval, Duration::from_secs(25));
    assert_eq!(config.limits.auth_timeout, Duration::from_secs(5));
}

#[test]
fn the_command_line_wins() {
    let mut file: File =
        parse("hosts = [\"a:1\"]\nallow = [\"x\"]\nnotify_text = \"done\"").unwrap();
    file.overrule(Overrides {
        listen: Some("127.0.0.1:7".to_owned()),
        hosts: vec!["b:2".to_owned(), "c:3".to_owned()],
        ..Overrides::default()
    });
    let config = Config::check(file).unwrap();
    assert_eq!(config.listen.addresses(), ["127.0.0.1:7".parse().unwrap()]);
    assert_eq!(config.upstream.hosts, ["b:2", "c:3"]);
    assert_eq!(config.socket.notify_text.as_deref(), Some("done"));
    assert!(config.access.anonymous().may_call("x"));
}

#[test]
fn without_authentication_only_this_machine_is_served() {
    for listen in ["0.0.0.0:8080", "[::]:8080"] {
        let error = load(&format!("listen = \"{listen}\"")).unwrap_err();
        assert!(
            error.contains("[[tokens]]") && error.contains("loopback"),
            "{error}"
        );
    }
    let config =
        load("listen = \"0.0.0.0:8080\"\n[[tokens]]\ntoken = \"0123456789abcdef\"\nuser = \"ada\"")
            .unwrap();
    assert!(config.access.is_required() && !config.http.console);
    let config = load("listen = \"0.0.0.0:8080\"\nconsole = true\n[[tokens]]\ntoken = \"0123456789abcdef\"\nuser = \"ada\"").unwrap();
    assert!(config.http.console);
}

#[test]
fn roles_say_what_may_be_called() {
    let config = load(
        "allow = [\"resize\"]\n[roles.admin]\nallow = [\"*\"]\n\
         [[tokens]]\ntoken = \"0123456789abcdef\"\nuser = \"ada\"\nrole = \"admin\"\n\
         [[tokens]]\ntoken = \"fedcba9876543210\"\nuser = \"bob\"",
    )
    .unwrap();
    let authenticate = |token: &str| config.access.authenticate(token).now_or_never().unwrap();
    let ada = authenticate("0123456789abcdef").unwrap();
    let bob = authenticate("fedcba9876543210").unwrap();
    assert!(ada.may_call("send_mail") && !bob.may_call("send_mail") && bob.may_call("resize"));
    assert!(authenticate("0123456789abcdeX").is_err());
}

#[test]
fn proxies_are_addresses_and_networks() {
    let config = load("trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\", \"::1\"]").unwrap();
    for (address, expected) in [
        ("127.0.0.1", true),
        ("10.1.2.3", true),
        ("127.0.0.2", false),
        ("::1", true),
    ] {
        let address = address.parse().unwrap();
        assert_eq!(
            config.http.trusted_proxies.contains(address),
            expected,
            "{address}"
        );
    }
    let error = load("trusted_proxies = [\"proxy.example\"]").unwrap_err();
    assert!(error.contains("10.0.0.0/8"), "{error}");
}

#[test]
fn origins_are_the_same_however_they_are_written() {
    let load = |text: &str| {
        load(&format!("origins = [\"{text}\"]"))
            .unwrap()
            .http
            .origins
    };
    for text in ["https://App.Example", "https://app.example:443"] {
        assert_eq!(load(text), load("https://app.example"), "{text}");
    }
    assert_ne!(load("http://app.example"), load("https://app.example"));
}

#[test]
fn rates_stand_where_tasks_are_limited() {
    let config = load("[limits]\nrate = \"30/m burst 5\"\n[limits.user]\nrate = \"100/s\"");
    let caps = config.unwrap().limits.caps;
    assert_eq!(caps.connection_rate.unwrap().per_second, 0.5);
    assert_eq!(caps.user.rate.unwrap().burst, 100.0);
    assert!(caps.address.rate.is_none());
}

#[test]
fn what_is_wrong_is_named() {
    for (text, named) in [
        ("lisen = \"x\"", "lisen"),
        ("[limits]\nmessage_len = 1", "message_len"),
        ("listen = \"nowhere\"", "listen"),
        ("hosts = [\"localhost\"]", "hosts"),
        ("hosts = [\"a:1\", \"a:1\"]", "twice"),
        ("allow = [\"\"]", "roles.default.allow"),
        ("[roles.default]\nallow = []", "roles.default"),
        ("[[tokens]]\ntoken = \"short\"\nuser = \"ada\"", "16 bytes"),
        (
            "[[tokens]]\ntoken = \"0123456789abcdef\"\nuser = \"ada\"\nrole = \"admin\"",
            "roles.admin",
        ),
        ("[jwt]\nalgorithms = [\"HS256\"]", "secret_file"),
        ("[jwt]\nalgorithms = [\"none\"]\njwks_file = \"x\"", "none"),
        ("[fill]\nuser_id = \"claims.sub\"", "args.name"),
        ("origins = [\"app.example\"]", "origins"),
        ("origins = [\"https://app.example/\"]", "origins"),
        ("origins = [\"https://*.example\"]", "two labels"),
        ("allow = [\"host.*\"]", "allows nothing"),
        ("cookie = \"my token\"", "cookie"),
        (
            "[limits.address]\nipv6_prefix = 129",
            "limits.address.ipv6_prefix",
        ),
        ("[tls]\nkey = \"key.pem\"", "tls"),
        ("[upstream]\nconnections = 0", "upstream.connections"),
        ("[session]\nresume_window = \"soon\"", "soon"),
        ("[limits]\nrate = \"5\"", "rate"),
    ] {
        let error = load(text).unwrap_err();
        assert!(error.contains(named), "{text}: {error}");
    }
}
