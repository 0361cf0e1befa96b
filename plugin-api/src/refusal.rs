//! What is said of JSON that was refused: in words of JSON, with what would have fitted.

use serde_json::{Map, Value};

/// References of a schema may be cyclic.
const DEPTH_MAX: usize = 4;
/// As many names as fit into a sentence.
const NAMES_MAX: usize = 8;
/// The reason where JSON stands in the place of an enum, and is none of its variants.
pub(crate) const VARIANT_EXPECTED: &str =
    "an object that names a variant by its one key was expected";

/// The part of a schema that describes what should stand at some path.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    schema: &'a Value,
    root: &'a Value,
}

impl<'a> Wanted<'a> {
    /// What `root` wants at `path`, which looks like `to[1].name`; empty for the whole. `None` where it can't be told.
    pub(crate) fn at(root: &'a Value, path: &str) -> Option<Self> {
        let steps = path
            .split(['.', '['])
            .filter(|step| !step.is_empty())
            .map(|step| step.strip_suffix(']').unwrap_or(step));
        let mut wanted = Self { schema: root, root }.resolved();
        for step in steps {
            wanted = wanted.step(step, 0)?;
        }
        Some(wanted)
    }

    fn with(self, schema: &'a Value) -> Self {
        Self { schema, ..self }.resolved()
    }

    fn resolved(mut self) -> Self {
        for _ in 0..DEPTH_MAX {
            let target = self.schema.get("$ref").and_then(Value::as_str);
            let target = target.and_then(|target| self.root.pointer(target.strip_prefix('#')?));
            match target {
                Some(target) => self.schema = target,
                None => break,
            }
        }
        self
    }

    /// The field, the variant or the item of this name or number.
    fn step(self, name: &str, depth: usize) -> Option<Self> {
        let schema = self.schema;
        let field = schema.get("properties").and_then(|all| all.get(name));
        let item = || {
            let number: usize = name.parse().ok()?;
            let prefix = schema.get("prefixItems").and_then(|all| all.get(number));
            prefix.or_else(|| schema.get("items"))
        };
        let any = || schema.get("additionalProperties");
        let found = field
            .or_else(item)
            .or_else(any)
            .filter(|found| found.is_object());
        if let Some(found) = found {
            return Some(self.with(found));
        }
        if depth == DEPTH_MAX {
            return None;
        }
        self.alternatives()
            .find_map(|one| one.step(name, depth + 1))
    }

    fn alternatives(self) -> impl Iterator<Item = Self> {
        let schema = self.schema;
        ["anyOf", "oneOf", "allOf"]
            .into_iter()
            .filter_map(|key| schema.get(key).and_then(Value::as_array))
            .flatten()
            .map(move |one| self.with(one))
    }

    /// The fields in words, of the one alternative that is not null where there is one.
    fn object(self) -> String {
        let is_null = |one: &Self| one.schema.get("type").is_some_and(|kind| kind == "null");
        let mut real = self.alternatives().filter(|one| !is_null(one));
        match (real.next(), real.next()) {
            (Some(only), None) => object_in_words(only.schema),
            _ => object_in_words(self.schema),
        }
    }

    /// How each variant of an enum is written; `None` where the schema is not that of an enum with names.
    fn variants(self, depth: usize) -> Option<Vec<String>> {
        let name = |value: &Value| value.as_str().map(|name| format!("`\"{name}\"`"));
        if let Some(name) = self.schema.get("const").and_then(name) {
            return Some(vec![name]);
        }
        if let Some(names) = self.schema.get("enum").and_then(Value::as_array) {
            return names.iter().map(name).collect();
        }
        let properties = self.schema.get("properties").and_then(Value::as_object);
        if let Some(properties) = properties {
            let mut names = properties.keys();
            return match (names.next(), names.next()) {
                (Some(name), None) => Some(vec![format!("`{{\"{name}\": …}}`")]),
                _ => None,
            };
        }
        if depth == DEPTH_MAX {
            return None;
        }
        let alternatives = self
            .alternatives()
            .filter(|one| one.schema.get("type").is_none_or(|kind| kind != "null"));
        let all: Option<Vec<_>> = alternatives.map(|one| one.variants(depth + 1)).collect();
        all.map(|all| all.concat()).filter(|all| !all.is_empty())
    }

    fn variant(self) -> Option<String> {
        self.variants(0).map(|variants| match listed(variants) {
            (one, 1) => one,
            (several, _) => format!("one of {several}"),
        })
    }
}

/// The names, as many as fit into a sentence, and how many there are.
fn listed(mut names: Vec<String>) -> (String, usize) {
    let count = names.len();
    if count > NAMES_MAX {
        names.truncate(NAMES_MAX);
        names.push(String::from("…"));
    }
    (names.join(", "), count)
}

/// Why an array is refused as the arguments of a function that takes an object.
pub(crate) fn array_refused(schema: &Value) -> String {
    format!("expected {}, not an array", object_in_words(schema))
}

/// What to write for an object of this schema.
fn object_in_words(schema: &Value) -> String {
    let properties = schema.get("properties").and_then(Value::as_object);
    let names = properties.into_iter().flat_map(Map::keys);
    match listed(names.map(|name| format!("`{name}`")).collect()) {
        (_, 0) => String::from("an object, `{…}`"),
        (names, _) => format!("an object with {names}"),
    }
}

/// serde's words without the names of Rust's types, which mean nothing to whoever writes JSON. `wanted`: what should stand
/// there, if it is known.
pub(crate) fn plain(reason: &str, wanted: Option<Wanted<'_>>) -> String {
    const EXPECTED: &str = ", expected ";
    let variant = || wanted.and_then(Wanted::variant);
    if reason == VARIANT_EXPECTED {
        return variant().map_or_else(
            || reason.to_owned(),
            |variant| format!("expected {variant}"),
        );
    }
    if let Some(name) = reason.strip_prefix("data did not match any variant of untagged enum ") {
        let rest = name.split_once(' ').map_or("", |(_, rest)| rest);
        return format!("it is none of what may stand here {rest}")
            .trim_end()
            .to_owned();
    }
    let Some((found, expected)) = reason.rsplit_once(EXPECTED) else {
        return reason.to_owned();
    };
    let is_elements = expected.contains(" with ") && expected.contains("element");
    let count = || {
        let count = expected.split(" with ").nth(1)?.split(' ').next()?;
        Some(format!("an array of {count}"))
    };
    let plain = match expected.split(' ').next().unwrap_or_default() {
        "struct" if is_elements => count(),
        "struct" | "map" | "internally" | "adjacently" => {
            Some(wanted.map_or_else(|| String::from("an object"), Wanted::object))
        }
        "tuple" => count().or_else(|| Some(String::from("an array"))),
        "enum" => Some(variant().unwrap_or_else(|| {
            String::from("one of its names, in quotes, or an object with one of them")
        })),
        "unit" => Some(String::from("null")),
        "newtype" | "variant" => Some(String::from("what may stand here")),
        _ => None,
    };
    plain.map_or_else(
        || reason.to_owned(),
        |plain| format!("{found}{EXPECTED}{plain}"),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;
    use crate::args::Args;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "it is only refused")]
    enum Shape {
        /// With a description, schemars writes a variant as an alternative of its own.
        Point,
        Circle {
            radius: Option<Box<Radius>>,
        },
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    enum Colour {
        DarkRed,
        Blue,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "it is only refused")]
    struct Radius {
        length: f64,
        unit: String,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "it is only refused")]
    struct Drawing {
        shapes: Vec<Shape>,
        colour: Option<Colour>,
        by_name: BTreeMap<String, Shape>,
    }

    #[test]
    fn what_would_have_fitted_is_told_wherever_it_is() {
        let shapes = "expected one of `\"Point\"`, `{\"Circle\": …}`";
        for (json, place) in [
            (r#"{"shapes": [{}]}"#, "at `shapes[0]`"),
            (r#"{"shapes": ["Point", 5]}"#, "at `shapes[1]`"),
            (r#"{"shapes": [], "by_name": {"a": {}}}"#, "at `by_name.a`"),
        ] {
            let told = Drawing::read(json.as_bytes()).unwrap_err();
            assert_eq!(told, format!("{place}: {shapes}"), "{json}");
        }
        for (json, told) in [
            (
                r#"{"shapes": [], "colour": {}}"#,
                "at `colour`: expected one of `\"dark-red\"`, `\"blue\"`",
            ),
            (
                r#"{"shapes": [{"Circle": {"radius": 5}}]}"#,
                "at `shapes[0].Circle.radius`: invalid type: integer `5`, expected an object with `length`, `unit`",
            ),
        ] {
            assert_eq!(Drawing::read(json.as_bytes()).unwrap_err(), told);
        }
        assert_eq!(
            Shape::read(b"{}").unwrap_err(),
            "expected one of `\"Point\"`, `{\"Circle\": …}`"
        );
    }

    #[test]
    fn schemas_that_lead_in_circles_or_nowhere_end() {
        let circle = serde_json::json!({
            "anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#"}],
            "$defs": {"A": {"$ref": "#/$defs/A"}}
        });
        assert!(Wanted::at(&circle, "a.b").is_none());
        assert!(Wanted::at(&circle, "").unwrap().variant().is_none());
        assert!(Wanted::at(&Value::Bool(true), "a[0]").is_none());
    }

    #[test]
    fn reasons_have_no_names_of_types() {
        for (reason, expected) in [
            (
                "invalid type: integer `5`, expected struct Inner",
                "invalid type: integer `5`, expected an object",
            ),
            (
                "invalid length 1, expected struct Inner with 2 elements",
                "invalid length 1, expected an array of 2",
            ),
            (
                "invalid length 1, expected tuple struct P with 2 elements",
                "invalid length 1, expected an array of 2",
            ),
            (
                "invalid length 1, expected a tuple of size 2",
                "invalid length 1, expected a tuple of size 2",
            ),
            (
                "invalid type: null, expected internally tagged enum Tagged",
                "invalid type: null, expected an object",
            ),
            (
                "invalid type: null, expected unit struct U",
                "invalid type: null, expected null",
            ),
            (
                "unknown variant `c`, expected `a` or `b`",
                "unknown variant `c`, expected `a` or `b`",
            ),
            (
                "data did not match any variant of untagged enum Either",
                "it is none of what may stand here",
            ),
            ("missing field `to`", "missing field `to`"),
        ] {
            assert_eq!(plain(reason, None), expected);
        }
    }
}
