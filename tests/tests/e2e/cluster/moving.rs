//! From one host, with its ledger in a folder, to many that share one.

use std::fs;

use databases::Postgres;
use rustix::process::Signal;
use serde_json::json;
use tests::{Finished, Host, Plugin, Setup, run, wait_until};

use super::{end_of, good, hand_over, look};

/// `host ledger copy` in the host's folder, where its data folder is. The address is in a variable of the environment.
fn copy(host: &Host, server: &Postgres, args: &[&str]) -> Finished {
    run(Host::command()
        .current_dir(host.folder())
        .env("LEDGER_URL", server.url())
        .args(["ledger", "copy"])
        .args(args))
}

#[track_caller]
fn expect_failure(finished: &Finished, code: i32, text: &str) {
    assert_eq!(finished.status.code(), Some(code), "{finished:?}");
    assert!(finished.stderr.contains(text), "{finished:?}");
    assert!(!finished.stderr.contains("secret"), "{finished:?}");
}

#[test]
fn tasks_of_one_host_go_on_at_many() {
    let server = Postgres::start(&[]);
    let mut host = Setup::new().plugin(Plugin::Good).start();
    let mut client = host.client();
    let done = hand_over(&mut client, "echo", json!({"done": [1, "ä"]}));
    let before = end_of(&mut client, &done);
    client.result("host.pause", json!({"function": "echo"}));
    let waiting: Vec<String> = (0..30)
        .map(|number| hand_over(&mut client, "echo", json!({"number": number})))
        .collect();
    let keyed = json!({"function": "echo", "args": "k", "background": true, "key": "k"});
    let with_key = client.request(keyed.clone()).unwrap()["task"].clone();
    let running = hand_over(&mut client, "sleep", json!({"ms": 1_000}));
    wait_until("it to run", || {
        look(&mut client, &running)["state"] == "running"
    });
    expect_failure(
        &copy(&host, &server, &["--url-env", "LEDGER_URL"]),
        1,
        "is in use by process",
    );
    host.signal(Signal::KILL);
    host.wait();

    let said = copy(&host, &server, &["--url-env", "LEDGER_URL"]).output();
    assert!(
        said.contains("`task_server`: 33 tasks, 2 attempts, 1 keys"),
        "{said}"
    );
    let again = copy(&host, &server, &["--url-env", "LEDGER_URL"]);
    expect_failure(&again, 1, "has tasks already");

    let hosts = [good(&server), good(&server)];
    let [mut one, mut other] = hosts.each_ref().map(Host::client);
    assert_eq!(end_of(&mut one, &done), before);
    let known = one.request(keyed).unwrap();
    assert_eq!(
        (&known["task"], &known["duplicate"]),
        (&with_key, &json!(true))
    );
    let looked = look(&mut other, &waiting[0]);
    assert_eq!(looked["why"], "paused", "{looked}");
    other.result("host.resume", json!({"function": "echo"}));
    for (number, task) in waiting.iter().enumerate() {
        let looked = end_of(&mut one, task);
        assert_eq!(looked["state"], "completed", "{looked}");
        assert_eq!(looked["result"], json!({"number": number}), "{looked}");
    }
    let looked = end_of(&mut one, &running);
    assert_eq!(looked["state"], "completed", "{looked}");
    let history = looked["history"].as_array().expect("a list");
    assert_eq!(history.len(), 2, "{looked}");
    assert_eq!(history[0]["error"]["code"], "worker_crashed", "{looked}");
}

#[test]
fn where_a_copy_goes_is_what_the_configuration_or_the_command_line_says() {
    let server = Postgres::start(&[]);
    let mut host = Setup::new().plugin(Plugin::Good).start();
    let mut client = host.client();
    let task = hand_over(&mut client, "echo", json!("x"));
    end_of(&mut client, &task);
    host.signal(Signal::TERM);
    host.wait();

    expect_failure(&copy(&host, &server, &[]), 2, "--url-file");
    expect_failure(
        &copy(&host, &server, &["--url-env", "NOT_SET"]),
        2,
        "NOT_SET",
    );
    let nobody = ["--url", "postgres://shop:secret@127.0.0.1:1/postgres"];
    expect_failure(&copy(&host, &server, &nobody), 1, "can't be reached");
    let other = ["--url-env", "LEDGER_URL", "--data", "nowhere"];
    expect_failure(&copy(&host, &server, &other), 1, "there is no ledger");

    // As the hosts will have it.
    let folder = host.folder();
    fs::write(folder.join("url"), server.url() + "\n").expect("the folder is the test's");
    let config = "data = \"data\"\n[ledger]\nurl = { file = \"url\" }\nschema = \"from_file\"\n";
    fs::write(folder.join("new.toml"), config).expect("the folder is the test's");
    let copies = [
        (vec!["--config", "new.toml"], "from_file"),
        (vec!["--config", "new.toml", "--schema", "named"], "named"),
        (vec!["--url-file", "url"], "task_server"),
    ];
    for (args, schema) in copies {
        let said = copy(&host, &server, &args).output();
        assert!(said.contains(&format!("`{schema}`: 1 tasks")), "{said}");
        let found = server.sql(&format!("SELECT id FROM {schema}.ended"));
        assert_eq!(found.trim(), task);
    }
}
