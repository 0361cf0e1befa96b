//! TLS and AUTH, against the real server with certificates of an authority of our own.

use std::{fs, path::PathBuf};

use plugin_api::serde_json::{Value, json};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::{
    failure, open,
    scripted::{Act, At, Scripted},
    server::Server,
};

/// An authority, and a certificate of it for 127.0.0.1.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        fs::write(folder.path().join("certificate.pem"), certificate.pem()).unwrap();
        fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A server with the certificate, and what else `config` says.
    fn server(&self, mut config: Value) -> Server {
        config["certificate"] = json!(self.path("certificate.pem"));
        config["key"] = json!(self.path("key.pem"));
        Server::start(&config)
    }
}

fn message() -> Value {
    json!({"from": "me@example.com", "to": "a@example.com", "contents": "x".repeat(50_000)})
}

#[test]
fn tls_by_starttls_and_from_the_start() {
    let certificates = Certificates::new();
    for (scheme, tls, is_implicit) in [
        ("smtp", "opportunistic", false),
        ("smtp", "required", false),
        ("smtps", "implicit", true),
    ] {
        let server = certificates.server(json!({"implicit": is_implicit}));
        let url = format!("{scheme}://127.0.0.1:{}", server.port);
        let plugin = open(json!({"url": url, "tls": tls, "ca_file": certificates.path("ca.pem")}));
        for _ in 0..3 {
            plugin.call("send_mail", message()).unwrap();
        }
        let messages = server.take(3);
        assert!(
            messages
                .iter()
                .all(|message| message["peer"] == messages[0]["peer"]),
            "{tls}: one connection"
        );
        assert!(
            messages
                .iter()
                .all(|message| message["text"].as_str().unwrap().len() == 50_001)
        );
        if !is_implicit {
            // aiosmtpd notes only what STARTTLS has made secure.
            assert!(
                messages.iter().all(|message| message["is_secure"] == true),
                "{tls}"
            );
        }
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let certificates = Certificates::new();
    let others = Certificates::new();
    let server = certificates.server(json!({}));
    for tls in ["opportunistic", "required"] {
        let url = format!("smtp://127.0.0.1:{}?tls={tls}", server.port);
        let plugin = open(json!({"url": url, "ca_file": others.path("ca.pem")}));
        let (kind, message, retryable, _) = failure(plugin.call("send_mail", message()));
        assert_eq!((kind.as_str(), retryable), ("tls", false), "{message}");
        assert!(message.contains("certificate"), "{message}");
    }
    let url = format!("smtp://localhost:{}?tls=required", server.port);
    let plugin = open(json!({"url": url, "ca_file": certificates.path("ca.pem")}));
    let (kind, message, ..) = failure(plugin.call("send_mail", message()));
    assert_eq!(
        kind, "tls",
        "the certificate is for another name: {message}"
    );
    server.take(0);
}

#[test]
fn a_server_without_tls_gets_nothing_where_it_is_required() {
    let server = Server::start(&json!({}));
    let plugin =
        open(json!({"url": format!("smtp://127.0.0.1:{}", server.port), "tls": "required"}));
    let (kind, text, ..) = failure(plugin.call("send_mail", message()));
    assert_eq!(kind, "tls", "{text}");
    let plugin = open(json!({"url": format!("smtp://127.0.0.1:{}", server.port)}));
    plugin.call("send_mail", message()).unwrap();
    server.take(1);
}

#[test]
fn credentials_are_used_with_either_mechanism() {
    let certificates = Certificates::new();
    for exclude in [json!([]), json!(["PLAIN"])] {
        let auth =
            json!({"username": "max@example.com", "password": "ge heim ü", "exclude": exclude});
        let server = certificates.server(json!({"auth": auth}));
        let config = |password: &str| {
            json!({
                "url": format!("smtp://127.0.0.1:{}", server.port),
                "tls": "required",
                "ca_file": certificates.path("ca.pem"),
                "username": "max@example.com",
                "password": password,
            })
        };
        open(config("ge heim ü"))
            .call("send_mail", message())
            .unwrap();
        let message_seen = server.take(1).remove(0);
        assert_eq!(
            (&message_seen["user"], &message_seen["is_secure"]),
            (&json!("max@example.com"), &json!(true))
        );
        let (kind, text, retryable, _) =
            failure(open(config("wrong")).call("send_mail", message()));
        assert_eq!(
            (kind.as_str(), retryable),
            ("authentication", false),
            "{text}"
        );
        assert!(!text.contains("wrong"), "{text}");
    }
}

#[test]
fn a_wrong_password_is_tried_once_by_a_bulk() {
    let server = Scripted::start(|place| match place.at {
        At::Ehlo => Act::Say("250-scripted\r\n250 AUTH PLAIN"),
        // Where the script is asked at AUTH.
        At::Data => Act::Say("535 5.7.8 wrong"),
        _ => Act::Go,
    });
    let plugin = open(json!({"url": server.url(), "username": "max", "password": "geheim"}));
    let recipients: Vec<_> = (0..100)
        .map(|index| json!({"to": format!("a{index}@example.com")}))
        .collect();
    let args = json!({"from": "me@example.com", "contents": "x", "recipients": recipients});
    let (kind, text, retryable, data) = failure(plugin.call("send_bulk", args));
    assert_eq!(
        (kind.as_str(), retryable),
        ("authentication", false),
        "{text}"
    );
    assert_eq!(data["failed"].as_array().unwrap().len(), 100);
    assert_eq!(server.seen().connections, 1);
}

#[test]
fn a_password_goes_over_an_open_connection_only_when_told_so() {
    let server = Server::start(&json!({"auth": {"username": "max", "password": "geheim"}}));
    let config = |tls: &str| {
        json!({
            "url": format!("smtp://127.0.0.1:{}", server.port), "tls": tls, "username": "max", "password": "geheim"
        })
    };
    let (kind, text, ..) = failure(open(config("opportunistic")).call("send_mail", message()));
    assert_eq!(kind, "tls", "{text}");
    open(config("none")).call("send_mail", message()).unwrap();
    assert_eq!(server.take(1)[0]["user"], "max");
}

/// What `openssl req -x509` makes: a certificate that signs itself and calls itself an authority.
fn self_signed(names: &[&str]) -> Certificates {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("certificate.pem"), certificate.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    Certificates { folder }
}

#[test]
fn a_certificate_that_is_named_is_trusted_for_what_it_is() {
    let config = |server: &Server, host: &str, ca_file: PathBuf| json!({"url": format!("smtp://{host}:{}?tls=required", server.port), "ca_file": ca_file});
    // By the server's name, and by none.
    for names in [&["127.0.0.1", "localhost"][..], &[]] {
        let certificates = self_signed(names);
        let server = certificates.server(json!({}));
        let plugin = open(config(
            &server,
            "127.0.0.1",
            certificates.path("certificate.pem"),
        ));
        plugin.call("send_mail", message()).unwrap();
        server.take(1);
        // Another one of the same kind is not it.
        let others = self_signed(names);
        let plugin = open(config(&server, "127.0.0.1", others.path("certificate.pem")));
        let (kind, text, ..) = failure(plugin.call("send_mail", message()));
        assert_eq!(kind, "tls", "{text}");
        assert!(text.contains("`ca_file`"), "{text}");
    }
    let certificates = self_signed(&["mx.example.com"]);
    let server = certificates.server(json!({}));
    let plugin = open(config(
        &server,
        "localhost",
        certificates.path("certificate.pem"),
    ));
    let (kind, text, ..) = failure(plugin.call("send_mail", message()));
    assert_eq!(kind, "tls", "{text}");
    assert!(
        text.contains("is for mx.example.com, and not for localhost"),
        "{text}"
    );

    // A server's own certificate, whose authority is not in the file.
    let certificates = Certificates::new();
    let server = certificates.server(json!({}));
    let plugin = open(config(
        &server,
        "127.0.0.1",
        certificates.path("certificate.pem"),
    ));
    plugin.call("send_mail", message()).unwrap();
    server.take(1);
}

#[test]
fn the_wrong_scheme_is_named() {
    let certificates = Certificates::new();
    let server = Server::start(&json!({}));
    let url = format!("smtps://127.0.0.1:{}", server.port);
    let plugin = open(json!({"url": url, "ca_file": certificates.path("ca.pem")}));
    let (kind, text, ..) = failure(plugin.call("send_mail", message()));
    assert_eq!(kind, "tls", "{text}");
    assert!(text.contains("`smtp://` for others"), "{text}");

    let server = certificates.server(json!({"implicit": true}));
    let url = format!("smtp://127.0.0.1:{}", server.port);
    let plugin = open(json!({"url": url, "command_timeout": "300ms"}));
    let (kind, text, ..) = failure(plugin.call("send_mail", message()));
    assert_eq!(kind, "server_timeout", "{text}");
    assert!(text.contains("`smtps://`"), "{text}");
}

#[test]
fn a_server_that_doesnt_do_what_it_offers_is_asked_the_other_way() {
    let server = Scripted::start(|place| match place.at {
        At::Ehlo => Act::Say("250-scripted\r\n250 AUTH PLAIN LOGIN"),
        // Where the script is asked at AUTH.
        At::Data => Act::Say("535 5.7.8 not this way"),
        _ => Act::Go,
    });
    let plugin = open(json!({"url": server.url(), "username": "max", "password": "geheim"}));
    let (kind, ..) = failure(plugin.call("send_mail", message()));
    assert_eq!(kind, "authentication");
    let commands = server.seen().commands.clone();
    let auth: Vec<_> = commands
        .iter()
        .filter(|line| line.starts_with("AUTH"))
        .map(|line| line.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(auth, ["PLAIN", "LOGIN"]);
}
