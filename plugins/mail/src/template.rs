//! The templates of `send_bulk`: text with `{{ variables }}` in it, and nothing that could loop, nest or grow.
//!
//! On purpose no template language: templates come from clients, and those engines can be made to overflow the stack or
//! to fill the memory by a line of text. That would be a worker's death, and, over and over, everybody's quarantine.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde_json::{Map, Value};

const OPEN: &str = "{{";
/// Longest name of a variable, in bytes: it is repeated in the error of each recipient that lacks it.
const PATH_LEN_MAX: usize = 200;
/// How many undefined variables an error names.
const NAMES_MAX: usize = 10;
const CLOSE: &str = "}}";

/// What is wrong with a template, or why it can't be filled in for a recipient.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// The template itself is wrong: everybody's message fails.
    Syntax {
        template: String,
        at: String,
        reason: &'static str,
    },
    /// The recipient doesn't have these variables, or they are `null`.
    Undefined {
        template: String,
        names: Vec<String>,
    },
    /// The recipient's variable is a list or an object.
    NoText {
        template: String,
        name: String,
    },
    TooLong {
        template: String,
        len_max: usize,
    },
}

impl Error {
    /// The word for it that programs get.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "invalid_template",
            Self::Undefined { .. } => "undefined_variable",
            Self::NoText { .. } => "invalid_variable",
            Self::TooLong { .. } => "message_too_long",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax {
                template,
                at,
                reason,
            } => write!(f, "`{template}`: at `{at}`: {reason}"),
            Self::Undefined { template, names } => {
                let names = names
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", ");
                write!(
                    f,
                    "the recipient has no variable {names}, which `{template}` uses"
                )
            }
            Self::NoText { template, name } => {
                write!(
                    f,
                    "the recipient's variable `{name}`, which `{template}` uses, is a list or an object"
                )
            }
            Self::TooLong { template, len_max } => {
                write!(f, "`{template}` becomes longer than {len_max} bytes")
            }
        }
    }
}

impl std::error::Error for Error {}

/// The texts of a bulk, before they are filled in.
pub(crate) struct Sources<'a> {
    pub(crate) envelope_from: Option<&'a str>,
    pub(crate) subject: Option<&'a str>,
    pub(crate) contents: Option<&'a str>,
    pub(crate) html: Option<&'a str>,
    pub(crate) headers: &'a BTreeMap<String, String>,
}

/// The templates of a bulk.
pub(crate) struct Templates<'a> {
    envelope_from: Option<Template<'a>>,
    subject: Option<Template<'a>>,
    contents: Option<Template<'a>>,
    html: Option<Template<'a>>,
    headers: Vec<(&'a str, Template<'a>)>,
    len_max: usize,
}

/// The texts of one message.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) envelope_from: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) contents: Option<String>,
    pub(crate) html: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

impl<'a> Templates<'a> {
    /// Reads them. No text may become longer than `len_max` bytes.
    pub(crate) fn new(sources: &Sources<'a>, len_max: usize) -> Result<Self, Error> {
        let read = |name: &str, escape, source: Option<&'a str>| {
            source
                .map(|source| Template::new(name.to_owned(), escape, source))
                .transpose()
        };
        let header = |(name, source): (&'a String, &'a String)| {
            Ok((
                name.as_str(),
                Template::new(format!("headers.{name}"), Escape::None, source)?,
            ))
        };
        Ok(Self {
            envelope_from: read("envelope_from", Escape::None, sources.envelope_from)?,
            subject: read("subject", Escape::None, sources.subject)?,
            contents: read("contents", Escape::None, sources.contents)?,
            html: read("html", Escape::Html, sources.html)?,
            headers: sources
                .headers
                .iter()
                .map(header)
                .collect::<Result<_, Error>>()?,
            len_max,
        })
    }

    /// Fills in a recipient's variables.
    pub(crate) fn render(&self, variables: &Variables<'_>) -> Result<Rendered, Error> {
        let render = |template: &Template<'_>| template.render(variables, self.len_max);
        let header =
            |(name, template): &(&str, Template<'_>)| Ok(((*name).to_owned(), render(template)?));
        Ok(Rendered {
            envelope_from: self.envelope_from.as_ref().map(render).transpose()?,
            subject: self.subject.as_ref().map(render).transpose()?,
            contents: self.contents.as_ref().map(render).transpose()?,
            html: self.html.as_ref().map(render).transpose()?,
            headers: self
                .headers
                .iter()
                .map(header)
                .collect::<Result<_, Error>>()?,
        })
    }
}

/// What a template's variables stand for.
#[derive(Clone, Copy)]
pub(crate) struct Variables<'a> {
    pub(crate) own: &'a Map<String, Value>,
    /// Of everybody; they stand for what `own` doesn't have.
    pub(crate) shared: &'a Map<String, Value>,
}

impl<'a> Variables<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        let own = self.own.get(name).filter(|value| !value.is_null());
        own.or_else(|| self.shared.get(name))
    }
}

#[derive(Clone, Copy)]
enum Escape {
    None,
    Html,
}

struct Template<'a> {
    name: String,
    escape: Escape,
    segments: Vec<Segment<'a>>,
}

enum Segment<'a> {
    /// Goes out as it is.
    Text(&'a str),
    /// `name`, or `name.inner.inner`, and what stands there if there is no such thing.
    Variable(&'a str, Option<&'a str>),
}

impl<'a> Template<'a> {
    fn new(name: String, escape: Escape, source: &'a str) -> Result<Self, Error> {
        let mut segments = Vec::new();
        let mut rest = source;
        while let Some(at) = find_tag(rest) {
            let (text, tag) = rest.split_at(at);
            let refuse = |reason| {
                let at = tag
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .chars()
                    .take(40)
                    .collect();
                Error::Syntax {
                    template: name.clone(),
                    at,
                    reason,
                }
            };
            let Some(inner) = tag.strip_prefix(OPEN) else {
                return Err(refuse(
                    "conditions and loops are not for here; a plain `{%` is written `{{ \"{%\" }}`",
                ));
            };
            // `{{ "{{" }}` is how braces get into a text.
            let (segment, after) = match inner.trim_start().strip_prefix('"') {
                Some(quoted) => {
                    let end = quoted
                        .find('"')
                        .ok_or_else(|| refuse("the quote is never closed"))?;
                    let after = quoted[end + 1..].trim_start().strip_prefix(CLOSE);
                    let after =
                        after.ok_or_else(|| refuse("after the quoted text there must be `}}`"))?;
                    (Segment::Text(&quoted[..end]), after)
                }
                None => read_variable(inner).map_err(refuse)?,
            };
            segments.extend([Segment::Text(text), segment]);
            rest = after;
        }
        segments.push(Segment::Text(rest));
        Ok(Self {
            name,
            escape,
            segments,
        })
    }

    fn render(&self, variables: &Variables<'_>, len_max: usize) -> Result<String, Error> {
        let mut out = String::new();
        let mut undefined = Vec::new();
        for segment in &self.segments {
            match segment {
                Segment::Text(text) => out.push_str(text),
                Segment::Variable(path, default) => match (text_of(variables, path), default) {
                    (Found::Nothing, Some(default)) => self.push(&mut out, default),
                    (Found::Text(text), Some(default)) if text.is_empty() => {
                        self.push(&mut out, default);
                    }
                    (Found::Text(text), _) => self.push(&mut out, &text),
                    (Found::Nothing, None) => undefined.push((*path).to_owned()),
                    (Found::NoText, _) => {
                        return Err(Error::NoText {
                            template: self.name.clone(),
                            name: (*path).to_owned(),
                        });
                    }
                },
            }
            if out.len() > len_max {
                return Err(Error::TooLong {
                    template: self.name.clone(),
                    len_max,
                });
            }
        }
        if undefined.is_empty() {
            return Ok(out);
        }
        undefined.sort();
        undefined.dedup();
        undefined.truncate(NAMES_MAX);
        Err(Error::Undefined {
            template: self.name.clone(),
            names: undefined,
        })
    }

    fn push(&self, out: &mut String, text: &str) {
        match self.escape {
            Escape::None => out.push_str(text),
            Escape::Html => push_escaped(out, text),
        }
    }
}

/// What stands after `{{`: a variable, perhaps with a default, and the rest after `}}`.
fn read_variable(inner: &str) -> Result<(Segment<'_>, &str), &'static str> {
    const NAME: &str = "between `{{` and `}}` there is a variable's name, and after it at most `| default(\"…\")`; a name has letters, digits, `_`, `-`, and `.` for what is inside of another";
    const UNCLOSED: &str = "it is never closed by `}}`";
    let end = inner
        .find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.') && !c.is_whitespace())
        .ok_or(UNCLOSED)?;
    let (path, rest) = inner.split_at(end);
    let path = path.trim();
    let check = |rest| if is_path(path) { Ok(rest) } else { Err(NAME) };
    if let Some(after) = rest.strip_prefix(CLOSE) {
        return check((Segment::Variable(path, None), after));
    }
    let default = rest
        .strip_prefix('|')
        .and_then(|rest| rest.trim_start().strip_prefix("default"))
        .and_then(|rest| rest.trim_start().strip_prefix('('))
        .map(str::trim_start);
    let Some(default) = default else {
        return Err(if inner.contains(CLOSE) {
            NAME
        } else {
            UNCLOSED
        });
    };
    let quote = default.chars().next().filter(|c| matches!(c, '"' | '\''));
    let (text, after) = quote
        .and_then(|quote| default[1..].split_once(quote))
        .ok_or("`default` takes a text between quotes, like `default(\"friend\")`")?;
    let after = after.trim_start().strip_prefix(')');
    let after = after.and_then(|after| after.trim_start().strip_prefix(CLOSE));
    let after = after.ok_or("after the text of `default` there must be `) }}`")?;
    check((Segment::Variable(path, Some(text)), after))
}

/// Where the first `{{` begins, or the first `{%`: other engines' statements are refused rather than sent to everybody.
fn find_tag(text: &str) -> Option<usize> {
    let begins_tag = |at: &usize| matches!(text.as_bytes().get(at + 1), Some(b'{' | b'%'));
    text.match_indices('{').map(|(at, _)| at).find(begins_tag)
}

fn is_path(path: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
    };
    path.len() <= PATH_LEN_MAX && path.split('.').all(is_name)
}

enum Found<'a> {
    Text(Cow<'a, str>),
    Nothing,
    NoText,
}

fn text_of<'a>(variables: &Variables<'a>, path: &str) -> Found<'a> {
    let mut keys = path.split('.');
    let mut value = keys.next().and_then(|key| variables.get(key));
    for key in keys {
        value = match value {
            Some(Value::Object(map)) => map.get(key),
            Some(Value::Array(list)) => key.parse().ok().and_then(|index: usize| list.get(index)),
            _ => None,
        };
    }
    match value {
        None | Some(Value::Null) => Found::Nothing,
        Some(Value::String(text)) => Found::Text(Cow::Borrowed(text)),
        Some(Value::Bool(_) | Value::Number(_)) => {
            Found::Text(Cow::Owned(value.map(Value::to_string).unwrap_or_default()))
        }
        Some(Value::Array(_) | Value::Object(_)) => Found::NoText,
    }
}

fn push_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
        out.push_str(&rest[..at]);
        out.push_str(match rest.as_bytes()[at] {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#39;",
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests;
