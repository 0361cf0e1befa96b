//! JSON Web Tokens (RFC 7519).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::Denied;
use super::keys::Keys;

/// Longest token, in bytes. A longer one is rejected.
const TOKEN_LEN_MAX: usize = 16 * 1024;

/// How tokens are checked.
#[derive(Debug)]
pub(super) struct JwtSettings {
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) user_claim: String,
    pub(super) role_claim: Option<String>,
    pub(super) leeway: Duration,
}

/// Checks tokens.
#[derive(Debug)]
pub(super) struct JwtVerifier {
    pub(super) settings: JwtSettings,
    pub(super) keys: Keys,
}

/// What a valid token says.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) user: Arc<str>,
    /// None where the token has no such claim.
    pub(super) roles: Option<Vec<String>>,
    pub(super) claims: Value,
    pub(super) expires_at: Option<SystemTime>,
}

/// Why a token was not verified.
enum Failure {
    Denied(Denied),
    /// It is signed by a key that is not known, or by none: newer keys may tell.
    OfKey(Denied),
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl JwtVerifier {
    /// # Errors
    /// The token is not valid, or not any more; or it can't be told since there are no keys.
    pub(super) async fn verify(&self, token: &str) -> Result<Verified, Denied> {
        match self.check(token) {
            Err(Failure::OfKey(_)) if self.keys.fetch_again().await => self.check(token),
            checked => checked,
        }
        .map_err(|(Failure::Denied(denied) | Failure::OfKey(denied))| denied)
    }

    fn check(&self, token: &str) -> Result<Verified, Failure> {
        let header = self.header(token)?;
        let keys = self
            .keys
            .current()
            .map_err(|why| Failure::OfKey(Denied::without_keys(why)))?;
        let mut fitting = keys
            .iter()
            .filter(|key| key.fits(header.alg, header.kid.as_deref()))
            .peekable();
        if fitting.peek().is_none() {
            let why = format!(
                "no key is for its `kid` {:?} and `alg` {:?}",
                header.kid.as_deref().unwrap_or_default(),
                header.alg
            );
            return Err(Failure::OfKey(Denied::invalid(why)));
        }
        let validation = self.validation(header.alg);
        let mut failure = None;
        for key in fitting {
            match decode::<Value>(token, &key.key, &validation) {
                Ok(data) => return Ok(self.verified(data.claims)?),
                // What is wrong with a token of another key says less than what is wrong with one of ours.
                Err(error) if failure.is_none() || !is_of_key(&error) => failure = Some(error),
                Err(_) => {}
            }
        }
        let Some(error) = failure else {
            return Err(Denied::invalid("no key fits".to_owned()).into());
        };
        let denied = self.denied(&error);
        Err(if is_of_key(&error) && header.kid.is_none() {
            // Which of the keys it is signed by is not said; it may be a newer one.
            Failure::OfKey(denied)
        } else {
            denied.into()
        })
    }

    /// The header, if it is one that is understood here.
    fn header(&self, token: &str) -> Result<Header, Denied> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(Denied::invalid(format!(
                "it is longer than {TOKEN_LEN_MAX} bytes"
            )));
        }
        let header = decode_header(token).map_err(|_| {
            Denied::invalid("it is neither listed under `tokens` nor a JSON Web Token with an algorithm that is known here".to_owned())
        })?;
        if !self.settings.algorithms.contains(&header.alg) {
            let why = format!(
                "its algorithm is {:?}, which `jwt.algorithms` doesn't list",
                header.alg
            );
            return Err(Denied::invalid(why));
        }
        // RFC 7515, section 4.1.11: who doesn't understand all of these must refuse the token, and none is understood here.
        let fields = token
            .split('.')
            .next()
            .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
            .and_then(|json| serde_json::from_slice::<Map<String, Value>>(&json).ok());
        match fields {
            Some(fields) if !fields.contains_key("crit") => Ok(header),
            Some(fields) => {
                let why = format!(
                    "its header has `crit` {}, which is not understood here",
                    fields["crit"]
                );
                Err(Denied::invalid(why))
            }
            None => Err(Denied::invalid("its header can't be read".to_owned())),
        }
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.settings.leeway.as_secs();
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp"]);
        if let Some(issuer) = &self.settings.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        match &self.settings.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                validation.required_spec_claims.insert("aud".to_owned());
            }
            None => validation.validate_aud = false,
        }
        validation
    }

    fn denied(&self, error: &jsonwebtoken::errors::Error) -> Denied {
        let settings = &self.settings;
        let why = match error.kind() {
            ErrorKind::ExpiredSignature => return Denied::expired(),
            ErrorKind::InvalidAudience => {
                format!(
                    "its audience `aud` is not {:?}",
                    settings.audience.as_deref().unwrap_or_default()
                )
            }
            ErrorKind::InvalidIssuer => {
                format!(
                    "its issuer `iss` is not {:?}",
                    settings.issuer.as_deref().unwrap_or_default()
                )
            }
            ErrorKind::ImmatureSignature => "it is not valid yet (`nbf`)".to_owned(),
            ErrorKind::MissingRequiredClaim(claim) => format!("it has no `{claim}`"),
            ErrorKind::InvalidClaimFormat(claim) => {
                format!("its `{claim}` is not what it should be")
            }
            ErrorKind::InvalidSignature => "no key of its kind has signed it".to_owned(),
            // What else goes wrong is said without what the token holds.
            _ => "it can't be checked by any key".to_owned(),
        };
        Denied::invalid(why)
    }

    fn verified(&self, claims: Value) -> Result<Verified, Denied> {
        let settings = &self.settings;
        let user = claim(&claims, &settings.user_claim)
            .and_then(text)
            .ok_or_else(|| {
                Denied::invalid(format!(
                    "it has no `{}` (jwt.user_claim)",
                    settings.user_claim
                ))
            })?;
        let roles = settings
            .role_claim
            .as_deref()
            .and_then(|name| claim(&claims, name))
            .filter(|claim| !claim.is_null())
            .map(|claim| match claim {
                Value::Array(several) => several.iter().filter_map(text).collect(),
                // A role that is not a text is one that nobody has configured.
                one => vec![text(one).unwrap_or_default()],
            });
        let expires_at = claims
            .get("exp")
            .and_then(Value::as_f64)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since))
            .and_then(|at| at.checked_add(settings.leeway));
        Ok(Verified {
            user: user.into(),
            roles,
            claims,
            expires_at,
        })
    }
}

/// Whether another key might have done.
fn is_of_key(error: &jsonwebtoken::errors::Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::ExpiredSignature
            | ErrorKind::InvalidAudience
            | ErrorKind::InvalidIssuer
            | ErrorKind::InvalidSubject
            | ErrorKind::ImmatureSignature
            | ErrorKind::MissingRequiredClaim(_)
            | ErrorKind::InvalidClaimFormat(_)
    )
}

/// The claim of that name, like `https://login.example/role`, or at that path, like `realm_access.roles`.
fn claim<'c>(claims: &'c Value, name: &str) -> Option<&'c Value> {
    claims
        .get(name)
        .or_else(|| name.split('.').try_fold(claims, |at, part| at.get(part)))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_has_a_name_or_a_path() {
        let claims = json!({
            "role": "a", "realm_access": {"roles": ["b"]}, "https://login.example/role": "c", "x.y": 1, "x": {"y": 2},
        });
        for (name, expected) in [
            ("role", Some(json!("a"))),
            ("realm_access.roles", Some(json!(["b"]))),
            ("https://login.example/role", Some(json!("c"))),
            ("x.y", Some(json!(1))),
            ("realm_access.missing", None),
            ("role.a", None),
        ] {
            assert_eq!(claim(&claims, name), expected.as_ref(), "{name}");
        }
    }
}
