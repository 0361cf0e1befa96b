//! The sessions that can be resumed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use service::bytes::ByteBudget;
use service::supervise::Supervisor;
use service::sync::lock;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::settings::Settings;
use super::token::SessionToken;
use super::{Framing, Session};
use crate::access::Identity;

/// How exactly the time that a session waits for its client is kept.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Registry {
    sessions: Mutex<HashMap<Arc<str>, Arc<Session>>>,
    settings: Settings,
    budget: ByteBudget,
}

impl Registry {
    /// Ends sessions that have waited for their clients for too long, for as long as the gateway runs.
    pub(crate) fn start(settings: Settings, supervisor: &Supervisor) -> Arc<Self> {
        let registry = Arc::new(Self {
            sessions: Mutex::default(),
            budget: ByteBudget::new(settings.kept_len_max),
            settings,
        });
        let expired = Arc::clone(&registry);
        supervisor.restarting("sessions", move || expire(Arc::clone(&expired)));
        registry
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A new session, attached to the socket with the number 1.
    pub(crate) fn open(&self, identity: Arc<Identity>) -> Result<Arc<Session>, getrandom::Error> {
        let token = SessionToken::random()?;
        let session = Arc::new(Session::new(
            token.clone(),
            identity,
            Framing::TasksV1,
            self.settings.limits,
            self.budget.clone(),
        ));
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
            SessionToken::none(),
            identity,
            Framing::Plain { notify_text },
            self.settings.limits,
            self.budget.clone(),
        ))
    }

    /// The session of that token, if it belongs to that user.
    pub(crate) fn find(&self, token: &str, identity: &Identity) -> Option<Arc<Session>> {
        let session = self.lock().get(token).cloned()?;
        session.identity.is_same_user(identity).then_some(session)
    }

    /// Ends a session: nobody will resume it.
    pub(crate) fn close(&self, session: &Session) {
        self.lock().remove(session.token.as_str());
        session.end(self.settings.cancel_tasks);
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
        let detached_max = self.settings.detached_max;
        if detached.len() > detached_max {
            detached.sort_by_key(|(since, _)| *since);
            for (_, session) in detached.drain(..detached.len() - detached_max) {
                self.close(session);
            }
        }
        if !self.is_budget_exceeded() {
            return;
        }
        for session in &sessions {
            if session.detached_since().is_none() {
                session.forget_sent();
            }
        }
        detached.sort_by_key(|(_, session)| session.kept_len());
        while self.is_budget_exceeded()
            && let Some((_, session)) = detached.pop()
        {
            tracing::warn!(
                "sessions keep more than session.all_kept_len_max; the largest without a socket is ended"
            );
            self.close(session);
        }
    }

    fn is_budget_exceeded(&self) -> bool {
        self.budget.held() > self.budget.max()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Session>>> {
        lock(&self.sessions)
    }
}

async fn expire(registry: Arc<Registry>) {
    loop {
        sleep(CHECK_INTERVAL).await;
        let over: Vec<_> = registry
            .lock()
            .values()
            .filter(|session| {
                session.is_ended()
                    || session.identity.is_expired()
                    || session
                        .detached_since()
                        .is_some_and(|since| since.elapsed() > registry.settings.resume_window)
            })
            .cloned()
            .collect();
        for session in over {
            registry.close(&session);
        }
        registry.relieve();
    }
}
