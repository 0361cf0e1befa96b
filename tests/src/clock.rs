//! A host whose clock is not right.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Setup, run};

/// The clock of a host, by the library `libfaketime`, which reads a file whenever the time is asked for. How long
/// something takes is measured as before.
#[derive(Debug)]
pub struct Clock(PathBuf);

impl Clock {
    const LIBRARY: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";

    /// The clock of the host that this sets up, which is right until it is set, and the setup with it.
    #[must_use]
    pub fn of(setup: Setup) -> (Self, Setup) {
        let clock = Self(setup.folder().join("clock"));
        let file = clock.0.to_str().expect("it is UTF-8").to_owned();
        let settings = [
            ("LD_PRELOAD", Self::LIBRARY),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        // A library that is missing would not be missed.
        clock.set("1999-12-31 12:00:00");
        let year = run(Command::new("date").arg("+%Y").envs(settings)).output();
        assert_eq!(year.trim(), "1999");
        clock.set("+0");
        let setup = settings
            .into_iter()
            .fold(setup, |setup, (name, value)| setup.env(name, value));
        (clock, setup)
    }

    /// So far from what it should be, as in "+2h" or "-1d".
    pub fn set(&self, offset: &str) {
        let new: &Path = &self.0.with_extension("new");
        fs::write(new, offset).expect("it is written");
        fs::rename(new, &self.0).expect("it is renamed");
    }
}
