//! The gateway as a whole: built from its configuration, run, drained.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use service::config::ConfigError;
use service::life::{self, Phase, Signals, wait_until_none};
use service::log::Levels;
use service::supervise::Supervisor;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::unconstrained;
use tokio::time::Instant;

use crate::config::Config;
use crate::gateway::Gateway;
use crate::http::{self, Site};
use crate::tls::Tls;

/// How long sockets may take to be closed once all is answered.
const CLOSE_GRACE: Duration = Duration::from_secs(3);

/// Runs until a signal ends it. `reread` gives the configuration anew, for SIGHUP.
///
/// # Errors
/// The configuration can't be put to work: a sentence for whoever wrote it.
pub(crate) async fn run(
    config: Config,
    levels: Levels,
    reread: impl Fn() -> Result<Config, ConfigError> + Clone + Send + 'static,
) -> Result<ExitCode, String> {
    levels.configure(config.log.as_deref())?;
    life::raise_descriptor_limit();
    let tls = config.tls.as_ref().map(Tls::load).transpose()?;
    let mut signals =
        Signals::new().map_err(|error| format!("signals can't be caught: {error}"))?;
    let hangups = life::hangups().map_err(|error| format!("signals can't be caught: {error}"))?;
    let listener = Arc::new(config.listen.bind().map_err(|error| error.to_string())?);
    let address = listener.address().map_err(|error| error.to_string())?;
    // Whatever panics is started again: the gateway has nothing that it can't make anew.
    let (supervisor, _) = Supervisor::new();
    tokio::spawn(reread_on_hangup(hangups, reread, levels));
    let gateway = Gateway::start(
        &supervisor,
        config.access,
        config.limits,
        config.session,
        config.upstream,
    );
    let site = Arc::new(Site {
        gateway: Arc::clone(&gateway),
        settings: config.http,
        socket: Arc::new(config.socket),
    });
    // It accepts all that have come before others have their turn, however many clients there are.
    let is_accepting_over = watch::Sender::new(false);
    let over = is_accepting_over.subscribe();
    let accepting = supervisor.restarting("accept", move || {
        unconstrained(http::accept(
            Arc::clone(&site),
            Arc::clone(&listener),
            tls.clone(),
            over.clone(),
        ))
    });
    life::announce(&[address]);
    signals.next().await;
    // First of all, so that load balancers look elsewhere.
    is_accepting_over.send_replace(true);
    accepting.ended().await;
    tokio::select! {
        () = drain(&gateway, config.drain_grace) => tracing::info!("drained"),
        () = signals.next() => life::end_now(),
    }
    Ok(ExitCode::SUCCESS)
}

/// SIGHUP: what is logged is read again. What is wrong changes nothing.
async fn reread_on_hangup(
    mut hangups: Signal,
    reread: impl Fn() -> Result<Config, ConfigError>,
    levels: Levels,
) {
    while hangups.recv().await.is_some() {
        let read = reread()
            .map_err(|error| error.to_string())
            .and_then(|config| levels.configure(config.log.as_deref()));
        match read {
            Ok(()) => tracing::info!(
                "the configuration was read again; what is not about the log takes a restart"
            ),
            Err(error) => tracing::error!("the configuration stays as it was: {error}"),
        }
    }
}

/// Lets all that was begun end, and then closes what is open.
async fn drain(gateway: &Gateway, grace: Duration) {
    gateway.life.enter(Phase::Draining);
    tracing::info!(
        grace_ms = grace.as_millis(),
        "draining; a second signal ends the gateway at once"
    );
    let deadline = Instant::now() + grace;
    if !wait_until_none(|| gateway.caps.in_flight(), deadline).await {
        tracing::warn!(
            in_flight = gateway.caps.in_flight(),
            "the grace is over, and what is left is not waited for"
        );
    }
    gateway.life.enter(Phase::Closing);
    let deadline = Instant::now() + CLOSE_GRACE;
    wait_until_none(|| gateway.caps.connections(), deadline).await;
}
