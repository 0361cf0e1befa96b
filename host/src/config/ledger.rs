//! `data` and `[ledger]`: where and how background tasks are kept.

use std::path::PathBuf;

use serde::Deserialize;
use service::config::ConfigError;
use values::secret::{Secret, SecretSource};
use values::units::{Size, Time};

use crate::ledger::{Durability, Limits, Postgres};

/// The data folder, unless somebody says otherwise.
pub(crate) const DATA_DEFAULT: &str = "./data";

/// The schema of a ledger in a database, unless somebody says otherwise.
pub(crate) const SCHEMA_DEFAULT: &str = "task_server";

const DAY_SECONDS: u64 = 24 * 3600;

/// Where and how background tasks are kept.
#[derive(Clone, Debug)]
pub(crate) struct LedgerSettings {
    pub(crate) place: LedgerPlace,
    pub(crate) limits: Limits,
    /// For how long a task can be asked for after its end that doesn't say so itself, in milliseconds.
    pub(crate) result_ttl_ms: i64,
}

/// Where background tasks are kept.
#[derive(Clone, Debug)]
pub(crate) enum LedgerPlace {
    /// In this folder, of this host alone.
    Folder {
        folder: PathBuf,
        durability: Durability,
    },
    /// In a `PostgreSQL` database, which hosts may share.
    Postgres {
        url: Secret,
        schema: String,
        /// A pooler in between doesn't keep prepared statements.
        is_pooled: bool,
    },
}

impl LedgerPlace {
    /// Whether other hosts may have it too.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }
}

/// `[ledger]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LedgerTable {
    url: Option<SecretSource>,
    schema: String,
    pooled: bool,
    durable: Durable,
    waiting_max: u64,
    stored_len_max: Size,
    result_ttl: Time,
    discarded_ttl: Time,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Durable {
    Fsync,
    Write,
}

impl Default for LedgerTable {
    fn default() -> Self {
        Self {
            url: None,
            schema: SCHEMA_DEFAULT.to_owned(),
            pooled: false,
            durable: Durable::Fsync,
            waiting_max: 10_000_000,
            stored_len_max: Size(16 << 30),
            result_ttl: Time::secs(DAY_SECONDS),
            discarded_ttl: Time::secs(14 * DAY_SECONDS),
        }
    }
}

impl LedgerTable {
    /// # Errors
    /// A bound of 0 would take nothing in; the database's address can't be read.
    pub(super) fn check(&self, folder: PathBuf) -> Result<LedgerSettings, ConfigError> {
        let Size(stored_len_max) = self.stored_len_max;
        let bounds = [
            ("ledger.waiting_max", self.waiting_max),
            ("ledger.stored_len_max", stored_len_max),
        ];
        for (key, bound) in bounds {
            service::config::within(key, bound, 1..=i64::MAX as u64)?;
        }
        Ok(LedgerSettings {
            place: self.place(folder)?,
            limits: Limits {
                waiting_max: self.waiting_max,
                stored_len_max,
                discarded_ttl_ms: millis(self.discarded_ttl),
            },
            result_ttl_ms: millis(self.result_ttl),
        })
    }
}

impl LedgerTable {
    fn place(&self, folder: PathBuf) -> Result<LedgerPlace, ConfigError> {
        let Some(url) = &self.url else {
            if self.schema != SCHEMA_DEFAULT || self.pooled {
                let problem = "`schema` and `pooled` are for a ledger that hosts share: give its `url`, or leave them out";
                return Err(ConfigError::value("ledger", problem));
            }
            return Ok(LedgerPlace::Folder {
                folder,
                durability: match self.durable {
                    Durable::Fsync => Durability::Fsync,
                    Durable::Write => Durability::Write,
                },
            });
        };
        let url = url.read();
        let url = url.map_err(|error| ConfigError::value("ledger.url", error.to_string()))?;
        Postgres::check(url.expose(), &self.schema)
            .map_err(|error| ConfigError::value("ledger", error.message()))?;
        Ok(LedgerPlace::Postgres {
            url,
            schema: self.schema.clone(),
            is_pooled: self.pooled,
        })
    }
}

fn millis(Time(time): Time) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
