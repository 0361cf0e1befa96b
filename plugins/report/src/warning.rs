//! What is worth knowing of a source, and no error.

use crate::columns;

/// Something to know of a source that is not an error.
#[derive(Clone, Debug)]
pub(crate) struct SourceWarning {
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

impl SourceWarning {
    /// That columns got other names, because several had theirs.
    pub(crate) fn renamed(source: &str, names: &[String], unique: &[String]) -> Option<Self> {
        let renamed = columns::renamed(names, unique)?;
        Some(Self {
            kind: "duplicate_columns",
            message: format!("source `{source}` has columns of the same name: {renamed}"),
        })
    }
}
