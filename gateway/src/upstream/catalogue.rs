//! What functions the hosts have.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The functions of all hosts, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalogue {
    pub(crate) functions: BTreeMap<String, Function>,
}

/// A function, as `host.functions` tells of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Function {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) plugin: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) args_schema: Value,
    #[serde(default)]
    pub(crate) result_schema: Value,
    #[serde(default)]
    pub(crate) timeout_ms: Option<u64>,
}

impl Function {
    /// Reads the result of `host.functions`.
    pub(super) fn list(json: &[u8]) -> serde_json::Result<Vec<Self>> {
        #[derive(Deserialize)]
        struct Functions {
            functions: Vec<Function>,
        }
        serde_json::from_slice::<Functions>(json).map(|list| list.functions)
    }
}

impl Catalogue {
    /// Of functions that several hosts have, the one of the first host counts.
    pub(super) fn of_hosts<'h>(hosts: impl Iterator<Item = &'h Vec<Function>>) -> Self {
        let mut functions = BTreeMap::new();
        for function in hosts.flatten() {
            functions
                .entry(function.name.clone())
                .or_insert_with(|| function.clone());
        }
        Self { functions }
    }
}
