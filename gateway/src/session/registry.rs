//! The sessions that can be resumed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{Framing, Session, SessionLimits};
use crate::access::Identity;
use crate::limits::ByteBudget;

/// How exactly the window is kept.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Names a session, and is the right to it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionToken(Arc<str>);

impl SessionToken {
    /// 128 bits that nobody guesses.
    fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(BASE64_URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Not for logs.
impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

#[derive(Debug)]
pub(crate) struct Registry {
    sessions: Mutex<HashMap<Arc<str>, Arc<Session>>>,
    limits: SessionLimits,
    /// How long a session waits for its client to come back.
    window: Duration,
    /// How many sessions wait.
    detached_max: usize,
    /// Whether tasks end with the session.
    cancel_tasks: bool,
    budget: Arc<ByteBudget>,
}

impl Registry {
    /// Ends sessions whose window is over for as long as it lives.
    pub(crate) fn start(
        limits: SessionLimits,
        window: Duration,
        detached_max: usize,
        cancel_tasks: bool,
        budget: ByteBudget,
    ) -> Arc<Self> {
        let registry = Arc::new(Self {
            sessions: Mutex::default(),
            limits,
            window,
            detached_max,
            cancel_tasks,
            budget: Arc::new(budget),
        });
        tokio::spawn(expire(Arc::downgrade(&registry)));
        registry
    }

    /// A new session, attached to the socket with the number 1.
    pub(crate) fn open(&self, identity: Arc<Identity>) -> Result<Arc<Session>, getrandom::Error> {
        let token = SessionToken::random()?;
        let budget = Arc::clone(&self.budget);
        let session = Session::new(
            token.clone(),
            identity,
            Framing::TasksV1,
            self.limits,
            budget,
        );
        let session = Arc::new(session);
        self.lock().insert(token.0, Arc::clone(&session));
        Ok(session)
    }

    /// A session that lasts as long as its socket, and can't be found.
    pub(crate) fn open_plain(
        &self,
        identity: Arc<Identity>,
        notify_text: Option<Utf8Bytes>,
    ) -> Arc<Session> {
        Arc::new(Session::new(
            SessionToken("".into()),
            identity,
            Framing::Plain { notify_text },
            self.limits,
            Arc::clone(&self.budget),
        ))
    }

    /// The session of that token, for the one whose it is.
    pub(crate) fn find(&self, token: &str, identity: &Identity) -> Option<Arc<Session>> {
        let session = self.lock().get(token).cloned()?;
        session.identity.is_same_user(identity).then_some(session)
    }

    /// A session that nobody will resume.
    pub(crate) fn close(&self, session: &Session) {
        self.lock().remove(session.token.as_str());
        session.end(self.cancel_tasks);
    }

    /// How many sessions there are, with a socket and without.
    pub(crate) fn count(&self) -> (usize, usize) {
        let sessions: Vec<_> = self.lock().values().cloned().collect();
        let detached = sessions
            .iter()
            .filter(|session| session.detached_since().is_some())
            .count();
        (sessions.len() - detached, detached)
    }

    /// Bytes of messages that are kept for clients.
    pub(crate) fn kept_len(&self) -> usize {
        self.budget.held()
    }

    /// Ends the longest-detached of too many sessions, and those that keep the most when all keep too much.
    fn relieve(&self) {
        let sessions: Vec<_> = self.lock().values().cloned().collect();
        let mut detached: Vec<_> = sessions
            .iter()
            .filter_map(|session| Some((session.detached_since()?, session)))
            .collect();
        if detached.len() > self.detached_max {
            detached.sort_by_key(|(since, _)| *since);
            for (_, session) in detached.drain(..detached.len() - self.detached_max) {
                self.close(session);
            }
        }
        if !self.budget.is_exceeded() {
            return;
        }
        for session in &sessions {
            if session.detached_since().is_none() {
                session.forget_sent();
            }
        }
        detached.sort_by_key(|(_, session)| session.kept_len());
        while self.budget.is_exceeded()
            && let Some((_, session)) = detached.pop()
        {
            tracing::warn!(
                "sessions keep more than session.all_kept_len_max; the largest without a socket is ended"
            );
            self.close(session);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn expire(registry: Weak<Registry>) {
    loop {
        sleep(CHECK_INTERVAL).await;
        let Some(registry) = registry.upgrade() else {
            return;
        };
        let over: Vec<_> = registry
            .lock()
            .values()
            .filter(|session| {
                session.is_ended()
                    || session.identity.is_expired()
                    || session
                        .detached_since()
                        .is_some_and(|since| since.elapsed() > registry.window)
            })
            .cloned()
            .collect();
        for session in over {
            registry.close(&session);
        }
        registry.relieve();
    }
}
