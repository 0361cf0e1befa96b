//! `host ledger`: what operators do to the ledger of background tasks.

mod copy;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use service::life::{self, EXIT_USAGE};

use super::EXIT_FAILURE;
use crate::config::{Config, LedgerPlace, Overrides};
use crate::ledger;

const COMMAND: &str = "host ledger";
const IN_A_DATABASE: &str = "the ledger is kept in a PostgreSQL database (`ledger.url`), which has tools of its own: pg_dump, \
pg_restore and pg_amcheck, with the schema that `ledger.schema` names";

#[derive(Debug, Subcommand)]
pub(super) enum Ledger {
    /// Reads the whole ledger and says whether it is what was written; the host may run meanwhile.
    Check {
        #[command(flatten)]
        place: Place,
    },
    /// Copies the ledger, as it is at one moment, into a new file; the host may run meanwhile.
    Backup {
        /// The file, which must not be there yet
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Puts a backup in the ledger's place, and keeps what was there beside it; no host may run on that folder.
    Restore {
        /// The backup
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Copies all that the ledger has into a database that many hosts may share; no host may run on that folder.
    #[command(after_help = copy::MORE)]
    Copy {
        #[command(flatten)]
        target: copy::Target,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the ledger is.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The host's data folder [default: what the configuration says, or ./data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration of the host, for the data folder in it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    fn load(&self) -> Result<Config, String> {
        let overrides = Overrides {
            data: self.data.clone(),
            ..Overrides::default()
        };
        let config = Config::load(self.config.as_deref(), overrides);
        config.map_err(|error| error.to_string())
    }

    fn folder(&self) -> Result<PathBuf, String> {
        match self.load()?.ledger.place {
            LedgerPlace::Folder { folder, .. } => Ok(folder),
            LedgerPlace::Postgres { .. } => Err(IN_A_DATABASE.to_owned()),
        }
    }
}

impl Ledger {
    pub(super) fn run(self) -> ExitCode {
        match self.done() {
            Ok(said) if writeln!(io::stdout(), "{said}").is_ok() => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err((error, code)) => life::fail(COMMAND, &error, code),
        }
    }

    /// What is to be said of what was done, or why it wasn't, and the exit code of that.
    fn done(self) -> Result<String, (String, u8)> {
        let wrong = |error| (error, EXIT_USAGE);
        let done = match self {
            Self::Check { place } => check(&place.folder().map_err(wrong)?),
            Self::Backup { file, place } => backup(&place.folder().map_err(wrong)?, &file),
            Self::Restore { file, place } => restore(&place.folder().map_err(wrong)?, &file),
            Self::Copy { target, place } => {
                let config = place.load().map_err(wrong)?;
                let target = target.of(&config.ledger.place).map_err(wrong)?;
                target.copy(&config.data, config.ledger.limits, ledger::unix_ms())
            }
        };
        done.map_err(|error| (error, EXIT_FAILURE))
    }
}

fn check(folder: &Path) -> Result<String, String> {
    let checked = ledger::check(folder).map_err(|error| of_folder(folder, &error))?;
    if checked.faults.is_empty() {
        return Ok(format!(
            "the ledger in {} is whole: {} tasks",
            folder.display(),
            checked.tasks
        ));
    }
    let faults = checked.faults.join("\n");
    Err(format!(
        "the ledger in {} is damaged; `host ledger restore` brings a backup back\n{faults}",
        folder.display()
    ))
}

fn backup(folder: &Path, file: &Path) -> Result<String, String> {
    ledger::backup(folder, file).map_err(|error| of_folder(folder, &error))?;
    Ok(format!(
        "the ledger in {} is copied to {}",
        folder.display(),
        file.display()
    ))
}

fn restore(folder: &Path, file: &Path) -> Result<String, String> {
    let before = ledger::restore(folder, file, ledger::unix_ms())
        .map_err(|error| of_folder(folder, &error))?;
    let kept = before.map_or_else(String::new, |before| {
        format!("; what was there is kept as {}", before.display())
    });
    Ok(format!(
        "the ledger in {} is what {} holds{kept}",
        folder.display(),
        file.display()
    ))
}

fn of_folder(folder: &Path, error: &ledger::StoreError) -> String {
    format!("{}: {error}", folder.display())
}
