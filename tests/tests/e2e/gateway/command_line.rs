//! What the command takes, and what it refuses.

use tests::{GatewaySetup, Host, Plugin};

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
