//! Folders of plugins: copies of fixtures, each under a name of its own.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::Client;
use crate::contender::Contender;
use crate::error::BenchError;
use crate::workload::Functions;

/// What stands in the names of the fixture `many`, and has another number in each copy.
const COPY: &[u8] = b"copy_0000_of_a_";
const DIGITS: usize = 4;
/// The longest wait until a host has opened all plugins.
const OPEN_MAX: Duration = Duration::from_secs(120);

/// A folder that a host is started with.
pub(crate) struct Plugins(TempDir);

impl Plugins {
    /// Without plugins.
    pub(crate) fn none() -> Result<Self, BenchError> {
        TempDir::new()
            .map(Self)
            .map_err(BenchError::io("can't make a folder"))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// As it is, under its own name.
    pub(crate) fn put(&self, library: &Path) -> Result<(), BenchError> {
        let name = library.file_name().unwrap_or_default();
        fs::copy(library, self.folder().join(name))
            .map(drop)
            .map_err(BenchError::io(format!("can't copy {}", library.display())))
    }

    /// So many copies of the fixture `many`, at most 9,999, as plugins of their own whose functions have names of their own.
    pub(crate) fn put_copies(&self, library: &Path, copies: usize) -> Result<(), BenchError> {
        let original = fs::read(library)
            .map_err(BenchError::io(format!("can't read {}", library.display())))?;
        for number in 1..=copies {
            let file = self.folder().join(format!("libcopy_{number:04}.so"));
            fs::write(file, copy(&original, number))
                .map_err(BenchError::io("can't write a copy of a plugin"))?;
        }
        Ok(())
    }
}

/// The library with this number in its names.
fn copy(original: &[u8], number: usize) -> Vec<u8> {
    let mut bytes = original.to_vec();
    let mut found = 0;
    for at in 0..bytes.len().saturating_sub(COPY.len()) {
        if bytes[at..].starts_with(COPY) {
            let digits = at + b"copy_".len();
            bytes[digits..digits + DIGITS].copy_from_slice(format!("{number:04}").as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "the library is that of the fixture `many`");
    bytes
}

/// All functions of copies of the fixture `many` that a host has, as soon as they are so many.
pub(crate) fn copied_functions(host: &Contender, count: usize) -> Result<Functions, BenchError> {
    let mut client = Client::connect(host.target.way.tcp())?;
    let deadline = Instant::now() + OPEN_MAX;
    loop {
        let all = client.call("host.functions")?;
        let all = all["functions"].as_array().map_or(&[][..], Vec::as_slice);
        let copied = all.iter().filter(|function| {
            let plugin = function["plugin"].as_str();
            plugin.is_some_and(|name| name.starts_with("copy_"))
        });
        let names: Vec<String> = copied
            .filter_map(|function| Some(function["name"].as_str()?.to_owned()))
            .collect();
        if names.len() == count {
            return Ok(Functions::These(Arc::from(names)));
        }
        if Instant::now() > deadline {
            return Err(BenchError::NotServing {
                server: format!("the host with {count} functions"),
                got: format!("{} functions", names.len()),
            });
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_differ_in_their_numbers_alone() {
        let original = b"\0copy_0000_of_a_plugin\0copy_0000_of_a_function\0copy_0000\0";
        let expected = b"\0copy_0042_of_a_plugin\0copy_0042_of_a_function\0copy_0000\0";
        assert_eq!(copy(original, 42), expected);
    }
}
