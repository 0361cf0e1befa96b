//! What is said: the report on stdout, what is going on on stderr.

use std::fmt::Display;
use std::io::{self, Write as _};

/// The report, or a server's line.
pub(crate) fn print(text: &str) -> io::Result<()> {
    io::stdout().write_all(text.as_bytes())
}

/// That a server is there.
pub(crate) fn listening(addr: &impl Display) -> io::Result<()> {
    print(&format!("listening on {addr}\n"))
}

/// What is going on, for whoever watches; the report itself goes to stdout.
#[expect(clippy::print_stderr, reason = "the one place that does")]
pub(crate) fn note(message: &str) {
    eprintln!("{message}");
}
