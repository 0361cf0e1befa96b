//! Arguments that clients can't set: their claims do.

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::{ErrorCode, TaskFailure};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// All arguments that are filled with claims.
#[derive(Debug, Default)]
pub(super) struct Fills(Vec<Fill>);

/// An argument, and the claim that it is filled with.
#[derive(Debug)]
struct Fill {
    /// The path of the argument, outermost part first.
    arg: Vec<String>,
    /// The path of the claim, outermost part first.
    claim: Vec<String>,
}

impl Fills {
    /// `args.user_id` = `claims.sub`, any number of these.
    ///
    /// # Errors
    /// A path doesn't begin like that.
    pub(super) fn new<'t>(
        table: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> Result<Self, String> {
        let path = |text: &str, root: &str| {
            text.strip_prefix(root)
                .and_then(|rest| rest.strip_prefix('.'))
                .map(|rest| rest.split('.').map(str::to_owned).collect::<Vec<_>>())
                .filter(|path| path.iter().all(|part| !part.is_empty()))
                .ok_or_else(|| format!("{text:?} is not a path like \"{root}.name\""))
        };
        let fill = |(arg, claim): (&str, &str)| -> Result<Fill, String> {
            Ok(Fill {
                arg: path(arg, "args")?,
                claim: path(claim, "claims")?,
            })
        };
        table
            .into_iter()
            .map(fill)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The paths of the arguments that are filled.
    pub(super) fn args(&self) -> Vec<Vec<String>> {
        self.0.iter().map(|fill| fill.arg.clone()).collect()
    }

    /// What these claims fill in, in the order of the arguments.
    pub(super) fn values(&self, claims: &Value) -> Vec<Option<Value>> {
        self.0
            .iter()
            .map(|fill| lookup(claims, &fill.claim).cloned())
            .collect()
    }

    /// The args with `values` in their places, whatever the client has put there.
    ///
    /// # Errors
    /// The args are not an object, or a value is missing.
    pub(super) fn apply(
        &self,
        values: &[Option<Value>],
        args: &Bytes,
    ) -> Result<Bytes, TaskFailure> {
        if self.0.is_empty() {
            return Ok(args.clone());
        }
        // Values that are not touched stay as they were written, with all digits of their numbers.
        let mut kept: BTreeMap<String, &RawValue> = serde_json::from_slice(args).map_err(|_| {
            refused(
                "`args` must be an object here, since the gateway fills a part of it".to_owned(),
            )
        })?;
        let mut filled: Map<String, Value> = Map::new();
        for (fill, value) in self.0.iter().zip(values) {
            let Some((first, rest)) = fill.arg.split_first() else {
                continue;
            };
            let value = value.as_ref().ok_or_else(|| {
                refused(format!(
                    "`args.{}` is filled with the claim `{}`, which your token doesn't have",
                    fill.arg.join("."),
                    fill.claim.join(".")
                ))
            })?;
            if let Some(raw) = kept.remove(first) {
                let before = serde_json::from_str(raw.get()).unwrap_or(Value::Null);
                filled.insert(first.clone(), before);
            }
            let argument = filled.entry(first.clone()).or_insert(Value::Null);
            set(argument, rest, value.clone());
        }
        Ok(object(&kept, &filled, args.len()))
    }
}

fn refused(message: String) -> TaskFailure {
    TaskFailure::new(ErrorCode::InvalidArgs, message)
}

/// Both together as one JSON object, which is about as long as `len`.
fn object(kept: &BTreeMap<String, &RawValue>, filled: &Map<String, Value>, len: usize) -> Bytes {
    let mut object = Vec::with_capacity(len + 64);
    object.push(b'{');
    let kept = kept.iter().map(|(key, raw)| (key, raw.get().to_owned()));
    let filled = filled.iter().map(|(key, value)| (key, value.to_string()));
    for (number, (key, value)) in kept.chain(filled).enumerate() {
        if number > 0 {
            object.push(b',');
        }
        object.extend_from_slice(Value::from(key.as_str()).to_string().as_bytes());
        object.push(b':');
        object.extend_from_slice(value.as_bytes());
    }
    object.push(b'}');
    object.into()
}

fn lookup<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, part| value.get(part))
}

/// Sets what is at the path, with objects on the way there.
fn set(mut at: &mut Value, path: &[String], value: Value) {
    for part in path {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[part.as_str()];
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Fills in Ada's claims.
    fn fill(table: &[(&str, &str)], args: &str) -> Result<Bytes, TaskFailure> {
        let fills = Fills::new(table.iter().copied()).unwrap();
        let values = fills.values(&json!({"sub": "ada", "org": {"id": 7}}));
        fills.apply(&values, &Bytes::from(args.to_owned()))
    }

    #[test]
    fn claims_win_over_what_the_client_says() {
        let fill = |args: &str| {
            let table = [
                ("args.user_id", "claims.sub"),
                ("args.by.org", "claims.org.id"),
            ];
            serde_json::from_slice::<Value>(&fill(&table, args).unwrap()).unwrap()
        };
        let expected = json!({"user_id": "ada", "by": {"org": 7}});
        assert_eq!(fill("{}"), expected);
        assert_eq!(fill(r#"{"user_id":"eve","by":[1]}"#), expected);
        assert_eq!(
            fill(r#"{"user_id":"eve","user_id":"mallory","by":{"org":1,"x":2},"n":1}"#),
            json!({"user_id": "ada", "by": {"org": 7, "x": 2}, "n": 1})
        );
        assert_eq!(fill(r#"{"user\u005fid":"eve"}"#), expected);
    }

    #[test]
    fn numbers_that_are_not_touched_keep_their_digits() {
        let args = r#"{"n":1234567890123456789012345678901234567890.10}"#;
        let filled = fill(&[("args.user_id", "claims.sub")], args).unwrap();
        let text = std::str::from_utf8(&filled).unwrap();
        assert!(
            text.contains("1234567890123456789012345678901234567890.10"),
            "{text}"
        );
    }

    #[test]
    fn a_claim_that_is_missing_refuses_the_call() {
        for args in ["{}", r#"{"user_id":"eve"}"#, "[]", "7"] {
            let error = fill(&[("args.user_id", "claims.email")], args).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgs, "{args}");
        }
    }

    #[test]
    fn paths_name_args_and_claims() {
        for (arg, claim) in [
            ("user_id", "claims.sub"),
            ("args", "claims.sub"),
            ("args.", "claims.sub"),
            ("args.a..b", "claims.sub"),
            ("args.a", "sub"),
        ] {
            assert!(Fills::new([(arg, claim)]).is_err(), "{arg} {claim}");
        }
    }
}
