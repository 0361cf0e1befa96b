//! Tokens that the configuration lists.

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// All of them, by their hash: a look-up by hash says nothing of how much of a guess was right.
#[derive(Debug, Default)]
pub(crate) struct Tokens(std::collections::HashMap<[u8; 32], TokenEntry>);

/// Whose a token is.
#[derive(Clone)]
pub(crate) struct TokenEntry {
    pub(crate) user: Arc<str>,
    pub(crate) role: Option<String>,
}

impl fmt::Debug for TokenEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} as {:?}", self.user, self.role)
    }
}

impl TokenEntry {
    /// What arguments may be filled with.
    pub(super) fn claims(&self) -> Value {
        json!({"sub": &*self.user, "role": self.role})
    }
}

impl Tokens {
    /// Adds one; false if it was there already.
    pub(crate) fn add(&mut self, token: &str, entry: TokenEntry) -> bool {
        self.0.insert(hash(token), entry).is_none()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn find(&self, token: &str) -> Option<&TokenEntry> {
        self.0.get(&hash(token))
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
