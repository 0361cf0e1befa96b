//! Rust source as a flat list of tokens, as far as imports need them: no comments, no literals.
//!
//! Written here, since a lexer from a crate would be built for this test alone: the macros' one is built for the build.

/// A token, and the line it stands in, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// An identifier or a keyword; a raw identifier with its `r#`.
    Word(&'a str),
    /// `::`
    PathSeparator,
    /// Any other character.
    Mark(char),
}

/// The tokens of a file that the compiler accepts.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (kind, len) = next(rest, first);
        if let Some(kind) = kind {
            tokens.push(Token { kind, line });
        }
        let (taken, left) = rest.split_at(len);
        line += taken.matches('\n').count();
        rest = left;
    }
    tokens
}

/// What `text` begins with, unless that is of no interest, and how many bytes it has.
fn next(text: &str, first: char) -> (Option<Kind<'_>>, usize) {
    let skipped = comment_len(text)
        .or_else(|| raw_string_len(text))
        .or_else(|| string_len(text))
        .or_else(|| character_len(text));
    if let Some(len) = skipped {
        return (None, len);
    }
    if text.starts_with("::") {
        return (Some(Kind::PathSeparator), 2);
    }
    if first == '\'' {
        return (None, 1 + word_len(&text[1..]));
    }
    if is_in_word(first) {
        let raw_len = text
            .strip_prefix("r#")
            .map_or(0, |name| if word_len(name) > 0 { 2 } else { 0 });
        let len = raw_len + word_len(&text[raw_len..]);
        let is_number = first.is_ascii_digit();
        return ((!is_number).then(|| Kind::Word(&text[..len])), len);
    }
    let mark = (!first.is_whitespace()).then_some(Kind::Mark(first));
    (mark, first.len_utf8())
}

fn is_in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word_len(text: &str) -> usize {
    text.find(|c| !is_in_word(c)).unwrap_or(text.len())
}

fn comment_len(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let mut rest = text.strip_prefix("/*")?;
    let mut depth = 1;
    while depth > 0 {
        let at = rest.find(['*', '/'])?;
        let (opens, closes) = (rest[at..].starts_with("/*"), rest[at..].starts_with("*/"));
        match (opens, closes) {
            (true, _) => depth += 1,
            (_, true) => depth -= 1,
            _ => {}
        }
        rest = &rest[at + if opens || closes { 2 } else { 1 }..];
    }
    Some(text.len() - rest.len())
}

fn raw_string_len(text: &str) -> Option<usize> {
    let hashed = without_prefix(text).strip_prefix('r')?;
    let body = hashed.trim_start_matches('#');
    let end = format!("\"{}", &hashed[..hashed.len() - body.len()]);
    let body = body.strip_prefix('"')?;
    Some(text.len() - body.len() + body.find(&end)? + end.len())
}

fn string_len(text: &str) -> Option<usize> {
    let body = without_prefix(text).strip_prefix('"')?;
    let mut is_escaped = false;
    let end = body.find(|c| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    })?;
    Some(text.len() - body.len() + end + 1)
}

/// A character, not a lifetime.
fn character_len(text: &str) -> Option<usize> {
    let body = without_prefix(text).strip_prefix('\'')?;
    let first = body.chars().next()?;
    let len = if first == '\\' {
        let escaped = body[1..].chars().next()?;
        let code = 1 + escaped.len_utf8();
        code + body[code..].find('\'')? + 1
    } else {
        let second = &body[first.len_utf8()..];
        second.starts_with('\'').then_some(first.len_utf8() + 1)?
    };
    Some(text.len() - body.len() + len)
}

/// Less the letter of a byte string or a C string.
fn without_prefix(text: &str) -> &str {
    text.strip_prefix(['b', 'c']).unwrap_or(text)
}

#[test]
fn comments_and_literals_leave_no_tokens() {
    let source = r####"
// use crate::a;
/* use /* crate::b; */ still */ one
"use \" crate::c" r#"use " crate::d"# br##"x"# "## b"y" c"z" 'q' '\'' b'\\' '\u{1F600}' 0x1F 1_000u64
&'static two r#type three"####;
    let words: Vec<(&str, usize)> = tokens(source)
        .iter()
        .filter_map(|token| match token.kind {
            Kind::Word(word) => Some((word, token.line)),
            _ => None,
        })
        .collect();
    assert_eq!(words, [("one", 3), ("two", 5), ("r#type", 5), ("three", 5)]);
}

#[test]
fn what_looks_like_a_literal_and_is_none_is_kept() {
    let kinds: Vec<Kind<'_>> = tokens("crate::br::b<'a>")
        .iter()
        .map(|token| token.kind)
        .collect();
    let expected = [
        Kind::Word("crate"),
        Kind::PathSeparator,
        Kind::Word("br"),
        Kind::PathSeparator,
        Kind::Word("b"),
        Kind::Mark('<'),
        Kind::Mark('>'),
    ];
    assert_eq!(kinds, expected);
}
