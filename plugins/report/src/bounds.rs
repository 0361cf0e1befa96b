//! Bounds on texts that a query makes of shorter ones: the engine itself makes them as long as it is told, until there is
//! no memory left.

use std::{any::Any, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray as _, StringViewBuilder},
        compute::{cast, concat},
        datatypes::{DataType, FieldRef, Int64Type},
    },
    common::{
        DFSchema,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode as _, TreeNodeRecursion},
    },
    error::{DataFusionError, Result},
    execution::FunctionRegistry as _,
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, ExprSchemable as _, LogicalPlan, Operator,
        ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        expr_rewriter::FunctionRewrite,
    },
    prelude::SessionContext,
};

use crate::{
    error::{Passing, Trouble},
    frame,
    source::chunks::ROW_LEN_MAX,
};

/// The longest text that a function makes, in bytes: as long as a row may be.
const TEXT_LEN_MAX: u64 = ROW_LEN_MAX as u64;

/// Bounds the functions that make long texts of short ones; those of one batch of rows take at most so much memory.
pub(crate) fn register(context: &mut SessionContext, memory_max: usize) -> Result<()> {
    let batch_max = u64::try_from(memory_max).unwrap_or(u64::MAX);
    for name in [
        "repeat",
        "lpad",
        "rpad",
        "concat",
        "concat_ws",
        "replace",
        "regexp_replace",
        "encode",
    ] {
        let stock = context.udf(name)?;
        let bounded = ScalarUDF::new_from_impl(Bounded { stock, batch_max });
        // What it replaces is within it.
        drop(context.register_udf(Arc::new(bounded))?);
    }
    context.register_function_rewrite(Arc::new(BoundJoins { batch_max }))
}

/// How many rows the batches of a plan may have: a constant may be put into each row of one, and all of these together
/// take a sixteenth of the memory at most, as long as the constant itself does.
///
/// # Errors
/// Those of the engine that walks the plan.
pub(crate) fn batch_rows(plan: &LogicalPlan, memory_max: usize, rows_max: usize) -> Result<usize> {
    let mut longest = 1;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                if let Expr::Literal(value, _) = part {
                    longest = longest.max(value.size());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok((memory_max / 16 / longest).clamp(1, rows_max))
}

/// One of the engine's functions, asked only for what it may make.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    stock: Arc<ScalarUDF>,
    batch_max: u64,
}

impl Bounded {
    /// How long the text of a row can become at most.
    fn most(&self, args: &Args, row: usize) -> u64 {
        let len = |index: usize| args.len(index, row);
        match self.stock.name() {
            "repeat" => len(0).saturating_mul(args.number(1, row)),
            // A number of characters, of up to four bytes.
            "lpad" | "rpad" => len(0).max(args.number(1, row).saturating_mul(4)),
            "replace" => {
                let found = len(0).checked_div(len(1)).unwrap_or(0);
                len(0).saturating_add(found.saturating_mul(len(2)))
            }
            "regexp_replace" => {
                let found = len(0).saturating_add(1);
                len(0).saturating_add(found.saturating_mul(len(2)))
            }
            // By hex digits, two for a byte.
            "encode" => len(0).saturating_mul(2),
            // With what stands between them.
            "concat_ws" => {
                let between = len(0).saturating_mul(args.count());
                (1..args.count_len()).fold(between, |sum, index| sum.saturating_add(len(index)))
            }
            _ => (0..args.count_len()).fold(0, |sum, index| sum.saturating_add(len(index))),
        }
    }

    /// What is found in a text is not known before, so that what may be long is made of a few rows at once.
    fn is_guessed(&self) -> bool {
        matches!(self.stock.name(), "replace" | "regexp_replace")
    }

    fn check(&self, len: u64, of_batch: u64) -> Result<()> {
        let most = if self.is_guessed() {
            self.batch_max / 2
        } else {
            TEXT_LEN_MAX
        };
        check(self.stock.name(), len, most, of_batch, self.batch_max)
    }

    fn in_parts(&self, args: &ScalarFunctionArgs, lens: &[u64]) -> Result<ColumnarValue> {
        let mut parts: Vec<ArrayRef> = Vec::new();
        let (mut from, mut of_batch) = (0, 0_u64);
        while from < lens.len() {
            let mut to = from;
            let mut of_part = 0_u64;
            while to < lens.len() && (to == from || of_part + lens[to] <= self.batch_max / 2) {
                of_part += lens[to];
                to += 1;
            }
            let part = ScalarFunctionArgs {
                args: args
                    .args
                    .iter()
                    .map(|arg| match arg {
                        ColumnarValue::Array(array) => {
                            ColumnarValue::Array(array.slice(from, to - from))
                        }
                        scalar => scalar.clone(),
                    })
                    .collect(),
                number_rows: to - from,
                ..args.clone()
            };
            let made = self.stock.invoke_with_args(part)?;
            let made = made.into_array(to - from)?;
            of_batch = of_batch.saturating_add(len_of(&made));
            self.check(0, of_batch)?;
            parts.push(made);
            from = to;
        }
        let parts: Vec<&dyn Array> = parts.iter().map(|part| &**part as &dyn Array).collect();
        Ok(ColumnarValue::Array(concat(&parts)?))
    }
}

fn check(name: &str, len: u64, most: u64, of_batch: u64, batch_max: u64) -> Result<()> {
    let trouble = if len > most {
        Trouble::new(
            "query_failed",
            format!(
                "`{name}` would make a text of {len} bytes; the longest that a query may make has {TEXT_LEN_MAX}"
            ),
        )
    } else if of_batch > batch_max {
        Trouble::new(
            "memory_limit",
            format!(
                "`{name}` would make texts of {of_batch} bytes at once, more than the {} MB of memory that `memory_max` allows",
                batch_max >> 20
            ),
        )
    } else {
        return Ok(());
    };
    Err(Passing::engine_error(trouble))
}

fn len_of(array: &ArrayRef) -> u64 {
    u64::try_from(array.get_array_memory_size()).unwrap_or(u64::MAX)
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.stock.name()
    }

    fn aliases(&self) -> &[String] {
        self.stock.aliases()
    }

    fn signature(&self) -> &Signature {
        self.stock.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.stock.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.stock.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.stock.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let known = Args::new(&args)?;
        let rows = if known.is_scalar { 1 } else { args.number_rows };
        let lens: Vec<u64> = (0..rows).map(|row| self.most(&known, row)).collect();
        let all = lens.iter().fold(0_u64, |sum, len| sum.saturating_add(*len));
        self.check(lens.iter().copied().max().unwrap_or(0), 0)?;
        if self.is_guessed() && !known.is_scalar && all > self.batch_max / 2 {
            return self.in_parts(&args, &lens);
        }
        self.check(0, all)?;
        self.stock.invoke_with_args(args)
    }
}

/// The lengths and numbers that a function is given.
struct Args {
    values: Vec<Arg>,
    is_scalar: bool,
}

enum Arg {
    /// In bytes; one of them for all rows, or one for each.
    Lens(Vec<u64>),
    Numbers(Vec<u64>),
    Other,
}

impl Args {
    fn new(args: &ScalarFunctionArgs) -> Result<Self> {
        let values = args.args.iter().map(|arg| {
            let array = match arg {
                ColumnarValue::Array(array) => Arc::clone(array),
                ColumnarValue::Scalar(scalar) => scalar.to_array()?,
            };
            Arg::new(&array)
        });
        Ok(Self {
            values: values.collect::<Result<_>>()?,
            is_scalar: frame::are_scalars(&args.args),
        })
    }

    fn count_len(&self) -> usize {
        self.values.len()
    }

    fn count(&self) -> u64 {
        u64::try_from(self.values.len()).unwrap_or(u64::MAX)
    }

    fn len(&self, index: usize, row: usize) -> u64 {
        match self.values.get(index) {
            Some(Arg::Lens(lens)) => of_row(lens, row),
            // Numbers and the like as texts.
            Some(_) => 64,
            None => 0,
        }
    }

    fn number(&self, index: usize, row: usize) -> u64 {
        match self.values.get(index) {
            Some(Arg::Numbers(numbers)) => of_row(numbers, row),
            _ => 0,
        }
    }
}

fn of_row(values: &[u64], row: usize) -> u64 {
    let index = if values.len() == 1 { 0 } else { row };
    values.get(index).copied().unwrap_or(0)
}

impl Arg {
    fn new(array: &ArrayRef) -> Result<Self> {
        let len = |text: Option<&str>| text.map_or(0, |text| text.len() as u64);
        Ok(match array.data_type() {
            DataType::Utf8 => Self::Lens(array.as_string::<i32>().iter().map(len).collect()),
            DataType::LargeUtf8 => Self::Lens(array.as_string::<i64>().iter().map(len).collect()),
            DataType::Utf8View => Self::Lens(array.as_string_view().iter().map(len).collect()),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                let bytes = cast(array, &DataType::BinaryView)?;
                let len = |bytes: Option<&[u8]>| bytes.map_or(0, |bytes| bytes.len() as u64);
                Self::Lens(bytes.as_binary_view().iter().map(len).collect())
            }
            data_type if data_type.is_integer() => {
                let numbers = cast(array, &DataType::Int64)?;
                let numbers = numbers.as_primitive::<Int64Type>().iter();
                let number = |value: Option<i64>| u64::try_from(value.unwrap_or(0)).unwrap_or(0);
                Self::Numbers(numbers.map(number).collect())
            }
            _ => Self::Other,
        })
    }
}

/// Puts a bounded function in place of `||` between texts, and of `overlay`.
#[derive(Debug)]
struct BoundJoins {
    batch_max: u64,
}

impl FunctionRewrite for BoundJoins {
    fn name(&self) -> &'static str {
        "bound_joins"
    }

    fn rewrite(
        &self,
        expr: Expr,
        schema: &DFSchema,
        _: &ConfigOptions,
    ) -> Result<Transformed<Expr>> {
        let (left, right) = match expr {
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::StringConcat,
                right,
            }) => (left, right),
            // By its own syntax it is called whatever is registered.
            Expr::ScalarFunction(mut call) if call.func.name() == "overlay" => {
                let inner: &dyn Any = call.func.inner().as_ref();
                let is_bounded = inner.is::<Bounded>();
                if !is_bounded {
                    let stock = Arc::clone(&call.func);
                    let batch_max = self.batch_max;
                    call.func = Arc::new(ScalarUDF::new_from_impl(Bounded { stock, batch_max }));
                }
                let call = Expr::ScalarFunction(call);
                return Ok(Transformed::new_transformed(call, !is_bounded));
            }
            expr => return Ok(Transformed::no(expr)),
        };
        let types = [&left, &right].map(|side| side.get_type(schema));
        let is_text = types.iter().flatten().any(DataType::is_string);
        let suits = types
            .iter()
            .flatten()
            .all(|it| it.is_string() || it.is_null() || it.is_numeric());
        if !(is_text && suits) {
            let op = Operator::StringConcat;
            let expr = Expr::BinaryExpr(BinaryExpr { left, op, right });
            return Ok(Transformed::no(expr));
        }
        let joined = ScalarUDF::new_from_impl(Joined {
            batch_max: self.batch_max,
            signature: Signature::user_defined(Volatility::Immutable),
        });
        Ok(Transformed::yes(joined.call(vec![*left, *right])))
    }
}

/// What joined texts are: as the engine has it, so that a recursive query gives in each round what it began with.
fn text_type<'t>(types: impl IntoIterator<Item = &'t DataType>) -> DataType {
    let mut found = DataType::Utf8;
    for data_type in types {
        match data_type {
            DataType::Utf8View => return DataType::Utf8View,
            DataType::LargeUtf8 => found = DataType::LargeUtf8,
            _ => {}
        }
    }
    found
}

/// `||`: null if one of the texts is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Joined {
    batch_max: u64,
    signature: Signature,
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &'static str {
        "joined"
    }

    /// As the engine calls the operator.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<String> = args
            .iter()
            .map(|arg| arg.schema_name().to_string())
            .collect();
        Ok(names.join(" || "))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![text_type(types); types.len()])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(text_type(types))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        frame::of_arrays(&args.args, |arrays| self.join(arrays))
    }
}

impl Joined {
    fn join(&self, arrays: &[ArrayRef]) -> Result<ArrayRef> {
        let data_type = text_type(arrays.iter().map(Array::data_type));
        let arrays: Vec<ArrayRef> = arrays
            .iter()
            .map(|array| cast(array, &DataType::Utf8View))
            .collect::<Result<_, _>>()?;
        let texts = |index: usize| {
            let array: Option<&ArrayRef> = arrays.get(index);
            array
                .and_then(|array| array.as_string_view_opt())
                .ok_or_else(|| DataFusionError::Plan(String::from("`||` joins texts")))
        };
        let (left, right) = (texts(0)?, texts(1)?);
        let mut joined = StringViewBuilder::with_capacity(left.len());
        let (mut text, mut of_batch) = (String::new(), 0_u64);
        for (left, right) in left.iter().zip(right) {
            let (Some(left), Some(right)) = (left, right) else {
                joined.append_null();
                continue;
            };
            let len = left.len() as u64 + right.len() as u64;
            of_batch += len;
            check("||", len, TEXT_LEN_MAX, of_batch, self.batch_max)?;
            text.clear();
            text.push_str(left);
            text.push_str(right);
            joined.append_value(&text);
        }
        Ok(cast(&joined.finish(), &data_type)?)
    }
}
