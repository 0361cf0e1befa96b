//! A line's object, cut into the fields that we know: the one place where lines meet the JSON parser.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::excerpt::excerpt;
use crate::json::{self, NotJson};

/// The fields of a JSON object that have one of `N` names, each as JSON text, and what is wrong with the object.
///
/// Where something is wrong, the fields before it are there all the same: a client wants its id back.
pub(crate) struct Object<'a, const N: usize> {
    /// In the order of the names.
    pub(crate) fields: [Option<&'a str>; N],
    /// What is wrong with the object, as the rest of a sentence about it.
    pub(crate) fault: Option<String>,
}

impl<'a, const N: usize> Object<'a, N> {
    /// Reads one JSON object, skipping fields that are not in `names`.
    pub(crate) fn read(json: &'a [u8], names: &'static [&'static str; N]) -> Self {
        match json::utf8(json) {
            Ok(text) => Self::read_text(text, names),
            Err(error) => {
                let Self { fields, .. } = Self::read_text(json::valid_utf8(json), names);
                Self {
                    fields,
                    fault: Some(format!("is {error}")),
                }
            }
        }
    }

    fn read_text(text: &'a str, names: &'static [&'static str; N]) -> Self {
        if let Some(rest) = text.strip_prefix(BOM) {
            let Self { fields, .. } = Self::read_text(rest, names);
            let fault = "begins with a byte order mark (BOM); send UTF-8 without one".to_owned();
            return Self {
                fields,
                fault: Some(fault),
            };
        }
        if !text.trim_ascii_start().starts_with('{') {
            return Self {
                fields: [None; N],
                fault: Some(not_an_object(text)),
            };
        }
        let mut collector = Collector {
            names,
            fields: [None; N],
            seen: [false; N],
            twice: None,
        };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = deserializer
            .deserialize_map(&mut collector)
            .and_then(|()| deserializer.end());
        let fault = match read {
            Err(error) => Some(format!("is {}", NotJson::syntax(&error))),
            Ok(()) => collector
                .twice
                .map(|name| format!("has the field `{name}` twice")),
        };
        Self {
            fields: collector.fields,
            fault,
        }
    }
}

/// What some editors and languages put before UTF-8.
const BOM: char = '\u{feff}';

fn not_an_object(text: &str) -> String {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => format!("must be a JSON object, got {}", kind_of(raw.get())),
        Err(_) if text.trim_ascii().is_empty() => "is empty".to_owned(),
        Err(error) => format!("is {}", NotJson::syntax(&error)),
    }
}

/// Takes the known fields out of an object.
struct Collector<'a, const N: usize> {
    names: &'static [&'static str; N],
    fields: [Option<&'a str>; N],
    seen: [bool; N],
    /// A known field that occurs more than once. None of its values is kept: which one was meant?
    twice: Option<&'static str>,
}

impl<'de, const N: usize> Visitor<'de> for &mut Collector<'de, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // A value counts once what follows it has been read: in a line cut off after `{"id":12`, 12 is perhaps the
        // beginning of another request's id.
        let mut last = None;
        while let Some(known) = map.next_key_seed(NameSeed(self.names))? {
            self.keep(last.take());
            let value: &'de RawValue = map.next_value()?;
            last = known.map(|index| (index, value.get()));
        }
        self.keep(last);
        Ok(())
    }
}

impl<'a, const N: usize> Collector<'a, N> {
    fn keep(&mut self, entry: Option<(usize, &'a str)>) {
        let Some((index, value)) = entry else { return };
        if self.seen[index] {
            self.twice = Some(self.names[index]);
            self.fields[index] = None;
        } else {
            self.seen[index] = true;
            self.fields[index] = Some(value);
        }
    }
}

/// Finds a key among the known names, escapes in it undone, without keeping it.
struct NameSeed<'n>(&'n [&'static str]);

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        // As bytes: what is escaped in a key that nobody knows need not be Unicode.
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_bytes<E: Error>(self, key: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| name.as_bytes() == key))
    }
}

/// Reads the value of the field `name` as a `T`, which `expected` describes.
pub(crate) fn field<'a, T: serde::Deserialize<'a>>(
    name: &str,
    raw: &'a str,
    expected: &str,
) -> Result<T, String> {
    serde_json::from_str(raw)
        .map_err(|_| format!("field `{name}` must be {expected}, got {}", kind_of(raw)))
}

/// The part of `line` that is `raw`, without a copy.
pub(crate) fn slice(line: &Bytes, raw: &str) -> Bytes {
    line.slice_ref(raw.as_bytes())
}

/// What the valid JSON text `raw` is, as messages put it.
fn kind_of(raw: &str) -> String {
    match raw.as_bytes().first() {
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "an array".to_owned(),
        Some(b'"') => format!("the string {}", excerpt(raw)),
        _ => excerpt(raw).into_owned(),
    }
}
