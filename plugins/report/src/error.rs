//! What went wrong with a report, in the one form that clients get to see.

use std::{error::Error, fmt, io};

use datafusion::error::DataFusionError;
use kit::files::FileError;
use plugin_api::TaskError;
use serde_json::{Value, json};

pub(crate) type Result<T, E = Trouble> = std::result::Result<T, E>;

/// Why there is no report.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// A word for programs, one of those in `docs/REPORT.md`.
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) retryable: bool,
    pub(crate) data: Option<Value>,
}

impl Trouble {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retryable: false,
            data: None,
        }
    }

    /// A report that can't be: the arguments contradict each other.
    pub(crate) fn args(message: impl Into<String>) -> Self {
        Self::new("invalid_report", message)
    }

    /// A defect of ours, or of what we are built on.
    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        Self::new("internal", format!("{message}; this is a defect"))
    }

    pub(crate) fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    pub(crate) fn data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// Reading or writing failed; `what` begins the sentence: "the file x can't be read".
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        let message = format!("{what}: {error}");
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::new("storage_full", message).retryable()
            }
            _ => Self::new("io_error", message).retryable(),
        }
    }

    pub(crate) fn file(error: &FileError) -> Self {
        let trouble = Self::new(error.kind(), error.to_string());
        if error.is_retryable() {
            trouble.retryable()
        } else {
            trouble
        }
    }

    /// What the client gets.
    pub(crate) fn into_task_error(self) -> TaskError {
        let mut error = TaskError::new(self.kind, self.message);
        if self.retryable {
            error = error.retryable();
        }
        match self.data {
            Some(data) => error.data(data),
            None => error,
        }
    }

    /// The same, told of a part of the report: "section 2: …".
    pub(crate) fn within(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Trouble {}

impl From<Trouble> for DataFusionError {
    fn from(trouble: Trouble) -> Self {
        Self::External(Box::new(trouble))
    }
}

/// The names of `known` that somebody who wrote `name` may have meant, the likeliest first.
pub(crate) fn near_misses<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Vec<&'a str> {
    let lower = name.to_lowercase();
    let mut found: Vec<(f64, &str)> = known
        .into_iter()
        .map(|candidate| {
            let candidate_lower = candidate.to_lowercase();
            let likeness = if candidate_lower == lower {
                1.0
            } else {
                let typed = strsim::damerau_levenshtein(&lower, &candidate_lower);
                let len = lower.chars().count().max(candidate_lower.chars().count());
                #[expect(clippy::cast_precision_loss, reason = "lengths of names are small")]
                let distance = typed as f64 / len.max(1) as f64;
                1.0 - distance
            };
            (likeness, candidate)
        })
        .filter(|(likeness, _)| *likeness >= 0.6)
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    found.dedup_by(|a, b| a.1 == b.1);
    found.into_iter().take(3).map(|(_, name)| name).collect()
}

/// What is unknown, with what may have been meant in message and data: "there is no column `x`; did you mean `y`?".
pub(crate) fn unknown<'a>(
    kind: &'static str,
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Trouble {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let near = near_misses(name, known.iter().copied());
    let hint = match near.as_slice() {
        [] if known.is_empty() || known.len() > 30 => String::new(),
        [] => format!("; there are {}", list(&known, "and")),
        near => format!("; did you mean {}?", list(near, "or")),
    };
    let mut data = json!({ "name": name, "near_misses": near });
    if known.len() <= 200
        && let Some(data) = data.as_object_mut()
    {
        data.insert(String::from("known"), json!(known));
    }
    Trouble::new(kind, format!("there is no {what} `{name}`{hint}")).data(data)
}

fn list(names: &[&str], word: &str) -> String {
    match names {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|name| format!("`{name}`")).collect();
            format!("{} {word} `{last}`", first.join(", "))
        }
    }
}

/// The first so many characters of what may be long, and comes from outside.
pub(crate) fn excerpt(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
