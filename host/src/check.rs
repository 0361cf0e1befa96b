//! `host check`: what a library is, and whether this host would take it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use plugin_api::manifest::Manifest;
use plugin_api::note::Note;

use crate::config::Config;
use crate::{generations, reload};

/// Prints what is known of the library and the verdict. Exit code 0: the host takes it, 1: it doesn't.
///
/// What the note says needs no code to run, and is printed for libraries of other machines as well.
pub(crate) async fn run(file: &Path, config: &Config) -> ExitCode {
    let mut page = String::new();
    let verdict = match reload::note(file) {
        Ok(note) => {
            let opened = generations::try_open(config, file).await;
            page = describe(&note, opened.as_ref().ok());
            opened.map(|_| ())
        }
        Err(error) => Err(error.to_string()),
    };
    let (line, code) = match verdict {
        Ok(()) => ("this host takes it".to_owned(), ExitCode::SUCCESS),
        Err(reason) => (format!("this host refuses it: {reason}"), ExitCode::FAILURE),
    };
    let printed = writeln!(std::io::stdout().lock(), "{page}{line}");
    if printed.is_ok() {
        code
    } else {
        ExitCode::FAILURE
    }
}

fn describe(note: &Note, manifest: Option<&Manifest>) -> String {
    let mut page = format!(
        "plugin      {} {}\nplugin-api  {} (this host: {})\nrustc       {}\ntarget      {}\npanic       {}\nfunctions   {}\n",
        note.name,
        note.version,
        note.plugin_api,
        plugin_api::VERSION,
        note.rustc,
        note.target,
        note.panic,
        note.functions.join(", ")
    );
    for function in manifest.iter().flat_map(|manifest| &manifest.functions) {
        let limit = function
            .timeout_ms
            .map_or("the host's".to_owned(), |ms| format!("{ms} ms"));
        let written = write!(
            page,
            "\n{}: {}\n  time limit  {limit}\n  args        {}\n  result      {}\n",
            function.name, function.description, function.args_schema, function.result_schema
        );
        debug_assert!(written.is_ok(), "a String takes whatever is written to it");
    }
    if manifest.is_some() {
        page.push('\n');
    }
    page
}
