//! Where the figures come from.

use std::fs;
use std::thread;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::error::BenchError;
use crate::rounds::{OTHERS_MAX, RoundsArgs};

/// The machine in a few words.
pub(crate) fn describe() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|info| {
        let line = info.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let virtual_machine = fs::read_to_string("/proc/cpuinfo")
        .is_ok_and(|info| info.split_whitespace().any(|flag| flag == "hypervisor"));
    format!(
        "{cores} {}cores of {}, Linux {}",
        if virtual_machine { "virtual " } else { "" },
        cpu.as_deref().unwrap_or("an unknown CPU"),
        kernel.trim(),
    )
}

/// The machine, and how often and how long servers are measured on it.
pub(crate) fn made_with(args: &RoundsArgs) -> String {
    format!(
        "{}. Medians of {} rounds of {} s each after {} s of warm-up; measured again, up to {} times, where others had more \
         than {:.0} % of the processors",
        describe(),
        args.rounds,
        args.seconds,
        args.warm_up_seconds,
        args.again_max,
        OTHERS_MAX * 100.0,
    )
}

/// Lets this process, and those that it starts, have so many files open, or as many as it may.
pub(crate) fn raise_open_files_limit(wanted: u64) -> Result<(), BenchError> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        setrlimit(Resource::Nofile, limit)
            .map_err(|error| BenchError::io("can't open so many files")(error.into()))?;
    }
    Ok(())
}
