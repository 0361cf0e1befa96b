//! How much each client may ask for, so that none takes what others need.

mod settings;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use protocol::{ErrorCode, TaskFailure};
use service::bytes::{ByteBudget, HeldBytes};
use service::rate::Bucket;
use service::sync::lock;

pub(crate) use self::settings::{Allowance, CapSettings, Settings, Table};

/// Who is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    User(Arc<str>),
    /// An address, or the network of one of IPv6.
    Address(IpAddr),
}

/// A user or an address, whose connections and tasks are counted. Each of these holds on to it.
#[derive(Debug)]
struct Holder {
    key: Key,
    allowance: Allowance,
    usage: Mutex<Usage>,
}

/// What a user or an address has.
#[derive(Debug)]
struct Usage {
    connections: usize,
    in_flight: usize,
    bucket: Option<Bucket>,
}

impl Holder {
    fn usage(&self) -> MutexGuard<'_, Usage> {
        lock(&self.usage)
    }

    /// Whether it is as if they had never been there.
    fn is_idle(&self, now: Instant) -> bool {
        let usage = self.usage();
        usage.connections == 0
            && usage.in_flight == 0
            && usage
                .bucket
                .as_ref()
                .is_none_or(|bucket| bucket.is_full(now))
    }

    /// # Errors
    /// They have as many tasks as they may, or send them too often.
    fn begin(&self) -> Result<(), TaskFailure> {
        let whose = match self.key {
            Key::User(_) => "you",
            Key::Address(_) => "your address",
        };
        let mut usage = self.usage();
        if usage.in_flight >= self.allowance.in_flight_max {
            let message = format!(
                "{whose} may have {} tasks in flight; wait for one of them",
                self.allowance.in_flight_max
            );
            return Err(overloaded(&message, RETRY_AFTER));
        }
        if let Some(bucket) = &mut usage.bucket
            && let Err(wait) = bucket.take(Instant::now())
        {
            let message = format!("{whose} may not send tasks so often; wait a moment");
            return Err(overloaded(&message, wait));
        }
        usage.in_flight += 1;
        Ok(())
    }
}

/// Counts connections and tasks.
#[derive(Debug)]
pub(crate) struct Caps {
    settings: CapSettings,
    connections: AtomicUsize,
    in_flight: AtomicUsize,
    /// Bytes of requests that have not been answered.
    requests: ByteBudget,
    /// Bytes of requests that are still on their way in.
    incoming: ByteBudget,
    holders: Mutex<HashMap<Key, Arc<Holder>>>,
}

/// Why a connection can't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// The gateway has as many as it may.
    Connections,
    /// This address has as many as it may.
    OfAddress,
    /// This user has as many as they may.
    OfUser,
}

impl Caps {
    pub(crate) fn new(settings: CapSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            connections: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            requests: ByteBudget::new(settings.requests_len_max),
            incoming: ByteBudget::new(settings.requests_len_max),
            holders: Mutex::default(),
        })
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Counts a connection until what it gives is dropped; for its address as well, unless that is a proxy's.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(crate) fn connect(
        self: &Arc<Self>,
        address: Option<IpAddr>,
    ) -> Result<ConnectionPermit, TooMany> {
        let fits = |count: usize| (count < self.settings.connections_max).then_some(count + 1);
        self.connections
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|_| TooMany::Connections)?;
        let mut permit = ConnectionPermit {
            caps: Arc::clone(self),
            holders: Vec::new(),
        };
        if let Some(address) = address {
            permit.of_address(address)?;
        }
        Ok(permit)
    }

    /// Whom an address counts for. Whoever has one address of IPv6 has all of its network.
    fn key_of(&self, address: IpAddr) -> Key {
        let address = match address.to_canonical() {
            IpAddr::V6(address) => {
                let mask = u128::MAX << (128 - u32::from(self.settings.ipv6_prefix));
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
            address @ IpAddr::V4(_) => address,
        };
        Key::Address(address)
    }

    fn holders(&self) -> MutexGuard<'_, HashMap<Key, Arc<Holder>>> {
        lock(&self.holders)
    }

    fn holder(&self, key: &Key) -> Arc<Holder> {
        let allowance = match key {
            Key::User(_) => self.settings.user,
            Key::Address(_) => self.settings.address,
        };
        let new = || {
            Arc::new(Holder {
                key: key.clone(),
                allowance,
                usage: Mutex::new(Usage {
                    connections: 0,
                    in_flight: 0,
                    bucket: allowance.rate.map(Bucket::new),
                }),
            })
        };
        let mut holders = self.holders();
        Arc::clone(holders.entry(key.clone()).or_insert_with(new))
    }

    /// Forgets those who have nothing and whose rate has recovered.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        // Whoever else holds on to one is about to count something.
        self.holders()
            .retain(|_, holder| Arc::strong_count(holder) > 1 || !holder.is_idle(now));
    }
}

/// A connection that counts.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    caps: Arc<Caps>,
    holders: Vec<Arc<Holder>>,
}

impl ConnectionPermit {
    /// Counts it for the user as well, once that is known.
    ///
    /// # Errors
    /// The user has as many as they may.
    pub(crate) fn of_user(&mut self, user: &Arc<str>) -> Result<(), TooMany> {
        self.count(&Key::User(Arc::clone(user)))
            .map_err(|()| TooMany::OfUser)
    }

    /// Counts it for the address that a proxy asks for.
    ///
    /// # Errors
    /// The address has as many as it may.
    pub(crate) fn of_address(&mut self, address: IpAddr) -> Result<(), TooMany> {
        self.count(&self.caps.key_of(address))
            .map_err(|()| TooMany::OfAddress)
    }

    /// Counts what comes of a request before it is whole.
    pub(crate) fn incoming(&self) -> HeldBytes {
        self.caps.incoming.hold_nothing()
    }

    fn count(&mut self, key: &Key) -> Result<(), ()> {
        let holder = self.caps.holder(key);
        let mut usage = holder.usage();
        if usage.connections >= holder.allowance.connections_max {
            return Err(());
        }
        usage.connections += 1;
        drop(usage);
        self.holders.push(holder);
        Ok(())
    }

    /// Counts a task, whose request is so long, until what it gives is dropped.
    ///
    /// # Errors
    /// Address or user have as many as they may, or ask too often.
    pub(crate) fn task(&self, len: usize) -> Result<TaskPermit, TaskFailure> {
        self.task_as(None, None, len)
    }

    /// The same, for a user, and an address, that are known for this one task only.
    ///
    /// # Errors
    /// As [`ConnectionPermit::task`].
    pub(crate) fn task_as(
        &self,
        user: Option<&Arc<str>>,
        address: Option<IpAddr>,
        len: usize,
    ) -> Result<TaskPermit, TaskFailure> {
        let held = self.caps.requests.hold(len).ok_or_else(too_many_bytes)?;
        // Gives back what it has when it is dropped half-way.
        let mut permit = TaskPermit {
            _held: held,
            holders: Vec::with_capacity(self.holders.len() + 2),
            in_flight: Some(InFlight::new(&self.caps)),
        };
        let user = user.map(|user| self.caps.holder(&Key::User(Arc::clone(user))));
        let address = address.map(|address| self.caps.holder(&self.caps.key_of(address)));
        for holder in self.holders.iter().chain(&user).chain(&address) {
            holder.begin()?;
            permit.holders.push(Arc::clone(holder));
        }
        Ok(permit)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let now = Instant::now();
        for holder in self.holders.drain(..) {
            holder.usage().connections -= 1;
            let mut holders = self.caps.holders();
            // The list's own and this one: nobody has a task.
            if Arc::strong_count(&holder) <= 2 && holder.is_idle(now) {
                holders.remove(&holder.key);
            }
        }
        self.caps.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A task that counts.
#[derive(Debug)]
pub(crate) struct TaskPermit {
    _held: HeldBytes,
    holders: Vec<Arc<Holder>>,
    in_flight: Option<InFlight>,
}

/// A task that the gateway has not answered yet.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Caps>);

impl InFlight {
    fn new(caps: &Arc<Caps>) -> Self {
        caps.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(caps))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // Whoever sees that nothing is in flight sees the answers as well.
        self.0.in_flight.fetch_sub(1, Ordering::Release);
    }
}

impl TaskPermit {
    /// Makes room for the client's next task, before it is answered: it may send that at once. The gateway itself has the
    /// task until the answer is on its way, when what is given back here is dropped.
    pub(crate) fn release(mut self) -> Option<InFlight> {
        self.in_flight.take()
    }
}

impl Drop for TaskPermit {
    fn drop(&mut self) {
        for holder in &self.holders {
            holder.usage().in_flight -= 1;
        }
    }
}

/// How often a connection may send tasks.
#[derive(Debug)]
pub(crate) struct ConnectionBucket(Option<Bucket>);

impl ConnectionBucket {
    pub(crate) fn new(settings: &CapSettings) -> Self {
        Self(settings.connection_rate.map(Bucket::new))
    }

    /// # Errors
    /// The connection sends tasks too often.
    pub(crate) fn take(&mut self) -> Result<(), TaskFailure> {
        match &mut self.0 {
            None => Ok(()),
            Some(bucket) => bucket.take(Instant::now()).map_err(|wait| {
                overloaded(
                    "this connection may not send tasks so often; wait a moment",
                    wait,
                )
            }),
        }
    }
}

/// When to try again, where nobody knows better.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The request is refused for now; after `wait` it may be sent again.
pub(crate) fn overloaded(message: &str, wait: Duration) -> TaskFailure {
    TaskFailure::new(ErrorCode::Overloaded, message).with_retry_after(wait)
}

/// How long a client that is in the middle of a request may take to see that it is refused.
pub(crate) const REST_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of each request on its way in that don't count, since nearly all are shorter.
pub(crate) const INCOMING_FREE_LEN: usize = 8 * 1024;

/// The gateway holds as many bytes of requests as it may.
pub(crate) fn too_many_bytes() -> TaskFailure {
    overloaded(
        "the gateway holds as many bytes of requests as it may",
        RETRY_AFTER,
    )
}

#[cfg(test)]
mod tests {
    use service::rate::Rate;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn caps(connections: usize, in_flight: usize, rate: Option<Rate>) -> Arc<Caps> {
        let allowance = Allowance {
            connections_max: connections,
            in_flight_max: in_flight,
            rate,
        };
        Caps::new(CapSettings {
            connections_max: 3,
            user: allowance,
            address: allowance,
            ipv6_prefix: 64,
            connection_rate: None,
            connection_in_flight_max: 10,
            requests_len_max: 100,
        })
    }

    #[test]
    fn connections_count_until_they_go() {
        let caps = caps(2, 9, None);
        let first = caps.connect(Some(HERE)).unwrap();
        let _second = caps.connect(Some(HERE)).unwrap();
        assert_eq!(caps.connect(Some(HERE)).unwrap_err(), TooMany::OfAddress);
        let _third = caps.connect(Some(THERE)).unwrap();
        assert_eq!(caps.connect(Some(THERE)).unwrap_err(), TooMany::Connections);
        drop(first);
        let mut again = caps.connect(Some(HERE)).unwrap();
        assert_eq!(caps.connections(), 3);
        let user: Arc<str> = "ada".into();
        again.of_user(&user).unwrap();
        drop(again);
        assert_eq!(caps.connections(), 2);
    }

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let caps = caps(2, 9, None);
        let connect = |text: &str| caps.connect(Some(text.parse().unwrap()));
        let _one = connect("2001:db8:0:7::1").unwrap();
        let _two = connect("2001:db8:0:7:ffff::2").unwrap();
        assert_eq!(connect("2001:db8:0:7::3").unwrap_err(), TooMany::OfAddress);
        // The next customer; an address of IPv4, however it is written.
        let _other = connect("2001:db8:0:8::1").unwrap();
        assert_eq!(
            caps.key_of("::ffff:203.0.113.7".parse().unwrap()),
            caps.key_of("203.0.113.7".parse().unwrap())
        );
        assert_ne!(
            caps.key_of("203.0.113.7".parse().unwrap()),
            caps.key_of("203.0.113.8".parse().unwrap())
        );
    }

    #[test]
    fn tasks_of_a_user_count_over_all_connections() {
        let caps = caps(9, 2, None);
        let user: Arc<str> = "ada".into();
        let mut here = caps.connect(Some(HERE)).unwrap();
        let mut there = caps.connect(Some(THERE)).unwrap();
        here.of_user(&user).unwrap();
        there.of_user(&user).unwrap();
        let task = here.task(1).unwrap();
        let _other = there.task(1).unwrap();
        let refused = there.task(1).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Overloaded);
        assert!(
            refused.message.starts_with("you may have 2"),
            "{}",
            refused.message
        );
        assert_eq!(caps.in_flight(), 2);
        drop(task);
        drop(there.task(1).unwrap());
        assert_eq!(caps.in_flight(), 1);
    }

    #[test]
    fn requests_count_by_their_length() {
        let caps = caps(9, 9, None);
        let here = caps.connect(Some(HERE)).unwrap();
        let long = here.task(100).unwrap();
        assert!(here.task(1).is_err());
        drop(long);
        assert!(here.task(1).is_ok());
    }

    #[test]
    fn what_is_on_its_way_in_counts_by_itself() {
        let caps = caps(9, 9, None);
        let here = caps.connect(Some(HERE)).unwrap();
        let mut one = here.incoming();
        assert!(one.try_set(60));
        let mut other = here.incoming();
        assert!(other.try_set(40) && !other.try_set(41));
        assert!(here.task(100).is_ok());
        assert!(one.try_set(10) && other.try_set(90));
        drop(other);
        assert!(one.try_set(100));
    }

    #[test]
    fn who_asks_too_often_is_told_when_to_ask_again() {
        let rate = Rate {
            per_second: 0.001,
            burst: 2.0,
        };
        let caps = caps(9, 9, Some(rate));
        let here = caps.connect(Some(HERE)).unwrap();
        drop(here.task(1).unwrap());
        drop(here.task(1).unwrap());
        let refused = here.task(1).unwrap_err();
        let data = refused.data.unwrap();
        assert!(data.starts_with(b"{\"retry_after_ms\":"), "{data:?}");
        // Going away and coming back doesn't help.
        drop(here);
        caps.sweep();
        assert!(caps.connect(Some(HERE)).unwrap().task(1).is_err());
    }
}
