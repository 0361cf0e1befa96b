//! What went wrong with a report, in the one form that clients get to see.

use std::{error::Error, fmt};

use datafusion::error::DataFusionError;
pub(crate) use kit::{Result, Trouble, excerpt};
use serde_json::json;

/// A report that can't be: the arguments contradict each other.
pub(crate) fn invalid_report(message: impl Into<String>) -> Trouble {
    Trouble::new("invalid_report", message)
}

/// What is wrong with the document, in the form that clients get to see.
pub(crate) fn document_trouble(error: &report_document::Error) -> Trouble {
    Trouble::new(error.kind(), error.to_string()).retryable_if(error.is_retryable())
}

/// A trouble on its way through the engine, which passes on any error.
#[derive(Debug)]
pub(crate) struct Passing(pub(crate) Trouble);

impl Passing {
    /// For what hands its errors to the engine.
    pub(crate) fn engine_error(trouble: Trouble) -> DataFusionError {
        DataFusionError::External(Box::new(Self(trouble)))
    }
}

impl fmt::Display for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Passing {}

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
