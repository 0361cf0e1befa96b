//! Tokens that the configuration lists.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Owners by the hash of their token: the time of a look-up doesn't tell how much of a guess was right.
#[derive(Debug, Default)]
pub(super) struct Tokens(HashMap<[u8; 32], TokenOwner>);

/// Who has a token.
#[derive(Clone)]
pub(super) struct TokenOwner {
    pub(super) user: Arc<str>,
    pub(super) role: Option<String>,
}

impl fmt::Debug for TokenOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} as {:?}", self.user, self.role)
    }
}

impl TokenOwner {
    /// The claims that may fill arguments.
    pub(super) fn claims(&self) -> Value {
        json!({"sub": &*self.user, "role": self.role})
    }
}

impl Tokens {
    /// Adds a token. False if it was there already.
    pub(super) fn add(&mut self, token: &str, owner: TokenOwner) -> bool {
        self.0.insert(hash(token), owner).is_none()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn find(&self, token: &str) -> Option<&TokenOwner> {
        self.0.get(&hash(token))
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
