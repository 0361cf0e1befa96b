//! Whoever speaks to a host can do all of it: `host call`, the gateway, and the programs that the protocol's page prints.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tests::{
    Gateway, GatewaySetup, Host, blocks, php, python, run, run_with_input, wait_until,
    workspace_dir,
};

use super::{Config, OPS, TLS, WEB, certify, hash, own_user, port_of};

/// A host with a port, TLS and a Unix socket, and the files that clients need in its folder.
fn host() -> Host {
    let setup = Config::new("[\"127.0.0.1:0\", \"tls://127.0.0.1:0\", \"unix:tasks.sock\"]")
        .and(TLS)
        .client(
            "web",
            &format!(
                "tokens = [{{ sha256 = \"{}\" }}]\nfunctions = [\"*\"]\nvouch = true",
                hash(WEB)
            ),
        )
        .client(
            "ops",
            "certificates = [\"ops.example\"]\nfunctions = [\"host.*\"]",
        )
        .client(
            "local",
            &format!(
                "users = [{}]\nfunctions = [\"echo\", \"host.status\"]",
                own_user()
            ),
        )
        .setup();
    certify(setup.folder());
    fs::write(setup.folder().join("token"), format!("{WEB}\n")).unwrap();
    setup.start()
}

#[test]
fn host_call_shows_who_it_is() {
    let host = host();
    let [plain, tls, unix] = &host.addresses(3)[..] else {
        panic!()
    };
    let by_name = &format!("tls://localhost:{}", port_of(tls));
    let call = |connect: &str, args: &[&str], token: Option<&str>| {
        let mut command = Host::command();
        command
            .args(["call", "host.hello", "--connect", connect])
            .args(args)
            .current_dir(host.folder())
            .env_remove("HOST_TOKEN");
        if let Some(token) = token {
            command.env("HOST_TOKEN", token);
        }
        let finished = run(&mut command);
        format!("{}{}", finished.stdout, finished.stderr)
    };
    let token = &["--token-file", "token"];
    let ca = &["--ca", "ca.pem"];
    let own = &[
        "--ca",
        "ca.pem",
        "--certificate",
        "ops.pem",
        "--certificate-key",
        "ops.key",
    ];
    for (said, expected) in [
        (call(plain, &[], None), "unauthorized"),
        (call(plain, token, None), "\"client\":\"web\""),
        (call(plain, &[], Some(WEB)), "\"client\":\"web\""),
        (call(plain, &[], Some(OPS)), "unauthorized"),
        (
            call(plain, &["--token-file", "none"], None),
            "can't be read",
        ),
        (call(unix, &[], None), "\"client\":\"local\""),
        (call(unix, token, None), "\"client\":\"web\""),
        (call("unix:none", &[], None), "is the host running?"),
        (
            call(by_name, &[&token[..], ca].concat(), None),
            "\"client\":\"web\"",
        ),
        (
            call(tls, &[&token[..], ca].concat(), None),
            "\"client\":\"web\"",
        ),
        (call(by_name, own, None), "\"client\":\"ops\""),
        (call(by_name, ca, None), "unauthorized"),
        (call(by_name, token, None), "UnknownIssuer"),
        (
            call(&format!("tls://127.0.0.2:{}", port_of(tls)), ca, None),
            "refused",
        ),
        (
            call(&format!("tls://localhost:{}", port_of(plain)), ca, None),
            "localhost",
        ),
        (
            call(&format!("127.0.0.1:{}", port_of(tls)), token, None),
            "TLS only",
        ),
        (call("nowhere", &[], None), "not the address of a host"),
    ] {
        assert!(said.contains(expected), "{expected:?} is not in {said:?}");
    }
}

#[test]
fn a_new_token_opens_the_host() {
    let made = run(Host::command().args(["token", "new", "cron"]));
    let token = made.stdout.trim().to_owned();
    assert!(made.status.success() && token.len() > 40, "{made:?}");
    let (_, table) = made.stderr.split_once("\n\n").unwrap();
    let (head, rest) = table.split_once('\n').unwrap();
    assert_eq!(head, "[clients.cron]");
    let host = Config::new("\"127.0.0.1:0\"")
        .client("cron", rest)
        .setup()
        .start();
    let mut client = host.client();
    assert_eq!(
        client.result("host.hello", json!({"token": token}))["client"],
        "cron"
    );
    assert_eq!(client.result("echo", json!(1)), 1);
    let again = run(Host::command().args(["token", "new", "cron"]));
    assert_ne!(again.stdout, made.stdout);
    // What it prints is taken as it stands, whatever the name.
    let made = run(Host::command().args(["token", "new", "cron.7"]));
    let (_, table) = made.stderr.split_once("\n\n").unwrap();
    let host = Config::new("\"127.0.0.1:0\"").and(table).setup().start();
    assert_eq!(
        host.client()
            .result("host.hello", json!({"token": made.stdout.trim()}))["client"],
        "cron.7"
    );
    for name in ["", "a b", "anonymous", "café", "a\"b"] {
        let refused = run(Host::command().args(["token", "new", name]));
        assert_eq!(
            (refused.status.code(), refused.stdout.as_str()),
            (Some(2), ""),
            "{refused:?}"
        );
        assert!(refused.stderr.contains("name"), "{refused:?}");
    }
}

fn upstream(host: &Host, address: &str, table: &str) -> Gateway {
    let folder = host.folder().display();
    let address = address.replace("unix:", &format!("unix:{folder}/"));
    let gateway = GatewaySetup::new()
        .arg("--host")
        .arg(&address)
        .allow("*")
        .config(&format!(
            "[upstream]\n{}",
            table.replace("FOLDER", &folder.to_string())
        ))
        .start();
    gateway.wait_until_ready();
    gateway
}

#[track_caller]
fn expect_echo(gateway: &Gateway) {
    let (status, answer) = gateway.post(&json!({"function": "echo", "args": 7}));
    assert_eq!((status, &answer["result"]), (200, &json!(7)), "{answer}");
}

#[test]
fn the_gateway_shows_who_it_is() {
    let host = host();
    let addresses = host.addresses(3);
    let by_name = format!("tls://localhost:{}", port_of(&addresses[1]));
    let token = "token = { file = \"FOLDER/token\" }\n";
    let tables = [
        (addresses[0].as_str(), token.to_owned()),
        (by_name.as_str(), format!("{token}ca = \"FOLDER/ca.pem\"")),
        (addresses[2].as_str(), String::new()),
        (addresses[2].as_str(), token.to_owned()),
    ];
    for (address, table) in tables {
        expect_echo(&upstream(&host, address, &table));
    }
    let refused = GatewaySetup::new()
        .arg("--host")
        .arg(&addresses[0])
        .allow("*")
        .config("[upstream]\ntoken = \"task_wrong\"")
        .start();
    refused.wait_for_log(&["not connected", "upstream.token"]);
    assert!(!refused.log().contains("task_wrong"));
    assert_eq!(refused.get("/readyz").0, 503);
}

/// The gateway changes its token by itself, and nothing of what it hands over is lost.
#[test]
fn the_gateway_goes_on_with_a_token_that_was_exchanged() {
    let config =
        |tokens: &[&str]| Config::new("\"127.0.0.1:0\"").client("web", &super::web(tokens));
    let host = config(&[WEB]).setup().start();
    fs::write(host.folder().join("token"), WEB).unwrap();
    let gateway = upstream(
        &host,
        &host.addresses(1)[0],
        "token = { file = \"FOLDER/token\" }",
    );
    expect_echo(&gateway);
    config(&[WEB, OPS]).apply(&host);
    fs::write(host.folder().join("token"), OPS).unwrap();
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            for _ in 0..200 {
                expect_echo(&gateway);
            }
        });
        config(&[OPS]).apply(&host);
        load.join().unwrap();
    });
    expect_echo(&gateway);
}

/// On whose behalf a task is, the gateway says, and nobody else at the gateway.
#[test]
fn the_gateways_users_are_subjects_at_the_host() {
    let host = host();
    let gateway = GatewaySetup::new()
        .arg("--host")
        .arg(&host.addresses(3)[0])
        .allow("*")
        .config(&format!(
            "[upstream]\ntoken = \"{WEB}\"\nsubject = true\n[[tokens]]\ntoken = \"0123456789abcdef\"\nuser = \"ada\""
        ))
        .start();
    gateway.wait_until_ready();
    let headers = [
        ("Content-Type", "application/json"),
        ("Authorization", "Bearer 0123456789abcdef"),
    ];
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let body =
                json!({"function": "sleep", "args": {"ms": 2000}, "subject": "eve"}).to_string();
            gateway.request("POST", "/tasks", &headers, body.as_bytes())
        });
        let mut call = Host::command();
        call.args(["call", "host.status", "--connect", "unix:tasks.sock"])
            .current_dir(host.folder());
        wait_until("the task to run", || {
            let status: Value = serde_json::from_str(&run(&mut call).output()).unwrap();
            let subjects = &status["clients"]["web"]["subjects"];
            assert!(subjects["eve"].is_null(), "{status}");
            subjects["ada"] == 1
        });
        assert_eq!(asked.join().unwrap().0, 200);
    });
}

#[test]
fn logs_of_plugins_name_client_and_subject() {
    let host = host();
    let mut client = host.client();
    client.result("host.hello", json!({"token": WEB}));
    let request = json!({"function": "log", "args": {"level": "info", "message": "heard of it"}, "subject": "ada"});
    client.request(request).unwrap();
    host.wait_for_log(&["heard of it", "client=\"web\"", "subject=\"ada\""]);
    // Who may not vouch for others.
    let mut call = Command::new("nc");
    call.args(["-N", "-U", "tasks.sock"])
        .current_dir(host.folder());
    let line = b"{\"function\":\"echo\",\"subject\":\"ada\"}\n";
    let said = run_with_input(&mut call, line.to_vec()).output();
    assert!(
        said.contains("bad_request") && said.contains("vouch"),
        "{said}"
    );
}

#[test]
fn the_clients_of_the_protocol_page_show_who_they_are_as_printed() {
    let host = host();
    let addresses = host.addresses(3);
    let page = fs::read_to_string(workspace_dir().join("docs/PROTOCOL.md")).unwrap();
    let mut languages = Vec::new();
    let printed = blocks(&page);
    for block in printed.iter().filter(|block| block.role == "secure") {
        let code = block
            .text
            .replace("12345", &port_of(&addresses[0]).to_string())
            .replace("12346", &port_of(&addresses[1]).to_string())
            .replace("tasks.example", "localhost")
            .replace("/run/tasks.sock", "tasks.sock");
        let (mut command, flag) = match block.language.as_str() {
            "sh" => (Command::new("sh"), "-c"),
            "python" => (python(), "-c"),
            "js" => (Command::new("node"), "-e"),
            "php" => (php(), "-r"),
            other => panic!("nobody knows how to run {other}"),
        };
        let said = run(command.args([flag, &code]).current_dir(host.folder())).output();
        assert!(
            said.contains("pong"),
            "{} printed {said}:\n{code}",
            block.language
        );
        languages.push(block.language.as_str());
    }
    assert_eq!(languages, ["sh", "sh", "python", "php", "js"]);
}
