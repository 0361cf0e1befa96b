//! Who may connect to the host, and what they may call: the clients of the configuration, and how each of them shows
//! itself.
//!
//! A connection has a [`Pass`] of its client. It is good until the configuration, or the end of its token, says
//! otherwise; whoever has one is told then ([`Access::watch`]).

mod client;
mod date;
pub(crate) mod hello;
mod settings;
mod token;
mod users;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use service::sync::{lock, read, write};
use tokio::time::sleep;

use self::client::Client;
pub(crate) use self::client::{Busy, Caller, ClientReport, Denied, Visit, unauthorized};
use self::settings::{ANONYMOUS, Rules, Shown};
pub(crate) use self::settings::{ClientSettings, ClientTable, check, check_name};
pub(crate) use self::token::{TokenHash, make as make_token};
pub(crate) use self::users::User;

/// How often it is looked whose tokens have ended.
const ENDS_INTERVAL: Duration = Duration::from_secs(1);
/// No end.
const NEVER: u64 = u64::MAX;

/// All clients, as the configuration has them now.
pub(crate) struct Access {
    directory: RwLock<Arc<Directory>>,
    watchers: Mutex<HashMap<u64, Watcher>>,
    number_last: AtomicU64,
}

struct Watcher {
    pass: Pass,
    tell: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug)]
struct Directory {
    /// In the order of their names.
    clients: Vec<Arc<Client>>,
    credentials: Vec<Arc<Credential>>,
    /// Of those who need not show themselves: as long as there are no clients, or where a listener lets them.
    nobody: Arc<Credential>,
    guest: Arc<Credential>,
}

/// One way in which one client shows itself.
#[derive(Debug)]
struct Credential {
    shown: Shown,
    client: Arc<Client>,
    /// Seconds since 1970.
    ends_at: AtomicU64,
    is_revoked: AtomicBool,
}

impl Credential {
    fn new(shown: Shown, client: Arc<Client>) -> Arc<Self> {
        Arc::new(Self {
            shown,
            client,
            ends_at: AtomicU64::new(NEVER),
            is_revoked: AtomicBool::new(false),
        })
    }

    fn end_at(&self, until: Option<SystemTime>) {
        let until = until.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let ends_at = until.map_or(NEVER, |since| since.as_secs());
        self.ends_at.store(ends_at, Ordering::Relaxed);
    }

    fn has_ended(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        self.ends_at.load(Ordering::Relaxed) <= now
    }
}

/// What lets a connection in.
#[derive(Clone, Debug)]
pub(crate) struct Pass(Arc<Credential>);

impl Pass {
    /// Whether its client may no longer be here.
    pub(crate) fn is_revoked(&self) -> bool {
        self.0.is_revoked.load(Ordering::Relaxed)
    }

    fn client(&self) -> &Arc<Client> {
        &self.0.client
    }
}

/// The client's name.
impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.client.name())
    }
}

impl Directory {
    fn new(settings: Vec<ClientSettings>, before: Option<&Self>) -> Self {
        let mut clients = Vec::with_capacity(settings.len());
        let mut credentials = Vec::new();
        for ClientSettings { name, shows, rules } in settings {
            let known = before.and_then(|before| before.find(&name));
            // The counts of a client outlive its rules.
            let client = match known {
                Some(client) => {
                    client.rule(rules);
                    Arc::clone(client)
                }
                None => Client::new(name.into(), rules),
            };
            for (shown, until) in shows {
                let known = before.and_then(|before| before.credential(&shown, &client));
                let credential = match known {
                    Some(credential) => Arc::clone(credential),
                    None => Credential::new(shown, Arc::clone(&client)),
                };
                credential.end_at(until);
                credentials.push(credential);
            }
            clients.push(client);
        }
        let nobody = before
            .map(|before| &before.nobody)
            .filter(|_| clients.is_empty());
        let anonymous = before.map_or_else(
            || Client::new(ANONYMOUS.into(), Rules::everything()),
            |before| Arc::clone(&before.guest.client),
        );
        let fresh = || Credential::new(Shown::Nothing, Arc::clone(&anonymous));
        Self {
            nobody: nobody
                .filter(|one| !one.is_revoked.load(Ordering::Relaxed))
                .map_or_else(fresh, Arc::clone),
            guest: before.map_or_else(fresh, |before| Arc::clone(&before.guest)),
            clients,
            credentials,
        }
    }

    fn find(&self, name: &str) -> Option<&Arc<Client>> {
        self.clients.iter().find(|client| client.name() == name)
    }

    fn credential(&self, shown: &Shown, client: &Arc<Client>) -> Option<&Arc<Credential>> {
        let is_it = |one: &&Arc<Credential>| {
            one.shown == *shown
                && Arc::ptr_eq(&one.client, client)
                && !one.is_revoked.load(Ordering::Relaxed)
        };
        self.credentials.iter().find(is_it)
    }
}

impl Access {
    pub(crate) fn new(clients: Vec<ClientSettings>) -> Self {
        Self {
            directory: RwLock::new(Arc::new(Directory::new(clients, None))),
            watchers: Mutex::default(),
            number_last: AtomicU64::new(0),
        }
    }

    /// These are the clients from now on. Who may no longer be here is told.
    pub(crate) fn configure(&self, clients: Vec<ClientSettings>) {
        let before = self.directory();
        let now = Arc::new(Directory::new(clients, Some(&before)));
        *write(&self.directory) = Arc::clone(&now);
        for credential in before.credentials.iter().chain([&before.nobody]) {
            let stays = now
                .credentials
                .iter()
                .any(|one| Arc::ptr_eq(one, credential));
            let is_open = now.clients.is_empty() && Arc::ptr_eq(&now.nobody, credential);
            if !stays && !is_open {
                credential.is_revoked.store(true, Ordering::Relaxed);
            }
        }
        self.tell_revoked();
    }

    fn directory(&self) -> Arc<Directory> {
        Arc::clone(&read(&self.directory))
    }

    /// Whether there are no clients: then nobody has to show who they are.
    pub(crate) fn is_open(&self) -> bool {
        read(&self.directory).clients.is_empty()
    }

    /// For who shows nothing, where that is enough: there are no clients, or the listener takes `guests`.
    pub(crate) fn of_nobody(&self, guests: bool) -> Option<Pass> {
        let directory = read(&self.directory);
        let credential = match directory.clients.is_empty() {
            true => &directory.nobody,
            false if guests => &directory.guest,
            false => return None,
        };
        Some(Pass(Arc::clone(credential)))
    }

    /// For who shows this token. It is compared with all that there are, in a time that tells nothing of any of them.
    pub(crate) fn of_token(&self, token: &str) -> Option<Pass> {
        let hash = TokenHash::of(token);
        let directory = self.directory();
        let mut found = None;
        for credential in &directory.credentials {
            if let Shown::Token(known) = &credential.shown
                && bool::from(known.equals(&hash))
            {
                found = Some(credential);
            }
        }
        found.and_then(usable)
    }

    /// For who shows a certificate that has such names.
    pub(crate) fn of_certificate(&self, has: impl Fn(&ServerName<'_>) -> bool) -> Option<Pass> {
        let directory = self.directory();
        let mut credentials = directory.credentials.iter();
        let found =
            credentials.find(|one| matches!(&one.shown, Shown::Certificate(name) if has(name)));
        found.and_then(usable)
    }

    /// For a process of this user.
    pub(crate) fn of_user(&self, number: u32) -> Option<Pass> {
        let directory = self.directory();
        let mut credentials = directory.credentials.iter();
        let found = credentials.find(|one| one.shown == Shown::User(number));
        found.and_then(usable)
    }

    /// Has `tell` called when the pass is no longer good, as long as what this gives is held. It must not block.
    pub(crate) fn watch(
        self: &Arc<Self>,
        pass: &Pass,
        tell: impl Fn() + Send + Sync + 'static,
    ) -> Watch {
        let number = self.number_last.fetch_add(1, Ordering::Relaxed);
        let watcher = Watcher {
            pass: pass.clone(),
            tell: Box::new(tell),
        };
        lock(&self.watchers).insert(number, watcher);
        Watch {
            access: Arc::clone(self),
            number,
        }
    }

    fn tell_revoked(&self) {
        for watcher in lock(&self.watchers).values() {
            if watcher.pass.is_revoked() {
                (watcher.tell)();
            }
        }
    }

    /// Looks after tokens that end, for as long as the host runs.
    pub(crate) async fn watch_ends(self: Arc<Self>) {
        loop {
            sleep(ENDS_INTERVAL).await;
            self.end_tokens(SystemTime::now());
        }
    }

    fn end_tokens(&self, now: SystemTime) {
        let mut any = false;
        for credential in &self.directory().credentials {
            if credential.has_ended(now) && !credential.is_revoked.swap(true, Ordering::Relaxed) {
                let client = credential.client.name();
                tracing::warn!(client, "a token has ended (until)");
                any = true;
            }
        }
        if any {
            self.tell_revoked();
        }
    }

    /// How each client fares, those whom nobody asks included where there are any.
    pub(crate) fn report(&self) -> Vec<(String, ClientReport)> {
        let directory = self.directory();
        let anonymous = [&directory.guest.client];
        let all = directory.clients.iter().chain(anonymous);
        all.map(|client| (client.name().to_owned(), client.report()))
            .collect()
    }
}

fn usable(credential: &Arc<Credential>) -> Option<Pass> {
    let is_usable =
        !credential.has_ended(SystemTime::now()) && !credential.is_revoked.load(Ordering::Relaxed);
    is_usable.then(|| Pass(Arc::clone(credential)))
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("directory", &self.directory())
            .finish_non_exhaustive()
    }
}

/// See [`Access::watch`].
#[derive(Debug)]
pub(crate) struct Watch {
    access: Arc<Access>,
    number: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.access.watchers).remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
