//! What all connections of clients share: who may call what, the hosts, the sessions, and the phase of the gateway's
//! life.

use std::sync::Arc;
use std::time::Duration;

use protocol::{ErrorCode, Request, TaskFailure};
use service::life::{Life, Phase};
use service::supervise::Supervisor;
use tokio::time::sleep;

use crate::access::{Access, Identity};
use crate::limits::{self, Caps};
use crate::metrics::Metrics;
use crate::session::{self, Registry};
use crate::upstream::{self, Sink, Upstream};

/// How often limits that have recovered are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What all connections of clients share.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) access: Access,
    pub(crate) limits: limits::Settings,
    pub(crate) upstream: Upstream,
    pub(crate) sessions: Arc<Registry>,
    pub(crate) caps: Arc<Caps>,
    pub(crate) metrics: Metrics,
    pub(crate) life: Life,
}

impl Gateway {
    /// Connects to the hosts.
    pub(crate) fn start(
        supervisor: &Supervisor,
        access: Access,
        limits: limits::Settings,
        session: session::Settings,
        upstream: upstream::Settings,
    ) -> Arc<Self> {
        let caps = Caps::new(limits.caps);
        let swept = Arc::clone(&caps);
        supervisor.restarting("limits", move || sweep(Arc::clone(&swept)));
        let gateway = Arc::new(Self {
            access,
            limits,
            upstream: Upstream::start(upstream, supervisor),
            sessions: Registry::start(session, supervisor),
            caps,
            metrics: Metrics::default(),
            life: Life::default(),
        });
        let kept = Arc::clone(&gateway);
        supervisor.restarting("keys of tokens", move || {
            let kept = Arc::clone(&kept);
            async move { kept.access.keep_keys_fresh().await }
        });
        gateway
    }

    pub(crate) fn is_serving(&self) -> bool {
        self.life.phase() == Phase::Serving
    }

    /// # Errors
    /// The client may not call the function, or the gateway takes nothing new.
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

    /// Hands a task to a host.
    pub(crate) fn submit(&self, request: Request, sink: Arc<dyn Sink>) {
        self.metrics.accepted();
        self.upstream.submit(request, sink);
    }
}

async fn sweep(caps: Arc<Caps>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        caps.sweep();
    }
}
