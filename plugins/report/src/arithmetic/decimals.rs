//! Arithmetic of decimals that stays in decimals. The engine takes a number with a point for a floating-point number, and
//! with it all that is computed with it; cuts quotients off after four more digits; and multiplies beyond the digits that
//! a decimal has.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray as _, Decimal128Array},
        compute::try_binary,
        datatypes::{DataType, Decimal128Type, DecimalType as _, Field, FieldRef, i256},
        error::ArrowError,
    },
    common::{DFSchema, ScalarValue},
    error::{DataFusionError, Result},
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, ExprSchemable as _, Operator, ReturnFieldArgs,
        ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
    },
};

use crate::frame;

/// Of all decimals that are made here.
const PRECISION: u8 = 38;
/// A quotient has at least so many decimals, as in `PostgreSQL`.
const QUOTIENT_SCALE: i8 = 16;
/// A product has all decimals of its factors, up to so many.
const PRODUCT_SCALE: i8 = 20;

/// What an operand is.
enum Side {
    Decimal,
    Float,
    /// A number with a point that the query has in it.
    Literal(ScalarValue),
    Integer,
    Other,
}

fn side(expr: &Expr, schema: &DFSchema) -> Side {
    if let Expr::Literal(ScalarValue::Float64(Some(value)), _) = expr
        && let Some(decimal) = decimal_of(*value)
    {
        return Side::Literal(decimal);
    }
    match expr.get_type(schema) {
        Ok(DataType::Decimal128(..)) => Side::Decimal,
        Ok(DataType::Float64 | DataType::Float32) => Side::Float,
        Ok(other) if other.is_integer() => Side::Integer,
        _ => Side::Other,
    }
}

/// The decimal that somebody wrote who wrote this number.
fn decimal_of(value: f64) -> Option<ScalarValue> {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let unscaled: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = i32::try_from(fraction.len()).ok()? - exponent.parse::<i32>().ok()?;
    let (unscaled, scale) = if scale < 0 {
        let zeros = 10_i128.checked_pow(scale.unsigned_abs())?;
        (unscaled.checked_mul(zeros)?, 0)
    } else {
        (unscaled, i8::try_from(scale).ok()?)
    };
    let digits = u8::try_from(unscaled.unsigned_abs().to_string().len()).ok()?;
    let precision = digits.max(scale.unsigned_abs());
    (precision <= PRECISION).then_some(ScalarValue::Decimal128(Some(unscaled), precision, scale))
}

/// Brings two operands together: a literal beside a decimal is a decimal, a decimal beside a floating-point number is one.
pub(super) fn settle(expr: BinaryExpr, schema: &DFSchema) -> (BinaryExpr, bool) {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};

    let op = expr.op;
    let is_arithmetic = super::precedence(op).is_some();
    let compares = matches!(
        op,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
    );
    if !(is_arithmetic || compares) {
        return (expr, false);
    }
    let BinaryExpr { left, right, .. } = expr;
    let literal = |value| Box::new(Expr::Literal(value, None));
    let float = |expr: Box<Expr>| Box::new(cast(*expr, DataType::Float64));
    let (left, right, is_settled) = match (side(&left, schema), side(&right, schema)) {
        (Side::Literal(a), Side::Literal(b)) if is_arithmetic => (literal(a), literal(b), true),
        (Side::Literal(a), Side::Integer) if is_arithmetic => (literal(a), right, true),
        (Side::Integer, Side::Literal(b)) if is_arithmetic => (left, literal(b), true),
        (Side::Literal(a), Side::Decimal) => (literal(a), right, true),
        (Side::Decimal, Side::Literal(b)) => (left, literal(b), true),
        (Side::Decimal, Side::Float) => (float(left), right, true),
        (Side::Float, Side::Decimal) => (left, float(right), true),
        _ => (left, right, false),
    };
    (BinaryExpr { left, op, right }, is_settled)
}

/// Makes literals decimals, if there are decimals among the values of which one is chosen.
pub(super) fn settle_choice(choices: &mut [&mut Expr], schema: &DFSchema) -> bool {
    let sides: Vec<Side> = choices.iter().map(|choice| side(choice, schema)).collect();
    let has = |wanted: fn(&Side) -> bool| sides.iter().any(wanted);
    if !has(|side| matches!(side, Side::Decimal)) || has(|side| matches!(side, Side::Float)) {
        return false;
    }
    let mut is_changed = false;
    for (choice, side) in choices.iter_mut().zip(sides) {
        if let Side::Literal(decimal) = side {
            **choice = Expr::Literal(decimal, None);
            is_changed = true;
        }
    }
    is_changed
}

/// The product or quotient of decimals, as a function of ours. `written` is what the engine calls the expression.
pub(super) fn operation(expr: &BinaryExpr, written: String, schema: &DFSchema) -> Option<Expr> {
    let types = [&expr.left, &expr.right].map(|side| side.get_type(schema).ok());
    let has_decimal = types
        .iter()
        .any(|data_type| matches!(data_type, Some(DataType::Decimal128(..))));
    let are_decimals = types
        .iter()
        .all(|data_type| data_type.as_ref().and_then(as_decimal).is_some());
    if !(has_decimal && are_decimals) {
        return None;
    }
    let function = ScalarUDF::new_from_impl(Exact {
        operator: expr.op,
        written,
        signature: Signature::user_defined(Volatility::Immutable),
    });
    Some(function.call(vec![*expr.left.clone(), *expr.right.clone()]))
}

/// Precision and scale of a decimal, or of one that holds the integers of this type.
fn as_decimal(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        DataType::Decimal128(precision, scale) if *scale >= 0 => (*precision, *scale),
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        _ => return None,
    })
}

fn wrong_types(types: &[DataType]) -> DataFusionError {
    DataFusionError::Plan(format!("decimals can't be computed of {types:?}"))
}

/// A product or quotient that is right to its last digit, or an error.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Exact {
    operator: Operator,
    written: String,
    signature: Signature,
}

impl Exact {
    fn operands(types: &[DataType]) -> Result<[(u8, i8); 2]> {
        match types {
            [left, right] => match (as_decimal(left), as_decimal(right)) {
                (Some(left), Some(right)) => Ok([left, right]),
                _ => Err(wrong_types(types)),
            },
            _ => Err(wrong_types(types)),
        }
    }

    /// Precision and scale of the result.
    fn result(&self, [(p1, s1), (p2, s2)]: [(u8, i8); 2]) -> (u8, i8) {
        if self.operator == Operator::Divide {
            return (PRECISION, s1.max(QUOTIENT_SCALE));
        }
        let scale = s1 + s2;
        let most = PRODUCT_SCALE.max(s1).max(s2);
        match scale <= most {
            true => ((p1 + p2).min(PRECISION), scale),
            false => (PRECISION, most),
        }
    }

    fn compute(
        &self,
        left: &Decimal128Array,
        right: &Decimal128Array,
        [(p1, s1), (p2, s2)]: [(u8, i8); 2],
    ) -> Result<Decimal128Array, ArrowError> {
        let (precision, scale) = self.result([(p1, s1), (p2, s2)]);
        let outgrown = |a: i128, b: i128| {
            let shown =
                |value, precision, scale| Decimal128Type::format_decimal(value, precision, scale);
            ArrowError::ArithmeticOverflow(format!(
                "{} {} {}",
                shown(a, p1, s1),
                self.operator,
                shown(b, p2, s2)
            ))
        };
        let limit = 10_i128.pow(u32::from(precision));
        let fit = |value: Option<i128>, a, b| {
            value
                .filter(|value| *value > -limit && *value < limit)
                .ok_or_else(|| outgrown(a, b))
        };
        let power = |exponent: i8| i256::from_i128(10).checked_pow(exponent.unsigned_abs().into());
        let computed: Decimal128Array = if self.operator == Operator::Divide {
            // The scale of the result is at least that of the dividend.
            let more = power(scale - s1 + s2);
            try_binary(left, right, |a: i128, b: i128| {
                if b == 0 {
                    return Err(ArrowError::DivideByZero);
                }
                let dividend = more.and_then(|more| i256::from_i128(a).checked_mul(more));
                let quotient = dividend.and_then(|dividend| rounded(dividend, i256::from_i128(b)));
                fit(quotient, a, b)
            })?
        } else {
            let cut = s1 + s2 - scale;
            let divisor = power(cut);
            try_binary(left, right, |a: i128, b: i128| {
                let product = match (cut, a.checked_mul(b)) {
                    (0, Some(product)) => Some(product),
                    _ => i256::from_i128(a)
                        .checked_mul(i256::from_i128(b))
                        .and_then(|product| rounded(product, divisor?)),
                };
                fit(product, a, b)
            })?
        };
        computed.with_precision_and_scale(precision, scale)
    }
}

/// The quotient, rounded half away from zero, if it isn't too long.
fn rounded(dividend: i256, divisor: i256) -> Option<i128> {
    let quotient = dividend.checked_div(divisor)?;
    let rest = dividend.checked_rem(divisor)?.checked_abs()?;
    let half_up = rest.checked_add(rest)? >= divisor.checked_abs()?;
    let away = match dividend.is_negative() == divisor.is_negative() {
        true => i256::ONE,
        false => i256::MINUS_ONE,
    };
    match half_up {
        true => quotient.checked_add(away)?.to_i128(),
        false => quotient.to_i128(),
    }
}

impl ScalarUDFImpl for Exact {
    fn name(&self) -> &'static str {
        "exact"
    }

    fn schema_name(&self, _: &[Expr]) -> Result<String> {
        Ok(self.written.clone())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let operands = Self::operands(types)?;
        let operands = operands.map(|(precision, scale)| DataType::Decimal128(precision, scale));
        Ok(operands.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let (precision, scale) = self.result(Self::operands(types)?);
        Ok(DataType::Decimal128(precision, scale))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let fields = args.arg_fields;
        let types: Vec<DataType> = fields.iter().map(|it| it.data_type().clone()).collect();
        let is_nullable = fields.iter().any(|field| field.is_nullable());
        let field = Field::new(self.name(), self.return_type(&types)?, is_nullable);
        Ok(Arc::new(field))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        frame::of_arrays(&args.args, |arrays| {
            let types: Vec<DataType> = arrays.iter().map(|it| it.data_type().clone()).collect();
            let operands = Self::operands(&types)?;
            let decimals = |index: usize| {
                let array: Option<&ArrayRef> = arrays.get(index);
                array
                    .and_then(|array| array.as_primitive_opt::<Decimal128Type>())
                    .ok_or_else(|| wrong_types(&types))
            };
            Ok(Arc::new(self.compute(
                decimals(0)?,
                decimals(1)?,
                operands,
            )?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_what_was_written() {
        for (value, expected) in [
            (1.19, Some((119, 3, 2))),
            (0.05, Some((5, 2, 2))),
            (-2.5, Some((-25, 2, 1))),
            (100.0, Some((100, 3, 0))),
            (1e10, Some((10_000_000_000, 11, 0))),
            (0.0, Some((0, 1, 0))),
            (1e300, None),
            (1e-300, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            let found = decimal_of(value).map(|decimal| match decimal {
                ScalarValue::Decimal128(Some(unscaled), precision, scale) => {
                    (unscaled, precision, scale)
                }
                other => panic!("{other}"),
            });
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn quotients_are_rounded_half_away_from_zero() {
        let of = |a: i128, b: i128| rounded(i256::from_i128(a), i256::from_i128(b));
        for (a, b, expected) in [
            (7, 2, 4),
            (-7, 2, -4),
            (7, -2, -4),
            (-7, -2, 4),
            (5, 3, 2),
            (4, 3, 1),
            (-1, 3, 0),
            (0, -9, 0),
        ] {
            assert_eq!(of(a, b), Some(expected), "{a} / {b}");
        }
        assert_eq!(of(1, 0), None);
    }
}
