//! Libraries made of the fixture `versioned`, as many as a test wants, without a compiler.

use std::fs;
use std::sync::OnceLock;

use crate::artifacts::Plugin;

/// The bytes of a library that answers which version it is.
#[derive(Clone, Debug)]
pub struct Versioned(Vec<u8>);

impl Versioned {
    /// The name of its file.
    pub const FILE_NAME: &str = "libversioned.so";
    /// The version of its package, which hosts know it by.
    pub const PACKAGE: &str =
        "0.1.0-so.long.that.no.compiler.makes.code.of.it.but.copies.it.from.where.it.stands";

    /// A library whose function `version` answers this number.
    #[must_use]
    #[track_caller]
    pub fn new(version: u32) -> Self {
        static BUILT: OnceLock<Vec<u8>> = OnceLock::new();
        let built = BUILT.get_or_init(|| {
            fs::read(Plugin::Versioned.library()).expect("cargo built it just now")
        });
        Self(built.clone()).with(
            b"VERSION-00000000",
            format!("VERSION-{version:08}").as_bytes(),
        )
    }

    /// One that misbehaves: `crash`, `open_fail`, `open_hang`, `open_wait`, `open_crash`, `picky`, `ctor_crash` or
    /// `slow_close`.
    #[must_use]
    #[track_caller]
    pub fn mode(self, mode: &str) -> Self {
        self.with(b"MODE-well_______", format!("MODE-{mode:_<11}").as_bytes())
    }

    /// With one text in place of another of the same length, wherever it stands.
    #[must_use]
    #[track_caller]
    pub fn with(mut self, text: &[u8], other: &[u8]) -> Self {
        assert_eq!(text.len(), other.len());
        let mut found = 0;
        let mut at = 0;
        while at + text.len() <= self.0.len() {
            if self.0[at..].starts_with(text) {
                self.0[at..at + text.len()].copy_from_slice(other);
                found += 1;
                at += text.len();
            } else {
                at += 1;
            }
        }
        assert!(found > 0, "{} is not in it", String::from_utf8_lossy(text));
        self
    }

    /// As another plugin, of a name of nine letters.
    #[must_use]
    #[track_caller]
    pub fn named(self, name: &str) -> Self {
        self.with(b"versioned", name.as_bytes())
    }

    /// With one byte changed.
    #[must_use]
    pub fn with_byte(mut self, at: usize, byte: u8) -> Self {
        self.0[at] = byte;
        self
    }

    /// What its file holds.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}
