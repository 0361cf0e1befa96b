//! The names that queries may use: tables, and their columns.

use std::collections::BTreeMap;

/// The tables that there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog(BTreeMap<String, TableNames>);

#[derive(Clone, Debug, Default)]
pub(super) struct TableNames {
    pub(super) columns: Vec<String>,
    /// It has no rows, and nobody knows its columns: those that a query names, it has.
    pub(super) is_open: bool,
}

impl Catalog {
    pub(crate) fn insert(&mut self, table: &str, columns: Vec<String>, is_open: bool) {
        let names = TableNames { columns, is_open };
        self.0.insert(table.to_owned(), names);
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &String> + Clone {
        self.0.keys()
    }

    pub(super) fn get(&self, table: &str) -> Option<&TableNames> {
        self.0.get(table)
    }
}

/// The one of these names that is meant: the very same, or the only one that is written in another case.
pub(super) fn meant<'n>(
    name: &str,
    is_quoted: bool,
    known: impl Iterator<Item = &'n String> + Clone,
) -> Option<&'n String> {
    if let Some(same) = known.clone().find(|known| *known == name) {
        return Some(same);
    }
    if is_quoted {
        return None;
    }
    let lower = name.to_lowercase();
    let mut found = known.filter(|known| known.to_lowercase() == lower);
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}
