//! How the database is reached: its address, the time limits of a connection, and encryption.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::config::LoadBalanceHosts;
use tokio_postgres::{Client, Config};

use super::fault::{Fault, unavailable};
use super::tls::{Asked, Encryption};
use crate::ledger::error::StoreError;

/// A connection that takes longer is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Of several servers in an address, one that isn't there is left for the next one after this.
const EACH_TIMEOUT: Duration = Duration::from_secs(2);

/// What a new connection needs to know.
pub(super) struct Reach {
    config: Config,
    encryption: Encryption,
    schema: String,
}

impl Reach {
    /// # Errors
    /// The address can't be read, or the schema's name is none.
    pub(super) fn new(url: &str, schema: &str) -> Result<Self, StoreError> {
        let about_encryption =
            |error| unavailable(format!("the address of the ledger's database: {error}"));
        let asked = Asked::of(url).map_err(about_encryption)?;
        let mut config: Config =
            asked
                .address
                .parse()
                .map_err(|error: tokio_postgres::Error| {
                    let cause = std::error::Error::source(&error);
                    let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
                    unavailable(format!(
                        "the address of the ledger's database can't be read ({error}{cause})"
                    ))
                })?;
        let is_name = |text: &str| {
            let is_first = |first: u8| first.is_ascii_lowercase() || first == b'_';
            text.len() <= 63
                && text.bytes().next().is_some_and(is_first)
                && text
                    .bytes()
                    .all(|byte| is_first(byte) || byte.is_ascii_digit())
        };
        if !is_name(schema) {
            return Err(unavailable(format!(
                "`{schema}` can't be the name of the ledger's schema: take lower-case letters, digits and `_`, 63 at most"
            )));
        }
        config.ssl_mode(asked.ssl_mode());
        let encryption = asked.encryption().map_err(about_encryption)?;
        if config.get_hosts().len() > 1 {
            config.connect_timeout(EACH_TIMEOUT);
            // In another order each time: one that hangs, rather than ends, isn't always waited for first.
            config.load_balance_hosts(LoadBalanceHosts::Random);
        } else {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config.keepalives_idle(Duration::from_secs(10));
        config.tcp_user_timeout(Duration::from_secs(15));
        if config.get_application_name().is_none() {
            config.application_name("host");
        }
        Ok(Self {
            config,
            encryption,
            schema: schema.to_owned(),
        })
    }

    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// What stands before the names of tables.
    pub(super) fn prefix(&self) -> String {
        format!("\"{}\".", self.schema)
    }

    pub(super) async fn connect(&self) -> Result<Client, Fault> {
        let connecting = self.config.connect(self.encryption.clone());
        // With a limit of its own: the one of the configuration doesn't cover what is said after the connection is made.
        let connected = timeout(CONNECT_TIMEOUT, connecting).await;
        let (client, connection) = connected.map_err(|_| Fault::Slow)??;
        // Ends when the client is dropped, or the connection is.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the ledger's database ended");
            }
        });
        Ok(client)
    }
}
