//! A candidate's first worker is killed, at each stage of its short life. (That it dies before the host has handed it
//! anything is tested beside `host::plugin::process`, where the moment can be chosen.)

use std::fs;

use rustix::process::Signal;
use tests::{Host, PluginWatch, Process, Versioned, wait_for, wait_until};

use super::newer::{expect_steps, serving, wait_until_opening, waiting};
use super::{plugin, put, version};

/// Looks, some milliseconds apart, after which a thread that slept all the while is not in the midst of a nap.
const LOOKS: u32 = 20;

/// The only worker.
#[track_caller]
fn only_worker(host: &Host) -> Process {
    let workers = host.workers();
    assert_eq!(workers.len(), 1, "{workers:?}");
    workers[0]
}

/// The worker of what was put into place just now, beside that of what serves.
#[track_caller]
fn other_worker(host: &Host, serving: Process) -> Process {
    wait_for("the candidate's first worker", || {
        host.workers().into_iter().find(|worker| *worker != serving)
    })
}

/// Waits until the worker's main thread naps no more, as it does until it may open: it has opened, and said so.
#[track_caller]
fn wait_until_opened(worker: Process) {
    let look = || {
        let status = fs::read_to_string(format!("/proc/{}/status", worker.pid())).unwrap();
        let lines = status.lines();
        let told =
            lines.filter(|line| line.starts_with("State:") || line.starts_with("voluntary_"));
        told.collect::<Vec<_>>().join(" ")
    };
    let (mut last, mut same) = (look(), 0);
    wait_until("the worker to have opened", || {
        let now = look();
        let sleeps = now == last && now.contains("sleeping");
        same = if sleeps { same + 1 } else { 0 };
        last = now;
        same >= LOOKS
    });
}

#[test]
fn while_it_opens() {
    let (host, hold) = serving(&Versioned::new(1));
    let (mut watch, mut client) = (PluginWatch::start(&host), host.client());
    let serving = only_worker(&host);
    fs::write(&hold, b"").unwrap();
    put(&host, &waiting(2));
    wait_until_opening(&hold, 1);
    assert!(other_worker(&host, serving).try_kill());
    let event = watch.next_event();
    assert_eq!(event["state"], "rejected", "{event}");
    assert_eq!(
        event["reason"], "its worker was killed by SIGKILL while it opened the plugin",
        "{event}"
    );
    assert_eq!(version(&mut client), 1);

    fs::remove_file(hold).unwrap();
    put(&host, &waiting(2));
    watch.wait_for_state("live");
    assert_eq!(version(&mut client), 2);
}

#[test]
fn when_it_has_opened_and_the_host_does_not_know_yet() {
    let (host, hold) = serving(&Versioned::new(1));
    let (mut watch, mut client) = (PluginWatch::start(&host), host.client());
    let serving = only_worker(&host);
    fs::write(&hold, b"").unwrap();
    put(&host, &waiting(2));
    wait_until_opening(&hold, 1);
    let worker = other_worker(&host, serving);
    host.process().stop();
    fs::remove_file(hold).unwrap();
    wait_until_opened(worker);
    assert!(worker.try_kill());
    host.signal(Signal::CONT);

    // It is live: what it can do is known, and the next task finds another worker.
    watch.wait_for_state("live");
    assert_eq!(version(&mut client), 2);
    assert_eq!(plugin(&host, "versioned")["state"], "live");
    put(&host, &Versioned::new(3));
    watch.wait_for(|event| event["state"] == "live" && event["generation"] == 3);
    assert_eq!(version(&mut client), 3);
    expect_steps(&watch, &[("live", Some(2)), ("live", Some(3))]);
}

#[test]
fn when_it_is_live() {
    let (host, _hold) = serving(&Versioned::new(1));
    let (mut watch, mut client) = (PluginWatch::start(&host), host.client());
    let serving = only_worker(&host);
    put(&host, &Versioned::new(2));
    watch.wait_for_state("live");
    assert!(other_worker(&host, serving).try_kill());
    assert_eq!(version(&mut client), 2);
    put(&host, &Versioned::new(3));
    watch.wait_for_state("live");
    assert_eq!(version(&mut client), 3);
    expect_steps(&watch, &[("live", Some(2)), ("live", Some(3))]);
}
