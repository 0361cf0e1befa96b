//! Addresses as people write them, parsed by RFC 5322: display names, comments, quoted strings, domain literals, groups.
//!
//! What is left after parsing is checked once more, by lettre's `Address`. A domain with non-ASCII letters becomes its
//! ASCII form (IDNA), which every server understands; a non-ASCII local part has no such form and needs SMTPUTF8.

use std::fmt;

use lettre::message::Mailbox as HeaderMailbox;

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

/// An address, and the name of whoever is behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mailbox {
    pub(crate) name: Option<String>,
    pub(crate) address: Address,
}

impl Mailbox {
    pub(crate) fn to_header(&self) -> HeaderMailbox {
        HeaderMailbox::new(self.name.clone(), self.address.0.clone())
    }
}

/// Why a text is no address. Displays as the end of a sentence: "`x@` is no address: {reason}".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It holds a line break or another control character.
    Control,
    /// There is nothing there.
    Empty,
    /// There are several where one was asked for.
    Several,
    NoAt,
    LocalPart,
    Domain,
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
            Self::LocalPart => f.write_str("what stands before the @ is not valid"),
            Self::Domain => f.write_str("what stands after the @ is not a valid domain"),
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

/// Parses a list of mailboxes, separated by commas. A group stands for its members. The list may turn out empty.
pub(crate) fn parse_list(text: &str) -> Result<Vec<Mailbox>, Reason> {
    // The first gate against header injection: nothing below ever sees a line break.
    if text.chars().any(|c| c.is_control() && c != '\t') {
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
                list.push(Mailbox {
                    name: None,
                    address,
                });
            }
            Some('<') => {
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
                list.push(Mailbox {
                    name: phrase(&words),
                    address,
                });
            }
            Some(':') if may_be_group && !words.is_empty() => {
                self.bump();
                self.list(list, Some(';'))?;
            }
            None | Some(',') => return Err(Reason::NoAt),
            Some(c) => return Err(Reason::Unexpected(c)),
        }
        Ok(())
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
        let local = local_part(local).ok_or(Reason::LocalPart)?;
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
fn local_part(words: &[Word]) -> Option<String> {
    let alternates = words.len() % 2 == 1
        && words
            .iter()
            .enumerate()
            .all(|(i, word)| word.is_dot() == (i % 2 == 1));
    if !alternates {
        return None;
    }
    let text: String = words.iter().map(|word| word.text.as_str()).collect();
    let is_dot_atom = text
        .split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(is_atom));
    if is_dot_atom {
        return Some(text);
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    Some(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<(Option<String>, String)>, Reason> {
        let list = parse_list(text)?;
        Ok(list
            .into_iter()
            .map(|mailbox| (mailbox.name, mailbox.address.to_string()))
            .collect())
    }

    #[test]
    fn what_people_write_is_understood() {
        type Case = (
            &'static str,
            &'static [(Option<&'static str>, &'static str)],
        );
        let cases: &[Case] = &[
            ("max@example.com", &[(None, "max@example.com")]),
            ("  <max@example.com>\t", &[(None, "max@example.com")]),
            (
                "Max Muster <max@example.com>",
                &[(Some("Max Muster"), "max@example.com")],
            ),
            (
                "\"Muster, Max\" <max@example.com>",
                &[(Some("Muster, Max"), "max@example.com")],
            ),
            (
                "John Q. Public <j@x.de>",
                &[(Some("John Q. Public"), "j@x.de")],
            ),
            ("Jürgen Groß <j@x.de>", &[(Some("Jürgen Groß"), "j@x.de")]),
            (
                "\"a \\\"b\\\" c\" <a@b.de>",
                &[(Some("a \"b\" c"), "a@b.de")],
            ),
            (
                "Max (sales (north)) <max(x)@example.com>",
                &[(Some("Max"), "max@example.com")],
            ),
            (
                "a@b.de, Max <c@d.de>,, e@f.de",
                &[(None, "a@b.de"), (Some("Max"), "c@d.de"), (None, "e@f.de")],
            ),
            (
                "Team: a@b.de, Max <c@d.de>;, e@f.de",
                &[(None, "a@b.de"), (Some("Max"), "c@d.de"), (None, "e@f.de")],
            ),
            ("undisclosed-recipients:;", &[]),
            (
                "\"john doe\"@example.com",
                &[(None, "\"john doe\"@example.com")],
            ),
            ("\"john\"@example.com", &[(None, "john@example.com")]),
            ("\"a\".b@example.com", &[(None, "a.b@example.com")]),
            ("max@[127.0.0.1]", &[(None, "max@[127.0.0.1]")]),
            ("root@localhost", &[(None, "root@localhost")]),
            ("max@bücher.example", &[(None, "max@xn--bcher-kva.example")]),
            ("jürgen@example.com", &[(None, "jürgen@example.com")]),
            ("a+b/c=d@example.com", &[(None, "a+b/c=d@example.com")]),
            ("\"\" <a@b.de>", &[(None, "a@b.de")]),
        ];
        for (text, wanted) in cases {
            let wanted: Vec<_> = wanted
                .iter()
                .map(|(name, address)| (name.map(str::to_owned), (*address).to_owned()))
                .collect();
            assert_eq!(shown(text).as_ref(), Ok(&wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        let cases = [
            ("", Reason::Empty),
            ("xxx", Reason::NoAt),
            ("<xxx>", Reason::NoAt),
            ("a b@c.de", Reason::LocalPart),
            ("a..b@c.de", Reason::LocalPart),
            (".a@c.de", Reason::LocalPart),
            ("@c.de", Reason::LocalPart),
            ("a@", Reason::Domain),
            ("a@b..de", Reason::Domain),
            ("a@b c.de", Reason::Domain),
            ("a@-b.de", Reason::Domain),
            ("a@\"b\".de", Reason::Domain),
            ("a@b.de>", Reason::Unexpected('>')),
            ("a@b@c.de", Reason::Unexpected('@')),
            ("Müller, Max <a@b.de>", Reason::NoAt),
            ("Max <a@b.de", Reason::Unclosed('<')),
            ("\"Max <a@b.de>", Reason::Unclosed('"')),
            ("Max (a@b.de", Reason::Unclosed('(')),
            ("a@[127.0.0.1", Reason::Unclosed('[')),
            ("Team: a@b.de", Reason::Unclosed(':')),
            ("a@b.de, c@d.de", Reason::Several),
            ("a@b.de\r\nRCPT TO:<x@y.de>", Reason::Control),
            ("\"a\\\r\nBcc: x@y.de\" <a@b.de>", Reason::Control),
            ("a\0@b.de", Reason::Control),
            ("a\u{85}@b.de", Reason::Control),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse_one(text), Err(wanted), "{text:?}");
        }
        assert_eq!(
            parse_one(&format!("{}@example.com", "a".repeat(65))),
            Err(Reason::LocalPart)
        );
        assert_eq!(
            parse_one(&format!("a@{}.com", "b".repeat(64))),
            Err(Reason::Domain)
        );
    }

    #[test]
    fn the_domain_has_no_case() {
        let [a, b, c] = ["Max@Example.com", "Max@example.COM", "max@example.com"]
            .map(|text| parse_one(text).unwrap().address);
        assert_eq!(a.key(), b.key());
        assert_ne!(a.key(), c.key());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_no_address_breaks_a_line(text in "[\\PC\r\n\"<>@., ()\\[\\]\\\\:;]{0,60}") {
            for mailbox in parse_list(&text).unwrap_or_default() {
                proptest::prop_assert!(!mailbox.address.as_str().contains(['\r', '\n']));
                proptest::prop_assert_eq!(parse_one(mailbox.address.as_str()).map(|again| again.address), Ok(mailbox.address));
            }
        }
    }
}
