//! Addresses: what can't be had is said clearly, and what would stand open by accident is refused.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use serde_json::json;
use tests::{Client, Setup, blocks, run, run_with_input, wait_until, workspace_dir};

use super::{
    Config, TLS, WEB, certify, certify_until, converse, hash, in_folder, own_user, port_of, web,
};

/// A host that doesn't start: the exit code for a wrong configuration, and why.
#[track_caller]
fn expect_refused(setup: &Setup, texts: &[&str]) {
    let finished = run(&mut setup.command());
    assert_eq!(finished.status.code(), Some(2), "{finished:?}");
    for text in texts {
        assert!(finished.stderr.contains(text), "{finished:?}");
    }
}

#[test]
fn nothing_stands_open_beyond_this_machine_by_accident() {
    let open = "\"0.0.0.0:0\"";
    expect_refused(
        &Config::new(open).setup(),
        &[
            "[clients.NAME]",
            "host token new",
            "insecure = true",
            "--insecure",
        ],
    );
    let by_flag = Setup::new()
        .listen_as_configured()
        .arg("--listen")
        .arg("[::]:0");
    expect_refused(&by_flag, &["[clients.NAME]"]);
    expect_refused(
        &Config::new(open).client("web", &web(&[WEB])).setup(),
        &["tls://0.0.0.0:0", "insecure = true"],
    );
    for host in [
        Config::new(open).setup().arg("--insecure").start(),
        Config::new(open).and("insecure = true").setup().start(),
    ] {
        host.client().ping();
    }
    let host = Config::new(open)
        .client("web", &web(&[WEB]))
        .setup()
        .arg("--insecure")
        .start();
    host.client()
        .failure("host.ping", json!({}))
        .expect("unauthorized", &[]);
    // What is meant once is not meant for what is read later.
    let host = Config::new("\"127.0.0.1:0\"").setup().start();
    fs::write(in_folder(&host, "host.toml"), Config::new(open).text()).unwrap();
    host.signal(rustix::process::Signal::HUP);
    host.wait_for_log(&["the configuration stays as it was", "insecure"]);
}

/// Where a host listens takes a restart, so what its file says of that by now doesn't count.
#[test]
fn what_is_read_again_opens_nothing_by_accident() {
    let setup = Config::new("\"tls://0.0.0.0:0\"")
        .and(TLS)
        .client("web", &web(&[WEB]))
        .setup();
    certify(setup.folder());
    let host = setup.start();
    let asks = super::Conversation {
        connect: format!("tls:{}", host.port()),
        certificate: None,
        lines: vec![json!({"function": "host.ping"})],
    };
    fs::write(
        in_folder(&host, "host.toml"),
        Config::new("\"127.0.0.1:0\"").text(),
    )
    .unwrap();
    host.signal(rustix::process::Signal::HUP);
    host.wait_for_log(&["the configuration stays as it was", "[clients.NAME]"]);
    let answers = converse(host.folder(), &[asks]).remove(0).unwrap();
    assert_eq!(answers[0]["error"]["code"], "unauthorized");
}

#[test]
fn what_can_not_be_had_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    expect_refused(
        &Config::new(&format!("[\"127.0.0.1:0\", \"{address}\"]")).setup(),
        &[&address, "in use", "--listen"],
    );
    expect_refused(
        &Config::new("\"no-such-name.invalid:1\"").setup(),
        &["no-such-name.invalid:1"],
    );
    expect_refused(
        &Config::new("\"tls://127.0.0.1:0\"").setup(),
        &["certificates"],
    );
    expect_refused(
        &Config::new("\"tls://127.0.0.1:0\"").and(TLS).setup(),
        &["`tls`", "chain.pem"],
    );
    expect_refused(
        &Config::new("\"unix:/no/such/folder/a.sock\"").setup(),
        &["/no/such/folder"],
    );
    let long = format!("\"unix:{}\"", "a".repeat(108));
    expect_refused(&Config::new(&long).setup(), &["too long", "107"]);
    let setup = Config::new("\"unix:a.sock\"").setup();
    fs::write(setup.folder().join("a.sock"), "").unwrap();
    expect_refused(&setup, &["no socket"]);
    let setup = Config::new("\"unix:a.sock\"").setup();
    let _other = UnixListener::bind(setup.folder().join("a.sock")).unwrap();
    expect_refused(&setup, &["another program listens there"]);
}

/// Whole, and with what stands in its comments; only files, users and ports are others.
#[test]
fn the_clients_of_the_operators_page_are_taken_as_printed() {
    let page = fs::read_to_string(workspace_dir().join("docs/OPERATIONS.md")).unwrap();
    let printed = blocks(&page)
        .into_iter()
        .find(|block| block.language == "toml" && block.text.contains("[clients.web]"))
        .unwrap()
        .text;
    let whole: String = printed
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line)))
        .collect();
    for (text, max) in [(printed, ""), (whole, "3")] {
        let port = tests::lasting_port().to_string();
        let mut text = text
            .replace("/etc/tasks/chain.pem", "chain.pem")
            .replace("/etc/tasks/key.pem", "key.pem")
            .replace("/etc/tasks/clients.pem", "ca.pem")
            .replace("unix:/run/", "unix:")
            .replace("www-data", "root")
            .replace("127.0.0.1:12345", "127.0.0.1:0")
            .replace("12346", &port)
            .replace("9f86d0…", &hash(WEB));
        if !max.is_empty() {
            text = text.replace("connections_max, in_flight_max = …", "in_flight_max = 3");
        }
        let setup = Setup::new()
            .plugin(tests::Plugin::Good)
            .listen_as_configured()
            .config(&text);
        certify(setup.folder());
        let host = setup.start();
        let mut client = host.client();
        let said = client.result("host.hello", json!({"token": WEB}));
        assert_eq!(
            said,
            json!({"client": "web", "functions": ["send_*", "report", "host.plugins"], "vouch": false})
        );
        let asks = super::Conversation {
            connect: format!("tls:{port}"),
            certificate: None,
            lines: vec![super::hello(WEB), json!({"function": "host.plugins"})],
        };
        let answers = converse(host.folder(), &[asks]).remove(0).unwrap();
        assert_eq!(answers[1]["ok"], true, "{answers:?}");
    }
}

/// The system's bound is that of the path itself.
#[test]
fn a_unix_socket_may_have_the_longest_path_there_is() {
    let longest = "a".repeat(107);
    let host = Config::new(&format!("[\"127.0.0.1:0\", \"unix:{longest}\"]"))
        .setup()
        .start();
    // This process may be in another folder: by `nc`, which is in the host's.
    let mut asks = Command::new("nc");
    asks.args(["-N", "-U", &longest]).current_dir(host.folder());
    let said = run_with_input(&mut asks, b"{\"function\":\"host.ping\"}\n".to_vec()).output();
    assert!(said.contains("pong"), "{said}");
}

/// Otherwise only its clients would know.
#[test]
fn a_certificate_that_has_ended_is_said() {
    for (hours, said) in [("-1", "has ended"), ("2", "ends within a day")] {
        let setup = Config::new("\"tls://127.0.0.1:0\"").and(TLS).setup();
        certify_until(setup.folder(), Some(hours));
        let host = setup.start();
        host.wait_for_log(&["chain.pem", said]);
        // A new one is taken up at the next handshake.
        certify(host.folder());
        let ping = super::Conversation {
            connect: format!("tls:{}", host.port()),
            certificate: None,
            lines: vec![json!({"function": "host.ping"})],
        };
        wait_until("the new one to be shown", || {
            let answers = converse(host.folder(), std::slice::from_ref(&ping)).remove(0);
            answers.is_some_and(|answers| answers[0]["ok"] == true)
                && host.log().contains("certificates were read again")
        });
    }
    let setup = Config::new("\"tls://127.0.0.1:0\"").and(TLS).setup();
    certify(setup.folder());
    let mut key = Command::new("openssl");
    key.args(["pkey", "-in", "key.pem", "-out", "locked.pem", "-aes256"])
        .args(["-passout", "pass:secret"])
        .current_dir(setup.folder());
    assert!(run(&mut key).status.success());
    let [locked, own] = ["locked.pem", "key.pem"].map(|name| setup.folder().join(name));
    fs::rename(locked, own).unwrap();
    expect_refused(&setup, &["key.pem", "passphrase", "openssl pkey"]);
}

#[test]
fn a_unix_socket_has_its_mode_and_goes_with_the_host() {
    let config = Config::new(
        "[\"127.0.0.1:0\", \"unix:a.sock\", { address = \"unix:b.sock\", mode = \"0640\" }, { address = \"unix:c.sock\", users = [\"root\"] }]",
    );
    let setup = config.setup();
    // One that was left behind.
    drop(UnixListener::bind(setup.folder().join("a.sock")).unwrap());
    let mut host = setup.start();
    for (name, mode) in [("a.sock", 0o600), ("b.sock", 0o640), ("c.sock", 0o666)] {
        let meta = fs::symlink_metadata(in_folder(&host, name)).unwrap();
        assert!(meta.file_type().is_socket());
        assert_eq!(meta.permissions().mode() & 0o777, mode, "{name}");
    }
    let folder = host.folder().to_owned();
    let left: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with(".a.sock")),
        "{left:?}"
    );
    // One that another host has put in its place stays.
    fs::remove_file(folder.join("b.sock")).unwrap();
    let _other = UnixListener::bind(folder.join("b.sock")).unwrap();
    host.signal(rustix::process::Signal::TERM);
    assert!(host.wait().success());
    assert!(!folder.join("a.sock").exists() && folder.join("b.sock").exists());
}

#[test]
fn a_unix_socket_takes_whom_it_lists() {
    let nobody = 65_534;
    assert_ne!(own_user(), nobody);
    let host = Config::new(
        "[\"127.0.0.1:0\", { address = \"unix:others.sock\", users = [65534] }, { address = \"unix:all.sock\", mode = \"0666\" }]",
    )
    .client("web", &web(&[WEB]))
    .client("other", &format!("users = [{nobody}]\nfunctions = [\"echo\"]"))
    .setup()
    .start();
    let ask = |name: &str| {
        let mut stream = UnixStream::connect(in_folder(&host, name)).unwrap();
        let _ = stream.write_all(b"{\"function\":\"host.ping\"}\n");
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        said
    };
    assert_eq!(ask("others.sock"), "", "a user who isn't listed");
    host.wait_for_log(&["turned away", "others.sock"]);
    assert!(ask("all.sock").contains("unauthorized"), "no client's user");
    if own_user() != 0 {
        return;
    }
    // As the user that is listed; only root can become another.
    fs::set_permissions(host.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["others.sock", "all.sock"] {
        let line = "{\"function\":\"host.hello\"}\\n";
        let mut other = Command::new("setpriv");
        other
            .args(["--reuid", "65534", "--clear-groups", "sh", "-c"])
            .arg(format!("printf '{line}' | nc -N -U {name}"))
            .current_dir(host.folder());
        let said = run(&mut other).output();
        assert!(said.contains("\"client\":\"other\""), "{name}: {said}");
    }
}

#[test]
fn all_addresses_are_served_alike() {
    let setup = Config::new(
        "[\"127.0.0.1:0\", \"[::1]:0\", \"localhost:0\", \"unix:a.sock\", \"tls://localhost:0\"]",
    )
    .and(TLS)
    .setup();
    certify(setup.folder());
    let host = setup.start();
    let addresses = host.addresses(5);
    assert!(addresses[1].starts_with("[::1]:"), "{addresses:?}");
    assert_eq!(addresses[3], "unix:a.sock");
    let conversations: Vec<_> = addresses
        .iter()
        .filter(|address| !address.contains("[::1]"))
        .map(|address| super::Conversation {
            connect: super::as_connect(address),
            certificate: None,
            lines: vec![json!({"function": "echo", "args": address})],
        })
        .collect();
    assert!(conversations.len() >= 3);
    let answers = converse(host.folder(), &conversations);
    for (conversation, answers) in conversations.iter().zip(answers) {
        let answers = answers.unwrap();
        assert_eq!(
            answers[0]["result"], conversation.lines[0]["args"],
            "{conversation:?}"
        );
    }
    let mut by_v6 = std::net::TcpStream::connect(("::1", port_of(&addresses[1]))).unwrap();
    by_v6.write_all(b"{\"function\":\"host.ping\"}\n").unwrap();
    let mut pong = [0; 10];
    by_v6.read_exact(&mut pong).unwrap();
    // Also while it drains: the port is closed for all.
    host.signal(rustix::process::Signal::TERM);
    wait_until("the socket to be gone", || {
        !in_folder(&host, "a.sock").exists()
    });
}

#[test]
fn both_families_may_have_one_port() {
    let port = tests::lasting_port();
    let host = Config::new(&format!("[\"0.0.0.0:{port}\", \"[::]:{port}\"]"))
        .and("insecure = true")
        .setup()
        .start();
    Client::connect(port).ping();
    assert!(std::net::TcpStream::connect(("::1", port)).is_ok());
    assert_eq!(host.addresses(2).len(), 2);
    let meta = fs::metadata(host.folder()).unwrap();
    assert_eq!(meta.uid(), own_user());
}
