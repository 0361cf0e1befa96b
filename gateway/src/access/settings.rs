//! Who may call what, as the configuration says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use protocol::HOST_PREFIX;
use serde::Deserialize;
use values::secret::SecretSource;
use values::units::Time;

use super::fill::Fills;
use super::identity::Role;
use super::jwt::{JwtSettings, JwtVerifier, KeySource};
use super::pattern::Pattern;
use super::tokens::{TokenOwner, Tokens};
use super::{Access, ROLE_DEFAULT};
use service::config::{ConfigError, read_text};

/// Shortest token that may be listed, in bytes.
const TOKEN_LEN_MIN: usize = 16;
/// Shortest secret for HS256, in bytes (RFC 7518, 3.2).
const SECRET_LEN_MIN: usize = 32;

/// `[roles.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleTable {
    allow: Vec<String>,
}

/// One of `[[tokens]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenTable {
    token: SecretSource,
    user: String,
    role: Option<String>,
}

/// `[jwt]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JwtTable {
    algorithms: Vec<String>,
    secret_file: Option<PathBuf>,
    public_key_file: Option<PathBuf>,
    jwks_file: Option<PathBuf>,
    issuer: Option<String>,
    audience: Option<String>,
    #[serde(default = "user_claim_default")]
    user_claim: String,
    role_claim: Option<String>,
    #[serde(default = "leeway_default")]
    leeway: Time,
}

fn user_claim_default() -> String {
    "sub".to_owned()
}

fn leeway_default() -> Time {
    Time(Duration::from_secs(5))
}

impl Access {
    /// Checks all of it. `allow` is what the default role may call.
    ///
    /// # Errors
    /// A role, a token, a key or a path can't be used.
    pub(crate) fn check(
        allow: Vec<String>,
        mut roles: BTreeMap<String, RoleTable>,
        tokens: Vec<TokenTable>,
        jwt: Option<JwtTable>,
        fill: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        if roles.contains_key(ROLE_DEFAULT) {
            return Err(ConfigError::value(
                "roles.default",
                "the default role is what `allow` at the top says",
            ));
        }
        roles.insert(ROLE_DEFAULT.to_owned(), RoleTable { allow });
        let roles = roles
            .into_iter()
            .map(|(name, table)| Ok((name.clone(), Arc::new(check_role(name, &table)?))))
            .collect::<Result<_, _>>()?;
        let fill = fill.iter().map(|(arg, claim)| (&**arg, &**claim));
        Ok(Self {
            tokens: check_tokens(tokens, &roles)?,
            roles,
            jwt: jwt.map(check_jwt).transpose()?,
            fills: Fills::new(fill).map_err(|problem| ConfigError::value("fill", problem))?,
        })
    }
}

fn check_role(name: String, table: &RoleTable) -> Result<Role, ConfigError> {
    let pattern = |text: &String| {
        if text.starts_with(HOST_PREFIX) {
            return Err(format!(
                "{text:?} allows nothing: the host's own functions, {HOST_PREFIX}*, are never for clients"
            ));
        }
        Pattern::new(text)
    };
    let allow = table
        .allow
        .iter()
        .map(pattern)
        .collect::<Result<_, _>>()
        .map_err(|problem| ConfigError::value(format!("roles.{name}.allow"), problem))?;
    Ok(Role { name, allow })
}

fn check_tokens(
    tables: Vec<TokenTable>,
    roles: &BTreeMap<String, Arc<Role>>,
) -> Result<Tokens, ConfigError> {
    let problem = |problem: String| ConfigError::value("tokens", problem);
    let mut tokens = Tokens::default();
    for TokenTable { token, user, role } in tables {
        let token = token
            .read()
            .map_err(|error| ConfigError::value("tokens.token", error.to_string()))?;
        let token = token.expose();
        if token.len() < TOKEN_LEN_MIN {
            return Err(problem(format!(
                "the token of {user:?} is shorter than {TOKEN_LEN_MIN} bytes, and could be guessed; `openssl rand -hex 32` makes a good one"
            )));
        }
        if let Some(role) = &role
            && !roles.contains_key(role)
        {
            return Err(problem(format!(
                "{user:?} has the role {role:?}, but there is no `[roles.{role}]`"
            )));
        }
        let owner = TokenOwner {
            user: user.as_str().into(),
            role,
        };
        if !tokens.add(token, owner) {
            return Err(problem(format!("the token of {user:?} is listed twice")));
        }
    }
    Ok(tokens)
}

fn check_jwt(table: JwtTable) -> Result<JwtVerifier, ConfigError> {
    let problem = |problem: &str| ConfigError::value("jwt", problem);
    let algorithms = table
        .algorithms
        .iter()
        .map(|name| algorithm(name).map_err(|error| problem(&error)))
        .collect::<Result<Vec<_>, _>>()?;
    if algorithms.is_empty() {
        return Err(problem("`algorithms` is empty"));
    }
    let keys = match (table.secret_file, table.public_key_file, table.jwks_file) {
        (Some(file), None, None) => {
            let secret = read_text(&file)?.trim_end().as_bytes().to_vec();
            if secret.len() < SECRET_LEN_MIN {
                return Err(problem(
                    "the secret has fewer than the 32 bytes that HS256 asks for (RFC 7518)",
                ));
            }
            KeySource::Secret(secret)
        }
        (None, Some(file), None) => KeySource::Pem(read_text(&file)?.into_bytes()),
        (None, None, Some(file)) => KeySource::Jwks(file),
        _ => {
            return Err(problem(
                "give one of `secret_file`, `public_key_file` and `jwks_file`",
            ));
        }
    };
    JwtVerifier::new(JwtSettings {
        keys,
        algorithms,
        issuer: table.issuer,
        audience: table.audience,
        user_claim: table.user_claim,
        role_claim: table.role_claim,
        leeway: table.leeway.0,
    })
    .map_err(|error| problem(&error))
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    match name {
        "HS256" | "RS256" | "ES256" | "EdDSA" => {
            name.parse().map_err(|_| format!("{name} is not available"))
        }
        other => Err(format!(
            "{other:?} is not an algorithm that is known here: write HS256, RS256, ES256 or EdDSA"
        )),
    }
}
