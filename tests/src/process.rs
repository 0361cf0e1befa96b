//! Processes as `/proc` shows them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getrlimit, kill_process, kill_process_group, prlimit, setrlimit,
};

use crate::wait::wait_until;

/// More than a worker needs for anything that ends: a tenth of a second.
const BUSY_TICKS: u64 = 10;

/// One process, told apart from a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pid: u32,
    started: u64,
}

/// What is of use in `/proc/PID/stat`; times in ticks of 10 ms.
struct Stat {
    state: String,
    parent: u32,
    group: u32,
    started: u64,
    cpu: u64,
}

impl Process {
    /// The process that has this number now.
    #[must_use]
    pub fn find(pid: u32) -> Option<Self> {
        Some(Self {
            pid,
            started: stat(pid)?.started,
        })
    }

    /// Its number.
    #[must_use]
    pub fn pid(self) -> u32 {
        self.pid
    }

    /// Whether it is there and no zombie.
    #[must_use]
    pub fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| {
            stat.started == self.started && !["Z", "X"].contains(&stat.state.as_str())
        })
    }

    /// The process group that it is in.
    #[must_use]
    pub fn group(self) -> Option<u32> {
        Some(stat(self.pid)?.group)
    }

    /// Its children, zombies included: they count as leaks.
    #[must_use]
    pub fn children(self) -> Vec<Self> {
        let entries = fs::read_dir("/proc")
            .expect("proc is mounted")
            .filter_map(Result::ok);
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid: u32| {
            let stat = stat(pid)?;
            (stat.parent == self.pid).then_some(Self {
                pid,
                started: stat.started,
            })
        })
        .collect()
    }

    /// Its open file descriptors.
    #[must_use]
    pub fn fds(self) -> usize {
        self.count_in("fd")
    }

    /// How many files it may have open, softly and at most; `None`: any number.
    #[must_use]
    #[track_caller]
    pub fn open_files_limit(self) -> (Option<u64>, Option<u64>) {
        let limits = fs::read_to_string(self.path("limits")).expect("it is there");
        let mut lines = limits.lines();
        let line = lines.find_map(|line| line.strip_prefix("Max open files"));
        let mut words = line.unwrap_or_default().split_whitespace();
        let mut number = || words.next()?.parse().ok();
        (number(), number())
    }

    /// Changes how many files it may have open, softly.
    #[track_caller]
    pub fn set_open_files_limit(self, current: Option<u64>) {
        let (_, maximum) = self.open_files_limit();
        prlimit(
            Some(self.raw()),
            Resource::Nofile,
            Rlimit { current, maximum },
        )
        .unwrap_or_else(|error| panic!("the limit of {self:?}: {error}"));
    }

    /// Lets it open no more than so many files beside those that it has open.
    #[track_caller]
    pub fn leave_descriptors(self, count: usize) {
        let look = || -> BTreeSet<u64> {
            let entries = fs::read_dir(self.path("fd")).expect("it is there");
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            names.filter_map(|name| name.parse().ok()).collect()
        };
        // Some may be open for no longer than a look at a folder takes.
        let mut open = look();
        for _ in 0..20 {
            open = &open & &look();
        }
        let mut free = (0..).filter(|number| !open.contains(number));
        let limit = free.nth(count).expect("numbers don't end");
        self.set_open_files_limit(Some(limit));
    }

    /// Its threads.
    #[must_use]
    pub fn threads(self) -> usize {
        self.count_in("task")
    }

    /// Its resident memory, in bytes.
    #[must_use]
    pub fn rss(self) -> u64 {
        let status = fs::read_to_string(self.path("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .and_then(|kib| kib.parse::<u64>().ok());
        kib.map_or(0, |kib| kib * 1024)
    }

    /// The words of its command line.
    #[must_use]
    pub(crate) fn command_line(self) -> Vec<String> {
        let words = fs::read_to_string(self.path("cmdline")).unwrap_or_default();
        words.split_terminator('\0').map(str::to_owned).collect()
    }

    /// Waits until it has been busy for a while, as a handler is that runs in a circle.
    #[track_caller]
    pub fn wait_until_busy(self) {
        let ticks = || stat(self.pid).map_or(0, |stat| stat.cpu);
        let before = ticks();
        wait_until("a worker to be busy", || ticks() >= before + BUSY_TICKS);
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(self, signal: Signal) {
        kill_process(self.raw(), signal)
            .unwrap_or_else(|error| panic!("{signal:?} to {self:?}: {error}"));
    }

    /// Stops it, and waits until all of its threads have stopped: a signal takes a moment to arrive.
    #[track_caller]
    pub fn stop(self) {
        self.signal(Signal::STOP);
        let is_stopped = |thread: fs::DirEntry| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ")
                .is_none_or(|(_, fields)| fields.starts_with('T'))
        };
        wait_until("a process to have stopped", || {
            let mut threads = fs::read_dir(self.path("task")).expect("it is there");
            threads.all(|thread| thread.is_ok_and(is_stopped))
        });
    }

    /// Kills it, if it is still there. Whether it was.
    #[must_use]
    pub fn try_kill(self) -> bool {
        self.is_alive() && kill_process(self.raw(), Signal::KILL).is_ok()
    }

    /// Sends a signal to the whole group that it leads.
    #[track_caller]
    pub fn signal_group(self, signal: Signal) {
        kill_process_group(self.raw(), signal)
            .unwrap_or_else(|error| panic!("{signal:?} to {self:?}: {error}"));
    }

    /// Kills the whole group that it leads, if it leads one and is there.
    pub(crate) fn kill_group(self) {
        let _ = kill_process_group(self.raw(), Signal::KILL);
    }

    fn raw(self) -> Pid {
        i32::try_from(self.pid)
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process has a number above 0")
    }

    fn count_in(self, folder: &str) -> usize {
        fs::read_dir(self.path(folder)).map_or(0, Iterator::count)
    }

    fn path(self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold blanks and brackets.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    // By the manual, the state is field 3.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        state: fields.first()?.to_string(),
        parent: u32::try_from(number(4)?).ok()?,
        group: u32::try_from(number(5)?).ok()?,
        started: number(22)?,
        cpu: number(14)? + number(15)?,
    })
}

/// Lets this process, and the hosts that it starts from now on, have at least `count` files open.
pub fn raise_open_files_limit(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX).max(count);
    if limit.current.unwrap_or(u64::MAX) < count {
        let raised = Rlimit {
            current: Some(hard),
            maximum: limit.maximum.map(|_| hard),
        };
        setrlimit(Resource::Nofile, raised).unwrap_or_else(|error| {
            panic!("this test needs {count} open files (`ulimit -Hn`): {error}")
        });
    }
}
