//! What must not be shown: passwords, tokens, keys.

use std::env::VarError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::config::{ConfigError, read_text};

/// A secret. It has no `Display` and no `Serialize`, and its `Debug` doesn't show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// The secret itself, for whoever needs it. Not for logs or errors.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a configuration has a secret: `"the secret"`, `{ file = "/run/secrets/x" }` or `{ env = "X" }`.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration itself.
    Text(Secret),
    /// In a file, whose last line end is not a part of it.
    File(PathBuf),
    /// In a variable of the environment.
    Env(String),
}

impl SecretSource {
    /// The secret. `key` names where the configuration has it.
    ///
    /// # Errors
    /// File or variable can't be read, or there is nothing in it.
    pub fn read(&self, key: &str) -> Result<Secret, ConfigError> {
        let (secret, place) = match self {
            Self::Text(secret) => (secret.clone(), "the text".to_owned()),
            Self::File(file) => {
                let text = read_text(file)?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text);
                (Secret(text.into()), format!("the file {}", file.display()))
            }
            Self::Env(name) => {
                let place = format!("the environment variable {name}");
                let text = std::env::var(name).map_err(|error| {
                    let problem = match error {
                        VarError::NotPresent => "is not set",
                        // The error itself would show what is in it.
                        VarError::NotUnicode(_) => "is not UTF-8",
                    };
                    ConfigError::value(key, format!("{place} {problem}"))
                })?;
                (text.into(), place)
            }
        };
        if secret.0.is_empty() {
            return Err(ConfigError::value(key, format!("{place} is empty")));
        }
        Ok(secret)
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(secret) => secret.fmt(f),
            Self::File(file) => write!(f, "Secret(file {})", file.display()),
            Self::Env(name) => write!(f, "Secret(env {name})"),
        }
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

const EXPECTED: &str = "a secret: a text, { file = \"…\" } or { env = \"…\" }";

/// Written by hand, since what serde derives shows the value that it didn't expect.
struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretSource, E> {
        Ok(SecretSource::Text(Secret(text.into())))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<SecretSource, E> {
        Err(E::custom(format!(
            "a number where there should be {EXPECTED}"
        )))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretSource, E> {
        Err(E::custom(format!(
            "a number where there should be {EXPECTED}"
        )))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
        let wrong = || de::Error::custom(format!("there should be {EXPECTED}"));
        let source = match map.next_entry::<String, String>()? {
            Some((key, file)) if key == "file" => SecretSource::File(file.into()),
            Some((key, name)) if key == "env" => SecretSource::Env(name),
            _ => return Err(wrong()),
        };
        match map.next_key::<String>()? {
            None => Ok(source),
            Some(_) => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        password: SecretSource,
    }

    fn source(text: &str) -> Result<SecretSource, String> {
        crate::config::parse::<File>(&format!("password = {text}")).map(|file| file.password)
    }

    #[test]
    fn it_comes_from_the_text_a_file_or_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "s3cret \r\n").unwrap();
        let read = |text: &str| source(text).unwrap().read("password").unwrap();
        assert_eq!(read("\"s3cret\"").expose(), "s3cret");
        assert_eq!(
            read(&format!("{{ file = \"{}\" }}", file.display())).expose(),
            "s3cret "
        );
        assert_eq!(
            read("{ env = \"CARGO_PKG_NAME\" }").expose(),
            env!("CARGO_PKG_NAME")
        );
    }

    #[test]
    fn nothing_is_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("empty");
        std::fs::write(&file, "\n").unwrap();
        for (text, said) in [
            ("\"\"".to_owned(), "empty"),
            (format!("{{ file = \"{}\" }}", file.display()), "empty"),
            ("{ file = \"no/such\" }".to_owned(), "no/such can't be read"),
            (
                "{ env = \"NO_SUCH_NAME\" }".to_owned(),
                "NO_SUCH_NAME is not set",
            ),
        ] {
            let error = source(&text).unwrap().read("smtp.password").unwrap_err();
            assert!(error.to_string().contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn it_is_never_shown() {
        let from_text = source("\"s3cret\"").unwrap();
        let secret = from_text.read("password").unwrap();
        for shown in [format!("{from_text:?}"), format!("{secret:?}")] {
            assert!(!shown.contains("s3cret"), "{shown}");
        }
        for text in ["12345", "1.5", "[\"12345\"]", "{ fil = \"12345\" }", "true"] {
            let error = source(text).unwrap_err();
            assert!(
                !error.contains("12345") && !error.contains("1.5"),
                "{error}"
            );
            assert!(error.contains("secret"), "{text}: {error}");
        }
    }
}
