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
use super::jwks_url::JwksUrl;
use super::jwt::{JwtSettings, JwtVerifier};
use super::keys::{KeySource, Keys};
use super::tokens::{TokenOwner, Tokens};
use super::{Access, ROLE_DEFAULT};
use service::config::{ConfigError, read_text};
use service::pattern::Pattern;

/// Shortest token that may be listed, in bytes.
const TOKEN_LEN_MIN: usize = 16;

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
    jwks_url: Option<String>,
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
    let shortest = algorithms.iter().map(|one| secret_len_min(*one)).max();
    let keys = match (
        table.secret_file,
        table.public_key_file,
        table.jwks_file,
        table.jwks_url,
    ) {
        (Some(file), None, None, None) => {
            let secret = read_text(&file)?.trim_end().as_bytes().to_vec();
            if Some(secret.len()) < shortest {
                return Err(problem(&format!(
                    "the secret has fewer than the {} bytes that {} asks for (RFC 7518)",
                    shortest.unwrap_or_default(),
                    table.algorithms.join(", ")
                )));
            }
            KeySource::Secret(secret)
        }
        (None, Some(file), None, None) => KeySource::Pem(read_text(&file)?.into_bytes()),
        (None, None, Some(file), None) => KeySource::File(file),
        (None, None, None, Some(url)) => {
            let url = JwksUrl::parse(&url)
                .map_err(|problem| ConfigError::value("jwt.jwks_url", problem))?;
            KeySource::Url(Box::new(url))
        }
        _ => {
            return Err(problem(
                "give one of `secret_file`, `public_key_file`, `jwks_file` and `jwks_url`",
            ));
        }
    };
    Ok(JwtVerifier {
        keys: Keys::new(keys, algorithms.clone()).map_err(|error| problem(&error))?,
        settings: JwtSettings {
            algorithms,
            issuer: table.issuer,
            audience: table.audience,
            user_claim: table.user_claim,
            role_claim: table.role_claim,
            leeway: table.leeway.0,
        },
    })
}

/// Shortest secret of an algorithm, in bytes (RFC 7518, section 3.2).
fn secret_len_min(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => 32,
    }
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    // The text "none" and whatever else is no signature is not among them.
    name.parse().map_err(|_| {
        format!(
            "{name:?} is not an algorithm that is known here: write HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA"
        )
    })
}
