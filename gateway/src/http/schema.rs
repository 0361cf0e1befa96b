//! JSON Schemas that become a part of a larger document.

use serde_json::{Map, Value};

/// Follows so many references at most: a schema may refer to itself.
const DEPTH_MAX: usize = 32;

/// Moves a schema into a larger document, so that its references to itself lead there: to `base`. What stands there as
/// data (defaults, constants, examples) stays as it is.
pub(super) fn rebased(schema: &Value, base: &str) -> Value {
    match schema {
        Value::Object(object) => object_rebased(object, base).into(),
        Value::Bool(_) => schema.clone(),
        // Nothing is said of it, or nothing that is a schema.
        _ => Map::new().into(),
    }
}

fn object_rebased(object: &Map<String, Value>, base: &str) -> Map<String, Value> {
    let mut rebased_object = Map::new();
    for (key, value) in object {
        let (key, value) = match (key.as_str(), value) {
            // These would say anew where references lead, and what they mean.
            ("$schema" | "$id" | "id", Value::String(_)) => continue,
            ("$ref" | "$dynamicRef", Value::String(reference)) => {
                let moved = match reference.strip_prefix('#') {
                    Some(rest) => Value::from(format!("{base}{rest}")),
                    None => value.clone(),
                };
                (key.as_str(), moved)
            }
            (
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                Value::Object(named),
            ) => {
                let named: Map<_, _> = named
                    .iter()
                    .map(|(name, schema)| (name.clone(), rebased(schema, base)))
                    .collect();
                (key.as_str(), named.into())
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(list)) => {
                (key.as_str(), all_rebased(list, base))
            }
            // As drafts before 2020-12 have it.
            ("items", Value::Array(list)) => ("prefixItems", all_rebased(list, base)),
            ("additionalItems", _) if object.get("items").is_some_and(Value::is_array) => {
                ("items", rebased(value, base))
            }
            (
                "items"
                | "contains"
                | "additionalProperties"
                | "propertyNames"
                | "not"
                | "if"
                | "then"
                | "else"
                | "unevaluatedItems"
                | "unevaluatedProperties",
                _,
            ) => (key.as_str(), rebased(value, base)),
            _ => (key.as_str(), value.clone()),
        };
        rebased_object.insert(key.to_owned(), value);
    }
    rebased_object
}

fn all_rebased(list: &[Value], base: &str) -> Value {
    list.iter().map(|schema| rebased(schema, base)).collect()
}

/// Takes the properties at these paths out of what is required.
pub(super) fn without_required(schema: &mut Value, paths: &[Vec<String>]) {
    for path in paths {
        let Some((last, way)) = path.split_last() else {
            continue;
        };
        let mut at = Some(&mut *schema);
        for part in way {
            at = at.and_then(|schema| schema.get_mut("properties")?.get_mut(part));
        }
        if let Some(Value::Array(required)) = at.and_then(|schema| schema.get_mut("required")) {
            required.retain(|name| name != last);
        }
    }
}

/// Whether it refuses `{}`, which stands for arguments that are left out. As far as can be told without a validator:
/// where it can't be told, it does not.
pub(super) fn refuses_nothing_given(schema: &Value) -> bool {
    refuses(schema, schema, 0)
}

fn refuses(root: &Value, schema: &Value, depth: usize) -> bool {
    if depth > DEPTH_MAX {
        return false;
    }
    let Value::Object(object) = schema else {
        return *schema == Value::Bool(false);
    };
    let is_object_wanted = match object.get("type") {
        Some(Value::String(one)) => one == "object",
        Some(Value::Array(several)) => several.iter().any(|one| one == "object"),
        _ => true,
    };
    let requires = object
        .get("required")
        .and_then(Value::as_array)
        .is_some_and(|names| !names.is_empty());
    let counts = object
        .get("minProperties")
        .and_then(Value::as_u64)
        .is_some_and(|count| count > 0);
    let next = |schema: &Value| refuses(root, schema, depth + 1);
    let list = |key: &str| object.get(key).and_then(Value::as_array);
    let is_other = object
        .get("const")
        .is_some_and(|value| *value != Value::Object(Map::new()))
        || list("enum").is_some_and(|values| !values.contains(&Value::Object(Map::new())));
    let of_reference = object
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| target(root, reference))
        .is_some_and(next);
    !is_object_wanted
        || requires
        || counts
        || is_other
        || of_reference
        || list("allOf").is_some_and(|all| all.iter().any(next))
        || list("anyOf").is_some_and(|any| any.iter().all(next))
        || list("oneOf").is_some_and(|one| one.iter().all(next))
}

/// What a reference of a schema that was moved leads to.
fn target<'r>(root: &'r Value, reference: &str) -> Option<&'r Value> {
    // After `#/components/schemas/NAME`.
    let path = reference.splitn(5, '/').nth(4);
    path.map_or(Some(root), |path| root.pointer(&format!("/{path}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BASE: &str = "#/components/schemas/f.args";

    #[test]
    fn data_stays_as_it_is_and_references_move() {
        let given = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "https://elsewhere.example/f",
            "title": "F",
            "properties": {
                "$ref": {"const": null, "default": {"$ref": "#/x"}},
                "id": {"type": ["string", "null"], "default": null, "examples": [null, {"$id": "x"}]},
                "node": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                "self": {"$ref": "#"},
                "pair": {"items": [{"$ref": "#/$defs/Node"}, {}], "additionalItems": false},
            },
            "$defs": {"Node": {"enum": ["$id", null]}},
            "additionalProperties": {"$ref": "#/$defs/Node"},
        });
        let moved = json!({
            "title": "F",
            "properties": {
                "$ref": {"const": null, "default": {"$ref": "#/x"}},
                "id": {"type": ["string", "null"], "default": null, "examples": [null, {"$id": "x"}]},
                "node": {"anyOf": [{"$ref": "#/components/schemas/f.args/$defs/Node"}, {"type": "null"}]},
                "self": {"$ref": "#/components/schemas/f.args"},
                "pair": {"prefixItems": [{"$ref": "#/components/schemas/f.args/$defs/Node"}, {}], "items": false},
            },
            "$defs": {"Node": {"enum": ["$id", null]}},
            "additionalProperties": {"$ref": "#/components/schemas/f.args/$defs/Node"},
        });
        assert_eq!(rebased(&given, BASE), moved);
        assert_eq!(rebased(&Value::Null, BASE), json!({}));
        assert_eq!(rebased(&json!(true), BASE), json!(true));
    }

    #[test]
    fn what_refuses_nothing_needs_arguments() {
        for (schema, expected) in [
            (json!({}), false),
            (json!(true), false),
            (json!({"type": "object", "properties": {"a": {}}}), false),
            (json!({"type": "object", "required": []}), false),
            (json!({"type": "object", "required": ["a"]}), true),
            (
                json!({"type": ["object", "null"], "minProperties": 1}),
                true,
            ),
            (json!({"type": "array"}), true),
            (json!({"type": "null"}), true),
            (json!({"enum": ["a"]}), true),
            (
                json!({"anyOf": [{"required": ["a"]}, {"type": "object"}]}),
                false,
            ),
            (
                json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
                true,
            ),
            (json!({"allOf": [{}, {"required": ["a"]}]}), true),
            (
                json!({"$ref": "#/$defs/A", "$defs": {"A": {"required": ["a"]}}}),
                true,
            ),
            (json!({"$ref": "#/$defs/A", "$defs": {"A": {}}}), false),
            (json!({"$ref": "#"}), false),
        ] {
            let moved = rebased(&schema, BASE);
            assert_eq!(refuses_nothing_given(&moved), expected, "{schema}");
        }
    }

    #[test]
    fn what_the_gateway_fills_is_not_asked_for() {
        let mut schema = json!({
            "required": ["user", "by", "n"],
            "properties": {"by": {"required": ["org", "team"]}},
        });
        let paths = [
            vec!["user".to_owned()],
            vec!["by".to_owned(), "org".to_owned()],
        ];
        without_required(&mut schema, &paths);
        let expected = json!({
            "required": ["by", "n"],
            "properties": {"by": {"required": ["team"]}},
        });
        assert_eq!(schema, expected);
    }
}
