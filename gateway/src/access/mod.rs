//! Who a client is and what it may call, and which proxies are trusted.

mod fill;
mod identity;
mod jwt;
mod pattern;
mod proxies;
mod settings;
mod tokens;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use protocol::TaskFailure;
use serde_json::Value;

use self::fill::Fills;
pub(crate) use self::identity::Identity;
use self::identity::Role;
use self::jwt::JwtVerifier;
pub(crate) use self::proxies::Proxies;
pub(crate) use self::settings::{JwtTable, RoleTable, TokenTable};
use self::tokens::Tokens;

/// The role of clients that have no other.
const ROLE_DEFAULT: &str = "default";

/// How clients are recognised, and what each role may call.
#[derive(Debug)]
pub(crate) struct Access {
    roles: BTreeMap<String, Arc<Role>>,
    tokens: Tokens,
    jwt: Option<JwtVerifier>,
    fills: Fills,
}

/// Why a token is refused, in words that don't help anybody who guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It is not valid, and never was.
    Invalid,
    /// It was valid once.
    Expired,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "the token is not valid",
            Self::Expired => "the token has expired; get a new one",
        })
    }
}

impl Access {
    /// Whether clients have to say who they are.
    pub(crate) fn is_required(&self) -> bool {
        self.jwt.is_some() || !self.tokens.is_empty()
    }

    /// Clients that need no authentication.
    pub(crate) fn anonymous(&self) -> Identity {
        let filled = self.fills.values(&Value::Null);
        Identity::new(None, self.role(None), filled, None)
    }

    /// # Errors
    /// The token is not known here, or has expired.
    pub(crate) fn authenticate(&self, token: &str) -> Result<Identity, Denied> {
        if let Some(owner) = self.tokens.find(token) {
            let filled = self.fills.values(&owner.claims());
            let role = self.role(owner.role.as_deref());
            return Ok(Identity::new(
                Some(Arc::clone(&owner.user)),
                role,
                filled,
                None,
            ));
        }
        let verified = self.jwt.as_ref().ok_or(Denied::Invalid)?.verify(token)?;
        let filled = self.fills.values(&verified.claims);
        let role = self.role(verified.role.as_deref());
        Ok(Identity::new(
            Some(verified.user),
            role,
            filled,
            verified.expires_at,
        ))
    }

    /// The args with what the client's claims say in their places, whatever the client has put there.
    ///
    /// # Errors
    /// The args are not an object, or the client has no such claim.
    pub(crate) fn fill(&self, identity: &Identity, args: &Bytes) -> Result<Bytes, TaskFailure> {
        self.fills.apply(&identity.filled, args)
    }

    /// The role of that name; one that nobody has configured may call nothing.
    fn role(&self, name: Option<&str>) -> Arc<Role> {
        let name = name.unwrap_or(ROLE_DEFAULT);
        match self.roles.get(name) {
            Some(role) => Arc::clone(role),
            None => Arc::new(Role {
                name: name.to_owned(),
                allow: Vec::new(),
            }),
        }
    }
}
