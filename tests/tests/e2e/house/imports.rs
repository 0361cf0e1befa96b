//! What one file imports, as it is written there. Code under `#[cfg(test)]` doesn't count, nor under `#[cfg(fuzzing)]`.

use super::tokens::{Kind, Token, tokens};

/// The names of a path, from the outermost.
pub(super) type Path = Vec<String>;

/// A file, as far as imports go. Its modules are named from the crate's root.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The modules it declares that are files of their own.
    pub(super) submodules: Vec<Path>,
    /// The modules it holds.
    pub(super) inline_modules: Vec<Path>,
    pub(super) imports: Vec<Import>,
}

/// A `use`, or a path in the middle of the code.
#[derive(Debug)]
pub(super) struct Import {
    /// The module it stands in, which may be one within the file.
    pub(super) scope: Path,
    /// As it is written: it may begin with `crate`, `self` or `super`.
    pub(super) path: Path,
    /// What a `use` calls it from there on.
    pub(super) name: Option<String>,
    /// Whether it is a `use` of all that is in there.
    pub(super) is_glob: bool,
    pub(super) line: usize,
}

impl Source {
    /// Reads the file of the module `module`; `None` if all of it is for tests.
    pub(super) fn read(module: &[String], text: &str) -> Option<Self> {
        let tokens = tokens(text);
        let mut reader = Reader {
            tokens: &tokens,
            at: 0,
            depth: 0,
            module,
            inner: Vec::new(),
            source: Self::default(),
        };
        reader.read().then_some(reader.source)
    }

    /// The `use` that makes `name` known in the module `scope`.
    pub(super) fn named(&self, scope: &[String], name: &str) -> Option<&Import> {
        self.named_in(scope)
            .find(|import| import.name.as_deref() == Some(name))
    }

    /// Every `use` with a name in the module `scope`.
    pub(super) fn named_in(&self, scope: &[String]) -> impl Iterator<Item = &Import> {
        self.imports
            .iter()
            .filter(move |import| import.name.is_some() && import.scope == scope)
    }
}

struct Reader<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    /// How many braces are open.
    depth: usize,
    module: &'a [String],
    /// The modules within the file that are open, each with the depth outside of it.
    inner: Vec<(String, usize)>,
    source: Source,
}

impl<'a> Reader<'a> {
    /// False if the file is for tests.
    fn read(&mut self) -> bool {
        while let Some(kind) = self.kind(0) {
            match kind {
                Kind::Mark('#') if self.is_attribute() => {
                    let is_inner = self.kind(1) == Some(Kind::Mark('!'));
                    if !self.is_for_tests() {
                        // Its paths are read like any other code.
                        self.at += 1;
                    } else if is_inner {
                        return false;
                    } else {
                        self.skip_group_at(1);
                        self.skip_item();
                    }
                }
                Kind::Mark('{') => {
                    self.depth += 1;
                    self.at += 1;
                }
                Kind::Mark('}') => {
                    self.depth = self.depth.saturating_sub(1);
                    self.inner.pop_if(|(_, outside)| *outside == self.depth);
                    self.at += 1;
                }
                Kind::Word("mod") => self.module(),
                // Not the `use<'a>` of a type.
                Kind::Word("use") if self.kind(1) != Some(Kind::Mark('<')) => {
                    self.at += 1;
                    self.use_tree(&Vec::new());
                }
                Kind::Word(_) => self.path(),
                // What follows is the rest of a path that begins outside of this crate, or with a type.
                Kind::PathSeparator => {
                    self.at += 1;
                    self.names();
                }
                Kind::Mark(_) => self.at += 1,
            }
        }
        true
    }

    fn kind(&self, ahead: usize) -> Option<Kind<'a>> {
        self.tokens.get(self.at + ahead).map(|token| token.kind)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.line)
    }

    fn scope(&self) -> Path {
        let inner = self.inner.iter().map(|(name, _)| name);
        self.module.iter().chain(inner).cloned().collect()
    }

    fn add(&mut self, path: Path, name: Option<String>, is_glob: bool, line: usize) {
        self.source.imports.push(Import {
            scope: self.scope(),
            path,
            name,
            is_glob,
            line,
        });
    }

    fn module(&mut self) {
        self.at += 1;
        let Some(Kind::Word(name)) = self.kind(0) else {
            return;
        };
        let mut path = self.scope();
        path.push(name.to_owned());
        match self.kind(1) {
            Some(Kind::Mark(';')) => self.source.submodules.push(path),
            Some(Kind::Mark('{')) => {
                self.source.inline_modules.push(path);
                self.inner.push((name.to_owned(), self.depth));
            }
            _ => {}
        }
        self.at += 1;
    }

    /// What follows `use`, or stands in one of its groups.
    fn use_tree(&mut self, group: &Path) {
        let mut path = group.clone();
        let line = self.line();
        if path.is_empty() && self.kind(0) == Some(Kind::PathSeparator) {
            // Begins outside of this crate, as no name does.
            path.push(String::from("::"));
            self.at += 1;
        }
        while let Some(kind) = self.kind(0) {
            self.at += 1;
            match kind {
                Kind::Word(name) => path.push(name.to_owned()),
                Kind::Mark('*') => return self.add(path, None, true, line),
                Kind::Mark('{') => return self.use_group(&path),
                _ => return,
            }
            if self.kind(0) == Some(Kind::PathSeparator) {
                self.at += 1;
                continue;
            }
            path.pop_if(|name| *name == "self" && !group.is_empty());
            let mut name = path.last().cloned();
            if self.kind(0) == Some(Kind::Word("as")) {
                if let Some(Kind::Word(other)) = self.kind(1) {
                    name = Some(other.to_owned());
                }
                self.at += 2;
            }
            return self.add(path, name, false, line);
        }
    }

    fn use_group(&mut self, path: &Path) {
        loop {
            match self.kind(0) {
                None => return,
                Some(Kind::Mark('}')) => {
                    self.at += 1;
                    return;
                }
                Some(Kind::Mark(',')) => self.at += 1,
                Some(_) => self.use_tree(path),
            }
        }
    }

    fn path(&mut self) {
        let line = self.line();
        let path = self.names();
        if path.len() > 1 {
            self.add(path, None, false, line);
        }
    }

    /// The names from here on, as long as each leads to the next.
    fn names(&mut self) -> Path {
        let mut path = Path::new();
        while let Some(Kind::Word(name)) = self.kind(0) {
            path.push(name.to_owned());
            self.at += 1;
            match (self.kind(0), self.kind(1)) {
                (Some(Kind::PathSeparator), Some(Kind::Word(_))) => self.at += 1,
                _ => break,
            }
        }
        path
    }

    fn is_attribute(&self) -> bool {
        let bracket = usize::from(self.kind(1) == Some(Kind::Mark('!')));
        self.kind(1 + bracket) == Some(Kind::Mark('['))
    }

    /// Whether this attribute is `#[cfg(test)]`, or one that holds for nothing but tests; fuzzers are some.
    fn is_for_tests(&self) -> bool {
        let kinds = self.tokens[self.at..].iter().map(|token| token.kind);
        let mut kinds = kinds.skip_while(|kind| matches!(kind, Kind::Mark('#' | '!' | '[')));
        if kinds.next() != Some(Kind::Word("cfg")) || kinds.next() != Some(Kind::Mark('(')) {
            return false;
        }
        let is_test = |kind| matches!(kind, Kind::Word("test" | "doctest" | "fuzzing"));
        match kinds.next() {
            Some(Kind::Word("all")) => {
                let mut depth = 0;
                for kind in kinds {
                    match kind {
                        Kind::Mark('(') => depth += 1,
                        Kind::Mark(')') if depth == 1 => return false,
                        Kind::Mark(')') => depth -= 1,
                        kind if depth == 1 && is_test(kind) => return true,
                        _ => {}
                    }
                }
                false
            }
            Some(kind) => is_test(kind),
            None => false,
        }
    }

    /// Skips a group, such as `[…]`, that begins `ahead` tokens ahead.
    fn skip_group_at(&mut self, ahead: usize) {
        self.at += ahead;
        let mut open = 0_usize;
        while let Some(kind) = self.kind(0) {
            self.at += 1;
            match kind {
                Kind::Mark('(' | '[' | '{') => open += 1,
                Kind::Mark(')' | ']' | '}') => {
                    open = open.saturating_sub(1);
                    if open == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    /// Skips what an attribute stands before: an item, a statement, a field, a variant or an arm.
    fn skip_item(&mut self) {
        while self.kind(0) == Some(Kind::Mark('#')) {
            self.skip_group_at(1);
        }
        let end = self.end_of_item();
        while let Some(kind) = self.kind(0) {
            match kind {
                Kind::Mark('{') => {
                    self.skip_group_at(0);
                    if end != End::Semicolon {
                        return;
                    }
                }
                Kind::Mark('(' | '[') => self.skip_group_at(0),
                Kind::Mark(')' | ']' | '}') => return,
                Kind::Mark(';') => {
                    self.at += 1;
                    return;
                }
                Kind::Mark(',') if end == End::Comma => {
                    self.at += 1;
                    return;
                }
                _ => self.at += 1,
            }
        }
    }

    fn end_of_item(&self) -> End {
        let mut kinds = self.tokens[self.at..].iter().map(|token| token.kind);
        while let Some(kind) = kinds.next() {
            match kind {
                Kind::Word(
                    "pub" | "unsafe" | "async" | "extern" | "default" | "crate" | "super",
                )
                | Kind::Mark('(' | ')') => {}
                Kind::Word("const") => {
                    let is_function = matches!(kinds.next(), Some(Kind::Word("fn" | "unsafe")));
                    return if is_function {
                        End::Body
                    } else {
                        End::Semicolon
                    };
                }
                Kind::Word("use" | "static" | "type" | "let") => return End::Semicolon,
                Kind::Word(
                    "fn" | "impl" | "trait" | "mod" | "struct" | "enum" | "union" | "macro_rules",
                ) => return End::Body,
                _ => return End::Comma,
            }
        }
        End::Comma
    }
}

/// Where something ends that an attribute stands before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// At a semicolon, whatever braces come before it.
    Semicolon,
    /// With its braces, or at a semicolon where it has none.
    Body,
    /// With its braces, or at a comma.
    Comma,
}
