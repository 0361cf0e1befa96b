//! Who a client is, and what it may call.

mod jwt;
mod pattern;
mod tokens;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use protocol::{ErrorCode, TaskFailure};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub(crate) use self::jwt::{JwtSettings, JwtVerifier, KeySource};
pub(crate) use self::pattern::Pattern;
pub(crate) use self::tokens::{TokenEntry, Tokens};
use crate::upstream::HOST_PREFIX;

const NEVER: u64 = u64::MAX;
/// The role of those who have no other.
pub(crate) const ROLE_DEFAULT: &str = "default";

/// What those of a role may call.
#[derive(Debug, Default)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) allow: Vec<Pattern>,
}

/// Who a client is.
#[derive(Debug)]
pub(crate) struct Identity {
    /// None for those who need not say.
    pub(crate) user: Option<Arc<str>>,
    pub(crate) role: Arc<Role>,
    /// What of the claims goes into arguments, in the order of [`Access::fill`].
    filled: Vec<Option<Value>>,
    /// Milliseconds since 1970; `u64::MAX` stands for never.
    expires_at: AtomicU64,
}

/// An argument that the client's claims fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Of the args, outermost first.
    arg: Vec<String>,
    /// Of the claims, outermost first.
    claim: Vec<String>,
}

/// How clients are known.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) roles: BTreeMap<String, Arc<Role>>,
    pub(crate) tokens: Tokens,
    pub(crate) jwt: Option<JwtVerifier>,
    pub(crate) fill: Vec<Fill>,
}

/// Why somebody isn't let in. In words that are no help to those who guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The token is none, or none that is valid.
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

    /// Whoever needs not say who they are.
    pub(crate) fn anonymous(&self) -> Identity {
        Identity {
            user: None,
            role: self.role(None),
            filled: self.filled(&Value::Null),
            expires_at: AtomicU64::new(NEVER),
        }
    }

    /// # Errors
    /// The token is none of ours, or no longer.
    pub(crate) fn authenticate(&self, token: &str) -> Result<Identity, Denied> {
        if let Some(entry) = self.tokens.find(token) {
            return Ok(Identity {
                user: Some(Arc::clone(&entry.user)),
                role: self.role(entry.role.as_deref()),
                filled: self.filled(&entry.claims()),
                expires_at: AtomicU64::new(NEVER),
            });
        }
        let verified = self.jwt.as_ref().ok_or(Denied::Invalid)?.verify(token)?;
        Ok(Identity {
            user: Some(verified.user),
            role: self.role(verified.role.as_deref()),
            filled: self.filled(&verified.claims),
            expires_at: AtomicU64::new(verified.expires_at.map_or(NEVER, since_1970)),
        })
    }

    fn filled(&self, claims: &Value) -> Vec<Option<Value>> {
        self.fill
            .iter()
            .map(|fill| lookup(claims, &fill.claim).cloned())
            .collect()
    }

    /// The role of that name; one that nobody has configured may do nothing.
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

    /// The args with what the client's claims say in their place, whatever the client has put there.
    ///
    /// # Errors
    /// The args are no object, or the client has no such claim.
    pub(crate) fn fill(&self, identity: &Identity, args: &Bytes) -> Result<Bytes, TaskFailure> {
        if self.fill.is_empty() {
            return Ok(args.clone());
        }
        let refused = |message: String| TaskFailure::new(ErrorCode::InvalidArgs, message);
        // Values that are not touched stay as they were written, with all digits of their numbers.
        let mut object: Map<String, Value> = Map::new();
        let given: BTreeMap<String, &RawValue> = serde_json::from_slice(args).map_err(|_| {
            refused(
                "`args` has to be an object here, since the gateway fills a part of it".to_owned(),
            )
        })?;
        let mut kept: BTreeMap<String, &RawValue> = given;
        for (fill, value) in self.fill.iter().zip(&identity.filled) {
            let Some((first, rest)) = fill.arg.split_first() else {
                continue;
            };
            let value = value.as_ref().ok_or_else(|| {
                refused(format!(
                    "`args.{}` is filled with the claim `{}`, which your token doesn't have",
                    fill.arg.join("."),
                    fill.claim.join(".")
                ))
            })?;
            if let Some(raw) = kept.remove(first) {
                let before = serde_json::from_str(raw.get()).unwrap_or(Value::Null);
                object.insert(first.clone(), before);
            }
            place(
                object.entry(first.clone()).or_insert(Value::Null),
                rest,
                value.clone(),
            );
        }
        let mut filled = Vec::with_capacity(args.len() + 64);
        filled.push(b'{');
        let kept = kept.iter().map(|(key, raw)| (key, raw.get().to_owned()));
        let placed = object.iter().map(|(key, value)| (key, value.to_string()));
        for (number, (key, value)) in kept.chain(placed).enumerate() {
            if number > 0 {
                filled.push(b',');
            }
            filled.extend_from_slice(Value::from(key.as_str()).to_string().as_bytes());
            filled.push(b':');
            filled.extend_from_slice(value.as_bytes());
        }
        filled.push(b'}');
        Ok(filled.into())
    }
}

impl Identity {
    /// Whether both are the same user, with the same rights and claims that count, so that one may go on with what the other began.
    pub(crate) fn is_same_user(&self, other: &Self) -> bool {
        self.user == other.user && self.role.name == other.role.name && self.filled == other.filled
    }

    pub(crate) fn is_expired(&self) -> bool {
        self.expires_at.load(Ordering::Relaxed) <= since_1970(SystemTime::now())
    }

    /// How long it is still valid, if not for ever.
    pub(crate) fn expires_in(&self) -> Option<Duration> {
        let at = self.expires_at.load(Ordering::Relaxed);
        (at != NEVER)
            .then(|| Duration::from_millis(at.saturating_sub(since_1970(SystemTime::now()))))
    }

    /// It is valid for as long as another one of the same user.
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

impl Fill {
    /// `args.user_id` and `claims.sub`.
    ///
    /// # Errors
    /// A path doesn't begin like that.
    pub(crate) fn new(arg: &str, claim: &str) -> Result<Self, String> {
        let path = |text: &str, root: &str| {
            text.strip_prefix(root)
                .and_then(|rest| rest.strip_prefix('.'))
                .map(|rest| rest.split('.').map(str::to_owned).collect::<Vec<_>>())
                .filter(|path| path.iter().all(|part| !part.is_empty()))
                .ok_or_else(|| format!("{text:?} is no path like \"{root}.name\""))
        };
        Ok(Self {
            arg: path(arg, "args")?,
            claim: path(claim, "claims")?,
        })
    }
}

fn since_1970(at: SystemTime) -> u64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(NEVER)
}

fn lookup<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, part| value.get(part))
}

/// Puts a value in its place, with objects on the way there.
fn place(at: &mut Value, path: &[String], value: Value) {
    let mut at = at;
    for part in path {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[part.as_str()];
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn identity(allow: &[&str]) -> Identity {
        Identity {
            user: Some("ada".into()),
            role: Arc::new(Role {
                name: "default".to_owned(),
                allow: allow
                    .iter()
                    .map(|text| Pattern::new(text).unwrap())
                    .collect(),
            }),
            filled: Vec::new(),
            expires_at: AtomicU64::new(NEVER),
        }
    }

    /// With claims.
    fn ada(access: &Access) -> Identity {
        Identity {
            filled: access.filled(&json!({"sub": "ada", "org": {"id": 7}})),
            ..identity(&[])
        }
    }

    fn access(fill: &[(&str, &str)]) -> Access {
        Access {
            roles: BTreeMap::new(),
            tokens: Tokens::default(),
            jwt: None,
            fill: fill
                .iter()
                .map(|(arg, claim)| Fill::new(arg, claim).unwrap())
                .collect(),
        }
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

    #[test]
    fn claims_win_over_what_the_client_says() {
        let access = access(&[
            ("args.user_id", "claims.sub"),
            ("args.by.org", "claims.org.id"),
        ]);
        let fill = |args: &str| {
            let filled = access
                .fill(&ada(&access), &Bytes::from(args.to_owned()))
                .unwrap();
            serde_json::from_slice::<Value>(&filled).unwrap()
        };
        let expected = json!({"user_id": "ada", "by": {"org": 7}});
        assert_eq!(fill("{}"), expected);
        assert_eq!(fill(r#"{"user_id":"eve","by":[1]}"#), expected);
        assert_eq!(
            fill(r#"{"user_id":"eve","user_id":"mallory","by":{"org":1,"x":2},"n":1}"#),
            json!({"user_id": "ada", "by": {"org": 7, "x": 2}, "n": 1})
        );
        assert_eq!(fill(r#"{"user\u005fid":"eve"}"#), expected);
    }

    #[test]
    fn numbers_that_are_not_touched_keep_their_digits() {
        let access = access(&[("args.user_id", "claims.sub")]);
        let args = Bytes::from_static(br#"{"n":1234567890123456789012345678901234567890.10}"#);
        let filled = access.fill(&ada(&access), &args).unwrap();
        let text = std::str::from_utf8(&filled).unwrap();
        assert!(
            text.contains("1234567890123456789012345678901234567890.10"),
            "{text}"
        );
    }

    #[test]
    fn a_claim_that_is_missing_refuses_the_call() {
        let access = access(&[("args.user_id", "claims.email")]);
        for args in ["{}", r#"{"user_id":"eve"}"#, "[]", "7"] {
            let error = access
                .fill(&ada(&access), &Bytes::from(args.to_owned()))
                .unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgs, "{args}");
        }
    }

    #[test]
    fn paths_name_args_and_claims() {
        for (arg, claim) in [
            ("user_id", "claims.sub"),
            ("args", "claims.sub"),
            ("args.", "claims.sub"),
            ("args.a..b", "claims.sub"),
            ("args.a", "sub"),
        ] {
            assert!(Fill::new(arg, claim).is_err(), "{arg} {claim}");
        }
    }
}
