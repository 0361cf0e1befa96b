//! The document that describes the functions, read by programs that are none of ours.

use std::fs;

use serde_json::{Value, json};
use tests::{
    Gateway, GatewaySetup, Plugin, Setup, run, run_with_input, venv_python, wait_until,
    workspace_dir,
};

/// The document, once the gateway knows that function.
fn document(gateway: &Gateway, function: &str) -> Value {
    let key = format!("{function}.request");
    tests::wait_for("the functions to be known", || {
        let document: Value = serde_json::from_str(&gateway.get("/openapi.json").1).unwrap();
        document["components"]["schemas"]
            .get(&key)
            .is_some()
            .then_some(document)
    })
}

/// What an independent validator finds wrong with it, and with what it says of these values.
fn check(document: &Value, cases: &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    fs::write(&file, document.to_string()).unwrap();
    let script = workspace_dir().join("tests/check_openapi.py");
    let mut python = venv_python();
    run_with_input(python.arg(script).arg(file), cases.to_string().into()).output()
}

#[test]
fn the_document_is_valid_for_every_plugin_there_is() {
    let old = fs::read(workspace_dir().join("tests/prebuilt/libold.so")).unwrap();
    let host = Setup::new()
        .plugin(Plugin::Good)
        .plugin(Plugin::Evil)
        .plugin(Plugin::Mail)
        .plugin(Plugin::Report)
        .plugin(Plugin::Resize)
        .file("libold.so", &old)
        .start();
    let gateway = Gateway::to(&host);
    wait_until("the functions to be known", || {
        let (_, functions) = gateway.get("/functions.json");
        [
            "echo",
            "abort",
            "send_mail",
            "report",
            "resize",
            "old_greet",
        ]
        .iter()
        .all(|name| functions.contains(&format!("\"{name}\"")))
    });
    let document = document(&gateway, "old_greet");
    // As the host takes them: see `docs/PROTOCOL.md`.
    let cases = json!([
        ["sleep.request", {"function": "sleep", "args": {"ms": 1}}, true],
        ["sleep.request", {"function": "sleep", "args": {"ms": 1}, "id": 7, "timeout_ms": 5}, true],
        ["sleep.request", {"function": "sleep", "args": {"ms": 1}, "whatever": true}, true],
        ["sleep.request", {"function": "sleep"}, false],
        ["sleep.request", {"function": "sleep", "args": {}}, false],
        ["sleep.request", {"function": "sleep", "args": {"ms": "soon"}}, false],
        ["sleep.request", {"function": "nap", "args": {"ms": 1}}, false],
        ["sleep.request", {"function": "sleep", "args": {"ms": 1}, "id": ""}, false],
        ["sleep.request", {"function": "sleep", "args": {"ms": 1}, "timeout_ms": 0}, false],
        ["sleep.request", {"function": "sleep", "args": {"ms": 1}, "priority": 1}, false],
        ["count.request", {"function": "count"}, true],
        ["count.request", {"function": "count", "args": {}}, true],
        ["echo.request", {"function": "echo", "args": [null]}, true],
        ["fail.request", {"function": "fail", "args": {"kind": "a", "message": "b", "data": null}}, true],
        ["resize.request", {"function": "resize"}, false],
        ["sleep.reply", {"ok": true, "result": {"slept_ms": 1}}, true],
        ["sleep.reply", {"ok": true, "result": {}}, false],
        ["Error", {"ok": false, "error": {"code": "timeout", "message": "", "retryable": true, "started": true}}, true],
        ["Error", {"ok": true, "result": 1}, false],
    ]);
    assert_eq!(check(&document, &cases), "");
    // Without any function, it is valid, too.
    let nobody = GatewaySetup::new().host_at(1).start();
    let empty = serde_json::from_str(&nobody.get("/openapi.json").1).unwrap();
    assert_eq!(check(&empty, &json!([])), "");
}

#[test]
fn what_claims_fill_in_is_not_asked_for() {
    let host = Setup::new().plugin(Plugin::Good).start();
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("fail")
        .config("[fill]\n\"args.kind\" = \"claims.sub\"")
        .start();
    gateway.wait_until_ready();
    let cases = json!([
        ["fail.request", {"function": "fail", "args": {"message": "b"}}, true],
        ["fail.request", {"function": "fail", "args": {}}, false],
    ]);
    assert_eq!(check(&document(&gateway, "fail"), &cases), "");
}

/// Functions that may be called with anything.
const HARMLESS: [&str; 5] = ["echo", "count", "config", "fail", "pid"];
/// Those of its checks that are about what the document says. Of what handlers make of wrong arguments it says nothing.
const CHECKS: &str = "status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method";

#[test]
fn a_walk_by_the_document_meets_what_it_says() {
    let host = Setup::new().plugin(Plugin::Good).start();
    let gateway = HARMLESS
        .iter()
        .fold(GatewaySetup::new().host(&host), |setup, name| {
            setup.allow(name)
        })
        .start();
    gateway.wait_until_ready();
    let document = document(&gateway, "pid");
    let file = gateway.folder().join("openapi.json");
    fs::write(&file, document.to_string()).unwrap();
    let is_long = std::env::var_os("SOAK").is_some();
    let examples = if is_long { "3000" } else { "40" };
    let mut walk = venv_python();
    walk.args(["-m", "schemathesis.cli", "run"])
        .arg(&file)
        .args(["--url", &format!("http://127.0.0.1:{}", gateway.port())])
        .args(["--checks", CHECKS, "--max-examples", examples])
        .args(["--phases", "examples,coverage,fuzzing", "--seed", "1"])
        .args([
            "--generation-database",
            "none",
            "--suppress-health-check",
            "all",
        ])
        .args(["--request-timeout", "60", "--no-color"])
        .current_dir(gateway.folder());
    if is_long {
        // Less than programs that tests run may take in all.
        walk.args(["--max-time", "45"]);
    }
    let walked = run(&mut walk);
    assert!(
        walked.status.success(),
        "{}\n{}",
        walked.stdout,
        walked.stderr
    );
}
