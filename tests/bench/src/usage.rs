//! What processes use, out of `/proc`: processor time, and how often it was taken from them or they gave it away.

use std::collections::HashMap;
use std::fs;
use std::ops::Sub;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::sys::Processors;

/// The processes of a server.
#[derive(Clone, Debug)]
pub(crate) struct Processes {
    pub(crate) server: u32,
    /// Those that it has its work done by and did not start; they and their children count as the server's workers.
    pub(crate) helpers: Vec<u32>,
}

/// What was used up to one moment. Times are those of user and system together, to a clock tick, which is 10 ms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// By the server's own process.
    pub(crate) server: Duration,
    /// By the processes that it started, those it started in turn, and those of them that have ended; by its helpers and
    /// theirs, too.
    pub(crate) workers: Duration,
    /// By this process.
    pub(crate) client: Duration,
    /// By all processes on the processors that this thread may use, this process and the server among them; interrupts are
    /// not.
    pub(crate) machine: Duration,
    /// Taken from these processors by other virtual machines.
    pub(crate) stolen: Duration,
    /// Of the server and its workers.
    pub(crate) switches: Switches,
    /// The time that has passed since some moment.
    pub(crate) passed: Duration,
}

/// That moment.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// How often threads stopped running, those alone that are still there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Switches {
    /// To wait for something.
    pub(crate) voluntary: u64,
    /// Because another one was to run.
    pub(crate) forced: u64,
}

impl Usage {
    /// Up to now.
    pub(crate) fn now(of: &Processes) -> Result<Self, BenchError> {
        let processes = processes();
        let server = processes
            .get(&of.server)
            .ok_or_else(|| BenchError::NotServing {
                server: format!("process {}", of.server),
                got: "it is gone".to_owned(),
            })?;
        let client = processes
            .get(&std::process::id())
            .map_or(0, |process| process.own_ticks);
        let workers = workers(of, &processes);
        let workers_ticks: u64 = workers
            .iter()
            .filter_map(|pid| processes.get(pid))
            .map(|process| process.own_ticks + process.reaped_ticks)
            .sum();
        let switches = workers.iter().chain([&of.server]).copied().map(switches);
        let switches = switches.fold(Switches::default(), Switches::plus);
        // Together: where there are many processes, reading takes a while.
        let (stat, passed) = (read("/proc/stat")?, START.elapsed());
        let processors =
            Processors::of_this_thread().map_err(BenchError::io("which processors there are"))?;
        let [user, nice, system, stolen] = machine_ticks(&stat, &processors.numbers());
        Ok(Self {
            server: from_ticks(server.own_ticks),
            workers: from_ticks(workers_ticks + server.reaped_ticks),
            client: from_ticks(client),
            machine: from_ticks(user + nice + system),
            stolen: from_ticks(stolen),
            switches,
            passed,
        })
    }

    /// What neither the server nor the client had of the processors while these were busy.
    fn others(&self) -> Duration {
        let ours = self.server + self.workers + self.client;
        self.machine.saturating_sub(ours) + self.stolen
    }

    /// What others, programs and virtual machines, had of the processors that this thread may use, as a share of all of
    /// their time.
    pub(crate) fn others_share(&self) -> f64 {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let all = self.passed.as_secs_f64() * processors as f64;
        if all > 0.0 {
            self.others().as_secs_f64() / all
        } else {
            0.0
        }
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            server: self.server.saturating_sub(earlier.server),
            workers: self.workers.saturating_sub(earlier.workers),
            client: self.client.saturating_sub(earlier.client),
            machine: self.machine.saturating_sub(earlier.machine),
            stolen: self.stolen.saturating_sub(earlier.stolen),
            switches: Switches {
                voluntary: self
                    .switches
                    .voluntary
                    .saturating_sub(earlier.switches.voluntary),
                forced: self.switches.forced.saturating_sub(earlier.switches.forced),
            },
            passed: self.passed.saturating_sub(earlier.passed),
        }
    }
}

impl Switches {
    fn plus(self, other: Self) -> Self {
        Self {
            voluntary: self.voluntary + other.voluntary,
            forced: self.forced + other.forced,
        }
    }
}

/// All processes of a server, its own the first.
pub(crate) fn all_of(of: &Processes) -> Vec<u32> {
    let mut all = vec![of.server];
    all.extend(workers(of, &processes()));
    all
}

fn workers(of: &Processes, processes: &HashMap<u32, Process>) -> Vec<u32> {
    let is_worker = |pid: u32, process: &Process| {
        of.helpers.contains(&pid)
            || [&of.server]
                .into_iter()
                .chain(&of.helpers)
                .any(|ancestor| descends(process.parent, *ancestor, processes))
    };
    let all = processes.iter();
    all.filter(|(pid, process)| is_worker(**pid, process))
        .map(|(pid, _)| *pid)
        .collect()
}

/// Of all threads of a process; of one that is gone, none.
fn switches(pid: u32) -> Switches {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok())
        .map(|status| parse_switches(&status))
        .fold(Switches::default(), Switches::plus)
}

fn parse_switches(status: &str) -> Switches {
    let count = |name: &str| field(status, name).unwrap_or(0);
    Switches {
        voluntary: count("voluntary_ctxt_switches:"),
        forced: count("nonvoluntary_ctxt_switches:"),
    }
}

/// The number behind a name at the beginning of a line, whatever unit follows.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
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

/// Of these processors together: user, nice, system and stolen; see proc(5).
fn machine_ticks(stat: &str, processors: &[usize]) -> [u64; 4] {
    let mut all = [0; 4];
    for line in stat.lines() {
        let mut fields = line.split_whitespace();
        let number = fields.next().and_then(|name| name.strip_prefix("cpu"));
        // The line without a number is that of all of them.
        let number: Option<usize> = number.and_then(|number| number.parse().ok());
        if number.is_some_and(|number| processors.contains(&number)) {
            let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
            for (sum, index) in all.iter_mut().zip([0, 1, 2, 7]) {
                *sum += ticks.get(index).copied().unwrap_or(0);
            }
        }
    }
    all
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
        let this = Processes {
            server: std::process::id(),
            helpers: Vec::new(),
        };
        Usage::now(&this).unwrap();
        assert_eq!(all_of(&this)[0], this.server);
    }

    #[test]
    fn switches_are_of_both_kinds() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        let expected = Switches {
            voluntary: 12,
            forced: 3,
        };
        assert_eq!(parse_switches(status), expected);
        assert!(switches(std::process::id()).voluntary > 0);
        assert_eq!(switches(0), Switches::default());
    }

    #[test]
    fn others_have_what_is_neither_the_servers_nor_ours() {
        let seconds = Duration::from_secs;
        let usage = Usage {
            server: seconds(1),
            workers: seconds(2),
            client: seconds(3),
            machine: seconds(10),
            stolen: seconds(5),
            ..Usage::default()
        };
        assert_eq!(usage.others(), seconds(9));
        // The clocks of processes and of the machine tick apart.
        let busy = Usage {
            machine: seconds(5),
            stolen: seconds(0),
            ..usage
        };
        assert_eq!(busy.others(), seconds(0));
    }

    #[test]
    fn the_machines_lines() {
        let stat = "cpu  9 9 9 9 9 9 9 9 9 9\n\
                    cpu0 1 2 3 4 5 6 7 8 9 10\ncpu1 10 20 30 40 50 60 70 80 90 100\nintr 1\n";
        assert_eq!(machine_ticks(stat, &[0]), [1, 2, 3, 8]);
        assert_eq!(machine_ticks(stat, &[0, 1, 2]), [11, 22, 33, 88]);
    }
}
