//! `make run`: it serves early, and builds the rest while it serves.

use std::env;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tests::{Host, Process, as_from_a_shell, run, target_dir, wait_for, wait_until, workspace_dir};

/// `make` as from a shell in the checkout, leader of a group like that of a terminal.
fn make(args: &[&str]) -> Command {
    let mut make = Command::new("make");
    // Not as a part of a `make test` that may be running.
    as_from_a_shell(&mut make)
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .env_remove("MFLAGS");
    make.current_dir(workspace_dir())
        .env("CARGO_TARGET_DIR", target_dir())
        // Beside other tests, what gives way to everything would never get its turn.
        .env("BUILD_NICENESS", "0")
        .args(args);
    make.process_group(0);
    make
}

/// `make run` on any free ports. What it builds is built before, since that may take longer than anything else here.
fn make_run() -> Command {
    let built = make(&["plugins"]).output().unwrap();
    assert!(built.status.success(), "{built:?}");
    make(&["run", "LISTEN=127.0.0.1:0", "GATEWAY=127.0.0.1:0"])
}

/// With a `cargo` that does something else when it is to build a package: these lines of shell.
fn instead_of_building(mut make: Command, cases: &[(&str, &str)]) -> (Command, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let cases: Vec<String> = cases
        .iter()
        .map(|(package, lines)| format!("*'-p {package}'*) {lines};;"))
        .collect();
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n{}\nesac\nexec '{cargo}' \"$@\"\n",
        cases.join("\n")
    );
    let file = folder.path().join("cargo");
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let mut path = folder.path().as_os_str().to_owned();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    make.env("PATH", path);
    (make, folder)
}

/// As a terminal does it: to all who don't build.
fn ctrl_c(mut host: Host) {
    let port = host.port();
    host.process().signal_group(Signal::INT);
    host.wait();
    host.wait_for_log(&["drained"]);
    assert!(
        TcpStream::connect(("127.0.0.1", port)).is_err(),
        "somebody still listens"
    );
}

/// Runs the line that it printed as something to try.
fn try_printed(host: &Host, wanted: &str) -> String {
    let said = host.stdout();
    let line = said.lines().find(|line| line.contains(wanted));
    let line = line.unwrap_or_else(|| panic!("no {wanted} in {said}"));
    run(Command::new("sh").args(["-c", line])).output()
}

#[test]
fn it_serves_and_says_what_is_live_and_what_to_try_until_ctrl_c() {
    let host = Host::start(make_run(), None);
    let functions = host.client().result("host.functions", json!({}));
    assert!(functions.to_string().contains("send_mail"), "{functions}");
    for live in ["the gateway is live", "resize is live", "report is live"] {
        wait_until(live, || host.stdout().contains(live));
    }
    let listed = try_printed(&host, "nc -N");
    assert!(listed.contains("send_mail"), "{listed}");
    wait_until("the last hint", || host.stdout().contains(" report '{"));
    let report = try_printed(&host, " report '{");
    assert!(report.contains("North"), "{report}");
    let said = host.stdout();
    let page = said
        .split_whitespace()
        .find(|word| word.starts_with("http://") && word.ends_with('/'))
        .expect("it says where the page is");
    let page = run(Command::new("curl").args(["-s", page])).output();
    assert!(page.contains("<title>Tasks</title>"), "{page}");
    let mailed = try_printed(&host, "curl -s");
    assert!(mailed.contains("\"transport\":\"outbox\""), "{mailed}");
    ctrl_c(host);
}

#[test]
fn a_build_that_fails_says_what_to_do_and_what_serves_goes_on() {
    let fails = "echo 'no space left' >&2; exit 101";
    let cases = [("gateway", fails), ("resize", fails)];
    let (make, _folder) = instead_of_building(make_run(), &cases);
    let host = Host::start(make, None);
    for failed in [
        "gateway: the build failed",
        "plugin-resize: the build failed",
    ] {
        wait_until(failed, || host.stdout().contains(failed));
    }
    assert!(host.stdout().contains("make plugin-resize"));
    assert!(host.log().contains("no space left"));
    // What comes after them is built all the same.
    wait_until("the report plugin", || {
        host.stdout().contains("report is live")
    });
    host.client().result("host.ping", json!({}));
    ctrl_c(host);
}

#[test]
fn ctrl_c_ends_a_build_that_is_under_way() {
    let (make, folder) = instead_of_building(
        make_run(),
        &[(
            "resize",
            "echo $$ >\"$(dirname \"$0\")\"/pid; exec sleep 600",
        )],
    );
    let host = Host::start(make, None);
    let compiler = wait_for("the build to have begun", || {
        let pid = fs::read_to_string(folder.path().join("pid")).ok()?;
        Process::find(pid.trim().parse().ok()?)
    });
    ctrl_c(host);
    wait_until("the build to have ended", || !compiler.is_alive());
}

#[test]
fn a_host_that_cannot_serve_ends_all_of_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("LISTEN={}", taken.local_addr().unwrap());
    let _built = make_run();
    let ended = make(&["run", &listen, "GATEWAY=127.0.0.1:0"])
        .output()
        .unwrap();
    assert!(!ended.status.success(), "{ended:?}");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("ddress"), "{said}");
}
