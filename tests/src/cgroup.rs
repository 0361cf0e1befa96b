use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::process::Process;
use crate::wait::wait_until;

/// A control group of the test's own; gone, when the test drops it, as soon as nothing is left in it.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    /// Of the old kind, with a tree for each controller.
    is_v1: bool,
}

impl Cgroup {
    /// One that can bound how many processes and threads there are.
    #[must_use]
    #[track_caller]
    pub fn of_pids() -> Self {
        Self::new("pids", "pids.max")
    }

    /// One that can freeze. Of the old kind, if there is one: what is frozen there can't even be killed.
    #[must_use]
    #[track_caller]
    pub fn of_freezing() -> Self {
        Self::new("freezer", "cgroup.freeze")
    }

    /// `file` is what the controller is worked by where there is one tree for all.
    #[track_caller]
    fn new(controller: &str, file: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("task-server-test-{}-{number}", std::process::id());
        let mut missing = Vec::new();
        for (tree, is_v1) in trees(controller) {
            let path = tree.join(&name);
            if let Err(error) = fs::create_dir(&path) {
                missing.push(format!("{}: {error}", path.display()));
                continue;
            }
            let group = Self { path, is_v1 };
            if is_v1 || group.path.join(file).exists() {
                return group;
            }
            missing.push(format!(
                "{}: the controller {controller} is not in cgroup.subtree_control of the folder above",
                group.path.display()
            ));
        }
        panic!(
            "this test needs a control group with {controller}, by cgroup v1 or v2, that it may write to (run it as root): {missing:?}"
        );
    }

    /// Moves a process here, with all of its threads.
    #[track_caller]
    pub fn add(&self, process: Process) {
        self.write("cgroup.procs", &process.pid().to_string());
    }

    /// How many processes and threads there may be; `None`: any number.
    #[track_caller]
    pub fn set_pids_max(&self, max: Option<usize>) {
        let max = max.map_or("max".to_owned(), |max| max.to_string());
        self.write("pids.max", &max);
    }

    /// How many processes and threads there are.
    #[must_use]
    #[track_caller]
    pub fn pids(&self) -> usize {
        let text = fs::read_to_string(self.path.join("pids.current")).unwrap_or_default();
        text.trim().parse().expect("a number")
    }

    /// Stops all that is here, and waits until it has stopped.
    #[track_caller]
    pub fn freeze(&self) {
        if self.is_v1 {
            self.write("freezer.state", "FROZEN");
            let file = self.path.join("freezer.state");
            wait_until("it to be frozen", || reads(&file, "FROZEN"));
        } else {
            self.write("cgroup.freeze", "1");
            let file = self.path.join("cgroup.events");
            wait_until("it to be frozen", || reads(&file, "frozen 1"));
        }
    }

    /// Lets all that is here go on.
    #[track_caller]
    pub fn thaw(&self) {
        match self.is_v1 {
            true => self.write("freezer.state", "THAWED"),
            false => self.write("cgroup.freeze", "0"),
        }
    }

    #[track_caller]
    fn write(&self, file: &str, text: &str) {
        let path = self.path.join(file);
        fs::write(&path, text)
            .unwrap_or_else(|error| panic!("{text} to {}: {error}", path.display()));
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for (file, text) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
            let file = self.path.join(file);
            if file.exists() {
                let _ = fs::write(file, text);
            }
        }
        if std::thread::panicking() {
            let _ = fs::remove_dir(&self.path);
            return;
        }
        wait_until(
            "nothing to be left in the control group",
            || match fs::remove_dir(&self.path) {
                Err(error) => error.kind() == io::ErrorKind::NotFound,
                Ok(()) => true,
            },
        );
    }
}

fn reads(file: &Path, text: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|is| is.lines().any(|line| line == text))
}

/// The trees in which there may be such a controller, and whether they are of the old kind.
fn trees(controller: &str) -> Vec<(PathBuf, bool)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("proc is mounted");
    let mut trees: Vec<(PathBuf, bool)> = mounts
        .lines()
        .filter_map(|line| {
            // As `man 5 proc` has it: the mount point is the fifth field; after " - " type, source and options.
            let (first, second) = line.split_once(" - ")?;
            let path = PathBuf::from(first.split(' ').nth(4)?);
            let mut second = second.split(' ');
            let (kind, options) = (second.next()?, second.next_back()?);
            match kind {
                "cgroup" => options
                    .split(',')
                    .any(|option| option == controller)
                    .then_some((path, true)),
                "cgroup2" => Some((path, false)),
                _ => None,
            }
        })
        .collect();
    trees.sort_by_key(|(_, is_v1)| !is_v1);
    trees
}
