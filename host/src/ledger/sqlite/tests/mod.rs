//! What is `SQLite`'s own about the ledger: its files, its faults, and what it does when the process or the power ends.

mod bench;
mod faults;
mod files;
mod life;
mod power;

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;

use super::{Options, Sqlite};
use crate::ledger::store::{Durability, Limits};
use crate::ledger::tests::{DISCARDED_TTL_MS, NOW};
use crate::ledger::{StoreError, TaskIds};

const OPTIONS: Options = Options {
    durability: Durability::Fsync,
    limits: Limits {
        waiting_max: u64::MAX,
        stored_len_max: u64::MAX,
        discarded_ttl_ms: DISCARDED_TTL_MS,
    },
};

fn open(folder: &Path) -> Sqlite {
    Sqlite::open(folder, OPTIONS, NOW).unwrap()
}

#[track_caller]
fn refusal(folder: &Path) -> StoreError {
    match Sqlite::open(folder, OPTIONS, NOW) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

/// A process that does what a test of this name does, which others leave out. `program` starts it, where it isn't empty.
fn child(program: &[&str], test: &str, folder: &Path) -> Command {
    let mut words: Vec<PathBuf> = program.iter().map(PathBuf::from).collect();
    words.push(std::env::current_exe().unwrap());
    let mut command = Command::new(&words[0]);
    let test = format!("ledger::sqlite::tests::{test}");
    command.args(&words[1..]).args([
        "--exact",
        &test,
        "--ignored",
        "--nocapture",
        "--test-threads",
        "1",
    ]);
    command.env(FOLDER, folder);
    command
}

/// A process that ends with this, also where a test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const FOLDER: &str = "LEDGER_TEST_FOLDER";

/// Of the process that [`child`] starts; none in others, which run all tests that are left out.
fn child_folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

fn new_ids() -> Arc<TaskIds> {
    Arc::new(TaskIds::new())
}
