//! `host.nodes`: the hosts that share the ledger.

use protocol::Outcome;
use serde::Serialize;
use serde_json::value::RawValue;

use super::json;
use crate::background::Background;

#[derive(Serialize)]
struct NodesReport<'a> {
    nodes: Vec<NodeReport<'a>>,
}

#[derive(Serialize)]
struct NodeReport<'a> {
    /// The name of this run of the host, as `history` of a task has it.
    node: &'a str,
    /// What its machine is called.
    name: &'a str,
    state: &'static str,
    /// It is the one that answers.
    is_here: bool,
    silent_ms: i64,
    about: Option<&'a RawValue>,
}

pub(super) async fn nodes(background: &Background) -> Outcome {
    let (nodes, here) = background.nodes().await?;
    let nodes = nodes.iter().map(|node| NodeReport {
        node: &node.id,
        name: &node.name,
        state: if node.is_dead { "dead" } else { "alive" },
        is_here: node.id == here,
        silent_ms: node.silent_ms,
        about: node
            .about
            .as_deref()
            .and_then(|about| serde_json::from_slice(about).ok()),
    });
    json(&NodesReport {
        nodes: nodes.collect(),
    })
}
