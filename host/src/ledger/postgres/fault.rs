//! What goes wrong between the host and its database, and what that means for those who asked.

use tokio_postgres::error::{DbError, SqlState};

use crate::ledger::error::{StoreError, StoreErrorKind};

/// A statement before it, in the same transaction, has failed.
const ABORTED: &str = "25P02";

/// A prepared statement is of tables that a newer host has changed since; a new connection prepares it anew.
const CHANGED: &str = "0A000";

#[derive(Debug)]
pub(super) enum Fault {
    /// Said already.
    Known(StoreError),
    /// As [`Self::Known`], about one that has changed nothing: the others of its transaction go on.
    Refused(StoreError),
    /// The database, or the way to it.
    Database(tokio_postgres::Error),
    /// No answer within the time limit.
    Slow,
    /// Another node was faster; the same once more sees what it did.
    Raced,
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

impl Fault {
    fn code(&self) -> Option<&str> {
        match self {
            Self::Database(error) => error.code().map(SqlState::code),
            _ => None,
        }
    }

    /// Of statements that were sent together, and answered in any order: why they came to nothing.
    pub(super) fn cause_of<const N: usize>(answers: [Result<(), Self>; N]) -> Result<(), Self> {
        let mut faults = answers.into_iter().filter_map(Result::err);
        let Some(first) = faults.next() else {
            return Ok(());
        };
        Err(match first.code() {
            Some(ABORTED) => faults
                .find(|fault| fault.code() != Some(ABORTED))
                .unwrap_or(first),
            _ => first,
        })
    }

    /// As [`Self::cause_of`], of two that answer something.
    pub(super) fn of_both<A, B>(
        (one, other): (Result<A, Self>, Result<B, Self>),
    ) -> Result<(A, B), Self> {
        match (one, other) {
            (Ok(one), Ok(other)) => Ok((one, other)),
            (Err(fault), Ok(_)) | (Ok(_), Err(fault)) => Err(fault),
            (Err(one), Err(other)) if one.code() == Some(ABORTED) => Err(other),
            (Err(one), Err(_)) => Err(one),
        }
    }

    /// Whether what one asker sent is the cause, so that the others may go on without it.
    pub(super) fn is_about_one(&self) -> bool {
        let is_of = |class: &str| self.code().is_some_and(|code| code.starts_with(class));
        // Text that isn't JSON, or nested too deeply; a NUL character. A row that is too large.
        is_of("22") || is_of("54") || matches!(self, Self::Database(error) if is_unencodable(error))
    }

    /// Whether somebody has locked what one of the askers, or all of them, need.
    pub(super) fn is_locked(&self) -> bool {
        self.code() == Some("55P03")
    }

    /// Whether the same is worth being tried again at once, on another connection where this one is of no more use.
    pub(super) fn may_pass_at_once(&self) -> bool {
        match self {
            Self::Raced => true,
            Self::Known(_) | Self::Refused(_) | Self::Slow => false,
            Self::Database(_) => {
                let is_in_the_way = matches!(self.code(), Some("40001" | "40P01"));
                is_in_the_way || (self.breaks_connection() && !self.is_about_one())
            }
        }
    }

    /// Whether the connection is of no more use.
    pub(super) fn breaks_connection(&self) -> bool {
        match self {
            Self::Known(_) | Self::Refused(_) | Self::Raced => false,
            Self::Slow => true,
            // Read-only: the one that takes writes may be reached anew.
            Self::Database(error) => {
                error.is_closed()
                    || self.code().is_none_or(|code| {
                        ["25006", CHANGED, "08", "57P"]
                            .iter()
                            .any(|start| code.starts_with(start))
                    })
            }
        }
    }

    pub(super) fn into_store_error(self) -> StoreError {
        let is_about_one = self.is_about_one();
        match self {
            Self::Known(error) | Self::Refused(error) => error,
            Self::Slow => unavailable("the ledger's database didn't answer in time"),
            Self::Raced => unavailable("other hosts changed the same tasks again and again"),
            Self::Database(error) if is_about_one => unfit(&error),
            Self::Database(error) => of_database(&error),
        }
    }
}

fn unfit(error: &tokio_postgres::Error) -> StoreError {
    let said = error
        .as_db_error()
        .map_or_else(|| error.to_string(), |error| error.message().to_owned());
    let message = format!("the ledger's database can't keep this: {said}");
    StoreError::new(StoreErrorKind::Unfit, message)
}

fn is_unencodable(error: &tokio_postgres::Error) -> bool {
    error.code().is_none()
        && !error.is_closed()
        && error.to_string().starts_with("error serializing")
}

pub(super) fn unavailable(message: impl Into<std::sync::Arc<str>>) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, message)
}

pub(super) fn damaged(what: &str) -> Fault {
    Fault::Known(StoreError::new(
        StoreErrorKind::Damaged,
        format!("the ledger's database holds what no host has written: {what}"),
    ))
}

pub(super) fn unknown_task() -> StoreError {
    StoreError::new(
        StoreErrorKind::UnknownTask,
        "there is no such task, or its time to be asked for is over",
    )
}

fn of_database(error: &tokio_postgres::Error) -> StoreError {
    match error.as_db_error() {
        Some(error) => of_answer(error),
        None if error.is_closed() => {
            unavailable("the connection to the ledger's database was lost")
        }
        None => {
            let cause = std::error::Error::source(error);
            let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            unavailable(format!(
                "the ledger's database can't be reached ({error}{cause})"
            ))
        }
    }
}

fn of_answer(error: &DbError) -> StoreError {
    let code = error.code().code();
    let said = error.message();
    unavailable(match code {
        "25006" => "the ledger's database is read-only: it is a standby, or was made so".to_owned(),
        "53100" => "the disk of the ledger's database is full: make room".to_owned(),
        "53300" => "the ledger's database takes no more connections".to_owned(),
        "55P03" => "another program has the ledger's tables locked".to_owned(),
        "57014" => "the ledger's database took too long".to_owned(),
        "57P01" | "57P02" | "57P03" => format!("the ledger's database stops or starts ({said})"),
        "28000" | "28P01" => {
            format!("the ledger's database refuses the host's name or password ({said})")
        }
        "3D000" => format!("the ledger's database isn't there ({said})"),
        "42501" => format!("the host may not do this in the ledger's database ({said})"),
        "42P01" | "3F000" => format!("the ledger's tables are gone ({said})"),
        _ => format!("the ledger's database refused: {said} (SQLSTATE {code})"),
    })
}
