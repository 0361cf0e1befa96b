//! Where the figures come from.

use std::fs;
use std::thread;

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
