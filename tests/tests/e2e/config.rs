//! The configuration file: what it says holds, and what is wrong in it is named.

use serde_json::json;
use tests::{Plugin, Setup, run, wait_until};

#[test]
fn what_is_wrong_is_named() {
    let table: [(&str, &[&str]); 23] = [
        ("lisen = \"127.0.0.1:0\"", &["lisen"]),
        ("[limits]\nline_len = \"1MiB\"", &["line_len"]),
        ("[drain]\ngrce = \"1s\"", &["grce"]),
        ("[worker]\nidle = \"1s\"", &["idle"]),
        ("[plugins.good]\nworker = 1", &["worker"]),
        ("[plugins.good]\nworkers = 0", &["plugins.good.workers"]),
        ("[plugins.good]\nworkers = \"many\"", &["workers"]),
        ("[plugins.good]\nslots = 0", &["plugins.good.slots"]),
        (
            "[plugins.good]\nqueue_len_max = 0",
            &["plugins.good.queue_len_max"],
        ),
        (
            "[plugins.good]\ntimeout = \"5 parsecs\"",
            &["timeout", "parsecs"],
        ),
        ("[plugins.good]\nconfig = 7", &["config"]),
        ("timeout = 60", &["timeout"]),
        (
            "[limits]\nline_len_max = \"10 furlongs\"",
            &["line_len_max", "furlongs"],
        ),
        ("[limits]\nconnections_max = 0", &["limits.connections_max"]),
        (
            "[ledger]\nurl = \"postgres://u:p4ss@h/d?sslmode=always\"",
            &["ledger", "verify-full"],
        ),
        ("[ledger]\nurl = \"h:p4ss\"", &["ledger", "address"]),
        (
            "[ledger]\nurl = \"mysql://u:p4ss@h/d\"",
            &["ledger", "postgres://"],
        ),
        (
            "[ledger]\nurl = \"host=h password=p4ss sslmode = require\"",
            &["ledger", "sslmode=", "without blanks"],
        ),
        ("[ledger]\nschema = \"shop\"", &["ledger", "`url`"]),
        ("[ledger]\npooled = true", &["ledger", "`url`"]),
        (
            "[ledger]\nurl = \"postgres://u:p4ss@h/d\"\nschema = \"Tasks\"",
            &["ledger", "`Tasks`"],
        ),
        (
            "[ledger]\nurl = { env = \"NOBODY_HAS_SET_THIS\" }",
            &["ledger.url", "NOBODY_HAS_SET_THIS"],
        ),
        ("[limits\n", &["host.toml"]),
    ];
    for (config, texts) in table {
        let finished = run(&mut Setup::new().plugin(Plugin::Good).config(config).command());
        assert!(!finished.status.success(), "{config:?} was taken");
        assert_eq!(finished.stdout, "", "{config:?}");
        assert!(!finished.stderr.contains("p4ss"), "{finished:?}");
        for text in texts {
            assert!(
                finished.stderr.contains(text),
                "{config:?} gave {finished:?}"
            );
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let finished = run(Setup::new()
        .command()
        .args(["--config", "/nowhere/host.toml"]));
    assert!(!finished.status.success());
    assert!(
        finished.stderr.contains("/nowhere/host.toml"),
        "{finished:?}"
    );
}

#[test]
fn a_plugin_gets_its_own_part_as_it_was_written() {
    let config = r#"
        [plugins.good]
        config = { text = "ä\n", number = 7, real = 0.5, list = [1, [2]], table = { yes = true } }
    "#;
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let expected =
        json!({"text": "ä\n", "number": 7, "real": 0.5, "list": [1, [2]], "table": {"yes": true}});
    assert_eq!(host.client().result("config", json!({})), expected);
}

#[test]
fn a_plugin_without_a_part_gets_an_empty_one() {
    let host = Setup::new().plugin(Plugin::Good).start();
    assert_eq!(host.client().result("config", json!({})), json!({}));
}

#[test]
fn a_table_without_a_plugin_is_worth_a_warning() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[plugins.goood]\nworkers = 1")
        .start();
    host.wait_for_log(&["WARN", "goood"]);
    host.client().ping();
}

#[test]
fn the_command_line_wins_over_the_file() {
    let config = "listen = \"127.0.0.1:1\"\nplugins_dir = \"/nowhere\"";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    assert_eq!(host.client().result("echo", json!(1)), 1);
}

#[test]
fn the_file_says_where_to_listen_and_what_to_load() {
    let setup = Setup::new().plugin(Plugin::Good);
    let folder = setup.plugins_dir();
    let file = folder.join("host.toml");
    let config = format!(
        "listen = \"127.0.0.1:0\"\nplugins_dir = {:?}\n",
        folder.display().to_string()
    );
    std::fs::write(&file, config).unwrap();
    let mut command = tests::Host::command();
    command.arg("--config").arg(&file);
    let host = tests::Host::start(command, None);
    assert_eq!(host.client().result("echo", json!(1)), 1);
}

#[test]
fn a_pool_has_as_many_workers_as_it_may_and_no_more() {
    let config = "[plugins.good]\nworkers = 3\nidle_timeout = \"1s\"";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut client = host.client();
    for id in 0..8 {
        client.send(json!({"id": id, "function": "sleep", "args": {"ms": 600_000}}));
    }
    let mut observer = host.client();
    wait_until("three to run and five to wait", || {
        observer.status()["queued"] == 5
    });
    assert_eq!(host.workers().len(), 3);
    for id in 0..8 {
        client.send(json!({"id": "cancel", "function": "host.cancel", "args": {"id": id}}));
        // The order of the two is the host's affair.
        for _ in 0..2 {
            client.reply();
        }
    }
    wait_until("the idle ones to go", || host.workers().len() == 1);
    assert_eq!(client.result("echo", json!(1)), 1);
}

#[test]
fn a_worker_with_two_slots_runs_two_tasks() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[plugins.good]\nworkers = 1\nslots = 2")
        .start();
    let mut client = host.client();
    for id in 0..3 {
        client.send(json!({"id": id, "function": "sleep", "args": {"ms": 600_000}}));
    }
    let mut observer = host.client();
    wait_until("two to run and one to wait", || {
        observer.status()["queued"] == 1
    });
    assert_eq!(host.workers().len(), 1);
}

#[test]
fn a_worker_is_replaced_after_so_many_tasks() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[plugins.good]\nworkers = 1\ntasks_max = 3")
        .start();
    let mut client = host.client();
    let mut pids = Vec::new();
    for call in 0..9 {
        let counted = client.result("count", json!({}));
        assert_eq!(counted["count"], call % 3 + 1);
        pids.push(counted["pid"].as_u64().unwrap());
    }
    pids.dedup();
    assert_eq!(pids.len(), 3, "{pids:?}");
}

#[test]
fn a_worker_that_has_grown_is_replaced() {
    let config = "[plugins.evil]\nworkers = 1\nrss_max = \"100MiB\"";
    let host = Setup::new().plugin(Plugin::Evil).config(config).start();
    let before = host.workers();
    let mut client = host.client();
    client.result("memory_hog", json!({"bytes": 150 << 20}));
    wait_until("another worker to be there instead", || {
        // A pool without any work need not have any worker.
        assert_eq!(client.result("ok", json!({})), "ok");
        host.workers() != before && host.workers().len() == 1
    });
    assert_eq!(client.status()["plugins"]["evil"]["crashes"], 0);
}

#[test]
fn a_table_for_which_there_is_no_library_is_told_unless_it_was_refused() {
    let host = Setup::new()
        .file("libbroken.so", b"nothing")
        .config("[plugins.broken]\nworkers = 1\n[plugins.absent]\nworkers = 1")
        .start();
    host.wait_for_log(&["WARN", "no library brings it", "absent"]);
    host.wait_for_log(&["libbroken.so", "rejected"]);
    assert_eq!(host.lines_with("no library brings it"), 1, "{}", host.log());
}
