//! A host whose clock is not right.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Setup;

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
        clock.set("+0");
        let file = clock.0.to_str().expect("it is UTF-8").to_owned();
        let setup = setup
            .env("LD_PRELOAD", Self::LIBRARY)
            .env("FAKETIME_TIMESTAMP_FILE", &file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        (clock, setup)
    }

    /// So far from what it should be, as in "+2h" or "-1d".
    pub fn set(&self, offset: &str) {
        let new: &Path = &self.0.with_extension("new");
        fs::write(new, offset).expect("it is written");
        fs::rename(new, &self.0).expect("it is renamed");
    }
}
