//! Addresses as people write them, parsed by RFC 5322: display names, comments, quoted strings, domain literals, groups.
//!
//! What is left after parsing is checked once more, by lettre's `Address`. A domain with non-ASCII letters becomes its
//! ASCII form (IDNA), which every server understands; a non-ASCII local part has no such form and needs SMTPUTF8.

use std::fmt;

/// Longest local part, in bytes (RFC 5321, 4.5.3.1.1).
const LOCAL_LEN_MAX: usize = 64;
/// Four times what a domain in ASCII may have: a bound for what IDNA has to look at.
const DOMAIN_LEN_MAX: usize = 4 * 255;

/// An address without a name: what SMTP knows of a sender or a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(lettre::Address);

impl Address {
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    pub(crate) fn domain(&self) -> &str {
        self.0.domain()
    }

    pub(crate) fn is_ascii(&self) -> bool {
        self.as_str().is_ascii()
    }

    /// Equal for addresses of one and the same mailbox. Only the local part's owner knows if its case matters.
    pub(crate) fn key(&self) -> (&str, String) {
        (self.0.user(), self.0.domain().to_ascii_lowercase())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An address, and its owner's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mailbox {
    pub(crate) name: Option<String>,
    pub(crate) address: Address,
}

/// Why a text is not an address. Displays as the end of a sentence: "`x@` is not an address: {reason}".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It holds a line break or another control character.
    Control,
    /// There is nothing there.
    Empty,
    /// There are several where one was asked for.
    Several,
    NoAt,
    /// A name with a comma in it, which parts a list.
    UnquotedComma,
    LocalPart,
    LocalPartDots,
    LocalPartTooLong,
    Domain,
    /// There is a name, where an address alone is expected.
    HasName,
    Unclosed(char),
    Unexpected(char),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("it contains a line break or another control character"),
            Self::Empty => f.write_str("it is empty"),
            Self::Several => f.write_str("it is a list where one address is expected"),
            Self::NoAt => f.write_str("it has no @"),
            Self::UnquotedComma => f.write_str(
                "a name with a comma in it has to be quoted, like `\"Doe, Jane\" <jane@example.org>`, or given apart, like `{\"name\": \"Doe, Jane\", \"address\": \"jane@example.org\"}`",
            ),
            Self::LocalPart => f.write_str("what stands before the @ is not valid"),
            Self::LocalPartDots => f.write_str(
                "what stands before the @ begins or ends with a dot, or has two in a row; an address that really does is written with quotes, like `\"a..b\"@example.org`",
            ),
            Self::LocalPartTooLong => write!(
                f,
                "what stands before the @ is longer than {LOCAL_LEN_MAX} bytes"
            ),
            Self::Domain => f.write_str("what stands after the @ is not a valid domain"),
            Self::HasName => f.write_str("it holds a name, which belongs into `name`"),
            Self::Unclosed(open) => write!(f, "`{open}` is never closed"),
            Self::Unexpected(found) => write!(
                f,
                "`{found}` is not expected there; quote a name that contains it"
            ),
        }
    }
}

/// Parses exactly one mailbox: `max@example.com` or `Max Muster <max@example.com>`.
pub(crate) fn parse_one(text: &str) -> Result<Mailbox, Reason> {
    let mut list = parse_list(text)?;
    let one = list.pop().ok_or(Reason::Empty)?;
    if list.is_empty() {
        Ok(one)
    } else {
        Err(Reason::Several)
    }
}

/// A mailbox whose name and address were given apart: whatever the name holds is the name.
pub(crate) fn named(name: Option<&str>, address: &str) -> Result<Mailbox, Reason> {
    let one = parse_one(address)?;
    if one.name.is_some() {
        return Err(Reason::HasName);
    }
    let name = name.map(str::trim).filter(|name| !name.is_empty());
    if name.is_some_and(has_control) {
        return Err(Reason::Control);
    }
    Ok(Mailbox {
        name: name.map(str::to_owned),
        ..one
    })
}

fn has_control(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\t')
}

/// Parses a list of mailboxes, separated by commas. A group stands for its members. The list may turn out empty.
pub(crate) fn parse_list(text: &str) -> Result<Vec<Mailbox>, Reason> {
    // The first gate against header injection: nothing below ever sees a line break.
    if has_control(text) {
        return Err(Reason::Control);
    }
    let mut scanner = Scanner { rest: text };
    let mut list = Vec::new();
    scanner.list(&mut list, None)?;
    Ok(list)
}

/// One word of a phrase or a local part.
struct Word {
    text: String,
    is_quoted: bool,
    /// White space or a comment stands before it.
    is_apart: bool,
}

impl Word {
    fn is_dot(&self) -> bool {
        self.text == "." && !self.is_quoted
    }
}

struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.bump();
        }
        found
    }

    /// Skips white space and comments, which nest. True when there was any.
    fn skip_blank(&mut self) -> Result<bool, Reason> {
        let len = self.rest.len();
        let mut depth = 0_usize;
        while let Some(c) = self.peek() {
            match c {
                '(' => depth += 1,
                ')' if depth > 0 => depth -= 1,
                '\\' if depth > 0 => {
                    self.bump();
                }
                ' ' | '\t' => {}
                _ if depth > 0 => {}
                _ => break,
            }
            self.bump();
        }
        if depth > 0 {
            Err(Reason::Unclosed('('))
        } else {
            Ok(self.rest.len() < len)
        }
    }

    /// Mailboxes and groups up to the end, or up to `end` (of a group), which is eaten.
    fn list(&mut self, list: &mut Vec<Mailbox>, end: Option<char>) -> Result<(), Reason> {
        loop {
            self.skip_blank()?;
            match self.peek() {
                None if end.is_some() => return Err(Reason::Unclosed(':')),
                None => return Ok(()),
                Some(',') => {
                    self.bump();
                }
                found if found == end => {
                    self.bump();
                    return Ok(());
                }
                Some(_) => {
                    self.entry(list, end.is_none())?;
                    self.skip_blank()?;
                    match self.peek() {
                        None | Some(',') => {}
                        found if found == end => {}
                        Some(c) => return Err(Reason::Unexpected(c)),
                    }
                }
            }
        }
    }

    /// One mailbox, or one group where that is allowed.
    fn entry(&mut self, list: &mut Vec<Mailbox>, may_be_group: bool) -> Result<(), Reason> {
        let words = self.words()?;
        match self.peek() {
            Some('@') => {
                let address = self.address(&words)?;
                self.skip_blank()?;
                if self.peek() == Some('<') {
                    // Address books write an address in place of a name that they don't know. It must be the same:
                    // whoever looks at the first one must not be led to another.
                    let mailbox = self.bracketed(None)?;
                    if mailbox.address.key() != address.key() {
                        return Err(Reason::Unexpected('@'));
                    }
                    list.push(mailbox);
                } else {
                    list.push(Mailbox {
                        name: None,
                        address,
                    });
                }
            }
            Some('<') => {
                let mailbox = self.bracketed(phrase(&words))?;
                list.push(mailbox);
            }
            Some(':') if may_be_group && !words.is_empty() => {
                self.bump();
                self.list(list, Some(';'))?;
            }
            Some(',') if may_be_group && self.names_follow() => return Err(Reason::UnquotedComma),
            None | Some(',') => return Err(Reason::NoAt),
            Some(c) => return Err(Reason::Unexpected(c)),
        }
        Ok(())
    }

    /// Whether what follows the comma is the rest of a name, and its address.
    fn names_follow(&self) -> bool {
        let next = self.rest[1..].split([',', '@']).next().unwrap_or_default();
        next.contains('<')
    }

    /// `<address>`, whose name stood before it.
    fn bracketed(&mut self, name: Option<String>) -> Result<Mailbox, Reason> {
        self.bump();
        self.skip_blank()?;
        let local = self.words()?;
        if self.peek() != Some('@') {
            return Err(self.peek().map_or(Reason::Unclosed('<'), |c| {
                if c == '>' {
                    Reason::NoAt
                } else {
                    Reason::Unexpected(c)
                }
            }));
        }
        let address = self.address(&local)?;
        self.skip_blank()?;
        if !self.eat('>') {
            return Err(Reason::Unclosed('<'));
        }
        Ok(Mailbox { name, address })
    }

    /// Atoms, quoted strings and dots, as many as there are.
    fn words(&mut self) -> Result<Vec<Word>, Reason> {
        let mut words = Vec::new();
        loop {
            let is_apart = self.skip_blank()?;
            let (text, is_quoted) = match self.peek() {
                Some('"') => (self.quoted()?, true),
                Some('.') => {
                    self.bump();
                    (".".to_owned(), false)
                }
                Some(c) if is_atom(c) => (self.atom(), false),
                _ => return Ok(words),
            };
            words.push(Word {
                text,
                is_quoted,
                is_apart,
            });
        }
    }

    fn atom(&mut self) -> String {
        let end = self.rest.find(|c| !is_atom(c)).unwrap_or(self.rest.len());
        let (atom, rest) = self.rest.split_at(end);
        self.rest = rest;
        atom.to_owned()
    }

    fn quoted(&mut self) -> Result<String, Reason> {
        self.bump();
        let mut text = String::new();
        while let Some(c) = self.bump() {
            match c {
                '"' => return Ok(text),
                '\\' => text.extend(self.bump()),
                c => text.push(c),
            }
        }
        Err(Reason::Unclosed('"'))
    }

    /// `@domain`, after `local`.
    fn address(&mut self, local: &[Word]) -> Result<Address, Reason> {
        let local = local_part(local)?;
        self.bump();
        self.skip_blank()?;
        let domain = if self.peek() == Some('[') {
            let end = self.rest.find(']').ok_or(Reason::Unclosed('['))?;
            let (literal, rest) = self.rest.split_at(end + 1);
            self.rest = rest;
            literal.to_owned()
        } else {
            let words = self.words()?;
            if words.is_empty() || words.iter().any(|word| word.is_quoted || word.is_apart) {
                return Err(Reason::Domain);
            }
            words.into_iter().map(|word| word.text).collect()
        };
        if domain.len() > DOMAIN_LEN_MAX {
            return Err(Reason::Domain);
        }
        let domain = if domain.is_ascii() {
            domain
        } else {
            idna::domain_to_ascii(&domain).map_err(|_| Reason::Domain)?
        };
        lettre::Address::new(local, domain)
            .map(Address)
            .map_err(|error| match error {
                lettre::address::AddressError::InvalidUser => Reason::LocalPart,
                _ => Reason::Domain,
            })
    }
}

/// What an atom may hold: everything but white space, control characters and the specials of RFC 5322.
fn is_atom(c: char) -> bool {
    !c.is_control()
        && c != ' '
        && !matches!(
            c,
            '(' | ')' | '<' | '>' | '[' | ']' | ':' | ';' | '@' | '\\' | ',' | '.' | '"'
        )
}

/// A display name, or `None` for an empty one.
fn phrase(words: &[Word]) -> Option<String> {
    let mut name = String::new();
    for word in words {
        if word.is_apart && !name.is_empty() {
            name.push(' ');
        }
        name.push_str(&word.text);
    }
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// A local part in its one canonical spelling: quoted only where it has to be.
fn local_part(words: &[Word]) -> Result<String, Reason> {
    let alternates = words.len() % 2 == 1
        && words
            .iter()
            .enumerate()
            .all(|(i, word)| word.is_dot() == (i % 2 == 1));
    if !alternates {
        let is_about_dots = words.iter().any(Word::is_dot)
            && words
                .windows(2)
                .all(|pair| pair[0].is_dot() || pair[1].is_dot());
        return Err(if is_about_dots {
            Reason::LocalPartDots
        } else {
            Reason::LocalPart
        });
    }
    let text: String = words.iter().map(|word| word.text.as_str()).collect();
    if text.len() > LOCAL_LEN_MAX {
        return Err(Reason::LocalPartTooLong);
    }
    let is_dot_atom = text
        .split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(is_atom));
    if is_dot_atom {
        return Ok(text);
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    Ok(quoted)
}

#[cfg(test)]
mod tests;
