//! JSON in: arguments and configuration, and the schemas that describe them.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

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
        read(json)
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

/// Reads JSON; the error is "at `PATH`: REASON". The path is only looked for after an error.
pub(crate) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| match locate::<T>(json) {
        Some(complaint) => complaint,
        None => reason(&error),
    })
}

fn locate<T: DeserializeOwned>(json: &[u8]) -> Option<String> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let error = serde_path_to_error::deserialize::<_, T>(&mut deserializer).err()?;
    let path = error.path().to_string();
    let reason = reason(error.inner());
    Some(if path == "." {
        reason
    } else {
        format!("at `{path}`: {reason}")
    })
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

/// Whether `json` is an empty array, which is how PHP writes an empty object.
pub(crate) fn is_empty_array(json: &[u8]) -> bool {
    json.trim_ascii()
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"))
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
                "invalid type: string \"x\", expected struct Letter",
            ),
            (r#"{"to": []} 7"#, "trailing characters"),
            (r#"{"to": ["#, "at `to`: EOF while parsing a list"),
        ];
        for (json, reason) in cases {
            assert_eq!(
                read::<Letter>(json.as_bytes()).unwrap_err(),
                reason,
                "{json}"
            );
        }
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
        assert!(read::<Value>(json.as_bytes()).is_err());
    }

    #[test]
    fn an_empty_array_is_known_by_its_looks() {
        for yes in ["[]", " [ ] ", "[\n\t]"] {
            assert!(is_empty_array(yes.as_bytes()), "{yes}");
        }
        for no in ["", "[", "]", "{}", "[1]", "[[]]"] {
            assert!(!is_empty_array(no.as_bytes()), "{no}");
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
