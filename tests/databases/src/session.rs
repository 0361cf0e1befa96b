//! `psql`, for a statement or a session.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use crate::programs::program;

/// `psql`, which reads nobody's settings, prints a line for each row and nothing else, and ends at the first error.
#[must_use]
pub fn psql() -> Command {
    let mut psql = Command::new(program(&["psql"]));
    psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
    psql.arg("--set=ON_ERROR_STOP=1");
    psql
}

/// A session of `PostgreSQL`, which ends, and what it began with it, when this is dropped.
pub struct Session(Child);

impl Session {
    /// One at this address that has done this.
    ///
    /// # Errors
    /// It isn't let in, or a statement fails.
    pub fn start(url: &str, statements: &str) -> io::Result<Self> {
        let mut psql = psql();
        psql.arg(url);
        psql.stdin(Stdio::piped());
        psql.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut session = Self(psql.spawn()?);
        // One that isn't let in says nothing either.
        if let Some(input) = &mut session.0.stdin {
            let _ = writeln!(input, "{statements};\nSELECT 'done';");
        }
        let output = session.0.stdout.take();
        for line in output
            .map(BufReader::new)
            .into_iter()
            .flat_map(BufRead::lines)
        {
            if line? == "done" {
                return Ok(session);
            }
        }
        let mut why = String::new();
        if let Some(errors) = &mut session.0.stderr {
            errors.read_to_string(&mut why)?;
        }
        Err(io::Error::other(format!("{statements}: {why}")))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
