//! `sum` and `avg` that are right or an error: the engine's own wrap around where a sum outgrows its type.
//!
//! The engine's own code adds up, but in a type so wide that no query has rows enough to fill it; only what comes out is
//! brought back into the type of the result. So adding costs a row no check, and neither the order of rows, nor how
//! threads share them, nor what a moving frame holds for a moment makes a difference.

mod own;

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{
            Array as _, ArrayRef, ArrowPrimitiveType, AsArray as _, BooleanArray, PrimitiveArray,
        },
        compute::{CastOptions, cast, cast_with_options},
        datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type, UInt64Type},
    },
    common::ScalarValue,
    error::{DataFusionError, Result},
    functions_aggregate::{average::avg_udaf, sum::sum_udaf},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF,
        SetMonotonicity, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
        type_coercion::functions::fields_with_udf,
        utils::AggregateOrderSensitivity,
    },
    prelude::SessionContext,
};

use self::own::{MovingDistinct, checked};
use crate::error::{Passing, Trouble, excerpt};

/// Puts our sums and averages in place of the engine's.
pub(crate) fn register(context: &SessionContext) {
    for (kind, stock) in [(Kind::Sum, sum_udaf()), (Kind::Average, avg_udaf())] {
        context.register_udaf(AggregateUDF::new_from_impl(Exact {
            kind,
            stock,
            signature: Signature::user_defined(Volatility::Immutable),
        }));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Sum,
    Average,
}

/// How values are added up.
enum Adding {
    /// The engine's own way, which can't go wrong here.
    Stock,
    /// The engine's own way, with values cast to this type.
    Wide(DataType),
    /// One by one, each step checked: there is no wider type.
    Checked,
}

/// One of the engine's functions, without its faults.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Exact {
    kind: Kind,
    stock: Arc<AggregateUDF>,
    signature: Signature,
}

impl Exact {
    fn way(&self, value: &DataType) -> Result<Adding> {
        use DataType::{
            Decimal32, Decimal64, Decimal128, Decimal256, Duration, Int64, Interval, UInt64,
        };

        // A sum of 10^13 rows is that much longer than its values, and nobody waits for so many.
        const SPARE: u8 = 13;
        Ok(match (self.kind, value) {
            (_, Decimal256(precision, _)) if precision + SPARE > 76 => {
                let message = format!(
                    "`{}` takes decimals of at most {} digits, not of {precision}; cast them to fewer",
                    self.stock.name(),
                    76 - SPARE
                );
                return Err(Passing::engine_error(Trouble::new(
                    "invalid_query",
                    message,
                )));
            }
            // Floating-point numbers don't wrap, and decimals get room enough.
            (Kind::Average, Duration(_)) => Adding::Wide(Decimal128(19, 0)),
            // One digit more, of which the engine's average cuts off the rest, tells how to round.
            (Kind::Average, Decimal128(_, scale)) if *scale < 38 => {
                Adding::Wide(Decimal256(76 - SPARE, scale + 1))
            }
            (Kind::Average, _) => Adding::Stock,
            (Kind::Sum, Int64 | UInt64 | Duration(_)) => Adding::Wide(Decimal128(38, 0)),
            (Kind::Sum, Decimal32(_, scale) | Decimal64(_, scale)) => {
                Adding::Wide(Decimal128(38, *scale))
            }
            (Kind::Sum, Decimal128(precision, scale)) if precision + SPARE <= 38 => {
                Adding::Wide(Decimal128(38, *scale))
            }
            (Kind::Sum, Decimal128(_, scale) | Decimal256(_, scale)) => {
                Adding::Wide(Decimal256(76, *scale))
            }
            (Kind::Sum, Interval(_)) => Adding::Checked,
            (Kind::Sum, _) => Adding::Stock,
        })
    }

    /// What the engine makes for values of a wide type, with what takes values to it and results back.
    fn wide<T>(
        &self,
        args: &AccumulatorArgs<'_>,
        wide: DataType,
        make: impl FnOnce(AccumulatorArgs<'_>) -> Result<T>,
    ) -> Result<Widened<T>> {
        let (value, sum) = self.wide_fields(&wide)?;
        let ends = Ends {
            name: excerpt(args.name, 200),
            wide,
            result: args.return_type().clone(),
        };
        let inner = make(AccumulatorArgs {
            return_field: sum,
            expr_fields: &[value],
            ..args.clone()
        })?;
        Ok(Widened { inner, ends })
    }

    /// A value, and what comes out of values like it.
    fn wide_fields(&self, wide: &DataType) -> Result<(FieldRef, FieldRef)> {
        let sum = self.stock.return_type(std::slice::from_ref(wide))?;
        Ok((
            Arc::new(Field::new("value", wide.clone(), true)),
            Arc::new(Field::new("sum", sum, true)),
        ))
    }
}

impl AggregateUDFImpl for Exact {
    fn name(&self) -> &str {
        self.stock.name()
    }

    fn aliases(&self) -> &[String] {
        self.stock.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// As the engine's own, which has none for columns of nothing.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if let [DataType::Null] = types {
            return Ok(vec![match self.kind {
                Kind::Sum => DataType::Int64,
                Kind::Average => DataType::Float64,
            }]);
        }
        let fields: Vec<FieldRef> = types
            .iter()
            .map(|data_type| Arc::new(Field::new("value", data_type.clone(), true)))
            .collect();
        let fields = fields_with_udf(&fields, &*self.stock)?;
        Ok(fields.iter().map(|it| it.data_type().clone()).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.stock.return_type(types)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        match self.way(args.input_fields[0].data_type())? {
            Adding::Stock | Adding::Checked => self.stock.state_fields(args),
            Adding::Wide(wide) => {
                let (value, sum) = self.wide_fields(&wide)?;
                self.stock.state_fields(StateFieldsArgs {
                    input_fields: &[value],
                    return_field: sum,
                    ..args
                })
            }
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match self.way(args.expr_fields[0].data_type())? {
            Adding::Stock => self.stock.accumulator(args),
            Adding::Wide(wide) => Ok(Box::new(
                self.wide(&args, wide, |args| self.stock.accumulator(args))?,
            )),
            Adding::Checked => checked(&args),
        }
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        match self.way(args.expr_fields[0].data_type())? {
            Adding::Stock => self.stock.create_sliding_accumulator(args),
            Adding::Wide(wide) => {
                Ok(Box::new(self.wide(
                    &args,
                    wide,
                    |args| match args.return_type() {
                        DataType::Decimal128(..) if args.is_distinct && self.kind == Kind::Sum => {
                            Ok(Box::new(MovingDistinct::new(args.return_type().clone())) as _)
                        }
                        _ => self.stock.create_sliding_accumulator(args),
                    },
                )?))
            }
            Adding::Checked => checked(&args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        match self.way(args.expr_fields[0].data_type()) {
            Ok(Adding::Stock) => self.stock.groups_accumulator_supported(args),
            Ok(Adding::Wide(_)) => !args.is_distinct,
            Ok(Adding::Checked) | Err(_) => false,
        }
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match self.way(args.expr_fields[0].data_type())? {
            Adding::Stock | Adding::Checked => self.stock.create_groups_accumulator(args),
            Adding::Wide(wide) => Ok(Box::new(self.wide(&args, wide, |args| {
                self.stock.create_groups_accumulator(args)
            })?)),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.stock.order_sensitivity()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.stock.inner().set_monotonicity(data_type)
    }
}

/// The types between which a sum goes to and fro.
#[derive(Debug)]
struct Ends {
    /// The sum as the query writes it, for messages.
    name: String,
    wide: DataType,
    result: DataType,
}

impl Ends {
    fn widen(&self, values: &[ArrayRef]) -> Result<[ArrayRef; 1]> {
        let values = &values[0];
        Ok([match values.data_type() {
            DataType::Int64 => self.widen_integers::<Int64Type>(values),
            DataType::UInt64 => self.widen_integers::<UInt64Type>(values),
            DataType::Duration(_) => {
                self.widen_integers::<Int64Type>(&cast(values, &DataType::Int64)?)
            }
            _ => cast(values, &self.wide)?,
        }])
    }

    /// Does what a cast does, without a look at each value.
    fn widen_integers<T: ArrowPrimitiveType>(&self, values: &ArrayRef) -> ArrayRef
    where
        i128: From<T::Native>,
    {
        let wide = values
            .as_primitive::<T>()
            .unary::<_, Decimal128Type>(i128::from);
        Arc::new(wide.with_data_type(self.wide.clone()))
    }

    fn narrow(&self, sums: &ArrayRef) -> Result<ArrayRef> {
        match &self.result {
            DataType::Int64 => Ok(Arc::new(self.narrow_integers::<Int64Type>(sums)?)),
            DataType::UInt64 => Ok(Arc::new(self.narrow_integers::<UInt64Type>(sums)?)),
            DataType::Duration(_) => {
                let integers = self.narrow_integers::<Int64Type>(sums)?;
                Ok(cast(&integers, &self.result)?)
            }
            result => {
                let options = CastOptions {
                    safe: false,
                    ..CastOptions::default()
                };
                cast_with_options(sums, result, &options).map_err(|_| self.outgrown(None))
            }
        }
    }

    fn narrow_integers<T: ArrowPrimitiveType>(&self, sums: &ArrayRef) -> Result<PrimitiveArray<T>>
    where
        T::Native: TryFrom<i128>,
    {
        // Averages have decimals, which are cut off, as where integers are divided.
        let unit = match sums.data_type() {
            DataType::Decimal128(_, 0) => None,
            DataType::Decimal128(_, scale) => Some(10_i128.pow(scale.unsigned_abs().into())),
            other => {
                let message = format!("a sum of integers is a {other}");
                return Err(DataFusionError::Internal(message));
            }
        };
        sums.as_primitive::<Decimal128Type>()
            .try_unary(|sum| self.fit(unit.map_or(sum, |unit| sum / unit)))
    }

    /// What [`Ends::narrow`] does with an array, for windows, which have a sum in each row.
    fn narrow_one(&self, sum: ScalarValue) -> Result<ScalarValue> {
        match (&self.result, sum) {
            (DataType::Int64, ScalarValue::Decimal128(sum, _, 0)) => Ok(ScalarValue::Int64(
                sum.map(|sum| self.fit(sum)).transpose()?,
            )),
            (_, sum) => ScalarValue::try_from_array(&self.narrow(&sum.to_array()?)?, 0),
        }
    }

    fn fit<T: TryFrom<i128>>(&self, sum: i128) -> Result<T> {
        T::try_from(sum).map_err(|_| self.outgrown(Some(sum)))
    }

    fn outgrown(&self, sum: Option<i128>) -> DataFusionError {
        outgrown(&self.name, sum, &self.result)
    }
}

/// What is said of an average that its type can't hold.
pub(crate) const AVERAGE_OUTGROWN: &str = "an average has more than the 38 digits of a decimal, of which it has four decimals more than its values; average numbers of another type: `avg(CAST(… AS double))`, or `avg(CAST(… AS decimal(60,2)))`";

/// The error of a sum that its type can't hold.
fn outgrown(name: &str, sum: Option<i128>, result: &DataType) -> DataFusionError {
    let (holds, instead) = match result {
        DataType::Duration(_) | DataType::Interval(_) => (
            String::from("an interval"),
            String::from("sum numbers, such as seconds: `sum(date_part('epoch', …))`"),
        ),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (
            format!("decimal({precision},{scale})"),
            format!("sum longer decimals: `sum(CAST(… AS decimal(60,{scale})))`"),
        ),
        _ => (
            String::from("an integer of 64 bits"),
            String::from("sum decimals: `sum(CAST(… AS decimal(38,0)))`"),
        ),
    };
    if name.starts_with("avg(") && matches!(result, DataType::Decimal128(..)) {
        return Passing::engine_error(Trouble::new("query_failed", AVERAGE_OUTGROWN));
    }
    let sum = sum.map_or_else(String::new, |sum| format!(" ({sum})"));
    let message = format!("`{name}` is more than {holds} can hold{sum}; {instead}");
    Passing::engine_error(Trouble::new("query_failed", message))
}

/// What adds up values of a wide type, for values and results of others.
#[derive(Debug)]
struct Widened<T> {
    inner: T,
    ends: Ends,
}

impl Accumulator for Widened<Box<dyn Accumulator>> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&self.ends.widen(values)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.ends.narrow_one(self.inner.evaluate()?)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&self.ends.widen(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

impl GroupsAccumulator for Widened<Box<dyn GroupsAccumulator>> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        groups_len: usize,
    ) -> Result<()> {
        let values = self.ends.widen(values)?;
        self.inner.update_batch(&values, groups, filter, groups_len)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.ends.narrow(&self.inner.evaluate(emit_to)?)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        groups: &[usize],
        groups_len: usize,
    ) -> Result<()> {
        self.inner.merge_batch(states, groups, groups_len)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let values = self.ends.widen(values)?;
        self.inner.convert_to_state(&values, filter)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }
}
