//! A crate as a tree of modules, and which of them import which.

use std::collections::BTreeMap;

use super::imports::{Import, Path, Source};

/// How often a name may lead to another one. More would be a circle of names, which the compiler refuses.
const HOPS_MAX: usize = 8;

/// A crate of ours. A module is a file here: what is in a module within a file counts as the file's.
pub(super) struct Crate {
    pub(super) name: String,
    modules: BTreeMap<Path, Module>,
}

struct Module {
    path: Path,
    /// From the workspace.
    file: String,
    source: Source,
}

/// An import by one module of another, at the level where they part: `level` is the module that they have in common,
/// `from` and `to` are the modules below it in which they lie, or which they are.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) level: Path,
    pub(super) from: String,
    pub(super) to: String,
    /// File and line.
    pub(super) place: String,
    /// The import as it is written.
    pub(super) import: String,
}

impl Crate {
    /// Reads the crate whose root is the file `root` in `folder`. `read` gives the text of a file, if it is there.
    pub(super) fn read(
        name: &str,
        folder: &str,
        root: &str,
        read: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let mut modules = BTreeMap::new();
        let mut declared = vec![Path::new()];
        while let Some(path) = declared.pop() {
            let joined = path.join("/");
            let candidates = if path.is_empty() {
                vec![format!("{folder}/src/{root}")]
            } else {
                vec![
                    format!("{folder}/src/{joined}.rs"),
                    format!("{folder}/src/{joined}/mod.rs"),
                ]
            };
            let found = candidates
                .iter()
                .find_map(|file| read(file).map(|text| (file.clone(), text)));
            let Some((file, text)) = found else {
                panic!("{name} has a module {joined}, but none of {candidates:?}");
            };
            if let Some(source) = Source::read(&path, &text) {
                declared.extend(source.submodules.iter().cloned());
                let module = Module {
                    path: path.clone(),
                    file,
                    source,
                };
                modules.insert(path, module);
            }
        }
        Self {
            name: name.to_owned(),
            modules,
        }
    }

    /// The modules of the crate's root.
    pub(super) fn rooms(&self) -> impl Iterator<Item = &str> {
        let rooms = self.modules.keys().filter(|path| path.len() == 1);
        rooms.map(|path| path[0].as_str())
    }

    /// Every import of a module that is neither above nor below the one that imports it.
    ///
    /// A module and its submodules may know each other, so such an import is no edge; what such a module passes on of
    /// another of its submodules is, between these two. What a module that lies elsewhere passes on counts as its own.
    pub(super) fn edges(&self) -> Vec<Edge> {
        let mut edges = Vec::new();
        for module in self.modules.values() {
            for import in &module.source.imports {
                for target in self.targets(module, import) {
                    edges.extend(edge(module, import, &target));
                }
            }
        }
        edges
    }

    /// The modules that an import leads to.
    fn targets(&self, module: &Module, import: &Import) -> Vec<Path> {
        let Some(absolute) = self.absolute(module, &import.scope, &import.path, HOPS_MAX) else {
            return Vec::new();
        };
        let mut targets = Vec::new();
        if import.is_glob
            && let Some(above) = self.modules.get(&absolute)
            && module.path.starts_with(&above.path)
        {
            // All that is known there is known here.
            for known in above.source.named_in(&above.path) {
                let absolute = self.absolute(above, &known.scope, &known.path, HOPS_MAX);
                targets.extend(absolute.map(|absolute| self.target(module, &absolute, HOPS_MAX)));
            }
        }
        targets.push(self.target(module, &absolute, HOPS_MAX));
        targets
    }

    /// A path as it would be written from the crate's root; `None` if it leads to another crate.
    fn absolute(
        &self,
        module: &Module,
        scope: &[String],
        path: &[String],
        hops_left: usize,
    ) -> Option<Path> {
        let (first, mut rest) = path.split_first()?;
        let mut absolute = match first.as_str() {
            "crate" => Path::new(),
            "self" => scope.to_vec(),
            "super" => {
                let (_, mut above) = scope.split_last()?;
                while rest.first().is_some_and(|name| name == "super") {
                    above = above.split_last()?.1;
                    rest = &rest[1..];
                }
                above.to_vec()
            }
            name => {
                let mut inner = scope.to_vec();
                inner.push(name.to_owned());
                if self.modules.contains_key(&inner)
                    || module.source.inline_modules.contains(&inner)
                {
                    inner
                } else {
                    let hops_left = hops_left.checked_sub(1)?;
                    let named = module.source.named(scope, name)?;
                    self.absolute(module, &named.scope, &named.path, hops_left)?
                }
            }
        };
        absolute.extend_from_slice(rest);
        Some(absolute)
    }

    /// The module that an absolute path leads to, when `from` imports it.
    fn target(&self, from: &Module, absolute: &[String], hops_left: usize) -> Path {
        let is_module = |len: &usize| self.modules.contains_key(&absolute[..*len]);
        let len = (1..=absolute.len()).rev().find(is_module).unwrap_or(0);
        let (found, names) = absolute.split_at(len);
        let passed_on = || {
            let above = self.modules.get(found)?;
            let (name, rest) = names.split_first()?;
            let hops_left = hops_left.checked_sub(1)?;
            let named = above.source.named(found, name)?;
            let mut further = self.absolute(above, &named.scope, &named.path, HOPS_MAX)?;
            further.extend_from_slice(rest);
            Some(self.target(from, &further, hops_left))
        };
        if from.path.starts_with(found)
            && let Some(target) = passed_on()
        {
            return target;
        }
        found.to_vec()
    }
}

/// The import as an edge, unless one of the two modules is above the other, or is the other.
fn edge(from: &Module, import: &Import, to: &[String]) -> Option<Edge> {
    let pairs = from.path.iter().zip(to);
    let common = pairs.take_while(|(one, other)| one == other).count();
    Some(Edge {
        from: from.path.get(common)?.clone(),
        to: to.get(common)?.clone(),
        level: to[..common].to_vec(),
        place: format!("{}:{}", from.file, import.line),
        import: import.path.join("::"),
    })
}
