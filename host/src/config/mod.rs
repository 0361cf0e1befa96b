//! The host's configuration: what a file may say ([`raw`]), and what the host holds once it has been checked.
//! [`listen`] is about addresses, [`safety`] about what must not stand open by accident.

mod ledger;
mod listen;
mod raw;
mod safety;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use service::config::ConfigError;
use service::config::{parse, read, within};
use service::listen::Listen;
use service::proxies::Proxies;
use service::tls::TlsFiles;
use values::units::Size;

pub(crate) use self::ledger::{DATA_DEFAULT, LedgerPlace, LedgerSettings, SCHEMA_DEFAULT};
pub(crate) use self::listen::{LISTEN_DEFAULT, Listening, Place, UnixPlace};
use self::listen::{ListenKey, ListenTable};
use self::raw::PluginTable;
use crate::access::{self, ClientSettings};
use crate::plugin::{PoolSettings, Settings};

pub(crate) const PLUGINS_DIR_DEFAULT: &str = "./plugins";
/// What the address for operators' pages could be, for messages.
const HTTP_EXAMPLE: &str = "127.0.0.1:9100";

/// What the command line says; each entry wins over the file's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// None: as the file says.
    pub(crate) listen: Vec<String>,
    pub(crate) insecure: bool,
    pub(crate) plugins_dir: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) http: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) listen: Vec<Listening>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) clients: Vec<ClientSettings>,
    /// Proxies that say by the PROXY protocol for whom they speak.
    pub(crate) trusted_proxies: Proxies,
    /// What stands open beyond this machine is meant to.
    is_open_meant: bool,
    /// Where operators' pages are; none: nowhere.
    pub(crate) http: Option<Listen>,
    /// What is logged, unless the command line says so.
    pub(crate) log: Option<String>,
    pub(crate) plugins_dir: PathBuf,
    /// The data folder, where the ledger is unless it is in a database.
    pub(crate) data: PathBuf,
    pub(crate) ledger: LedgerSettings,
    pub(crate) limits: Limits,
    pub(crate) drain_grace: Duration,
    pub(crate) reload: Reload,
    /// How every pool is run whose plugin has no word of its own.
    pool: PoolSettings,
    worker: WorkerLimits,
    plugins: BTreeMap<String, PluginConfig>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Longest line in either direction, in bytes.
    pub(crate) line_len_max: usize,
    pub(crate) connections_max: usize,
    /// Connections whose clients have yet to show who they are.
    pub(crate) strangers_max: usize,
    /// Requests of one connection that are in flight.
    pub(crate) in_flight_max: usize,
    /// Bytes of replies that one client has not read.
    pub(crate) output_len_max: usize,
    /// Bytes of all requests that the host holds.
    pub(crate) requests_len_max: usize,
    /// Bytes of replies that all clients together have not read.
    pub(crate) replies_len_max: usize,
    /// After so long without a word a client is asked whether it is still there, in whole seconds.
    pub(crate) keep_alive: Duration,
}

/// How long a file must have been unchanged before it is examined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settle {
    /// After news that a file is complete.
    pub(crate) quick: Duration,
    pub(crate) usual: Duration,
    /// Whatever keeps changing is examined after this long all the same.
    pub(crate) max: Duration,
    /// How long a file may be missing before its plugin goes: some tools remove before they create.
    pub(crate) missing: Duration,
}

/// How changes of the plugins folder are followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reload {
    pub(crate) settle: Settle,
    /// How often the folder is looked at without being told to.
    pub(crate) reconcile: Duration,
    /// How long a new generation may be rolled back.
    pub(crate) probation: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct WorkerLimits {
    memory_max: Option<u64>,
}

#[derive(Clone, Debug)]
struct PluginConfig {
    pool: PoolSettings,
    worker: WorkerLimits,
    slots: Option<u32>,
    config: serde_json::Value,
}

/// How one plugin is to be run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PluginSettings {
    pub(crate) pool: PoolSettings,
    pub(crate) slots: Option<u32>,
    pub(crate) memory_max: Option<u64>,
    /// The plugin's own configuration, as JSON text.
    pub(crate) config: String,
}

impl Config {
    /// Processors that this process may use.
    pub(crate) fn cores(&self) -> usize {
        self.pool.scheduler.cores
    }

    /// Reads the file, where there is one, lets the command line win, and checks what came of it.
    pub(crate) fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let raw: raw::File = read(file)?;
        Self::check(raw, overrides)
    }

    fn check(raw: raw::File, overrides: Overrides) -> Result<Self, ConfigError> {
        let listen = match overrides.listen.is_empty() {
            true => raw.listen.map(|ListenKey(tables)| tables),
            false => Some(
                overrides
                    .listen
                    .iter()
                    .map(|text| ListenTable::new(text))
                    .collect(),
            ),
        };
        let listen = listen.unwrap_or_else(|| vec![ListenTable::new(LISTEN_DEFAULT)]);
        let listen = listen::check(listen)?;
        let clients = access::check(raw.clients)?;
        let trusted_proxies = Proxies::check(&raw.trusted_proxies)?;
        let tls = raw.tls.map(|table| TlsFiles {
            certificates: table.certificates,
            key: table.key,
            client_ca: table.client_ca,
        });
        let is_open_meant = raw.insecure || overrides.insecure;
        safety::check(&safety::Plan {
            listen: &listen,
            clients: &clients,
            trusted_proxies: &trusted_proxies,
            tls: tls.as_ref(),
            is_meant: is_open_meant,
        })?;
        let http = overrides.http.or(raw.http);
        let http = http.map(|text| Listen::parse("http", &text, HTTP_EXAMPLE));
        let pool = PoolSettings {
            scheduler: Settings {
                workers_max: 0,
                cores: std::thread::available_parallelism().map_or(1, usize::from),
                queue_len_max: raw::QUEUE_LEN_MAX_DEFAULT,
                open_timeout: raw.worker.open_timeout.0,
                cancel_grace: raw.worker.cancel_grace.0,
                idle_timeout: raw.worker.idle_timeout.0,
                tasks_max: None,
                rss_max: raw.worker.rss_max.to_limit(),
            },
            workers_max: None,
            timeout: None,
            timeout_default: raw
                .timeout
                .map_or(plugin_api::limits::TIMEOUT_DEFAULT, |timeout| timeout.0),
        };
        let worker = WorkerLimits {
            memory_max: raw.worker.memory_max.to_limit(),
        };
        let plugins = raw
            .plugins
            .into_iter()
            .map(|(name, table)| {
                Ok((
                    name.clone(),
                    PluginConfig::check(&name, table, &pool, worker)?,
                ))
            })
            .collect::<Result<_, ConfigError>>()?;
        let data = overrides
            .data
            .or(raw.data)
            .unwrap_or_else(|| DATA_DEFAULT.into());
        Ok(Self {
            listen,
            tls,
            clients,
            trusted_proxies,
            is_open_meant,
            http: http.transpose()?,
            log: raw.log,
            plugins_dir: overrides
                .plugins_dir
                .or(raw.plugins_dir)
                .unwrap_or_else(|| PLUGINS_DIR_DEFAULT.into()),
            ledger: raw.ledger.check(data.clone())?,
            data,
            limits: Limits::check(&raw.limits)?,
            drain_grace: raw.drain.grace.0,
            reload: Reload {
                settle: Settle {
                    quick: raw.reload.settle_complete.0,
                    usual: raw.reload.settle.0,
                    max: raw.reload.settle_max.0,
                    missing: raw.reload.missing_grace.0,
                },
                reconcile: raw.reload.reconcile.0,
                probation: raw.reload.probation.0,
            },
            pool,
            worker,
            plugins,
        })
    }

    /// Whether these clients may take the place of those of the host that runs: where it listens does not change, whatever
    /// the file says of that by now.
    ///
    /// # Errors
    /// Something would stand open that nobody has meant to, and what to write.
    pub(crate) fn suits(&self, running: &Self) -> Result<(), ConfigError> {
        safety::check(&safety::Plan {
            listen: &running.listen,
            clients: &self.clients,
            trusted_proxies: &running.trusted_proxies,
            tls: running.tls.as_ref(),
            is_meant: running.is_open_meant,
        })
    }

    /// How the plugin of this name is to be run.
    pub(crate) fn plugin(&self, name: &str) -> PluginSettings {
        match self.plugins.get(name) {
            Some(plugin) => plugin.settings(),
            None => PluginSettings {
                pool: self.pool.clone(),
                slots: None,
                memory_max: self.worker.memory_max,
                config: "{}".to_owned(),
            },
        }
    }

    /// How the plugin of this name is to be run when `text` stands in the file beside its library: what a table
    /// `[plugins.NAME]` may say, which it takes the place of.
    pub(crate) fn plugin_from(&self, name: &str, text: &str) -> Result<PluginSettings, String> {
        let table: PluginTable = parse(text)?;
        let plugin = PluginConfig::check(name, table, &self.pool, self.worker);
        Ok(plugin.map_err(|error| error.to_string())?.settings())
    }

    /// Plugins that have a table of their own.
    pub(crate) fn plugin_names(&self) -> impl Iterator<Item = &str> {
        self.plugins.keys().map(String::as_str)
    }
}

impl Limits {
    fn check(raw: &raw::LimitsTable) -> Result<Self, ConfigError> {
        let bytes = |key: &str, size: Size, max: usize| within(key, size.to_usize(), 1024..=max);
        let count = |key: &str, count: usize| within(key, count, 1..=1 << 20);
        Ok(Self {
            line_len_max: bytes("limits.line_len_max", raw.line_len_max, 512 << 20)?,
            connections_max: count("limits.connections_max", raw.connections_max)?,
            strangers_max: count("limits.strangers_max", raw.strangers_max)?,
            in_flight_max: count("limits.in_flight_max", raw.in_flight_max)?,
            output_len_max: bytes("limits.output_len_max", raw.output_len_max, usize::MAX)?,
            requests_len_max: bytes("limits.requests_len_max", raw.requests_len_max, usize::MAX)?,
            replies_len_max: bytes("limits.replies_len_max", raw.replies_len_max, usize::MAX)?,
            keep_alive: keep_alive(raw.keep_alive.0)?,
        })
    }
}

/// The system counts it in seconds, up to 32767.
fn keep_alive(time: Duration) -> Result<Duration, ConfigError> {
    match time.as_secs() {
        secs @ 1..=32_767 => Ok(Duration::from_secs(secs)),
        _ => Err(ConfigError::value(
            "limits.keep_alive",
            "must be from 1s to 9h",
        )),
    }
}

impl PluginConfig {
    fn settings(&self) -> PluginSettings {
        PluginSettings {
            pool: self.pool.clone(),
            slots: self.slots,
            memory_max: self.worker.memory_max,
            config: self.config.to_string(),
        }
    }

    fn check(
        name: &str,
        table: PluginTable,
        defaults: &PoolSettings,
        worker: WorkerLimits,
    ) -> Result<Self, ConfigError> {
        let key = |key: &str| format!("plugins.{name}.{key}");
        let mut pool = defaults.clone();
        if let Some(workers) = table.workers {
            pool.workers_max = Some(within(&key("workers"), workers, 1..=10_000)?);
        }
        if let Some(queue_len_max) = table.queue_len_max {
            pool.scheduler.queue_len_max =
                within(&key("queue_len_max"), queue_len_max, 1..=10_000_000)?;
        }
        let slots = match table.slots {
            Some(slots) => Some(within(&key("slots"), slots, 1..=crate::link::CELLS_MAX)?),
            None => None,
        };
        pool.timeout = table.timeout.map(|timeout| timeout.0);
        pool.scheduler.tasks_max = table.tasks_max.filter(|max| *max > 0);
        if let Some(rss_max) = table.rss_max {
            pool.scheduler.rss_max = rss_max.to_limit();
        }
        if let Some(open_timeout) = table.open_timeout {
            pool.scheduler.open_timeout = open_timeout.0;
        }
        if let Some(cancel_grace) = table.cancel_grace {
            pool.scheduler.cancel_grace = cancel_grace.0;
        }
        if let Some(idle_timeout) = table.idle_timeout {
            pool.scheduler.idle_timeout = idle_timeout.0;
        }
        let config = match table.config {
            Some(config) => as_json(&key("config"), toml::Value::Table(config))?,
            None => serde_json::Value::Object(serde_json::Map::new()),
        };
        Ok(Self {
            pool,
            worker: WorkerLimits {
                memory_max: table.memory_max.map_or(worker.memory_max, Size::to_limit),
            },
            slots: slots.and_then(|slots| u32::try_from(slots).ok()),
            config,
        })
    }
}

/// A plugin's own configuration as it gets it. TOML has values that JSON has not: they are refused rather than changed.
fn as_json(key: &str, value: toml::Value) -> Result<serde_json::Value, ConfigError> {
    use serde_json::Value;
    let refused = |why: &str| Err(ConfigError::value(key.to_owned(), why.to_owned()));
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Boolean(yes) => yes.into(),
        toml::Value::Float(number) => match serde_json::Number::from_f64(number) {
            Some(number) => Value::Number(number),
            None => {
                return refused(
                    "a plugin can't be given nan or inf; leave it out, or write it as a text",
                );
            }
        },
        toml::Value::Datetime(_) => {
            return refused("a plugin can't be given a date or a time; write it in quotes");
        }
        toml::Value::Array(values) => {
            let values = values.into_iter().enumerate();
            values
                .map(|(index, value)| as_json(&format!("{key}[{index}]"), value))
                .collect::<Result<_, _>>()?
        }
        toml::Value::Table(table) => {
            let entries = table.into_iter().map(|(name, value)| {
                let value = as_json(&format!("{key}.{name}"), value)?;
                Ok((name, value))
            });
            Value::Object(entries.collect::<Result<_, ConfigError>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let raw = parse(text)?;
        Config::check(raw, Overrides::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        let config = load("").unwrap();
        let [listening] = &config.listen[..] else {
            panic!("{:?}", config.listen)
        };
        assert_eq!(listening.to_string(), LISTEN_DEFAULT);
        assert!(listening.is_local() && !listening.is_tls && !listening.takes_guests);
        assert!(config.http.is_none() && config.log.is_none());
        assert_eq!(config.limits.line_len_max, protocol::LINE_LEN_MAX_DEFAULT);
        assert_eq!(config.plugin("mail").config, "{}");
        assert_eq!(
            config.plugin("mail").pool.limit(None),
            Duration::from_secs(60)
        );
    }

    #[test]
    fn a_plugin_has_its_own_word() {
        let config = load(
            "[plugins.mail]\nworkers = 3\nslots = 2\ntimeout = \"5s\"\nqueue_len_max = 7\nmemory_max = 0\n\
             config = { url = \"smtp://localhost\", connections = 8 }",
        )
        .unwrap();
        let mail = config.plugin("mail");
        assert_eq!(mail.pool.workers_max, Some(3));
        assert_eq!(mail.slots, Some(2));
        assert_eq!(mail.pool.limit(Some(1)), Duration::from_secs(5));
        assert_eq!(mail.pool.scheduler.queue_len_max, 7);
        assert_eq!(mail.memory_max, None);
        assert_eq!(mail.config, r#"{"connections":8,"url":"smtp://localhost"}"#);
        assert!(config.plugin("other").memory_max.is_some());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("lisen = \"x\"", "lisen"),
            ("[limits]\nline_len = 1", "line_len"),
            ("[plugins.mail]\nworker = 1", "worker"),
            ("[plugins.mail]\nworkers = 0", "plugins.mail.workers"),
            ("[plugins.mail]\nslots = 257", "plugins.mail.slots"),
            ("[plugins.mail]\ntimeout = \"5 parsecs\"", "parsecs"),
            (
                "[plugins.mail.config]\nat = [1, 2026-01-01]",
                "plugins.mail.config.at[1]",
            ),
            (
                "[plugins.mail.config.a]\nb = nan",
                "plugins.mail.config.a.b",
            ),
            ("[plugins.mail.config]\nb = -inf", "plugins.mail.config.b"),
            ("timeout = 5", "timeout"),
            ("[limits]\nline_len_max = \"10 furlongs\"", "furlongs"),
            ("listen = \"nowhere\"", "listen"),
            ("http = \"nowhere\"", "127.0.0.1:9100"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(named), "{text:?} gave {error:?}");
        }
    }
}
