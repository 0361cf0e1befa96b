//! What the command takes, and what it refuses.

use std::fs;

use rustix::process::Signal;
use tests::{GatewaySetup, Host, Plugin, wait_until};

#[test]
fn it_refuses_to_serve_everybody_without_authentication() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let output = GatewaySetup::new()
            .arg("--listen")
            .arg(listen)
            .command()
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("[[tokens]]") && said.contains("[jwt]"),
            "{said}"
        );
        assert_eq!(output.stdout, b"");
    }
}

#[test]
fn mistakes_are_named() {
    for (config, named) in [
        ("lisen = \"127.0.0.1:0\"", "lisen"),
        ("[limits]\nin_flight = 1", "in_flight"),
        (
            "[tls]\ncertificates = \"missing.pem\"\nkey = \"missing.pem\"",
            "missing.pem",
        ),
        (
            "[jwt]\nalgorithms = [\"RS256\"]\njwks_file = \"missing.json\"",
            "missing.json",
        ),
    ] {
        let output = GatewaySetup::new()
            .config(config)
            .command()
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{config}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(named), "{config}: {said}");
    }
}

#[test]
fn one_line_says_that_it_serves() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new().host(&host).start();
    assert_eq!(
        gateway.stdout(),
        format!("listening on 127.0.0.1:{}\n", gateway.port())
    );
}

#[test]
fn a_hang_up_changes_what_is_logged() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .config("log = \"warn\"")
        .start();
    let write = |text: &str| fs::write(gateway.folder().join("gateway.toml"), text).unwrap();
    write("log = \"gateway=loud\"");
    gateway.signal(Signal::HUP);
    gateway.wait_for_log(&["the configuration stays as it was", "loud"]);
    write("log = \"info\"");
    wait_until("more to be logged", || {
        gateway.signal(Signal::HUP);
        gateway.log().contains("the configuration was read again")
    });
    assert_eq!(gateway.get("/healthz").0, 200);
}

#[test]
fn a_token_may_lie_in_a_file() {
    let host = Host::with(&[Plugin::Good]);
    let setup = GatewaySetup::new().file("token", b"0123456789abcdef\n");
    let file = setup.folder().join("token");
    let config = format!(
        "allow = [\"echo\"]\n[[tokens]]\nuser = \"ada\"\ntoken = {{ file = \"{}\" }}",
        file.display()
    );
    let gateway = setup.host(&host).config(&config).start();
    let body = br#"{"function":"echo","args":1}"#;
    for (token, status) in [("0123456789abcdef", 200), ("0123456789abcdeX", 401)] {
        let authorization = format!("Bearer {token}");
        let headers = [
            ("Content-Type", "application/json"),
            ("Authorization", authorization.as_str()),
        ];
        let (answered, said) = gateway.request("POST", "/tasks", &headers, body);
        assert_eq!(answered, status, "{said}");
    }
    assert!(!gateway.log().contains("0123456789abcdef"));
}
