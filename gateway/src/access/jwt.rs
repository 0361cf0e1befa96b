//! JSON Web Tokens (RFC 7519).

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use super::Denied;
use service::sync::lock;

/// How often the key file is checked for changes.
const KEYS_CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Longest token, in bytes. A longer one is rejected.
const TOKEN_LEN_MAX: usize = 16 * 1024;

/// How tokens are checked.
#[derive(Debug)]
pub(super) struct JwtSettings {
    pub(super) keys: KeySource,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) user_claim: String,
    pub(super) role_claim: Option<String>,
    pub(super) leeway: Duration,
}

/// Where the keys are.
pub(super) enum KeySource {
    /// For HS256.
    Secret(Vec<u8>),
    /// A public key in PEM, for the algorithms of one family.
    Pem(Vec<u8>),
    /// A JWKS file (RFC 7517), read again when it changes.
    Jwks(PathBuf),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("a secret"),
            Self::Pem(_) => f.write_str("a public key"),
            Self::Jwks(file) => write!(f, "{}", file.display()),
        }
    }
}

/// Checks tokens.
#[derive(Debug)]
pub(super) struct JwtVerifier {
    settings: JwtSettings,
    keys: Mutex<Keys>,
}

#[derive(Debug)]
struct Keys {
    keys: Arc<Vec<Key>>,
    /// When their file was last changed.
    modified: Option<SystemTime>,
    checked_at: SystemTime,
}

struct Key {
    id: Option<String>,
    /// The algorithm that it is for; none if it is for all of its family.
    algorithm: Option<Algorithm>,
    family: AlgorithmFamily,
    key: DecodingKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.id, self.family)
    }
}

/// What a valid token says.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) user: Arc<str>,
    pub(super) role: Option<String>,
    pub(super) claims: Value,
    pub(super) expires_at: Option<SystemTime>,
}

impl JwtVerifier {
    /// # Errors
    /// The keys can't be read, or none of them is for one of the algorithms.
    pub(super) fn new(settings: JwtSettings) -> Result<Self, String> {
        let (keys, modified) = read_keys(&settings)?;
        Ok(Self {
            settings,
            keys: Mutex::new(Keys {
                keys: Arc::new(keys),
                modified,
                checked_at: SystemTime::now(),
            }),
        })
    }

    pub(super) fn verify(&self, token: &str) -> Result<Verified, Denied> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(Denied::Invalid);
        }
        let header = decode_header(token).map_err(|_| Denied::Invalid)?;
        if !self.settings.algorithms.contains(&header.alg) {
            return Err(Denied::Invalid);
        }
        let keys = self.keys();
        // A key with an id is chosen by it, one without by its algorithm.
        let fitting = keys.iter().filter(|key| {
            key.family == header.alg.family()
                && key
                    .algorithm
                    .is_none_or(|algorithm| algorithm == header.alg)
                && match (&key.id, &header.kid) {
                    (Some(id), Some(wanted)) => id == wanted,
                    _ => true,
                }
        });
        let mut validation = Validation::new(header.alg);
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
        let mut denied = Denied::Invalid;
        for key in fitting {
            match decode::<Value>(token, &key.key, &validation) {
                Ok(data) => return self.verified(data.claims),
                Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
                    denied = Denied::Expired;
                }
                Err(_) => {}
            }
        }
        Err(denied)
    }

    fn verified(&self, claims: Value) -> Result<Verified, Denied> {
        let text = |name: &str| match claims.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let user = text(&self.settings.user_claim).ok_or(Denied::Invalid)?;
        // A role that is not a text is one that nobody has configured.
        let role = self.settings.role_claim.as_deref().and_then(|name| {
            let is_there = claims.get(name).is_some_and(|claim| !claim.is_null());
            is_there.then(|| text(name).unwrap_or_default())
        });
        let expires_at = claims
            .get("exp")
            .and_then(Value::as_f64)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since))
            .and_then(|at| at.checked_add(self.settings.leeway));
        Ok(Verified {
            user: user.into(),
            role,
            claims,
            expires_at,
        })
    }

    /// The keys, read again if their file has changed. While it can't be read, those from before stay in use.
    fn keys(&self) -> Arc<Vec<Key>> {
        let mut keys = lock(&self.keys);
        let now = SystemTime::now();
        let is_old = now
            .duration_since(keys.checked_at)
            .is_ok_and(|age| age > KEYS_CHECK_INTERVAL);
        if let KeySource::Jwks(file) = &self.settings.keys
            && is_old
        {
            keys.checked_at = now;
            let modified = std::fs::metadata(file)
                .and_then(|meta| meta.modified())
                .ok();
            if modified.is_some() && modified != keys.modified {
                match read_keys(&self.settings) {
                    Ok((new, modified)) => {
                        tracing::info!(file = %file.display(), keys = new.len(), "keys were read again");
                        keys.keys = Arc::new(new);
                        keys.modified = modified;
                    }
                    Err(error) => {
                        tracing::warn!(file = %file.display(), error, "the keys from before stay in use");
                        keys.modified = modified;
                    }
                }
            }
        }
        Arc::clone(&keys.keys)
    }
}

fn read_keys(settings: &JwtSettings) -> Result<(Vec<Key>, Option<SystemTime>), String> {
    let families = |algorithms: &[Algorithm]| {
        let mut families: Vec<_> = algorithms
            .iter()
            .map(|algorithm| algorithm.family())
            .collect();
        families.dedup();
        families
    };
    let (keys, modified) = match &settings.keys {
        KeySource::Secret(secret) => {
            let key = Key {
                id: None,
                algorithm: None,
                family: AlgorithmFamily::Hmac,
                key: DecodingKey::from_secret(secret),
            };
            (vec![key], None)
        }
        KeySource::Pem(pem) => {
            let [family] = families(&settings.algorithms)[..] else {
                return Err(
                    "one public key serves algorithms of one family, like [\"RS256\"]".to_owned(),
                );
            };
            let key = match family {
                AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
                AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
                AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
                AlgorithmFamily::Hmac => {
                    return Err("a public key can't check HS256; a `secret_file` does".to_owned());
                }
            };
            let key = key.map_err(|error| format!("the public key can't be read: {error}"))?;
            let key = Key {
                id: None,
                algorithm: None,
                family,
                key,
            };
            (vec![key], None)
        }
        KeySource::Jwks(file) => {
            let problem = |error: &dyn fmt::Display| format!("{}: {error}", file.display());
            let text = std::fs::read_to_string(file).map_err(|error| problem(&error))?;
            let modified = std::fs::metadata(file)
                .and_then(|meta| meta.modified())
                .ok();
            let set: JwkSet = serde_json::from_str(&text).map_err(|error| problem(&error))?;
            let keys = set
                .keys
                .iter()
                .filter_map(|jwk| key(jwk).transpose())
                .collect::<Result<_, _>>()
                .map_err(|error| problem(&error))?;
            (keys, modified)
        }
    };
    let is_usable = |key: &Key| families(&settings.algorithms).contains(&key.family);
    if !keys.iter().any(is_usable) {
        return Err(format!(
            "no key of {:?} is for {:?}",
            settings.keys, settings.algorithms
        ));
    }
    Ok((keys, modified))
}

/// A key of a set; none if it is for anything but signatures that are known here.
fn key(jwk: &Jwk) -> Result<Option<Key>, jsonwebtoken::errors::Error> {
    if !jwk.is_supported() && jwk.common.key_algorithm.is_some() {
        return Ok(None);
    }
    let key = match DecodingKey::from_jwk(jwk) {
        Ok(key) => key,
        Err(error) if matches!(error.kind(), ErrorKind::UnsupportedAlgorithm) => return Ok(None),
        Err(error) => return Err(error),
    };
    let algorithm = jwk
        .common
        .key_algorithm
        .and_then(|algorithm| algorithm.to_string().parse().ok());
    Ok(Some(Key {
        id: jwk.common.key_id.clone(),
        algorithm,
        family: key.family(),
        key,
    }))
}
