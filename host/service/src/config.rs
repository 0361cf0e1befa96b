//! Configuration files: read, refused by name where they are wrong, checked.
//!
//! A program has a raw type that says what its file may hold (with `deny_unknown_fields`: a misspelt limit is no limit)
//! and a checked type that the rest of it works with. [`read`] gives the first; the program makes the second of it, with
//! [`within`] and [`ConfigError::value`] for what is wrong.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Names this similar to an unknown one are offered (Jaro-Winkler, 0 to 1).
const SIMILARITY_MIN: f64 = 0.8;
/// How many similar names are offered.
const NEAR_MISSES_MAX: usize = 3;

/// Why a configuration can't be used, as a sentence for whoever wrote it.
#[derive(Debug)]
pub enum ConfigError {
    /// The file can't be read.
    Read {
        /// Its path.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is not TOML, or has keys or types that are not expected.
    Parse {
        /// Its path.
        file: PathBuf,
        /// Where in the file, and what is wrong there. Never the line itself, which may hold a secret.
        problem: String,
    },
    /// A value can't be used.
    Value {
        /// The key, with the tables around it: `limits.line_len_max`.
        key: String,
        /// What is wrong with it, and what to write.
        problem: String,
    },
}

impl ConfigError {
    /// The value of this key can't be used, for this reason.
    pub fn value(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Value {
            key: key.into(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { file, error } => write!(f, "{} can't be read: {error}", file.display()),
            Self::Parse { file, problem } => {
                write!(
                    f,
                    "the configuration {} is wrong: {problem}",
                    file.display()
                )
            }
            Self::Value { key, problem } => write!(f, "`{key}`: {problem}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Reads a configuration file; without one, all has its default.
///
/// # Errors
/// The file can't be read or parsed.
pub fn read<T: DeserializeOwned + Default>(file: Option<&Path>) -> Result<T, ConfigError> {
    let Some(file) = file else {
        return Ok(T::default());
    };
    parse(&read_text(file)?).map_err(|problem| ConfigError::Parse {
        file: file.to_owned(),
        problem,
    })
}

/// Reads a file that a configuration names.
///
/// # Errors
/// It can't be read.
pub fn read_text(file: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(file).map_err(|error| ConfigError::Read {
        file: file.to_owned(),
        error,
    })
}

/// Reads TOML.
///
/// # Errors
/// Where in the text something is wrong, and what; for an unknown key, which known ones are similar.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let (problem, names_key) = said_of_keys(error.message());
        let Some(span) = error.span() else {
            return problem;
        };
        let (line, column) = place(text, span.start);
        match key_at(text, line) {
            Some(key) if !names_key => format!("line {line}, column {column}, `{key}`: {problem}"),
            _ => format!("line {line}, column {column}: {problem}"),
        }
    })
}

/// The number, if it lies in the range.
///
/// # Errors
/// It doesn't; the message has both bounds.
pub fn within<T: PartialOrd + fmt::Display>(
    key: &str,
    number: T,
    range: RangeInclusive<T>,
) -> Result<T, ConfigError> {
    if range.contains(&number) {
        return Ok(number);
    }
    let (min, max) = (range.start(), range.end());
    Err(ConfigError::value(
        key,
        format!("must be from {min} to {max}, not {number}"),
    ))
}

/// Those of the known names that somebody may have meant, the most similar first.
fn near_misses<'n>(wanted: &str, known: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let mut similar: Vec<(f64, &str)> = known
        .map(|name| (strsim::jaro_winkler(wanted, name), name))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .collect();
    similar.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    similar.truncate(NEAR_MISSES_MAX);
    similar.into_iter().map(|(_, name)| name).collect()
}

/// `; did you mean …?`, or nothing where no known name is similar.
pub fn did_you_mean<'n>(wanted: &str, known: impl Iterator<Item = &'n str>) -> String {
    let names = near_misses(wanted, known);
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    format!("; did you mean {}?", names.join(" or "))
}

/// What serde says, in the words of a configuration: of an unknown key, with what may have been meant; of a key that is
/// missing; of a value of the wrong type, without the value, which may be a secret. Other messages as they are. And whether
/// it has the key's name in it.
fn said_of_keys(message: &str) -> (String, bool) {
    if let Some(key) = message.strip_prefix("missing field ") {
        return (format!("the key {key} is missing"), false);
    }
    for kind in ["invalid type: ", "invalid value: "] {
        if let Some((found, expected)) = message
            .strip_prefix(kind)
            .and_then(|rest| rest.rsplit_once(", expected "))
        {
            let problem = format!(
                "expected {}, not {}",
                wanted(expected),
                found_instead(found)
            );
            return (problem, false);
        }
    }
    let names = message.strip_prefix("unknown field ").map(|rest| {
        let mut names = rest.split('`').skip(1).step_by(2);
        (names.next().unwrap_or_default(), names.collect::<Vec<_>>())
    });
    let Some((unknown, known)) = names else {
        return (message.to_owned(), false);
    };
    let meant = did_you_mean(unknown, known.iter().copied());
    if meant.is_empty() && !known.is_empty() {
        let known = known.join("`, `");
        return (
            format!("unknown key `{unknown}`; there are `{known}`"),
            true,
        );
    }
    (format!("unknown key `{unknown}`{meant}"), true)
}

/// What a type of ours is in a configuration.
fn wanted(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list, like [\"…\"]",
        "a map" => "a table",
        "a string" | "a borrowed string" => "a text in quotes",
        "a boolean" => "true or false",
        "usize" | "u8" | "u16" | "u32" | "u64" => "a whole number, 0 or more",
        "isize" | "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    }
}

/// What stands there. Of a text, only that it is one.
fn found_instead(found: &str) -> &str {
    let number = |name: &str| {
        let number = found.strip_prefix(name)?.strip_prefix(" `")?;
        number.strip_suffix('`')
    };
    if found.starts_with("string ") {
        return "a text";
    }
    match found {
        "sequence" => "a list",
        "map" => "a table",
        _ => ["integer", "floating point", "boolean"]
            .into_iter()
            .find_map(number)
            .unwrap_or(found),
    }
}

/// The key that has its value in this line, with the table that it stands in; or the table that begins there.
fn key_at(text: &str, line: usize) -> Option<String> {
    let mut table = "";
    for before in text.lines().take(line) {
        if before.trim().starts_with('[') {
            // What stands in quotes may be a value.
            table = header(before).unwrap_or("");
        }
    }
    let line = text.lines().nth(line - 1)?;
    if let Some(header) = header(line) {
        return Some(header.to_owned());
    }
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    let is_key = |c: char| c.is_ascii_alphanumeric() || "_-.\"".contains(c);
    if key.is_empty() || !key.chars().all(is_key) {
        return None;
    }
    Some(match table {
        "" => key.to_owned(),
        table => format!("{table}.{key}"),
    })
}

/// The name of the table that a line begins, where it is written without quotes.
fn header(line: &str) -> Option<&str> {
    let (name, _) = line.trim().strip_prefix('[')?.split_once(']')?;
    let name = name.trim_start_matches('[').trim();
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!name.is_empty() && name.chars().all(is_bare)).then_some(name)
}

/// Line and column of a byte, both from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct File {
        listen: Option<String>,
        hosts: Vec<String>,
        limits: Limits,
        secrets: std::collections::BTreeMap<String, Named>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read from text")]
    struct Named {
        name: String,
        kind: String,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Limits {
        line_len_max: usize,
    }

    #[test]
    fn an_unknown_key_is_named_with_what_may_have_been_meant() {
        for (text, said) in [
            (
                "lisen = 1",
                "line 1, column 1: unknown key `lisen`; did you mean `listen`?",
            ),
            (
                "\n[limits]\n  line_len = 1",
                "line 3, column 3: unknown key `line_len`; did you mean `line_len_max`?",
            ),
            (
                "x = 1",
                "line 1, column 1: unknown key `x`; there are `listen`, `hosts`, `limits`, `secrets`",
            ),
            (
                "listen = \"x\"\n[limits]\nline_len_max = \"y\"",
                "line 3, column 16, `limits.line_len_max`: expected a whole number, 0 or more, not a text",
            ),
            (
                "hosts = \"s3cret\"",
                "line 1, column 9, `hosts`: expected a list, like [\"…\"], not a text",
            ),
            (
                "listen = [\"a, expected b\"]",
                "line 1, column 10, `listen`: expected a text in quotes, not a list",
            ),
            (
                "[limits]\nline_len_max = -7",
                "line 2, column 16, `limits.line_len_max`: expected a whole number, 0 or more, not -7",
            ),
            (
                "limits = true",
                "line 1, column 10, `limits`: expected a table, not true",
            ),
            (
                "\n[secrets.one]\nkind = \"a\"",
                "line 2, column 1, `secrets.one`: the key `name` is missing",
            ),
        ] {
            assert_eq!(parse::<File>(text).unwrap_err(), said);
        }
    }

    #[test]
    fn the_line_itself_is_not_shown() {
        for text in [
            "tokn = \"s3cret\"",
            "listen = [\"s3cret\"",
            "hosts = 5 # s3cret",
            "hosts = \"s3cret\"",
            "limits = \"s3cret\"",
            "hosts = [[\"s3cret\"]]",
        ] {
            let error = parse::<File>(text).unwrap_err();
            assert!(error.starts_with("line 1, column "), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn errors_name_the_file_or_the_key() {
        let error = read::<File>(Some(Path::new("no/such.toml"))).unwrap_err();
        assert!(
            error.to_string().contains("no/such.toml can't be read"),
            "{error}"
        );
        let error = within("limits.rows_max", 0, 1..=9).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`limits.rows_max`: must be from 1 to 9, not 0"
        );
        assert_eq!(within("x", 9, 1..=9).unwrap(), 9);
        assert!(read::<File>(None).unwrap().listen.is_none());
    }
}
