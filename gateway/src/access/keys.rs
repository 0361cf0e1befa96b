//! The keys by which tokens are checked: from a file, which is read again when it changes, or from an address.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use service::rate::{Bucket, Rate};
use service::sync::lock;
use tokio::time::sleep;

use super::jwks_url::{Fetched, JwksUrl};

/// How often the key file is checked for changes.
const FILE_CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// How long fetched keys are used before they are fetched again, where the server doesn't say; and the bounds on what it
/// says.
const FRESH: Duration = Duration::from_secs(600);
const FRESH_MIN: Duration = Duration::from_secs(60);
const FRESH_MAX: Duration = Duration::from_secs(3600);
/// The pause before keys are fetched again that could not be had.
const RETRY: Duration = Duration::from_secs(10);
/// How often a token with a key that is not known has the keys fetched: anybody can send one.
const ON_DEMAND: Rate = Rate {
    per_second: 0.1,
    burst: 3.0,
};

/// Where the keys are.
pub(super) enum KeySource {
    /// For HS256 and its like.
    Secret(Vec<u8>),
    /// A public key in PEM, for the algorithms of one family.
    Pem(Vec<u8>),
    /// A JWKS file (RFC 7517), read again when it changes.
    File(PathBuf),
    /// A JWKS at an address, fetched again from time to time, and when a token names a key that is not known.
    Url(Box<JwksUrl>),
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("the secret"),
            Self::Pem(_) => f.write_str("the public key"),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Url(url) => write!(f, "{url}"),
        }
    }
}

/// One key.
pub(super) struct Key {
    id: Option<String>,
    /// The algorithm that it is for; none if it is for all of its family.
    algorithm: Option<Algorithm>,
    family: AlgorithmFamily,
    pub(super) key: DecodingKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.id, self.family)
    }
}

impl Key {
    fn of_family(family: AlgorithmFamily, key: DecodingKey) -> Self {
        Self {
            id: None,
            algorithm: None,
            family,
            key,
        }
    }

    /// Whether a token with this algorithm, and this key's id, may be checked by it. A key with an id is chosen by it, one
    /// without by its algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        self.family == algorithm.family()
            && self.algorithm.is_none_or(|own| own == algorithm)
            && match (self.id.as_deref(), id) {
                (Some(own), Some(wanted)) => own == wanted,
                _ => true,
            }
    }
}

/// All keys, as they are known now.
#[derive(Debug)]
pub(super) struct Keys {
    source: KeySource,
    algorithms: Vec<Algorithm>,
    current: Mutex<Current>,
    /// Counts how often keys were fetched.
    fetched: AtomicU64,
    on_demand: tokio::sync::Mutex<Bucket>,
}

#[derive(Debug)]
struct Current {
    keys: Arc<Vec<Key>>,
    /// When their file was last changed.
    modified: Option<SystemTime>,
    checked_at: SystemTime,
    /// Why there are none yet.
    missing: Option<String>,
}

impl Keys {
    /// # Errors
    /// The keys can't be read, or none of them is for one of the algorithms. What has to be fetched may come later.
    pub(super) fn new(source: KeySource, algorithms: Vec<Algorithm>) -> Result<Self, String> {
        let (keys, modified) = match &source {
            KeySource::Url(_) => (Vec::new(), None),
            _ => read(&source, &algorithms)?,
        };
        let missing = matches!(source, KeySource::Url(_)).then(|| "not fetched yet".to_owned());
        Ok(Self {
            current: Mutex::new(Current {
                keys: Arc::new(keys),
                modified,
                checked_at: SystemTime::now(),
                missing,
            }),
            source,
            algorithms,
            fetched: AtomicU64::new(0),
            on_demand: tokio::sync::Mutex::new(Bucket::new(ON_DEMAND)),
        })
    }

    /// The keys. Those of a file are read again if it has changed; while it can't be read, those from before stay in use.
    ///
    /// # Errors
    /// They have never been had: why.
    pub(super) fn current(&self) -> Result<Arc<Vec<Key>>, String> {
        let mut current = lock(&self.current);
        if let Some(missing) = &current.missing {
            return Err(format!("{:?}: {missing}", self.source));
        }
        let now = SystemTime::now();
        let is_old = now
            .duration_since(current.checked_at)
            .is_ok_and(|age| age > FILE_CHECK_INTERVAL);
        if let KeySource::File(file) = &self.source
            && is_old
        {
            current.checked_at = now;
            let modified = modified(file);
            if modified.is_some() && modified != current.modified {
                current.modified = modified;
                match read(&self.source, &self.algorithms) {
                    Ok((new, modified)) => {
                        tracing::info!(file = %file.display(), keys = new.len(), "keys were read again");
                        current.keys = Arc::new(new);
                        current.modified = modified;
                    }
                    Err(error) => {
                        tracing::warn!(file = %file.display(), error, "the keys from before stay in use");
                    }
                }
            }
        }
        Ok(Arc::clone(&current.keys))
    }

    /// Fetches the keys from time to time, for as long as it is polled. Ends at once where they don't have to be fetched.
    pub(super) async fn keep_fresh(&self) {
        let KeySource::Url(url) = &self.source else {
            return;
        };
        loop {
            // Whoever needs keys meanwhile waits for these.
            let demand = self.on_demand.lock().await;
            let wait = self.fetch(url).await.unwrap_or(RETRY);
            drop(demand);
            sleep(wait).await;
        }
    }

    /// Fetches the keys since a token names one that is not known. False if it can't be one of newer keys.
    pub(super) async fn fetch_again(&self) -> bool {
        let KeySource::Url(url) = &self.source else {
            return false;
        };
        let before = self.fetched.load(Ordering::Acquire);
        let mut on_demand = self.on_demand.lock().await;
        if self.fetched.load(Ordering::Acquire) != before {
            // Somebody else has, meanwhile.
            return true;
        }
        on_demand.take(Instant::now()).is_ok() && self.fetch(url).await.is_some()
    }

    /// Fetches the keys: how long they are fresh. None if they can't be had; those from before stay in use.
    async fn fetch(&self, url: &JwksUrl) -> Option<Duration> {
        let fetched = url.fetch().await.and_then(|Fetched { text, max_age }| {
            let keys = set(&text).map_err(|error| error.to_string())?;
            Ok((usable(keys, &self.source, &self.algorithms)?, max_age))
        });
        let mut current = lock(&self.current);
        match fetched {
            Ok((keys, max_age)) => {
                tracing::debug!(%url, keys = keys.len(), "keys were fetched");
                current.keys = Arc::new(keys);
                current.missing = None;
                self.fetched.fetch_add(1, Ordering::Release);
                Some(max_age.map_or(FRESH, |age| age.clamp(FRESH_MIN, FRESH_MAX)))
            }
            Err(error) => {
                tracing::warn!(%url, error, "the keys can't be fetched");
                if let Some(missing) = &mut current.missing {
                    *missing = error;
                }
                None
            }
        }
    }
}

fn modified(file: &std::path::Path) -> Option<SystemTime> {
    std::fs::metadata(file)
        .and_then(|meta| meta.modified())
        .ok()
}

/// Reads what lies on this machine, and when it was changed.
fn read(
    source: &KeySource,
    algorithms: &[Algorithm],
) -> Result<(Vec<Key>, Option<SystemTime>), String> {
    let (keys, modified) = match source {
        KeySource::Secret(secret) => {
            let key = DecodingKey::from_secret(secret);
            (vec![Key::of_family(AlgorithmFamily::Hmac, key)], None)
        }
        KeySource::Pem(pem) => (vec![public_key(pem, algorithms)?], None),
        KeySource::File(file) => {
            let problem = |error: &dyn fmt::Display| format!("{}: {error}", file.display());
            let modified = modified(file);
            let text = std::fs::read_to_string(file).map_err(|error| problem(&error))?;
            (set(&text).map_err(|error| problem(&error))?, modified)
        }
        KeySource::Url(_) => (Vec::new(), None),
    };
    Ok((usable(keys, source, algorithms)?, modified))
}

fn public_key(pem: &[u8], algorithms: &[Algorithm]) -> Result<Key, String> {
    let mut families: Vec<_> = algorithms.iter().map(|one| one.family()).collect();
    families.dedup();
    let [family] = families[..] else {
        return Err("one public key serves algorithms of one family, like [\"RS256\"]".to_owned());
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
    Ok(Key::of_family(family, key))
}

/// # Errors
/// None of the keys is for one of the algorithms.
fn usable(
    keys: Vec<Key>,
    source: &KeySource,
    algorithms: &[Algorithm],
) -> Result<Vec<Key>, String> {
    let is_usable = |key: &Key| algorithms.iter().any(|one| key.fits(*one, None));
    if keys.iter().any(is_usable) {
        return Ok(keys);
    }
    Err(format!("no key of {source:?} is for {algorithms:?}"))
}

/// The keys of a set. Those of kinds that are not known here are passed over, as RFC 7517, section 5, has it.
fn set(text: &str) -> serde_json::Result<Vec<Key>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let Set { keys } = serde_json::from_str(text)?;
    let key = |value: Value| {
        let id = value.get("kid").cloned();
        let key = serde_json::from_value::<Jwk>(value)
            .map_err(|error| error.to_string())
            .and_then(|jwk| key(&jwk).map_err(|error| error.to_string()));
        key.unwrap_or_else(|error| {
            tracing::debug!(?id, error, "a key of the set can't be used");
            None
        })
    };
    Ok(keys.into_iter().filter_map(key).collect())
}

/// A key of a set; none if it is for anything but signatures that are known here.
fn key(jwk: &Jwk) -> Result<Option<Key>, jsonwebtoken::errors::Error> {
    let common = &jwk.common;
    let is_for_signatures = common
        .public_key_use
        .as_ref()
        .is_none_or(|is_for| *is_for == PublicKeyUse::Signature)
        && common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !is_for_signatures || (!jwk.is_supported() && common.key_algorithm.is_some()) {
        return Ok(None);
    }
    let key = match DecodingKey::from_jwk(jwk) {
        Ok(key) => key,
        Err(error) if matches!(error.kind(), ErrorKind::UnsupportedAlgorithm) => return Ok(None),
        Err(error) => return Err(error),
    };
    let algorithm = common
        .key_algorithm
        .and_then(|algorithm| algorithm.to_string().parse().ok());
    Ok(Some(Key {
        id: common.key_id.clone(),
        algorithm,
        family: key.family(),
        key,
    }))
}
