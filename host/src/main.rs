//! `host`: the task server, its command line, and, as `host worker`, its children.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Not a word of the command line's: only the host starts workers, with a link as their standard input.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|command| command == "worker")
    {
        host::worker::main()
    } else {
        host::cli::main()
    }
}
