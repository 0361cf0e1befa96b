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
    /// What to tell the sender, if the object is no good.
    pub(crate) fault: Option<String>,
}

impl<'a, const N: usize> Object<'a, N> {
    /// Reads `line`, skipping fields that are not in `names`.
    pub(crate) fn read(line: &'a [u8], names: &'static [&'static str; N]) -> Self {
        match json::utf8(line) {
            Ok(text) => Self::read_text(text, names),
            Err(error) => Self {
                fault: Some(format!("the line is {error}")),
                ..Self::read_text(json::valid_utf8(line), names)
            },
        }
    }

    fn read_text(text: &'a str, names: &'static [&'static str; N]) -> Self {
        let mut collector = Collector {
            names,
            fields: [None; N],
            twice: None,
        };
        let fault = if text.trim_ascii_start().starts_with('{') {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            let read = deserializer.deserialize_map(&mut collector);
            read.and_then(|()| deserializer.end())
                .err()
                .map(|error| syntax_fault(&error))
        } else {
            Some(not_an_object(text))
        };
        let twice = collector
            .twice
            .map(|name| format!("field `{name}` stands there twice; send it once"));
        Self {
            fields: collector.fields,
            fault: fault.or(twice),
        }
    }
}

fn syntax_fault(error: &serde_json::Error) -> String {
    let hint = if error.is_eof() {
        "; an object must stand on one line, whole"
    } else if error.to_string().starts_with("trailing characters") {
        "; each object needs a line of its own"
    } else {
        ""
    };
    format!("the line is {}{hint}", NotJson::syntax(error))
}

fn not_an_object(text: &str) -> String {
    const WANTED: &str = r#"send one JSON object a line, such as {"function":"host.ping"}"#;
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => format!(
            "the line must be an object, got {}; {WANTED}",
            kind_of(raw.get())
        ),
        Err(_) if text.trim_ascii().is_empty() => format!("the line is empty; {WANTED}"),
        Err(error) => format!("the line is {}; {WANTED}", NotJson::syntax(&error)),
    }
}

/// Takes the known fields out of an object.
struct Collector<'a, const N: usize> {
    names: &'static [&'static str; N],
    fields: [Option<&'a str>; N],
    /// A known field that occurs more than once.
    twice: Option<&'static str>,
}

impl<'de, const N: usize> Visitor<'de> for &mut Collector<'de, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = [false; N];
        // A value counts once what follows it has been read: in a line cut off after `{"id":12`, 12 is perhaps the
        // beginning of another request's id.
        let mut last = None;
        while let Some(known) = map.next_key_seed(NameSeed(self.names))? {
            if let Some((index, value)) = last.take() {
                self.fields[index] = value;
            }
            let value: &'de RawValue = map.next_value()?;
            let Some(index) = known else { continue };
            if seen[index] {
                self.twice = Some(self.names[index]);
            }
            last = Some((index, Some(value.get()).filter(|_| !seen[index])));
            seen[index] = true;
        }
        if let Some((index, value)) = last {
            self.fields[index] = value;
        }
        Ok(())
    }
}

/// Finds a key among the known names, escapes in it undone, without keeping it.
struct NameSeed<'n>(&'n [&'static str]);

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| *name == key))
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
