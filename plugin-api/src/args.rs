//! JSON in: arguments and configuration, and the schemas that describe them.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};

use crate::refusal::{self, Wanted};

/// What a handler may take as its arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the arguments of a handler",
    label = "derive `serde::Deserialize` and `schemars::JsonSchema` for it"
)]
pub trait Args: Sized {
    /// Reads the arguments; the error is a sentence with path and reason.
    #[doc(hidden)]
    fn read(json: &[u8]) -> Result<Self, String>;
    /// Their JSON Schema.
    #[doc(hidden)]
    fn schema() -> Value;
}

impl<T: DeserializeOwned + JsonSchema> Args for T {
    fn read(json: &[u8]) -> Result<Self, String> {
        read_sent(json, Some(<Self as Args>::schema))
    }

    fn schema() -> Value {
        let settings = SchemaSettings::draft2020_12().for_deserialize();
        settings
            .into_generator()
            .into_root_schema_for::<T>()
            .to_value()
    }
}

/// The arguments of a handler that takes none: anything is accepted, and nothing is read.
#[derive(Debug)]
pub struct NoArgs;

impl Args for NoArgs {
    fn read(_json: &[u8]) -> Result<Self, String> {
        Ok(Self)
    }

    fn schema() -> Value {
        Value::Object(Map::new())
    }
}

pub(crate) fn result_schema<R: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings
        .into_generator()
        .into_root_schema_for::<R>()
        .to_value()
}

/// Reads what was sent. `{}`, or `[]` from PHP, may be all that stands for nothing: where the type refuses it and takes
/// `null`, as `()` and `Option` do, it is that.
pub(crate) fn read_sent<T: DeserializeOwned>(
    json: &[u8],
    schema: Option<fn() -> Value>,
) -> Result<T, String> {
    read(json, schema).or_else(|refused| {
        if is_nothing(json) {
            serde_json::from_slice(b"null").map_err(|_| refused)
        } else {
            Err(refused)
        }
    })
}

/// Reads JSON; the error is "at `PATH`: REASON". The path is only looked for after an error.
fn read<T: DeserializeOwned>(json: &[u8], schema: Option<fn() -> Value>) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| {
        let (path, text) = match locate::<T>(json) {
            Some(located) => located,
            None => (None, reason(&error)),
        };
        let schema = schema.map(|schema| schema());
        let wanted = schema
            .as_ref()
            .and_then(|schema| Wanted::at(schema, path.as_deref().unwrap_or_default()));
        let text = refusal::plain(&text, wanted);
        match path {
            Some(path) => format!("at `{path}`: {text}"),
            None => text,
        }
    })
}

/// Where the error is, if not in the whole, and what it is.
fn locate<T: DeserializeOwned>(json: &[u8]) -> Option<(Option<String>, String)> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let error = serde_path_to_error::deserialize::<_, T>(&mut deserializer).err()?;
    let path = error.path().to_string();
    // What serde could not name is no help.
    let path = path.trim_end_matches(".?").trim_start_matches('?');
    let mut reason = reason(error.inner());
    if reason == "expected value" && serde_json::from_slice::<IgnoredAny>(json).is_ok() {
        // serde_json looks for the key that names a variant. What it found in its place is JSON.
        reason = String::from(refusal::VARIANT_EXPECTED);
    }
    let is_named = path != "." && !path.is_empty();
    Some((is_named.then(|| path.to_owned()), reason))
}

/// The error without its line and column, which are of no use for a request of one line.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(reason) => reason.to_owned(),
        None => text,
    }
}

/// Arguments that are an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Array {
    /// How PHP writes an empty object.
    Empty,
    /// serde would take its items for fields, by their order, which is no part of what a function promises.
    Filled,
}

/// The array that `json` is, by its looks.
pub(crate) fn array(json: &[u8]) -> Option<Array> {
    let is_array = json.trim_ascii_start().starts_with(b"[");
    is_array.then(|| {
        if is_empty_between(json, b"[", b"]") {
            Array::Empty
        } else {
            Array::Filled
        }
    })
}

/// Whether `json` is empty, which is what a request without `args` has, or an empty array of PHP.
fn is_nothing(json: &[u8]) -> bool {
    is_empty_between(json, b"{", b"}") || is_empty_between(json, b"[", b"]")
}

fn is_empty_between(json: &[u8], begin: &[u8], end: &[u8]) -> bool {
    json.trim_ascii()
        .strip_prefix(begin)
        .and_then(|rest| rest.strip_suffix(end))
        .is_some_and(|inner| inner.trim_ascii().is_empty())
}

/// Whether `schema` asks for an object, and would take no array.
pub(crate) fn is_object(schema: &Value) -> bool {
    takes_object(schema, schema, 0)
}

fn takes_object(schema: &Value, root: &Value, depth: usize) -> bool {
    // References may be cyclic.
    const DEPTH_MAX: usize = 16;
    if depth == DEPTH_MAX {
        return false;
    }
    if let Some(kind) = schema.get("type") {
        let is = |name: &str| match kind {
            Value::String(only) => only == name,
            Value::Array(several) => several.iter().any(|one| one == name),
            _ => false,
        };
        return is("object") && !is("array");
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = target.strip_prefix('#').and_then(|path| root.pointer(path));
        return target.is_some_and(|target| takes_object(target, root, depth + 1));
    }
    let alternatives = ["anyOf", "oneOf", "allOf"]
        .into_iter()
        .find_map(|key| schema.get(key).and_then(Value::as_array));
    alternatives.is_some_and(|alternatives| {
        let mut real = alternatives
            .iter()
            .filter(|one| one.get("type").is_none_or(|kind| kind != "null"))
            .peekable();
        real.peek().is_some() && real.all(|one| takes_object(one, root, depth + 1))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    struct Letter {
        to: Vec<String>,
        #[serde(default)]
        copies: u8,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(tag = "kind")]
    #[expect(dead_code, reason = "only its schema is of interest")]
    enum Tagged {
        One { a: u8 },
        Two { b: Box<Tagged> },
    }

    #[test]
    fn a_refusal_names_path_and_reason() {
        let cases: [(&str, &str); 6] = [
            (
                r#"{"to": ["a", 5]}"#,
                "at `to[1]`: invalid type: integer `5`, expected a string",
            ),
            (
                r#"{"to": [], "copies": 300}"#,
                "at `copies`: invalid value: integer `300`, expected u8",
            ),
            (r"{}", "missing field `to`"),
            (
                r#""x""#,
                "invalid type: string \"x\", expected an object with `to`, `copies`",
            ),
            (r#"{"to": []} 7"#, "trailing characters"),
            (r#"{"to": ["#, "at `to`: EOF while parsing a list"),
        ];
        for (json, reason) in cases {
            assert_eq!(Letter::read(json.as_bytes()).unwrap_err(), reason, "{json}");
        }
    }

    #[test]
    fn a_reason_without_a_path_or_a_value_says_what_it_can() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "it is only refused")]
        enum Shape {
            Point,
            Circle { radius: u8 },
        }
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "it is only refused")]
        struct Drawing {
            shape: Shape,
            by_number: BTreeMap<u8, u8>,
        }
        let refused = |json: &str| read::<Drawing>(json.as_bytes(), None).unwrap_err();
        assert_eq!(
            refused(r#"{"shape": {}}"#),
            "at `shape`: an object that names a variant by its one key was expected"
        );
        let bad_key = refused(r#"{"by_number": {"x": 1}}"#);
        assert!(bad_key.starts_with("at `by_number"), "{bad_key}");
        for text in [
            &bad_key,
            &read::<BTreeMap<u8, u8>>(br#"{"x": 1}"#, None).unwrap_err(),
        ] {
            assert!(!text.contains('?'), "{text}");
        }
        // What is no JSON is told so.
        assert!(refused(r#"{"shape": ]"#).contains("expected value"));
    }

    #[test]
    fn nothing_sent_is_what_the_type_takes_for_nothing() {
        for nothing in ["{}", " { } ", "[]", "null"] {
            let nothing = nothing.as_bytes();
            assert_eq!(<() as Args>::read(nothing), Ok(()));
            assert_eq!(<Option<Letter> as Args>::read(nothing), Ok(None));
            assert_eq!(<Option<u8> as Args>::read(nothing), Ok(None));
        }
        let empty = |json: &str| <Option<BTreeMap<String, u8>> as Args>::read(json.as_bytes());
        assert_eq!(empty("{}"), Ok(Some(BTreeMap::new())));
        assert_eq!(empty("null"), Ok(None));
        // What is not nothing is refused as ever, and by the reason that is about it.
        assert!(<() as Args>::read(br#"{"a": 1}"#).is_err());
        assert_eq!(
            <Letter as Args>::read(b"{}").unwrap_err(),
            "missing field `to`"
        );
        assert!(<Option<Letter> as Args>::read(br#"{"to": 1}"#).is_err());
    }

    #[test]
    fn no_args_take_anything() {
        for json in ["{}", "[]", "null", r#"{"a": [1]}"#, "not JSON at all"] {
            assert!(NoArgs::read(json.as_bytes()).is_ok());
        }
        assert_eq!(<NoArgs as Args>::schema(), serde_json::json!({}));
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let json = "[".repeat(100_000);
        assert!(read::<Value>(json.as_bytes(), None).is_err());
    }

    #[test]
    fn arrays_are_known_by_their_looks() {
        for empty in ["[]", " [ ] ", "[\n\t]"] {
            assert_eq!(array(empty.as_bytes()), Some(Array::Empty), "{empty}");
        }
        for filled in ["[1]", " [[]]", "["] {
            assert_eq!(array(filled.as_bytes()), Some(Array::Filled), "{filled}");
        }
        for other in ["", "]", "{}", "\"[]\""] {
            assert_eq!(array(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn schemas_that_ask_for_an_object_are_told_from_the_others() {
        assert!(is_object(&Letter::schema()));
        assert!(is_object(&Option::<Letter>::schema()));
        assert!(is_object(&Tagged::schema()));
        assert!(is_object(&BTreeMap::<String, u8>::schema()));
        assert!(!is_object(&Vec::<u8>::schema()));
        assert!(!is_object(&<(String, u8)>::schema()));
        assert!(!is_object(&Value::schema()));
        assert!(!is_object(&String::schema()));
        assert!(!is_object(&<NoArgs as Args>::schema()));
        let circle =
            serde_json::json!({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}});
        assert!(!is_object(&circle));
    }
}
