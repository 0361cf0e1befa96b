//! The gateway as a whole: built from its configuration, run, drained.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::{ErrorCode, TaskFailure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep};

use crate::access::Identity;
use crate::config::Config;
use crate::http;
use crate::limits::{ByteBudget, Caps};
use crate::metrics::Metrics;
use crate::session::Registry;
use crate::tls::Tls;
use crate::upstream::{Sink, Submit, Upstream};

/// How often limits that have recovered are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How often it is looked whether a drain is over.
const DRAIN_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// Connections that wait to be taken: as many as the system allows. After a restart all clients come back at once, and one
/// that finds no room waits for seconds.
const BACKLOG: u32 = 65_535;
/// For sockets to be closed once all is answered.
const CLOSE_GRACE: Duration = Duration::from_secs(3);

/// What every connection knows.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) config: Config,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) sessions: Arc<Registry>,
    pub(crate) caps: Arc<Caps>,
    pub(crate) metrics: Metrics,
    phase: watch::Sender<Phase>,
}

/// Where in its life the gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// What was begun is finished; nothing new is taken.
    Draining,
    /// All goes.
    Closing,
}

impl Gateway {
    fn start(config: Config) -> Arc<Self> {
        let session = &config.session;
        let gateway = Arc::new(Self {
            upstream: Upstream::start(config.upstream.clone()),
            sessions: Registry::start(
                session.limits,
                session.resume_window,
                session.detached_max,
                session.cancel_tasks,
                ByteBudget::new(session.kept_len_max),
            ),
            caps: Caps::new(config.limits.caps),
            metrics: Metrics::default(),
            phase: watch::Sender::new(Phase::Serving),
            config,
        });
        let caps = Arc::downgrade(&gateway.caps);
        tokio::spawn(async move {
            loop {
                sleep(SWEEP_INTERVAL).await;
                match caps.upgrade() {
                    Some(caps) => caps.sweep(),
                    None => return,
                }
            }
        });
        gateway
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub(crate) fn is_serving(&self) -> bool {
        *self.phase.borrow() == Phase::Serving
    }

    /// # Errors
    /// Nobody may call that now, or this client never may.
    pub(crate) fn check_call(
        &self,
        identity: &Identity,
        function: &str,
    ) -> Result<(), TaskFailure> {
        identity.check_call(function)?;
        if self.is_serving() {
            return Ok(());
        }
        let message = "the gateway is about to stop; connect again in a moment";
        Err(TaskFailure::new(ErrorCode::ShuttingDown, message))
    }

    /// Hands a task on, with what is known of how long it may take.
    pub(crate) fn submit(&self, mut submit: Submit, sink: Arc<dyn Sink>) {
        self.metrics.accepted();
        let of_function = self.upstream.limit_of(&submit.function);
        submit.limit = match (submit.timeout, of_function) {
            (Some(own), Some(of_function)) => Some(own.min(of_function)),
            (own, of_function) => own.or(of_function),
        };
        self.upstream.submit(submit, sink);
    }
}

/// Runs until a signal ends it.
///
/// # Errors
/// The configuration can't be put to work: a sentence for whoever wrote it.
pub(crate) async fn run(config: Config) -> Result<(), String> {
    raise_open_files_limit();
    let tls = config.tls.as_ref().map(Tls::load).transpose()?;
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| format!("no signals: {error}"))?;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| format!("no signals: {error}"))?;
    let mut listeners = Vec::new();
    for address in &config.listen {
        let listener =
            listen(*address).map_err(|error| format!("can't listen on {address}: {error}"))?;
        listeners.push(listener);
    }
    let grace = config.drain_grace;
    let gateway = Gateway::start(config);
    let first = listeners[0]
        .local_addr()
        .map_err(|error| error.to_string())?;
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let gateway = Arc::clone(&gateway);
            // In each of its turns it takes all that have come, however many clients have their turns in between.
            tokio::spawn(unconstrained(http::accept(gateway, listener, tls.clone())))
        })
        .collect();
    announce(&first.to_string());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining");
    // What nobody accepts any more is refused by the kernel, so that load balancers look elsewhere.
    for task in &accepting {
        task.abort();
    }
    gateway.phase.send_replace(Phase::Draining);
    let drained = async {
        let deadline = Instant::now() + grace;
        while gateway.caps.in_flight() > 0 && Instant::now() < deadline {
            sleep(DRAIN_CHECK_INTERVAL).await;
        }
        gateway.phase.send_replace(Phase::Closing);
        let deadline = Instant::now() + CLOSE_GRACE;
        while gateway.caps.connections() > 0 && Instant::now() < deadline {
            sleep(DRAIN_CHECK_INTERVAL).await;
        }
    };
    tokio::select! {
        () = drained => tracing::info!("drained"),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Each client needs a file descriptor; what the system allows is more than what it gives unasked.
fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, limit = limit.current, "can't raise the limit of open files");
    }
}

/// The one line on standard output.
fn announce(address: &str) {
    let mut stdout = io::stdout().lock();
    // Whoever started this may not want to know.
    drop(writeln!(stdout, "listening on {address}").and_then(|()| stdout.flush()));
}
