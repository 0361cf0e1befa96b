//! Passwords and the like: where a configuration has them, and a type that doesn't show them.

use std::{
    env,
    error::Error,
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

/// The longest file that is read as a secret, in bytes.
const FILE_LEN_MAX: u64 = 64 << 10;

/// A text that is not to be seen. It has no `Display` and no `Serialize`, and its `Debug` doesn't show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// The text itself, for what needs it. It must not get into logs or errors.
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

/// A text in a configuration. What isn't a text is refused without being shown.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(SourceVisitor { is_text: true })? {
            SecretSource::Text(secret) => Ok(secret),
            SecretSource::File(_) | SecretSource::Env(_) => Err(de::Error::custom(TEXT)),
        }
    }
}

/// Where a configuration has a secret: `"the secret"`, `{ file = "/run/secrets/x" }` or `{ env = "X" }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration itself.
    Text(Secret),
    /// In a file of at most 64 KiB; line ends after it are not part of it. A relative path is taken from the working
    /// directory of the program; a plugin's is the host's.
    File(PathBuf),
    /// In a variable of the program's environment; a plugin's is the host's.
    Env(String),
}

impl SecretSource {
    /// The secret.
    ///
    /// # Errors
    /// File or variable can't be read, or there is nothing in it.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let (text, place) = match self {
            Self::Text(secret) => (secret.0.to_string(), "the text".to_owned()),
            Self::File(path) => {
                let place = format!("the file {}", path.display());
                let text = read_file(path)
                    .map_err(|error| SecretError::new(&place, format!("can't be read: {error}")))?;
                (text, place)
            }
            Self::Env(name) => {
                let place = format!("the environment variable {name}");
                let text = env::var(name).map_err(|error| {
                    let problem = match error {
                        env::VarError::NotPresent => "is not set",
                        // The error itself would show what is in it.
                        env::VarError::NotUnicode(_) => "is not UTF-8",
                    };
                    SecretError::new(&place, problem)
                })?;
                (text, place)
            }
        };
        if text.is_empty() {
            return Err(SecretError::new(&place, "is empty"));
        }
        Ok(text.into())
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    if file.take(FILE_LEN_MAX + 1).read_to_string(&mut text)? as u64 > FILE_LEN_MAX {
        return Err(io::Error::other("it is too long for a secret"));
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

/// A secret that can't be had. The message doesn't show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretError {
    place: String,
    problem: String,
}

impl SecretError {
    fn new(place: &str, problem: impl Into<String>) -> Self {
        Self {
            place: place.to_owned(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.problem)
    }
}

impl Error for SecretError {}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor { is_text: false })
    }
}

const TEXT: &str = "a text in quotes";
const SOURCE: &str = "a text in quotes, { file = \"…\" } or { env = \"…\" }";

/// Written by hand, since serde's own errors show the value that they didn't expect.
struct SourceVisitor {
    is_text: bool,
}

impl SourceVisitor {
    fn expected(&self) -> &'static str {
        if self.is_text { TEXT } else { SOURCE }
    }

    fn wrong<E: de::Error>(&self) -> E {
        E::custom(format!("a secret has to be {}", self.expected()))
    }
}

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretSource, E> {
        Ok(SecretSource::Text(Secret(text.into())))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<SecretSource, E> {
        Err(self.wrong())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<SecretSource, E> {
        Err(self.wrong())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<SecretSource, E> {
        Err(self.wrong())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretSource, E> {
        Err(self.wrong())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
        if self.is_text {
            return Err(self.wrong());
        }
        let source = match map.next_entry::<String, String>()? {
            Some((key, path)) if key == "file" => SecretSource::File(path.into()),
            Some((key, name)) if key == "env" => SecretSource::Env(name),
            _ => return Err(self.wrong()),
        };
        match map.next_key::<String>()? {
            None => Ok(source),
            Some(_) => Err(self.wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;

    fn source(value: Value) -> SecretSource {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_secret_is_written_down_or_in_a_file_or_in_the_environment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for content in ["ge heim ", "ge heim \n", "ge heim \r\n", "ge heim \n\n"] {
            fs::write(file.path(), content).unwrap();
            let secret = source(json!({"file": file.path()})).read();
            assert_eq!(secret.unwrap().expose(), "ge heim ", "{content:?}");
        }
        let secret = source(json!("ge heim\n")).read().unwrap();
        assert_eq!(secret.expose(), "ge heim\n", "as it is written");
        let path = env::var("PATH").unwrap();
        let secret = source(json!({"env": "PATH"})).read().unwrap();
        assert_eq!(secret.expose(), path);
    }

    #[test]
    fn what_is_not_there_or_empty_is_refused_by_its_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "\r\n").unwrap();
        let path = file.path().display();
        for (value, told) in [
            (json!(""), "the text is empty".to_owned()),
            (
                json!({"file": file.path()}),
                format!("the file {path} is empty"),
            ),
            (
                json!({"file": "/no/such"}),
                "the file /no/such can't be read: No such file".to_owned(),
            ),
            (
                json!({"file": "/dev/zero"}),
                "the file /dev/zero can't be read: it is too long".to_owned(),
            ),
            (
                json!({"env": "NO_SUCH_VARIABLE"}),
                "the environment variable NO_SUCH_VARIABLE is not set".to_owned(),
            ),
        ] {
            let error = source(value).read().unwrap_err().to_string();
            assert!(error.starts_with(&told), "{error}");
        }
    }

    #[test]
    fn it_is_shown_nowhere() {
        let secret = Secret::from("hidden".to_owned());
        let shown = format!("{secret:?} {:?}", SecretSource::Text(secret.clone()));
        assert!(!shown.contains("hidden"), "{shown}");
        for value in [
            json!(4711),
            json!(-4711),
            json!(47.11),
            json!(["4711"]),
            json!({"fil": "4711"}),
            json!({"file": "x", "env": "4711"}),
            json!({}),
            json!(null),
        ] {
            let errors = [
                serde_json::from_value::<SecretSource>(value.clone()).unwrap_err(),
                serde_json::from_value::<Secret>(value.clone()).unwrap_err(),
            ];
            for error in errors {
                let error = error.to_string();
                assert!(error.contains("a text in quotes"), "{value}: {error}");
                assert!(
                    !error.contains("4711") && !error.contains("47.11"),
                    "{error}"
                );
            }
        }
    }
}
