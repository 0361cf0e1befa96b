//! `host token new NAME`: a token for a client, and what the configuration needs of it.

use std::io::{self, Write};
use std::process::ExitCode;

use service::life::{self, EXIT_USAGE};

use crate::access::{TokenHash, check_name, make_token};

/// Prints a new token on standard output, and what to do with it on standard error.
pub(crate) fn new(name: &str) -> ExitCode {
    if let Err(problem) = check_name(name) {
        return life::fail("host token", &format!("{name:?} {problem}"), EXIT_USAGE);
    }
    // In TOML, a dot in a bare key begins another table.
    let key = match name.contains('.') {
        true => format!("\"{name}\""),
        false => name.to_owned(),
    };
    let token = match make_token() {
        Ok(token) => token,
        Err(error) => {
            say(&format!(
                "host token: the system gives no random bytes: {error}"
            ));
            return ExitCode::FAILURE;
        }
    };
    let mut stdout = io::stdout().lock();
    let printed = writeln!(stdout, "{token}").and_then(|()| stdout.flush());
    if printed.is_err() {
        return ExitCode::FAILURE;
    }
    say(&format!(
        "The line above is the token; it is kept nowhere. The host's configuration has its hash (SIGHUP reads it again):\n\n\
         [clients.{key}]\n\
         tokens = [{{ sha256 = \"{}\" }}]   # until = 2030-12-31 gives it an end\n\
         functions = [\"*\"]",
        TokenHash::of(&token)
    ));
    ExitCode::SUCCESS
}

/// Nobody may be there to read it.
fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
