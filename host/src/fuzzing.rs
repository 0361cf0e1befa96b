//! The way in for the fuzzers of `tests/fuzz`, which stand outside of this crate. Built with `--cfg fuzzing` only; what
//! must hold stands in the rooms that it is about.

use crate::{access, link, net, plugin, reload};

/// Bytes from a worker, read by the host. The first says how the others are cut.
pub fn frames_to_host(data: &[u8]) {
    link::fuzzing::frames_to_host(data);
}

/// Bytes from the host, read by a worker. The first says how the others are cut.
pub fn frames_to_worker(data: &[u8]) {
    link::fuzzing::frames_to_worker(data);
}

/// A script of what workers do to a pool.
pub fn broken_workers(script: &[u8]) {
    plugin::fuzzing::broken_workers(script);
}

/// A file that may be a library.
pub fn library(data: &[u8]) {
    reload::fuzzing::library(data);
}

/// A section that may be a plugin's note, and what may be the text of one.
pub fn note(data: &[u8]) {
    reload::fuzzing::note_section(data);
}

/// Bytes from a client. The first says how the others are cut.
pub fn lines(data: &[u8]) {
    net::fuzzing::lines(data);
}

/// What may be a header of the PROXY protocol.
pub fn proxy_header(data: &[u8]) {
    net::fuzzing::proxy_header(data);
}

/// What may be the line by which a client shows who it is.
pub fn hello(line: &[u8]) {
    access::hello::check(line);
}

/// What to begin with for [`frames_to_host`].
pub fn seeds_to_host() -> Vec<Vec<u8>> {
    link::fuzzing::seeds_to_host()
}

/// What to begin with for [`frames_to_worker`].
pub fn seeds_to_worker() -> Vec<Vec<u8>> {
    link::fuzzing::seeds_to_worker()
}

/// What to begin with for [`broken_workers`].
pub fn scripts() -> Vec<Vec<u8>> {
    plugin::fuzzing::seeds()
}

/// The text of a library's note, and a small library that has it.
pub fn note_of(library: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let text = reload::fuzzing::note_text(library)?;
    let small = reload::fuzzing::library_of(&reload::fuzzing::section_of(&text));
    Some((text, small))
}
