use std::{fs, path::Path};

use serde_json::{Value, json};

use super::*;

fn check(config: Value) -> Result<Checked, String> {
    let config: MailConfig = serde_json::from_value(config).map_err(|error| error.to_string())?;
    config.check().map_err(|error| error.message().to_owned())
}

fn settings(config: Value) -> Settings {
    match check(config).unwrap().transport {
        TransportConfig::Smtp(settings) => *settings,
        TransportConfig::Outbox(path) => panic!("{}", path.display()),
    }
}

#[test]
fn nothing_configured_means_the_outbox() {
    let checked = check(json!({})).unwrap();
    assert!(
        matches!(checked.transport, TransportConfig::Outbox(path) if path == Path::new("outbox"))
    );
    let checked = check(json!({"outbox": "/var/mail/out"})).unwrap();
    assert!(
        matches!(checked.transport, TransportConfig::Outbox(path) if path == Path::new("/var/mail/out"))
    );
}

#[test]
fn urls_are_read() {
    let cases = [
        (
            "smtp://mx.example.com",
            "mx.example.com:25",
            TlsMode::Opportunistic,
        ),
        ("smtp://mx:587?tls=required", "mx:587", TlsMode::Required),
        (
            "smtp://127.0.0.1:2525/?tls=none",
            "127.0.0.1:2525",
            TlsMode::None,
        ),
        ("smtps://mx", "mx:465", TlsMode::Implicit),
        (
            "smtps://[::1]:4650?tls=implicit",
            "[::1]:4650",
            TlsMode::Implicit,
        ),
        (
            "smtp://bücher.example",
            "xn--bcher-kva.example:25",
            TlsMode::Opportunistic,
        ),
    ];
    for (url, server, tls_mode) in cases {
        let settings = settings(json!({"url": url}));
        assert_eq!(
            (&*settings.server, settings.tls_mode),
            (server, tls_mode),
            "{url}"
        );
        assert!(settings.credentials.is_none());
        assert!(!settings.hello_name.is_empty());
    }
    assert_eq!(
        settings(json!({"url": "smtp://mx", "tls": "none"})).tls_mode,
        TlsMode::None
    );
    assert_eq!(settings(json!({"url": "smtps://[::1]"})).host, "::1");
}

#[test]
fn credentials_come_from_one_place() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "ge heim\r\n").unwrap();
    let path = file.path();
    for config in [
        json!({"url": "smtp://max%40x:ge%20heim@mx"}),
        json!({"url": "smtp://mx", "username": "max@x", "password": "ge heim"}),
        json!({"url": "smtp://mx", "username": "max@x", "password_file": path}),
        json!({"url": "smtp://mx", "username": "max@x", "password": {"file": path}}),
        json!({"url": "smtp://max%40x@mx", "password_file": path}),
    ] {
        let Some(Credentials::Password { username, password }) =
            settings(config.clone()).credentials
        else {
            panic!("{config}")
        };
        assert_eq!(
            (&*username, password.expose()),
            ("max@x", "ge heim"),
            "{config}"
        );
    }
    fs::write(file.path(), "\n").unwrap();
    for config in [
        json!({"url": "smtp://max:geheim@mx", "username": "max"}),
        json!({"url": "smtp://max:geheim@mx", "password": "geheim"}),
        json!({"url": "smtp://mx", "username": "max"}),
        json!({"url": "smtp://mx", "password": "geheim"}),
        json!({"url": "smtp://mx", "username": "max", "password_file": path}),
        json!({"url": "smtp://mx", "username": "max", "password_file": "/no/such/file"}),
        json!({"url": "smtp://mx", "username": "max", "password": "geheim", "password_file": path}),
        json!({"url": "smtp://mx", "username": "max", "password": {"env": "NO_SUCH_VARIABLE"}}),
    ] {
        let error = check(config).err().unwrap();
        assert!(!error.contains("geheim"), "{error}");
    }
}

#[test]
fn no_password_is_shown() {
    let config = json!({"url": "smtp://max:geheim@mx", "password": "geheim"});
    let config: MailConfig = serde_json::from_value(config).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("geheim"), "{shown}");
}

#[test]
fn mistakes_are_named() {
    let cases = [
        (json!({"urll": "smtp://mx"}), "unknown field `urll`"),
        (json!({"url": "mx"}), "`url` is not a URL"),
        (json!({"url": "http://mx"}), "`url` begins neither"),
        (json!({"url": "smtp://"}), "`url`"),
        (json!({"url": "smtp://mx/path"}), "`url` has a path"),
        (
            json!({"url": "smtp://mx?tls=maybe"}),
            "unknown variant `maybe`",
        ),
        (json!({"url": "smtp://mx?timeout=5"}), "one parameter"),
        (
            json!({"url": "smtp://mx?tls=none", "tls": "required"}),
            "different things",
        ),
        (
            json!({"url": "smtp://mx", "tls": "implicit"}),
            "go together",
        ),
        (json!({"url": "smtps://mx", "tls": "none"}), "go together"),
        (
            json!({"url": "smtp://mx", "connections": 0}),
            "`connections`",
        ),
        (
            json!({"url": "smtp://mx", "hello_name": "a b"}),
            "`hello_name`",
        ),
        (
            json!({"url": "smtp://mx", "ca_file": "/no/such/file"}),
            "`ca_file` /no/such/file",
        ),
        (
            json!({"url": "smtp://mx", "ca_file": "/dev/null"}),
            "no certificate",
        ),
        (
            json!({"url": "smtp://mx", "ca_file": "/proc/self/exe"}),
            "`ca_file` /proc/self/exe",
        ),
        (
            json!({"url": "smtp://mx", "ca_file": "/dev/null", "tls": "none"}),
            "`ca_file`",
        ),
        (json!({"command_timeout": "5"}), "is not a duration"),
        (json!({"command_timeout": "0s"}), "is not a duration"),
        (json!({"command_timeout": "1000000h"}), "is not a duration"),
        (
            json!({"from": "nobody"}),
            "`from`: `nobody` is not an address: it has no @",
        ),
        (json!({"message_len_max": 0}), "`message_len_max`"),
        (json!({"message_len_max": "much"}), "is not a size"),
        (json!({"username": "max", "password": "x"}), "no `url`"),
        (json!({"tls": "required"}), "no `url`"),
        (json!({"access_token": "x"}), "no `url`"),
        (
            json!({"url": "smtp://mx", "access_token": "x"}),
            "no `username`",
        ),
        (
            json!({"url": "smtp://max:y@mx", "access_token": "x"}),
            "both a password and",
        ),
        (
            json!({"url": "smtp://mx", "messages_per_connection_max": 0}),
            "1 or more",
        ),
        (
            json!({"url": "smtp://mx", "messages_per_second_max": 0}),
            "`messages_per_second_max`",
        ),
    ];
    for (config, wanted) in cases {
        let error = check(config.clone())
            .err()
            .unwrap_or_else(|| panic!("{config} was taken"));
        assert!(error.contains(wanted), "{config}: {error}");
    }
}
