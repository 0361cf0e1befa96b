//! Tokens, which name sessions.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// Names a session. Whoever has it, and is the same user, may resume the session.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionToken(pub(super) Arc<str>);

impl SessionToken {
    /// 128 bits that nobody guesses.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(BASE64_URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    /// Names a session that nobody can find.
    pub(super) fn none() -> Self {
        Self("".into())
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
