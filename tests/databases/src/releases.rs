use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::{program, run};

/// Which `PostgreSQL` it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The system's own.
    Installed,
    /// The oldest that the host works with, as far as there are programs for this machine (`tests/setup.sh`).
    Oldest,
    /// The newest that there is.
    Newest,
}

impl Release {
    /// The folder of its programs, as far as a server has any: `initdb`, `postgres` and `pg_ctl`. They are copied into
    /// `folder` where the server's user might not reach them otherwise.
    pub(crate) fn programs(self, folder: &Path) -> PathBuf {
        let name = match self {
            Self::Installed => {
                let postgres = program(&["postgres"]);
                return postgres.parent().unwrap().to_owned();
            }
            Self::Oldest => "oldest",
            Self::Newest => "newest",
        };
        let tools = std::env::var_os("TASK_SERVER_TOOLS");
        let tools = tools.expect("cargo sets TASK_SERVER_TOOLS: run the tests by `cargo test`");
        let there = Path::new(&tools).join("postgres").join(name);
        assert!(
            there.join("bin/postgres").is_file(),
            "{} is not there: run tests/setup.sh tests",
            there.display()
        );
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return there.join("bin");
        }
        // No server runs as root, and its folders may be closed to others.
        let copy = folder.join("programs");
        run(Command::new("cp")
            .args(["--recursive", "--no-dereference", "--no-target-directory"])
            .arg(&there)
            .arg(&copy));
        copy.join("bin")
    }
}
