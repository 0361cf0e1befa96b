//! Who a client is and what it may call, and which proxies are trusted.

mod fill;
mod identity;
mod jwks_url;
mod jwt;
mod keys;
mod settings;
mod tokens;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use protocol::TaskFailure;
use serde_json::Value;
pub(crate) use service::proxies::Proxies;

use self::fill::Fills;
pub(crate) use self::identity::Identity;
use self::identity::Role;
use self::jwt::JwtVerifier;
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

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) kind: DeniedKind,
    /// For the log: what is wrong, without the token.
    why: String,
}

/// What the client is told of it, in words that don't help anybody who guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeniedKind {
    /// It is not valid, and never was.
    Invalid,
    /// It was valid once.
    Expired,
    /// It can't be told: the keys can't be had.
    WithoutKeys,
}

impl Denied {
    fn invalid(why: String) -> Self {
        Self {
            kind: DeniedKind::Invalid,
            why,
        }
    }

    fn expired() -> Self {
        Self {
            kind: DeniedKind::Expired,
            why: "it has expired".to_owned(),
        }
    }

    fn without_keys(why: String) -> Self {
        Self {
            kind: DeniedKind::WithoutKeys,
            why,
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DeniedKind::Invalid => "the token is not valid",
            DeniedKind::Expired => "the token has expired; get a new one",
            DeniedKind::WithoutKeys => "tokens can't be checked at the moment",
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

    /// Who has the token. A refusal is logged.
    ///
    /// # Errors
    /// The token is not known here, or has expired.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Identity, Denied> {
        // On the heap: it may fetch keys, and what that needs must not lie in each connection for all of its life.
        let identity = Box::pin(self.identify(token)).await;
        if let Err(denied) = &identity {
            tracing::warn!(why = denied.why, "a token was refused");
        }
        identity
    }

    async fn identify(&self, token: &str) -> Result<Identity, Denied> {
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
        let Some(jwt) = &self.jwt else {
            let why = "it is not listed under `tokens`".to_owned();
            return Err(Denied::invalid(why));
        };
        let verified = jwt.verify(token).await?;
        let filled = self.fills.values(&verified.claims);
        let role = match verified.roles {
            None => self.role(None),
            Some(roles) => self.roles(&roles),
        };
        Ok(Identity::new(
            Some(verified.user),
            role,
            filled,
            verified.expires_at,
        ))
    }

    /// Keeps keys fresh that have to be fetched, for as long as it is polled.
    pub(crate) async fn keep_keys_fresh(&self) {
        if let Some(jwt) = &self.jwt {
            jwt.keys.keep_fresh().await;
        }
    }

    /// The args with what the client's claims say in their places, whatever the client has put there.
    ///
    /// # Errors
    /// The args are not an object, or the client has no such claim.
    pub(crate) fn fill(&self, identity: &Identity, args: &Bytes) -> Result<Bytes, TaskFailure> {
        self.fills.apply(&identity.filled, args)
    }

    /// The paths of the arguments that claims fill, each with its outermost part first.
    pub(crate) fn filled_args(&self) -> Vec<Vec<String>> {
        self.fills.args()
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

    /// What all of these roles together may call.
    fn roles(&self, names: &[String]) -> Arc<Role> {
        if let [one] = names {
            return self.role(Some(one));
        }
        let known: Vec<_> = names
            .iter()
            .filter_map(|name| self.roles.get(name))
            .collect();
        let mut all: Vec<_> = known.iter().map(|role| role.name.as_str()).collect();
        // In whatever order a token has them, they are the same.
        all.sort_unstable();
        all.dedup();
        Arc::new(Role {
            name: all.join(" "),
            allow: known
                .iter()
                .flat_map(|role| role.allow.iter().cloned())
                .collect(),
        })
    }
}
