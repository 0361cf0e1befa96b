//! The ledger's store: opened when it is first needed, or when there is one from before.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use service::sync::{read, write};
use tokio::sync::Mutex;

use crate::config::{LedgerPlace, LedgerSettings};
use crate::ledger::{
    Listener, Options, Postgres, PostgresOptions, Sqlite, Store, StoreError, StoreErrorKind,
    unix_ms,
};

/// How often it is tried to open a ledger that could not be opened.
const TRY_AGAIN: Duration = Duration::from_secs(1);

pub(super) type Handle = Arc<dyn Store>;

pub(super) struct Storage {
    settings: LedgerSettings,
    /// The name of this run of this host.
    node: Arc<str>,
    listener: Arc<dyn Listener>,
    store: RwLock<Option<Handle>>,
    /// Held while it is opened: when it could not be opened last, and why.
    opening: Mutex<Option<(Instant, StoreError)>>,
}

impl Storage {
    pub(super) fn new(
        settings: LedgerSettings,
        node: Arc<str>,
        listener: Arc<dyn Listener>,
    ) -> Self {
        Self {
            settings,
            node,
            listener,
            store: RwLock::default(),
            opening: Mutex::default(),
        }
    }

    /// Whether there is a ledger from before, or from others.
    pub(super) fn is_there(&self) -> bool {
        match &self.settings.place {
            LedgerPlace::Folder { folder, .. } => Sqlite::is_there(folder),
            LedgerPlace::Postgres { .. } => true,
        }
    }

    /// Whether other hosts may share it.
    pub(super) fn is_shared(&self) -> bool {
        self.settings.place.is_shared()
    }

    /// The store, if it is open.
    pub(super) fn get(&self) -> Option<Handle> {
        read(&self.store).clone()
    }

    /// The store, opened and made if need be, and whether this call has opened it.
    pub(super) async fn open(&self) -> Result<(Handle, bool), StoreError> {
        if let Some(store) = self.get() {
            return Ok((store, false));
        }
        let mut failed = self.opening.lock().await;
        if let Some(store) = self.get() {
            return Ok((store, false));
        }
        if let Some((at, error)) = &*failed
            && at.elapsed() < TRY_AGAIN
        {
            return Err(error.clone());
        }
        let (settings, node) = (self.settings.clone(), Arc::clone(&self.node));
        let opening = move || open_at(settings, node);
        let opened = tokio::task::spawn_blocking(opening).await;
        let opened = opened.unwrap_or_else(|_| {
            let message =
                "the ledger could not be opened: the host's log says more under \"panicked\"";
            Err(StoreError::new(StoreErrorKind::Unavailable, message))
        });
        match opened {
            Ok(store) => {
                store.watch(Arc::clone(&self.listener));
                *write(&self.store) = Some(Arc::clone(&store));
                *failed = None;
                match &self.settings.place {
                    LedgerPlace::Folder { folder, .. } => {
                        let folder = folder.display();
                        tracing::info!(%folder, "background tasks are kept in the ledger");
                    }
                    LedgerPlace::Postgres { schema, .. } => {
                        let node = &self.node;
                        tracing::info!(%schema, %node, "background tasks are kept in the ledger that hosts share");
                    }
                }
                Ok((store, true))
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Lets go of it. Nothing opens it again.
    pub(super) async fn close(&self) {
        let message = "the host ends";
        let ended = StoreError::new(StoreErrorKind::Unavailable, message);
        let far = Instant::now() + Duration::from_secs(3600);
        *self.opening.lock().await = Some((far, ended));
        let store = write(&self.store).take();
        // It finishes what it was asked to do.
        let _ = tokio::task::spawn_blocking(move || drop(store)).await;
    }
}

fn open_at(settings: LedgerSettings, node: Arc<str>) -> Result<Handle, StoreError> {
    let limits = settings.limits;
    Ok(match settings.place {
        LedgerPlace::Folder { folder, durability } => {
            let options = Options { durability, limits };
            Arc::new(Sqlite::open(&folder, options, unix_ms())?)
        }
        LedgerPlace::Postgres {
            url,
            schema,
            is_pooled,
        } => Arc::new(Postgres::open(PostgresOptions {
            url: url.expose().to_owned(),
            schema,
            limits,
            node,
            is_pooled,
        })?),
    })
}
