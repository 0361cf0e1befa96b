//! The configuration file as it is written. Unknown keys are refused by name: a misspelt limit is no limit.

use std::collections::BTreeMap;
use std::path::PathBuf;

use plugin_api::limits;
use serde::Deserialize;

use values::units::{Size, Time};

use super::ledger::LedgerTable;
use super::listen::ListenKey;
use crate::access::ClientTable;

pub(super) const QUEUE_LEN_MAX_DEFAULT: usize = 10_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) listen: Option<ListenKey>,
    /// Beyond this machine all may stand open, and tokens may be read on the way.
    pub(super) insecure: bool,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) tls: Option<TlsTable>,
    pub(super) clients: BTreeMap<String, ClientTable>,
    pub(super) plugins_dir: Option<PathBuf>,
    /// Where background tasks are kept.
    pub(super) data: Option<PathBuf>,
    pub(super) ledger: LedgerTable,
    pub(super) http: Option<String>,
    pub(super) log: Option<String>,
    /// The time limit of functions that have none of their own.
    pub(super) timeout: Option<Time>,
    pub(super) limits: LimitsTable,
    pub(super) drain: DrainTable,
    pub(super) reload: ReloadTable,
    pub(super) worker: WorkerTable,
    pub(super) plugins: BTreeMap<String, PluginTable>,
}

/// `[tls]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsTable {
    pub(super) certificates: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsTable {
    pub(super) line_len_max: Size,
    pub(super) connections_max: usize,
    pub(super) strangers_max: usize,
    pub(super) in_flight_max: usize,
    pub(super) output_len_max: Size,
    pub(super) requests_len_max: Size,
    pub(super) replies_len_max: Size,
    pub(super) keep_alive: Time,
}

impl Default for LimitsTable {
    fn default() -> Self {
        Self {
            line_len_max: Size(limits::LINE_LEN_MAX_DEFAULT as u64),
            connections_max: 12_000,
            strangers_max: 1024,
            in_flight_max: 1024,
            output_len_max: Size(256 << 20),
            requests_len_max: Size(1 << 30),
            replies_len_max: Size(1 << 30),
            keep_alive: Time::secs(60),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DrainTable {
    pub(super) grace: Time,
}

impl Default for DrainTable {
    fn default() -> Self {
        Self {
            grace: Time::secs(30),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReloadTable {
    pub(super) settle: Time,
    pub(super) settle_complete: Time,
    pub(super) settle_max: Time,
    pub(super) missing_grace: Time,
    pub(super) reconcile: Time,
    pub(super) probation: Time,
}

impl Default for ReloadTable {
    fn default() -> Self {
        Self {
            settle: Time::millis(150),
            settle_complete: Time::millis(30),
            settle_max: Time::secs(1),
            missing_grace: Time::secs(2),
            reconcile: Time::secs(2),
            probation: Time::secs(10),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WorkerTable {
    pub(super) open_timeout: Time,
    pub(super) cancel_grace: Time,
    pub(super) idle_timeout: Time,
    pub(super) memory_max: Size,
    pub(super) rss_max: Size,
}

impl Default for WorkerTable {
    fn default() -> Self {
        Self {
            open_timeout: Time::secs(30),
            cancel_grace: Time::secs(limits::CANCEL_GRACE.as_secs()),
            idle_timeout: Time::secs(60),
            memory_max: Size(4 << 30),
            rss_max: Size(1 << 30),
        }
    }
}

/// `[plugins.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginTable {
    pub(super) workers: Option<usize>,
    pub(super) slots: Option<usize>,
    pub(super) timeout: Option<Time>,
    pub(super) queue_len_max: Option<usize>,
    pub(super) tasks_max: Option<u64>,
    pub(super) rss_max: Option<Size>,
    pub(super) memory_max: Option<Size>,
    pub(super) open_timeout: Option<Time>,
    pub(super) cancel_grace: Option<Time>,
    pub(super) idle_timeout: Option<Time>,
    /// The plugin's own; the host doesn't look into it.
    pub(super) config: Option<toml::Table>,
}
