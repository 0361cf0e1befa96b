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
    /// In a file; a line end after it is not part of it. A relative path is taken from the working directory,
    /// which is the host's.
    File(PathBuf),
    /// In a variable of the environment, which is the host's.
    Env(String),
}

impl SecretSource {
    /// The secret.
    ///
    /// # Errors
    ///
    /// File or variable can't be read, or there is nothing in it. `key` is the setting's name, for the message.
    pub fn read(&self, key: &'static str) -> Result<Secret, SecretError> {
        let failed = |place: String, reason: String| SecretError { key, place, reason };
        let (text, place) = match self {
            Self::Text(secret) => (secret.expose().to_owned(), String::new()),
            Self::File(path) => {
                let place = format!(" {}", path.display());
                match read_file(path) {
                    Ok(text) => (text, place),
                    Err(error) => return Err(failed(place, error.to_string())),
                }
            }
            Self::Env(name) => {
                let place = format!(" {name}");
                match env::var(name) {
                    Ok(text) => (text, place),
                    Err(env::VarError::NotPresent) => {
                        let reason = "there is no such environment variable".to_owned();
                        return Err(failed(place, reason));
                    }
                    // What is not UTF-8 would be shown by the error.
                    Err(env::VarError::NotUnicode(_)) => {
                        return Err(failed(place, "it is not UTF-8".to_owned()));
                    }
                }
            }
        };
        if text.is_empty() {
            return Err(failed(place, "it is empty".to_owned()));
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

/// The one secret that a configuration has in one of several settings, each with its name.
///
/// # Errors
///
/// It is in more than one of them; and those of [`SecretSource::read`].
pub fn read_one_of<const N: usize>(
    settings: [(&'static str, Option<SecretSource>); N],
) -> Result<Option<Secret>, SecretError> {
    let mut given = settings
        .into_iter()
        .filter_map(|(key, source)| Some((key, source?)));
    let Some((key, source)) = given.next() else {
        return Ok(None);
    };
    if let Some((other, _)) = given.next() {
        return Err(SecretError {
            key,
            place: String::new(),
            reason: format!("there is more than one of these: `{other}` is set, too"),
        });
    }
    source.read(key).map(Some)
}

/// A secret of the configuration that can't be had. The message doesn't show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretError {
    key: &'static str,
    place: String,
    reason: String,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, place, reason } = self;
        write!(f, "`{key}`{place}: {reason}")
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

    use plugin_api::serde_json::{self, Value, json};

    use super::*;

    fn source(value: Value) -> SecretSource {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_secret_is_written_down_or_in_a_file_or_in_the_environment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for content in ["ge heim", "ge heim\n", "ge heim\r\n", "ge heim\n\n"] {
            fs::write(file.path(), content).unwrap();
            let secret = source(json!({"file": file.path()})).read("password");
            assert_eq!(secret.unwrap().expose(), "ge heim", "{content:?}");
        }
        let secret = source(json!("ge heim\n")).read("password").unwrap();
        assert_eq!(secret.expose(), "ge heim\n", "as it is written");
        let path = env::var("PATH").unwrap();
        let secret = source(json!({"env": "PATH"})).read("password").unwrap();
        assert_eq!(secret.expose(), path);
    }

    #[test]
    fn what_is_not_there_or_empty_is_refused_by_its_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "\r\n").unwrap();
        let path = file.path().display();
        for (value, told) in [
            (json!(""), "`key`: it is empty".to_owned()),
            (
                json!({"file": file.path()}),
                format!("`key` {path}: it is empty"),
            ),
            (
                json!({"file": "/no/such"}),
                "`key` /no/such: No such file".to_owned(),
            ),
            (
                json!({"file": "/dev/zero"}),
                "`key` /dev/zero: it is too long".to_owned(),
            ),
            (
                json!({"env": "NO_SUCH_VARIABLE"}),
                "`key` NO_SUCH_VARIABLE: there is no such environment variable".to_owned(),
            ),
        ] {
            let error = source(value).read("key").unwrap_err().to_string();
            assert!(error.starts_with(&told), "{error}");
        }
    }

    #[test]
    fn of_several_settings_one_may_have_it() {
        let text = |text: &str| Some(SecretSource::Text(text.to_owned().into()));
        let read = |a, b| read_one_of([("password", a), ("password_file", b)]);
        assert_eq!(read(None, None), Ok(None));
        assert_eq!(read(None, text("x")).unwrap().unwrap().expose(), "x");
        let error = read(text("hidden"), text("hidden")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`password`: there is more than one of these: `password_file` is set, too"
        );
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
