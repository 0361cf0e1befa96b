//! Who a client is, and what it may call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use protocol::{ErrorCode, HOST_PREFIX, TaskFailure};
use serde_json::Value;

use service::pattern::Pattern;

/// An expiry that never comes.
const NEVER: u64 = u64::MAX;

/// What those of a role may call.
#[derive(Debug, Default)]
pub(crate) struct Role {
    pub(super) name: String,
    pub(super) allow: Vec<Pattern>,
}

/// Who a client is.
#[derive(Debug)]
pub(crate) struct Identity {
    /// None for clients that need no authentication.
    pub(crate) user: Option<Arc<str>>,
    role: Arc<Role>,
    /// Values of the client's claims that fill arguments, in the order of the configuration.
    pub(super) filled: Vec<Option<Value>>,
    /// Milliseconds since 1970; [`NEVER`] where it doesn't expire.
    expires_at: AtomicU64,
}

impl Identity {
    pub(super) fn new(
        user: Option<Arc<str>>,
        role: Arc<Role>,
        filled: Vec<Option<Value>>,
        expires_at: Option<SystemTime>,
    ) -> Self {
        Self {
            user,
            role,
            filled,
            expires_at: AtomicU64::new(expires_at.map_or(NEVER, since_1970)),
        }
    }

    /// Whether both are the same user, with the same rights and claims that count, so that one may go on with what the
    /// other began.
    pub(crate) fn is_same_user(&self, other: &Self) -> bool {
        self.user == other.user && self.role.name == other.role.name && self.filled == other.filled
    }

    pub(crate) fn is_expired(&self) -> bool {
        self.expires_at.load(Ordering::Relaxed) <= since_1970(SystemTime::now())
    }

    /// How long it is still valid; none if it never expires.
    pub(crate) fn expires_in(&self) -> Option<Duration> {
        let at = self.expires_at.load(Ordering::Relaxed);
        (at != NEVER)
            .then(|| Duration::from_millis(at.saturating_sub(since_1970(SystemTime::now()))))
    }

    /// Extends it to the expiry of another identity of the same user.
    pub(crate) fn renew(&self, by: &Self) {
        let at = by.expires_at.load(Ordering::Relaxed);
        self.expires_at.store(at, Ordering::Relaxed);
    }

    pub(crate) fn may_call(&self, function: &str) -> bool {
        !function.starts_with(HOST_PREFIX)
            && self
                .role
                .allow
                .iter()
                .any(|pattern| pattern.matches(function))
    }

    /// # Errors
    /// The client may not call the function, whether there is one or not.
    pub(crate) fn check_call(&self, function: &str) -> Result<(), TaskFailure> {
        if self.may_call(function) {
            return Ok(());
        }
        let message = format!(
            "the function {:?} is not allowed here; the gateway's configuration lists under `allow` what is",
            protocol::excerpt(function)
        );
        Err(TaskFailure::new(ErrorCode::UnknownFunction, message))
    }
}

fn since_1970(at: SystemTime) -> u64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(allow: &[&str]) -> Identity {
        let role = Role {
            name: "default".to_owned(),
            allow: allow
                .iter()
                .map(|text| Pattern::new(text).unwrap())
                .collect(),
        };
        Identity::new(Some("ada".into()), Arc::new(role), Vec::new(), None)
    }

    #[test]
    fn nothing_may_be_called_unless_it_is_allowed() {
        assert!(!identity(&[]).may_call("resize"));
        let some = identity(&["resize", "report.*"]);
        assert!(some.may_call("resize") && some.may_call("report.daily"));
        assert!(!some.may_call("send_mail") && !some.may_call("resize2"));
        let all = identity(&["*"]);
        assert!(all.may_call("anything"));
        for function in ["host.plugins", "host.cancel", "host.", "host.functions"] {
            assert!(!all.may_call(function), "{function}");
        }
        assert!(!identity(&["host.*"]).may_call("host.ping"));
    }
}
