//! The configuration file as it is written. Unknown keys are refused by name: a misspelt limit is no limit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use service::units::{Size, Time};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) listen: Option<String>,
    pub(super) hosts: Vec<String>,
    pub(super) allow: Vec<String>,
    pub(super) console: Option<bool>,
    pub(super) notify_text: Option<String>,
    pub(super) origins: Vec<String>,
    pub(super) cookie: Option<String>,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) roles: BTreeMap<String, RoleTable>,
    pub(super) tokens: Vec<TokenTable>,
    pub(super) jwt: Option<JwtTable>,
    pub(super) fill: BTreeMap<String, String>,
    pub(super) upstream: UpstreamTable,
    pub(super) session: SessionTable,
    pub(super) limits: LimitsTable,
    pub(super) heartbeat: HeartbeatTable,
    pub(super) tls: TlsTable,
    pub(super) drain: DrainTable,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleTable {
    pub(super) allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenTable {
    pub(super) token: String,
    pub(super) user: String,
    pub(super) role: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JwtTable {
    pub(super) algorithms: Vec<String>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) public_key_file: Option<PathBuf>,
    pub(super) jwks_file: Option<PathBuf>,
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    #[serde(default = "sub")]
    pub(super) user_claim: String,
    pub(super) role_claim: Option<String>,
    #[serde(default = "leeway")]
    pub(super) leeway: Time,
}

fn sub() -> String {
    "sub".to_owned()
}

fn leeway() -> Time {
    Time(Duration::from_secs(5))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UpstreamTable {
    pub(super) connections: usize,
    pub(super) connect_timeout: Time,
    pub(super) connect_wait: Time,
    pub(super) waiting_max: usize,
    pub(super) ping_interval: Time,
    pub(super) suspect_after: Time,
    pub(super) ping_timeout: Time,
    pub(super) backoff_min: Time,
    pub(super) backoff_max: Time,
}

impl Default for UpstreamTable {
    fn default() -> Self {
        Self {
            connections: 4,
            connect_timeout: Time(Duration::from_secs(3)),
            connect_wait: Time(Duration::from_secs(2)),
            waiting_max: 10_000,
            ping_interval: Time(Duration::from_secs(1)),
            suspect_after: Time(Duration::from_millis(500)),
            ping_timeout: Time(Duration::from_secs(5)),
            backoff_min: Time(Duration::from_millis(50)),
            backoff_max: Time(Duration::from_secs(5)),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SessionTable {
    pub(super) resume_window: Time,
    pub(super) detached_max: usize,
    pub(super) kept_max: usize,
    pub(super) kept_len_max: Size,
    pub(super) unsent_len_max: Size,
    pub(super) all_kept_len_max: Size,
    pub(super) cancel_tasks: bool,
}

impl Default for SessionTable {
    fn default() -> Self {
        Self {
            resume_window: Time(Duration::from_secs(120)),
            detached_max: 20_000,
            kept_max: 10_000,
            kept_len_max: Size(32 << 20),
            unsent_len_max: Size(16 << 20),
            all_kept_len_max: Size(512 << 20),
            cancel_tasks: false,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsTable {
    pub(super) connections_max: usize,
    pub(super) in_flight_max: usize,
    pub(super) rate: Option<String>,
    pub(super) message_len_max: Size,
    pub(super) requests_len_max: Size,
    pub(super) auth_timeout: Time,
    pub(super) header_timeout: Time,
    pub(super) user: AllowanceTable,
    pub(super) address: AllowanceTable,
}

impl Default for LimitsTable {
    fn default() -> Self {
        Self {
            connections_max: 12_000,
            in_flight_max: 256,
            rate: None,
            message_len_max: Size(8 << 20),
            requests_len_max: Size(1 << 30),
            auth_timeout: Time(Duration::from_secs(5)),
            header_timeout: Time(Duration::from_secs(10)),
            user: AllowanceTable::default(),
            address: AllowanceTable::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AllowanceTable {
    pub(super) connections_max: usize,
    pub(super) in_flight_max: usize,
    pub(super) rate: Option<String>,
}

impl Default for AllowanceTable {
    fn default() -> Self {
        Self {
            connections_max: 12_000,
            in_flight_max: 10_000,
            rate: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HeartbeatTable {
    pub(super) interval: Time,
    pub(super) missed_max: u32,
}

impl Default for HeartbeatTable {
    fn default() -> Self {
        Self {
            interval: Time(Duration::from_secs(25)),
            missed_max: 2,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsTable {
    pub(super) certificates: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DrainTable {
    pub(super) grace: Time,
}

impl Default for DrainTable {
    fn default() -> Self {
        Self {
            grace: Time(Duration::from_secs(30)),
        }
    }
}
