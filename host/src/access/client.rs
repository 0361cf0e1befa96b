//! A client: what it may do, what it does now, and what has become of what it asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use protocol::{ErrorCode, Request, TaskFailure};
use serde::Serialize;
use service::rate::Bucket;
use service::sync::{lock, read, write};

use super::Pass;
use super::settings::{ANONYMOUS, Rules};

/// When a client that has as many requests in flight as it may can come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Addresses and subjects that a report names.
const NAMED_MAX: usize = 100;

#[derive(Debug)]
pub(super) struct Client {
    name: Arc<str>,
    rules: RwLock<Arc<Rules>>,
    bucket: Mutex<Option<Bucket>>,
    connections: AtomicUsize,
    in_flight: AtomicUsize,
    requests: AtomicU64,
    refused: AtomicU64,
    /// Connections by where they come from.
    addresses: Mutex<BTreeMap<Arc<str>, usize>>,
    /// Requests in flight by on whose behalf they are.
    subjects: Mutex<BTreeMap<Arc<str>, usize>>,
}

/// How a client fares.
#[derive(Debug, Serialize)]
pub(crate) struct ClientReport {
    pub(crate) connections: usize,
    in_flight: usize,
    requests: u64,
    refused: u64,
    /// At most a hundred.
    addresses: BTreeMap<Arc<str>, usize>,
    /// Of requests in flight; at most a hundred.
    subjects: BTreeMap<Arc<str>, usize>,
}

/// Why a request is not let in.
#[derive(Debug)]
pub(crate) struct Denied(pub(crate) TaskFailure);

impl Client {
    pub(super) fn new(name: Arc<str>, rules: Rules) -> Arc<Self> {
        Arc::new(Self {
            name,
            bucket: Mutex::new(rules.rate.map(Bucket::new)),
            rules: RwLock::new(Arc::new(rules)),
            connections: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            addresses: Mutex::default(),
            subjects: Mutex::default(),
        })
    }

    /// These are its rules from now on.
    pub(super) fn rule(&self, rules: Rules) {
        if read(&self.rules).rate != rules.rate {
            *lock(&self.bucket) = rules.rate.map(Bucket::new);
        }
        *write(&self.rules) = Arc::new(rules);
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&read(&self.rules))
    }

    pub(super) fn report(&self) -> ClientReport {
        let first = |names: &Mutex<BTreeMap<Arc<str>, usize>>| {
            let names = lock(names);
            let first = names.iter().take(NAMED_MAX);
            first
                .map(|(name, count)| (Arc::clone(name), *count))
                .collect()
        };
        ClientReport {
            connections: self.connections.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            addresses: first(&self.addresses),
            subjects: first(&self.subjects),
        }
    }

    fn begin(self: &Arc<Self>, request: &Request) -> Result<Option<Arc<str>>, TaskFailure> {
        let rules = self.rules();
        if request.subject.is_some() && !rules.vouch {
            return Err(TaskFailure::new(
                ErrorCode::BadRequest,
                format!(
                    "field `subject`: the client `{}` may not say on whose behalf it asks (`vouch` of its table); leave it out",
                    self.name
                ),
            ));
        }
        let max = rules.in_flight_max;
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= max {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            let message = format!(
                "the client `{}` has {max} requests in flight, as many as it may (`in_flight_max`)",
                self.name
            );
            return Err(overloaded(&message, RETRY_AFTER));
        }
        // What finds no room doesn't count against the rate.
        let taken = match &mut *lock(&self.bucket) {
            Some(bucket) => bucket.take(Instant::now()),
            None => Ok(()),
        };
        if let Err(wait) = taken {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            let message = format!(
                "the client `{}` asks more often than it may (`rate`)",
                self.name
            );
            return Err(overloaded(&message, wait));
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let subject: Option<Arc<str>> = request.subject.as_deref().map(Arc::from);
        if let Some(subject) = &subject {
            more(&self.subjects, subject);
        }
        Ok(subject)
    }
}

fn more(counts: &Mutex<BTreeMap<Arc<str>, usize>>, name: &Arc<str>) {
    *lock(counts).entry(Arc::clone(name)).or_default() += 1;
}

fn less(counts: &Mutex<BTreeMap<Arc<str>, usize>>, name: &Arc<str>) {
    let mut counts = lock(counts);
    if let Some(count) = counts.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            counts.remove(name);
        }
    }
}

fn overloaded(message: &str, wait: Duration) -> TaskFailure {
    TaskFailure::new(ErrorCode::Overloaded, message).with_retry_after(wait)
}

/// What a client is told that has not shown itself, whatever is wrong.
pub(crate) fn unauthorized() -> TaskFailure {
    TaskFailure::new(
        ErrorCode::Unauthorized,
        "this host wants to know who you are: send {\"function\":\"host.hello\",\"args\":{\"token\":\"…\"}} as the first line",
    )
}

impl Pass {
    /// Counts a connection of the client from there.
    ///
    /// # Errors
    /// It has as many as it may.
    pub(crate) fn enter(&self, address: &str) -> Result<Visit, Denied> {
        let client = self.client();
        let max = client.rules().connections_max;
        if client.connections.fetch_add(1, Ordering::Relaxed) >= max {
            client.connections.fetch_sub(1, Ordering::Relaxed);
            let message = format!(
                "the client `{}` has {max} connections, as many as it may (`connections_max`)",
                client.name
            );
            return Err(Denied(overloaded(&message, RETRY_AFTER)));
        }
        let address = Arc::from(address);
        more(&client.addresses, &address);
        Ok(Visit {
            client: Arc::clone(client),
            address,
        })
    }

    /// Lets a request of the client in.
    ///
    /// # Errors
    /// The client may not be here any more, or has asked for too much.
    pub(crate) fn admit(&self, request: &Request) -> Result<(Caller, Busy), Denied> {
        if self.is_revoked() {
            return Err(Denied(unauthorized()));
        }
        let client = self.client();
        // Those who may do all are not counted request by request.
        if &*client.name == ANONYMOUS {
            let subject = request.subject.as_deref().map(Arc::from);
            let caller = Caller {
                subject,
                ..Caller::default()
            };
            return Ok((caller, Busy(None)));
        }
        let caller = |subject| Caller {
            client: Some(Arc::clone(client)),
            subject,
            is_background: false,
        };
        if request.is_for_host() {
            return Ok((caller(None), Busy(None)));
        }
        match client.begin(request) {
            Ok(subject) => {
                let busy = Busy(Some((Arc::clone(client), subject.clone())));
                Ok((caller(subject), busy))
            }
            Err(failure) => {
                client.refused.fetch_add(1, Ordering::Relaxed);
                Err(Denied(failure))
            }
        }
    }

    /// What the client is told of itself, as JSON.
    pub(crate) fn introduction(&self) -> serde_json::Value {
        Caller {
            client: Some(Arc::clone(self.client())),
            ..Caller::default()
        }
        .introduction()
    }
}

/// A connection of a client. Dropped, it has ended.
#[derive(Debug)]
pub(crate) struct Visit {
    client: Arc<Client>,
    address: Arc<str>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.client.connections.fetch_sub(1, Ordering::Relaxed);
        less(&self.client.addresses, &self.address);
    }
}

/// A request of a client that is in flight. Dropped, it is answered.
#[derive(Debug)]
pub(crate) struct Busy(Option<(Arc<Client>, Option<Arc<str>>)>);

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some((client, subject)) = &self.0 {
            client.in_flight.fetch_sub(1, Ordering::Relaxed);
            if let Some(subject) = subject {
                less(&client.subjects, subject);
            }
        }
    }
}

/// Who asks, and on whose behalf. The default: somebody who need not show who they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    client: Option<Arc<Client>>,
    subject: Option<Arc<str>>,
    is_background: bool,
}

impl Caller {
    /// The ledger, which has checked who may have the task when it came in.
    pub(crate) fn of_background(subject: Option<Arc<str>>) -> Self {
        Self {
            client: None,
            subject,
            is_background: true,
        }
    }

    /// Whether it is the ledger.
    pub(crate) fn is_background(&self) -> bool {
        self.is_background
    }

    /// The client's name, if it has one.
    pub(crate) fn client(&self) -> Option<&str> {
        self.client.as_deref().map(Client::name)
    }

    /// On whose behalf it asks, as it says.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Whether it may call this function, which need not exist.
    pub(crate) fn may_call(&self, function: &str) -> bool {
        let client = self.client.as_ref();
        client.is_none_or(|client| client.rules().may_call(function))
    }

    /// Whether it may call a function of the host's own for what that says of others.
    pub(crate) fn is_operator_of(&self, function: &str) -> bool {
        let client = self.client.as_ref();
        client.is_none_or(|client| client.rules().is_operator_of(function))
    }

    /// How the client fares, if it has a name.
    pub(crate) fn report(&self) -> Option<ClientReport> {
        self.client.as_ref().map(|client| client.report())
    }

    /// What the client is told of itself, as JSON.
    pub(crate) fn introduction(&self) -> serde_json::Value {
        let everything = Arc::new(Rules::everything());
        let client = self.client.as_ref().filter(|one| &*one.name != ANONYMOUS);
        let rules = client.map_or(everything, |client| client.rules());
        serde_json::json!({
            "client": client.map(|client| client.name()),
            "functions": rules.written,
            "vouch": rules.vouch,
        })
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.client().unwrap_or(ANONYMOUS))
    }
}
