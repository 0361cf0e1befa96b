//! CPU time of processes, out of `/proc`.

use std::collections::HashMap;
use std::fs;
use std::ops::Sub;
use std::time::Duration;

use crate::error::BenchError;

/// CPU time used up to one moment, user and system together; to a clock tick, which is 10 ms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTimes {
    /// By the server's own process.
    pub(crate) server: Duration,
    /// By the processes that it started, those it started in turn, and those of them that have ended; by its upstream
    /// and that one's, too.
    pub(crate) workers: Duration,
    /// By this process.
    pub(crate) client: Duration,
    /// By all processes of the machine, this one and the server among them; interrupts are not.
    pub(crate) machine: Duration,
    /// Taken by other virtual machines.
    pub(crate) stolen: Duration,
}

impl CpuTimes {
    /// `upstream` is a process that the server has its work done by, and did not start.
    pub(crate) fn now(server_pid: u32, upstream: Option<u32>) -> Result<Self, BenchError> {
        let processes = processes();
        let server = processes
            .get(&server_pid)
            .ok_or_else(|| BenchError::NotServing {
                server: format!("process {server_pid}"),
                got: "it is gone".to_owned(),
            })?;
        let client = processes
            .get(&std::process::id())
            .map_or(0, |process| process.own_ticks);
        let workers: u64 = processes
            .iter()
            .filter(|(pid, process)| {
                let ancestors = [Some(server_pid), upstream].into_iter().flatten();
                Some(**pid) == upstream
                    || ancestors
                        .into_iter()
                        .any(|ancestor| descends(process.parent, ancestor, &processes))
            })
            .map(|(_, process)| process.own_ticks + process.reaped_ticks)
            .sum();
        let stat = read("/proc/stat")?;
        let [user, nice, system, stolen] = machine_ticks(&stat);
        Ok(Self {
            server: from_ticks(server.own_ticks),
            workers: from_ticks(workers + server.reaped_ticks),
            client: from_ticks(client),
            machine: from_ticks(user + nice + system),
            stolen: from_ticks(stolen),
        })
    }
}

impl Sub for CpuTimes {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            server: self.server.saturating_sub(earlier.server),
            workers: self.workers.saturating_sub(earlier.workers),
            client: self.client.saturating_sub(earlier.client),
            machine: self.machine.saturating_sub(earlier.machine),
            stolen: self.stolen.saturating_sub(earlier.stolen),
        }
    }
}

struct Process {
    parent: u32,
    own_ticks: u64,
    /// Of children that it has waited for.
    reaped_ticks: u64,
}

fn processes() -> HashMap<u32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return HashMap::new();
    };
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parse_process(&stat)?))
        })
        .collect()
}

fn descends(parent: u32, ancestor: u32, processes: &HashMap<u32, Process>) -> bool {
    let mut pid = parent;
    while pid != ancestor {
        match processes.get(&pid) {
            Some(process) => pid = process.parent,
            None => return false,
        }
    }
    true
}

/// Fields are numbered as in proc(5); the name, field 2, may hold anything, even parentheses.
fn parse_process(stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Process {
        parent: u32::try_from(number(4)?).ok()?,
        own_ticks: number(14)? + number(15)?,
        reaped_ticks: number(16)? + number(17)?,
    })
}

fn machine_ticks(stat: &str) -> [u64; 4] {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    [0, 1, 2, 7].map(|index| ticks.get(index).copied().unwrap_or(0))
}

fn from_ticks(ticks: u64) -> Duration {
    let a_second = rustix::param::clock_ticks_per_second();
    Duration::from_nanos(ticks * 1_000_000_000 / a_second)
}

fn read(path: &str) -> Result<String, BenchError> {
    fs::read_to_string(path).map_err(BenchError::io(format!("can't read {path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_a_name_that_looks_like_more() {
        let stat = "7 (a) b (c) S 5 7 7 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0 100";
        let process = parse_process(stat).unwrap();
        assert_eq!(
            (process.parent, process.own_ticks, process.reaped_ticks),
            (5, 33, 77)
        );
    }

    #[test]
    fn this_process_is_there() {
        assert!(processes().contains_key(&std::process::id()));
        CpuTimes::now(std::process::id(), None).unwrap();
    }

    #[test]
    fn the_machines_line() {
        assert_eq!(
            machine_ticks("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1"),
            [1, 2, 3, 8]
        );
    }
}
