//! Many reloads leave nothing behind. `make soak` runs the full sizes.

use std::env;
use std::time::Instant;

use tests::{Host, PluginWatch, Versioned, wait_until};

use super::{put, serving_version_1};

/// How much more memory the host may hold after many reloads: what an allocator keeps by chance.
const RSS_GROWTH_MAX: u64 = 8 << 20;

/// The full size with the variable `SOAK`, else one that fits into every run of the tests.
pub(super) fn or(full: u32, usual: u32) -> u32 {
    if env::var_os("SOAK").is_some() {
        full
    } else {
        usual
    }
}

/// Shown with `--nocapture`, as `make soak` runs the tests.
#[expect(
    clippy::print_stdout,
    reason = "figures for whoever runs the full sizes"
)]
pub(super) fn report(line: &str) {
    println!("{line}");
}

#[derive(Clone, Copy, Debug)]
struct Holdings {
    fds: usize,
    threads: usize,
    processes: usize,
    rss: u64,
}

fn holdings(host: &Host) -> Holdings {
    let process = host.process();
    Holdings {
        fds: process.fds(),
        threads: process.threads(),
        processes: process.children().len(),
        rss: process.rss(),
    }
}

/// The host when all but the last generation have gone.
#[track_caller]
fn at_rest(host: &Host) -> Holdings {
    wait_until("all but one worker to be gone", || {
        host.workers().len() == 1
    });
    holdings(host)
}

#[test]
fn ten_thousand_reloads_leave_nothing_behind() {
    let host = serving_version_1("[reload]\nsettle = \"1ms\"\nsettle_complete = \"1ms\"");
    let mut watch = PluginWatch::start(&host);
    let (all, warm_up) = (or(10_000, 300), or(1_000, 100));
    let start = Instant::now();
    let mut reload = |from: u32, to: u32| {
        for version in from..=to {
            put(&host, &Versioned::new(version));
            watch.wait_for_state("live");
        }
    };
    reload(2, warm_up);
    let before = at_rest(&host);
    reload(warm_up + 1, all);
    let after = at_rest(&host);
    report(&format!(
        "{all} reloads in {:.1?}: {before:?} after {warm_up}, {after:?} in the end",
        start.elapsed()
    ));
    wait_until(
        "the host to hold no more descriptors, threads and processes than before",
        || {
            let now = holdings(&host);
            now.fds <= before.fds
                && now.threads <= before.threads
                && now.processes <= before.processes
        },
    );
    let grown = after.rss.saturating_sub(before.rss);
    assert!(
        grown < RSS_GROWTH_MAX,
        "{grown} bytes more than after {warm_up} reloads"
    );
}
