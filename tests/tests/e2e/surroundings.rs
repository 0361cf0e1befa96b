//! Odd places to run a host in: as process 1, without /proc or /dev/null, under limits, with descriptors that are not its
//! own. They are made by the programs of util-linux; most take root, or a user who may make namespaces.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Client, Host, Plugin, Process, Setup, wait_until, within};

/// Starts it by `program`, which takes the host's command as its last arguments.
fn host_within(setup: &Setup, program: &[&str]) -> Host {
    Host::start(within(&setup.command(), program), None)
}

fn evil_reason(client: &mut Client) -> String {
    let listed: Value = client.result("host.plugins", json!({}));
    let mut all = listed["plugins"].as_array().unwrap().iter();
    let rejected = all.find(|entry| entry["state"] == "rejected");
    rejected.unwrap()["reason"].as_str().unwrap().to_owned()
}

const AS_PROCESS_1: [&str; 4] = ["unshare", "--pid", "--kill-child", "--mount-proc"];

#[test]
fn as_process_1_it_reaps_what_it_adopts_and_knows_how_its_own_ended() {
    let setup = Setup::new().plugin(Plugin::Evil);
    let host = host_within(&setup, &AS_PROCESS_1);
    let process_1 = host.process().children();
    let [process_1] = process_1[..] else {
        panic!("one child was expected: {process_1:?}")
    };
    let mut client = host.client();
    for _ in 0..20 {
        client.result("spawn_child", json!({}));
        let failure = client.failure("exit", json!({"code": 3}));
        failure.expect("worker_crashed", &["exited with code 3"]);
        assert_eq!(client.result("ok", json!({})), "ok");
    }
    wait_until("no zombies to be left", || {
        process_1.children().into_iter().all(Process::is_alive)
    });
    assert_eq!(client.status()["plugins"]["evil"]["crashes"], 20);
}

/// The system delivers process 1 only those signals that it handles.
#[test]
fn as_process_1_it_drains_when_it_is_told_to() {
    let setup = Setup::new().plugin(Plugin::Good);
    let mut host = host_within(&setup, &AS_PROCESS_1);
    let mut client = host.client();
    client.send(json!({"id": "runs", "function": "sleep", "args": {"ms": 300}}));
    wait_until("it to run", || {
        host.client().status()["plugins"]["good"]["workers_busy"] == 1
    });
    host.process().children()[0].signal(Signal::TERM);
    client.reply().outcome.unwrap();
    client.expect_end();
    assert!(host.wait().success());
}

#[test]
fn without_proc_it_says_what_is_missing() {
    let setup = Setup::new().plugin(Plugin::Evil);
    let script = r#"mount -t tmpfs none /proc && exec "$@""#;
    let host = host_within(&setup, &["unshare", "--mount", "sh", "-c", script, "sh"]);
    let reason = evil_reason(&mut host.client());
    assert!(reason.contains("/proc is not mounted"), "{reason}");
}

#[test]
fn without_dev_null_it_runs() {
    let setup = Setup::new().plugin(Plugin::Evil);
    let script = r#"mount -t tmpfs none /dev && exec "$@""#;
    let host = host_within(&setup, &["unshare", "--mount", "sh", "-c", script, "sh"]);
    assert_eq!(host.client().result("read_stdin", json!({})), 0);
}

/// Where memory files may not be executed, a library is a file in the folder of temporary files.
#[test]
fn where_no_code_may_be_run_from_temporary_files_it_says_so() {
    for (options, may_run) in [("exec", true), ("noexec", false)] {
        let setup = Setup::new().plugin(Plugin::Evil);
        let temporary = setup.folder().join("temporary");
        fs::create_dir(&temporary).unwrap();
        let script = format!(
            r#"echo 2 >/proc/sys/vm/memfd_noexec && mount -t tmpfs -o {options} none "$TMPDIR" && exec "$@""#
        );
        let mut command = setup.command();
        command.env("TMPDIR", &temporary);
        let mut program = AS_PROCESS_1.to_vec();
        program.extend(["--mount", "sh", "-c", &script, "sh"]);
        let host = Host::start(within(&command, &program), None);
        let mut client = host.client();
        if may_run {
            assert_eq!(client.result("ok", json!({})), "ok");
        } else {
            let reason = evil_reason(&mut client);
            assert!(
                reason.contains("noexec") && reason.contains("TMPDIR"),
                "{reason}"
            );
        }
    }
}

#[test]
fn a_lower_hard_limit_of_memory_holds_and_is_told_once() {
    let setup = Setup::new().plugin(Plugin::Evil);
    let mut program = vec!["prlimit", "--data=1073741824:1073741824"];
    if rustix::process::geteuid().is_root() {
        // Root goes beyond hard limits, unless it may not.
        program.extend(["setpriv", "--bounding-set=-sys_resource"]);
    }
    let host = host_within(&setup, &program);
    let mut client = host.client();
    assert_eq!(client.result("ok", json!({})), "ok");
    client
        .failure("exit", json!({}))
        .expect("worker_crashed", &[]);
    assert_eq!(client.result("ok", json!({})), "ok");
    let log = host.log();
    let told = log.lines().filter(|line| line.contains("ulimit -Hd"));
    let told: Vec<&str> = told.collect();
    assert!(
        told.len() == 1 && told[0].contains("1073741824"),
        "{told:?}"
    );
}

#[test]
fn workers_have_the_usual_limit_of_descriptors_and_none_that_are_not_theirs() {
    let setup = Setup::new().plugin(Plugin::Evil);
    let script = r#"exec 7</etc/passwd 50</etc/passwd; exec "$@""#;
    let program = ["prlimit", "--nofile=256:4096", "bash", "-c", script, "bash"];
    let host = host_within(&setup, &program);
    assert_eq!(host.process().open_files_limit(), (Some(4096), Some(4096)));
    let mut client = host.client();
    let descriptors = client.result("descriptors", json!({}));
    assert_eq!(descriptors["soft_limit"], 256);
    let open: Vec<&str> = descriptors["open"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(open.contains(&"/dev/null"), "{open:?}");
    assert!(!open.contains(&"/etc/passwd"), "{open:?}");
}
