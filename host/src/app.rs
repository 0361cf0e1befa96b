//! The host's life: build, serve, drain.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::budget::Budget;
use crate::clock::Moment;
use crate::config::{Config, ConfigError};
use crate::net::{self, Phase, Shared};
use crate::reload::{Event, FolderError, Reloader};
use crate::router::Router;
use crate::stats::Stats;

/// How often a drain looks whether all requests have been answered.
const DRAIN_LOOK: Duration = Duration::from_millis(10);
/// How long the last replies may take to leave when every task has ended.
const CLOSE_MAX: Duration = Duration::from_secs(5);
/// Exit code after a second signal, as shells give it for Ctrl-C.
const EXIT_CODE_NOW: i32 = 130;

#[derive(Debug)]
pub(crate) enum AppError {
    Listen {
        addresses: Vec<SocketAddr>,
        error: io::Error,
    },
    Folder(FolderError),
    Signals(io::Error),
    Announce(io::Error),
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { addresses, error } => {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "can't listen on {}: {error}; name another address with --listen ADDR",
                    addresses.join(" or ")
                )
            }
            Self::Folder(error) => error.fmt(f),
            Self::Signals(error) => write!(f, "can't listen to signals: {error}"),
            Self::Announce(error) => {
                write!(f, "can't write the address to standard output: {error}")
            }
        }
    }
}

impl std::error::Error for AppError {}

/// Serves until a signal ends it, then drains.
///
/// `reread` gives the configuration anew, for SIGHUP.
pub(crate) async fn serve(
    config: Config,
    reread: impl Fn() -> Result<Config, ConfigError> + Send + 'static,
) -> Result<(), AppError> {
    let mut signals = Signals::new().map_err(AppError::Signals)?;
    let hangup = signal(SignalKind::hangup()).map_err(AppError::Signals)?;
    raise_descriptor_limit();
    let config = Arc::new(config);
    let stats = Arc::new(Stats::default());
    let router = Router::new();
    let (phase, phase_receiver) = watch::channel(Phase::Serving);
    let shared = Arc::new(Shared {
        router: router.clone(),
        stats: Arc::clone(&stats),
        limits: config.limits,
        budget: Budget::new(config.limits.requests_len_max),
        phase: phase_receiver,
        up_since: Moment::now(),
        task_last: AtomicU64::new(0),
    });
    let listener = net::listen(&config.listen).map_err(|error| AppError::Listen {
        addresses: config.listen.clone(),
        error,
    })?;
    let address = listener.local_addr().map_err(AppError::Announce)?;

    let mut reloader = Reloader::new(Arc::clone(&config), router.clone(), Arc::clone(&stats));
    tokio::select! {
        loaded = reloader.load_folder() => loaded.map_err(AppError::Folder)?,
        () = signals.next() => return Ok(()),
    }
    announce(address).map_err(AppError::Announce)?;
    let accepting = tokio::spawn(net::accept(listener, shared));
    let rereading = tokio::spawn(reread_on_hangup(hangup, reread, reloader.sender()));
    let reloading = tokio::spawn(reloader.run());

    signals.next().await;
    rereading.abort();
    reloading.abort();
    tracing::info!(
        grace_ms = config.drain_grace.as_millis(),
        "draining; a second signal ends the host at once"
    );
    tokio::select! {
        () = drain(&phase, &router, &stats, config.drain_grace) => tracing::info!("drained"),
        () = signals.next() => {
            tracing::warn!("ended before the drain was over");
            units::log::flush();
            // Workers go with the host: their links end.
            std::process::exit(EXIT_CODE_NOW);
        }
    }
    let _ = accepting.await;
    Ok(())
}

/// The one line on standard output: whoever has started the host knows from it where, and that it serves.
fn announce(address: SocketAddr) -> io::Result<()> {
    tracing::info!(%address, "serving");
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {address}")?;
    stdout.flush()
}

async fn drain(phase: &watch::Sender<Phase>, router: &Router, stats: &Stats, grace: Duration) {
    let ends = Instant::now() + grace;
    phase.send_replace(Phase::Draining);
    let in_flight = || stats.in_flight.load(Ordering::Relaxed);
    while in_flight() > 0 && Instant::now() < ends {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
    if in_flight() > 0 {
        tracing::warn!(
            in_flight = in_flight(),
            "the grace is over, what is left is cut short"
        );
    }
    phase.send_replace(Phase::Closing);
    router
        .drain(ends.saturating_duration_since(Instant::now()))
        .await;
    let closed = Instant::now() + CLOSE_MAX;
    while stats.connections.load(Ordering::Relaxed) > 0 && Instant::now() < closed {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

/// SIGHUP: the configuration is read again. What is wrong changes nothing.
async fn reread_on_hangup(
    mut hangup: Signal,
    reread: impl Fn() -> Result<Config, ConfigError>,
    reloader: mpsc::Sender<Event>,
) {
    while hangup.recv().await.is_some() {
        match reread() {
            Ok(config) => {
                tracing::info!(
                    "the configuration was read again; what is not about plugins takes a restart"
                );
                if reloader
                    .send(Event::Configured(Arc::new(config)))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(error) => tracing::error!("the configuration stays as it was: {error}"),
        }
    }
}

/// Every connection and every worker needs descriptors; the usual soft limit of 1024 is for programs that use `select`.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    ) {
        tracing::warn!("the limit of open files can't be raised: {error}");
    }
}

/// The signals that end the host.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
