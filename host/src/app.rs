//! The host's life: build, serve, drain. It owns every loop, and decides what the end of one means.

use std::fmt;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use service::life::{self, EXIT_FAILED, Life, Phase, Signals};
use service::listen::ListenError;
use service::log::Levels;
use service::pages;
use service::supervise::Supervisor;
use service::tls::Tls;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::access::Access;
use crate::admin::Admin;
use crate::admit::Door;
use crate::background::{self, Background};
use crate::children;
use crate::config::{Config, ConfigError};
use crate::generations::{Keeper, KeeperHandle, Roster};
use crate::ledger::StoreError;
use crate::net::{self, Doorway, DoorwayError, Shared, Strangers, Unread};
use crate::reload::FolderError;
use crate::router::Router;
use crate::stats::Stats;
use crate::task::Numbers;

/// How long the last replies may take to leave when every task has ended.
const CLOSE_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) enum AppError {
    Listen(ListenError),
    Door(DoorwayError),
    Tls(String),
    Folder(FolderError),
    Ledger(StoreError),
    Log(String),
    System(io::Error),
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
            Self::Door(error) => error.fmt(f),
            Self::Tls(error) => write!(f, "`tls`: {error}"),
            Self::Folder(error) => error.fmt(f),
            Self::Ledger(error) => write!(f, "background tasks: {error}"),
            Self::Log(error) => f.write_str(error),
            Self::System(error) => write!(f, "the system refuses what the host needs: {error}"),
        }
    }
}

impl std::error::Error for AppError {}

/// Serves until a signal ends it, then drains.
///
/// `reread` gives the configuration anew, for SIGHUP.
pub(crate) async fn serve(
    config: Config,
    levels: Levels,
    reread: impl Fn() -> Result<Config, ConfigError> + Clone + Send + 'static,
) -> Result<ExitCode, AppError> {
    let mut signals = Signals::new().map_err(AppError::System)?;
    let hangups = life::hangups().map_err(AppError::System)?;
    levels
        .configure(config.log.as_deref())
        .map_err(AppError::Log)?;
    let mut config = config;
    if let Some(descriptors) = life::raise_descriptor_limit() {
        net::fit(&mut config.limits, descriptors);
    }
    let (supervisor, mut failures) = Supervisor::new();
    let config = Arc::new(config);
    let life = Life::default();
    let (stats, router, roster) = (
        Arc::<Stats>::default(),
        Router::default(),
        Roster::default(),
    );
    let access = Arc::new(Access::new(config.clients.clone()));
    let numbers = Numbers::default();
    let background = Background::new(
        config.ledger.clone(),
        router.clone(),
        roster.clone(),
        numbers.clone(),
    );
    let admin = Arc::new(Admin::new(
        roster.clone(),
        background.clone(),
        Arc::clone(&stats),
        Arc::clone(&access),
        config.limits,
        life.phases(),
    ));

    let (doors, addresses) = listen(&config)?;
    serve_pages(&config, &admin, &supervisor)?;
    let (mut keeper, mut folder) = Keeper::new(
        Arc::clone(&config),
        router.clone(),
        roster.clone(),
        Arc::clone(&stats),
    );
    tokio::select! {
        loaded = keeper.load(&mut folder) => loaded.map_err(AppError::Folder)?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    }
    background.begin().await.map_err(AppError::Ledger)?;
    life::announce(&addresses);

    let shared = Arc::new(Shared {
        door: Door::new(
            router.clone(),
            roster.clone(),
            Arc::clone(&stats),
            &config.limits,
            life.phases(),
            numbers,
            background.clone(),
        ),
        admin,
        access: Arc::clone(&access),
        strangers: Strangers::new(config.limits.strangers_max),
        handshakes: net::handshakes(),
        stats: Arc::clone(&stats),
        limits: config.limits,
        unread: Unread::new(config.limits.replies_len_max),
        phases: life.phases(),
    });
    supervisor.restarting("children", children::reap_adopted);
    let ends = Arc::clone(&access);
    supervisor.restarting("tokens", move || Arc::clone(&ends).watch_ends());
    let is_accepting_over = watch::Sender::new(false);
    let accepting: Vec<_> = doors
        .into_iter()
        .map(|door| {
            let (shared, over) = (Arc::clone(&shared), is_accepting_over.subscribe());
            supervisor.restarting("accept", move || {
                net::accept(Arc::clone(&door), Arc::clone(&shared), over.clone())
            })
        })
        .collect();
    drop(shared);
    let rereading = supervisor.essential(
        "hangup",
        reread_on_hangup(
            hangups,
            reread,
            levels,
            access,
            Arc::clone(&config),
            keeper.handle(),
            roster.clone(),
        ),
    );
    let feeding = background::Keeper::new(&background, Arc::clone(&stats), life.phases());
    supervisor.essential("background", feeding.run());
    let looking = supervisor.essential("folder", folder.run());
    let keeping = supervisor.essential("generations", keeper.run());

    let code = tokio::select! {
        () = signals.next() => ExitCode::SUCCESS,
        failure = failures.next() => {
            tracing::error!("{failure}; the host finishes what it has, and ends");
            ExitCode::from(EXIT_FAILED)
        }
    };
    // The one first that would miss the others.
    for task in [&keeping, &looking, &rereading] {
        task.abort();
    }
    // First of all: who is told that the host drains connects anew at once, and must not come back to it.
    is_accepting_over.send_replace(true);
    for one in accepting {
        one.ended().await;
    }
    tokio::select! {
        () = drain(&life, &router, &roster, &stats, config.drain_grace) => tracing::info!("drained"),
        // Workers go with the host: their links end.
        () = signals.next() => life::end_now(),
    }
    // What has ended is written down; what can't be runs once more.
    let _ = tokio::time::timeout(CLOSE_MAX, background.end()).await;
    Ok(code)
}

/// Opens all addresses, and says which they are.
fn listen(config: &Config) -> Result<(Vec<Arc<Doorway>>, Vec<String>), AppError> {
    let tls = config.tls.clone().map(Tls::load).transpose();
    let tls = tls.map_err(AppError::Tls)?.map(Arc::new);
    let proxies = Arc::new(config.trusted_proxies.clone());
    let mut doors = Vec::with_capacity(config.listen.len());
    let mut addresses = Vec::with_capacity(config.listen.len());
    for listening in &config.listen {
        let door = Doorway::open(listening, tls.as_ref(), &proxies).map_err(AppError::Door)?;
        addresses.push(door.address().map_err(AppError::Door)?);
        doors.push(Arc::new(door));
    }
    Ok((doors, addresses))
}

/// Serves the pages for operators, where the configuration asks for them.
fn serve_pages(
    config: &Config,
    admin: &Arc<Admin>,
    supervisor: &Supervisor,
) -> Result<(), AppError> {
    let Some(http) = &config.http else {
        return Ok(());
    };
    let listener = Arc::new(http.bind().map_err(AppError::Listen)?);
    let address = listener.address().map_err(AppError::System)?;
    tracing::info!(%address, "serving pages for operators by HTTP");
    let admin = Arc::clone(admin);
    supervisor.restarting("pages", move || {
        let admin = Arc::clone(&admin);
        let page = move |path| Arc::clone(&admin).page(path);
        pages::serve(Arc::clone(&listener), page)
    });
    Ok(())
}

async fn drain(life: &Life, router: &Router, roster: &Roster, stats: &Stats, grace: Duration) {
    let ends = Instant::now() + grace;
    life.enter(Phase::Draining);
    tracing::info!(
        grace_ms = grace.as_millis(),
        "draining; a second signal ends the host at once"
    );
    let count = |counter: &std::sync::atomic::AtomicU64| {
        usize::try_from(counter.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    };
    let in_flight = || count(&stats.in_flight);
    if !life::wait_until_none(in_flight, ends).await {
        tracing::warn!(
            in_flight = in_flight(),
            "the grace is over, what is left is cut short"
        );
    }
    life.enter(Phase::Closing);
    router.end();
    roster
        .drain(ends.saturating_duration_since(Instant::now()))
        .await;
    life::wait_until_none(|| count(&stats.connections), Instant::now() + CLOSE_MAX).await;
}

/// SIGHUP: the configuration is read again. What is wrong changes nothing.
async fn reread_on_hangup(
    mut hangups: Signal,
    reread: impl Fn() -> Result<Config, ConfigError>,
    levels: Levels,
    access: Arc<Access>,
    running: Arc<Config>,
    keeper: KeeperHandle,
    roster: Roster,
) {
    while hangups.recv().await.is_some() {
        let read = reread()
            .and_then(|config| config.suits(&running).map(|()| config))
            .map_err(|error| error.to_string())
            .and_then(|config| levels.configure(config.log.as_deref()).map(|()| config));
        match read {
            Ok(config) => {
                tracing::info!(
                    "the configuration was read again; what is not about plugins, clients or the log takes a restart"
                );
                access.configure(config.clients.clone());
                keeper.configured(Arc::new(config)).await;
                roster.follow_log_level();
            }
            Err(error) => tracing::error!("the configuration stays as it was: {error}"),
        }
    }
}
