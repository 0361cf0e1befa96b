//! `host.functions`: what can be called.

use std::collections::BTreeMap;

use protocol::Outcome;
use serde::Serialize;
use serde_json::Value;

use super::json;
use crate::access::Caller;
use crate::generations::Roster;

/// A function of a live plugin.
#[derive(Serialize)]
struct FunctionEntry<'a> {
    name: &'a str,
    plugin: &'a str,
    version: &'a str,
    description: &'a str,
    args_schema: &'a Value,
    result_schema: &'a Value,
    timeout_ms: u128,
}

/// The functions of live plugins that the caller may call, as JSON.
pub(super) fn functions(roster: &Roster, caller: &Caller) -> Outcome {
    let lists = roster.lists();
    let functions: Vec<FunctionEntry<'_>> = lists
        .live
        .values()
        .flat_map(|generation| {
            let manifest = &generation.manifest;
            let functions = manifest.functions.iter().zip(&generation.limits);
            let functions = functions.filter(|(function, _)| caller.may_call(&function.name));
            functions.map(|(function, limit)| FunctionEntry {
                name: &function.name,
                plugin: &manifest.name,
                version: &manifest.version,
                description: &function.description,
                args_schema: &function.args_schema,
                result_schema: &function.result_schema,
                timeout_ms: limit.as_millis(),
            })
        })
        .collect();
    json(&BTreeMap::from([("functions", functions)]))
}
