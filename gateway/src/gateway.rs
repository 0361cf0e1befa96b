//! What all connections of clients share: who may call what, the hosts, the sessions, and the phase of the gateway's
//! life.

use std::sync::Arc;
use std::time::Duration;

use protocol::{ErrorCode, Request, SUBJECT_LEN_MAX, TaskFailure};
use service::life::{Life, Phase};
use service::supervise::Supervisor;
use sha2::{Digest, Sha256};
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
    /// Whether hosts are told on whose behalf a task is.
    tells_subject: bool,
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
            tells_subject: upstream.tells_subject,
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

    /// Hands a client's task to a host. On whose behalf it is, the gateway alone says.
    pub(crate) fn submit(&self, request: Request, identity: &Identity, sink: Arc<dyn Sink>) {
        self.metrics.accepted();
        let user = identity.user.as_deref().filter(|_| self.tells_subject);
        let request = Request {
            subject: user.map(|user| subject(user).into()),
            ..request
        };
        self.upstream.submit(request, sink);
    }
}

/// A user as hosts know them. A name that is too long for them goes by its hash: it is still one name for one user.
fn subject(user: &str) -> String {
    if user.len() <= SUBJECT_LEN_MAX {
        return user.to_owned();
    }
    let hash = Sha256::digest(user.as_bytes());
    let digits = hash.iter().map(|byte| format!("{byte:02x}"));
    format!("sha256:{}", digits.collect::<String>())
}

async fn sweep(caps: Arc<Caps>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        caps.sweep();
    }
}
