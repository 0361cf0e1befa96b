//! Functions that look into JSON texts, as `PostgreSQL` has them: `->`, `->>`, and `json_get`, `json_as_text` and
//! `json_length` with a path.

use std::{borrow::Cow, fmt, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray as _, Int64Builder, StringViewBuilder},
        compute::cast,
        datatypes::{DataType, Int64Type},
    },
    common::DFSchema,
    error::{DataFusionError, Result},
    execution::FunctionRegistry as _,
    logical_expr::{
        ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
    },
    prelude::SessionContext,
    sql::sqlparser::ast::BinaryOperator,
};
use serde::{
    Deserializer as _,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    error::{Passing, Trouble, excerpt},
    frame,
    source::json_lines::Key,
};

/// Puts the functions and operators within reach of queries.
pub(crate) fn register(context: &mut SessionContext) -> Result<()> {
    for what in [What::Json, What::Text, What::Length] {
        drop(context.register_udf(Arc::new(look(what)))?);
    }
    context.register_expr_planner(Arc::new(Operators))
}

fn look(what: What) -> ScalarUDF {
    ScalarUDF::new_from_impl(Look {
        what,
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

/// `->` and `->>`.
#[derive(Debug)]
struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        _: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let (what, sign) = match expr.op {
            BinaryOperator::Arrow => (What::Json, "->"),
            BinaryOperator::LongArrow => (What::Text, "->>"),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let name = format!(
            "{} {sign} {}",
            expr.left.schema_name(),
            expr.right.schema_name()
        );
        let call: Expr = look(what).call(vec![expr.left, expr.right]);
        Ok(PlannerResult::Planned(call.alias(name)))
    }
}

/// What is made of the value that a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    /// The value as JSON.
    Json,
    /// The text that it is, everything else as JSON; null for `null`.
    Text,
    /// How many elements or keys it has.
    Length,
}

/// A value within a JSON text, by keys of objects and places of lists.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Look {
    what: What,
    signature: Signature,
}

impl ScalarUDFImpl for Look {
    fn name(&self) -> &'static str {
        match self.what {
            What::Json => "json_get",
            What::Text => "json_as_text",
            What::Length => "json_length",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let wrong = |what: String| {
            let message = format!("`{}`: {what}", self.name());
            Passing::engine_error(Trouble::new("invalid_query", message))
        };
        let Some((json, path)) = types.split_first() else {
            let what = "it needs a JSON text, and what to look for in it";
            return Err(wrong(String::from(what)));
        };
        if !(json.is_string() || json.is_null()) {
            return Err(wrong(format!("it looks into JSON texts, not into {json}")));
        }
        let steps = path.iter().map(|step| match step {
            step if step.is_string() || step.is_null() => Ok(DataType::Utf8View),
            step if step.is_integer() => Ok(DataType::Int64),
            other => Err(wrong(format!(
                "keys are texts and places integers, not {other}"
            ))),
        });
        std::iter::once(Ok(DataType::Utf8View))
            .chain(steps)
            .collect()
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.what {
            What::Length => DataType::Int64,
            _ => DataType::Utf8View,
        })
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        frame::of_arrays(&args.args, |arrays| self.look_into(arrays))
    }
}

impl Look {
    /// What the path in all arrays but the first leads to in each of its texts.
    fn look_into(&self, arrays: &[ArrayRef]) -> Result<ArrayRef> {
        let (json, path) = arrays
            .split_first()
            .ok_or_else(|| DataFusionError::Internal(String::from("no arguments")))?;
        let json = cast(json, &DataType::Utf8View)?;
        let json = json.as_string_view();
        let path: Vec<Steps> = path.iter().map(Steps::new).collect::<Result<_>>()?;
        let found = |row: usize| self.look(json.is_valid(row).then(|| json.value(row)), &path, row);
        Ok(if self.what == What::Length {
            let mut values = Int64Builder::with_capacity(json.len());
            for row in 0..json.len() {
                let length = found(row)?.map(length).transpose()?;
                values.append_option(length.flatten());
            }
            Arc::new(values.finish())
        } else {
            let mut values = StringViewBuilder::with_capacity(json.len());
            for row in 0..json.len() {
                values.append_option(match found(row)? {
                    Some(value) if self.what == What::Text => text(value)?,
                    Some(value) => Some(Cow::Borrowed(value)),
                    None => None,
                });
            }
            Arc::new(values.finish())
        })
    }

    /// What the path leads to, as it is written.
    fn look<'j>(
        &self,
        json: Option<&'j str>,
        path: &[Steps],
        row: usize,
    ) -> Result<Option<&'j str>> {
        let Some(json) = json else {
            return Ok(None);
        };
        let checked: serde_json::Result<&RawValue> = serde_json::from_str(json);
        let mut value = checked.map_err(|error| self.wrong(json, &error))?.get();
        for steps in path {
            let next = match (steps.step(row), value.as_bytes().first()) {
                (Some(Step::Key(key)), Some(b'{')) => member(value, key),
                (Some(Step::Place(place)), Some(b'[')) => element(value, place),
                _ => return Ok(None),
            };
            match next.map_err(|error| self.wrong(json, &error))? {
                Some(next) => value = next,
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }

    fn wrong(&self, json: &str, error: &serde_json::Error) -> DataFusionError {
        let shown = excerpt(json, 100);
        let message = format!("`{}`: {shown:?} is not JSON: {error}", self.name());
        Passing::engine_error(Trouble::new("query_failed", message))
    }
}

enum Step<'p> {
    Key(&'p str),
    /// Counted from 0, and from the end if it is negative.
    Place(i64),
}

/// One step of the path, for each row.
struct Steps(ArrayRef);

impl Steps {
    fn new(steps: &ArrayRef) -> Result<Self> {
        Ok(Self(match steps.data_type() {
            step if step.is_integer() => cast(steps, &DataType::Int64)?,
            _ => cast(steps, &DataType::Utf8View)?,
        }))
    }

    fn step(&self, row: usize) -> Option<Step<'_>> {
        if self.0.is_null(row) {
            return None;
        }
        if let Some(places) = self.0.as_primitive_opt::<Int64Type>() {
            return Some(Step::Place(places.value(row)));
        }
        let keys = self.0.as_string_view_opt();
        keys.map(|keys| Step::Key(keys.value(row)))
    }
}

fn text(value: &str) -> Result<Option<Cow<'_, str>>> {
    match value.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(value)
            .map(|text| Some(Cow::Owned(text)))
            .map_err(|error| DataFusionError::External(error.into())),
        Some(b'n') => Ok(None),
        _ => Ok(Some(Cow::Borrowed(value))),
    }
}

fn length(value: &str) -> Result<Option<i64>> {
    let mut reader = serde_json::Deserializer::from_str(value);
    let counted = match value.as_bytes().first() {
        Some(b'{') => reader.deserialize_map(Count),
        Some(b'[') => reader.deserialize_seq(Count),
        _ => return Ok(None),
    };
    counted
        .map(Some)
        .map_err(|error| DataFusionError::External(error.into()))
}

/// The last value of this key, as other readers of JSON have it.
fn member<'j>(object: &'j str, key: &str) -> serde_json::Result<Option<&'j str>> {
    serde_json::Deserializer::from_str(object).deserialize_map(Member(key))
}

fn element(list: &str, place: i64) -> serde_json::Result<Option<&str>> {
    let count = || serde_json::Deserializer::from_str(list).deserialize_seq(Count);
    let place = if place < 0 { place + count()? } else { place };
    match usize::try_from(place) {
        Ok(place) => serde_json::Deserializer::from_str(list).deserialize_seq(Element(place)),
        Err(_) => Ok(None),
    }
}

struct Member<'k>(&'k str);

impl<'j> Visitor<'j> for Member<'_> {
    type Value = Option<&'j str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some((key, value)) = map.next_entry::<Key<'j>, &RawValue>()? {
            if key.0 == self.0 {
                found = Some(value.get());
            }
        }
        Ok(found)
    }
}

struct Element(usize);

impl<'j> Visitor<'j> for Element {
    type Value = Option<&'j str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut place = 0;
        let mut found = None;
        while let Some(value) = list.next_element::<&RawValue>()? {
            if place == self.0 {
                found = Some(value.get());
            }
            place += 1;
        }
        Ok(found)
    }
}

struct Count;

impl<'j> Visitor<'j> for Count {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object")
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut list: A) -> Result<i64, A::Error> {
        let mut count = 0_u64;
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        i64::try_from(count).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<i64, A::Error> {
        let mut count = 0_u64;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            count += 1;
        }
        i64::try_from(count).map_err(A::Error::custom)
    }
}
