//! Circles among the modules of one level.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::imports::Path;
use super::modules::{Crate, Edge};

/// By the module that imports, and the one that is imported: the first import of these.
type Graph<'a> = BTreeMap<&'a str, BTreeMap<&'a str, &'a Edge>>;

/// One text for each lot of modules that hang together, with its shortest circle.
pub(super) fn circles(of: &Crate) -> Vec<String> {
    let edges = of.edges();
    let mut levels: BTreeMap<&Path, Graph<'_>> = BTreeMap::new();
    for edge in &edges {
        let graph = levels.entry(&edge.level).or_default();
        let imported = graph.entry(&edge.from).or_default();
        imported.entry(&edge.to).or_insert(edge);
    }
    let mut texts = Vec::new();
    for (level, graph) in levels {
        let mut place = of.name.clone();
        for module in level {
            place.push_str("::");
            place.push_str(module);
        }
        for (modules, circle) in in_graph(&graph) {
            texts.push(text(&place, &modules, &circle));
        }
    }
    texts
}

fn text(place: &str, modules: &[&str], circle: &[&Edge]) -> String {
    let mut text = format!(
        "{place}: {} modules import one another: {}; the shortest circle is",
        modules.len(),
        modules.join(", ")
    );
    for edge in circle {
        text.push_str(&format!(
            "\n    {}: `{}` imports `{}` ({})",
            edge.place, edge.from, edge.to, edge.import
        ));
    }
    text
}

/// The modules that hang together, and the shortest circle among them.
fn in_graph<'a>(graph: &Graph<'a>) -> Vec<(Vec<&'a str>, Vec<&'a Edge>)> {
    let mut found = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for &module in graph.keys() {
        if seen.contains(module) || way(graph, module, module).is_none() {
            continue;
        }
        let hangs_together = |other: &&str| {
            way(graph, module, other).is_some() && way(graph, other, module).is_some()
        };
        let modules: Vec<&str> = graph.keys().copied().filter(hangs_together).collect();
        let circles = modules
            .iter()
            .filter_map(|module| way(graph, module, module));
        let shortest = circles.min_by_key(Vec::len).unwrap_or_default();
        seen.extend(&modules);
        found.push((modules, shortest));
    }
    found
}

/// The shortest way from one module to another, or to itself, by at least one import.
fn way<'a>(graph: &Graph<'a>, from: &str, to: &str) -> Option<Vec<&'a Edge>> {
    let mut reached_by: BTreeMap<&str, &'a Edge> = BTreeMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(module) = next.pop_front() {
        for &edge in graph.get(module).into_iter().flat_map(BTreeMap::values) {
            if reached_by.contains_key(edge.to.as_str()) {
                continue;
            }
            reached_by.insert(&edge.to, edge);
            next.push_back(&edge.to);
            if edge.to == to {
                let mut way = VecDeque::from([edge]);
                while let Some(first) = way.front()
                    && first.from != from
                {
                    way.push_front(reached_by[first.from.as_str()]);
                }
                return Some(way.into());
            }
        }
    }
    None
}
