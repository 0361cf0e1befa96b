//! Arithmetic that is right or an error. The engine's own operators wrap around where integers outgrow their type, and its
//! option for ANSI mode changes nothing about that; and decimals don't stay decimals. Dates and durations it checks itself.

mod days;
mod decimals;

use std::sync::Arc;

use datafusion::{
    arrow::{
        compute::kernels::numeric::{add, div, mul, neg, rem, sub},
        datatypes::{DataType, Field, FieldRef},
    },
    common::{DFSchema, config::ConfigOptions, tree_node::Transformed},
    error::{DataFusionError, Result},
    execution::FunctionRegistry as _,
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, ExprSchemable as _, Operator, ReturnFieldArgs,
        ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        binary::BinaryTypeCoercer, expr_rewriter::FunctionRewrite,
    },
    physical_expr_common::datum::apply,
    prelude::SessionContext,
};

/// Puts arithmetic of ours in place of the engine's.
pub(crate) fn register(context: &mut SessionContext) -> Result<()> {
    context.register_function_rewrite(Arc::new(RightNumbers))
}

/// Puts a function of ours where operators might wrap, and decimals where they would get lost.
#[derive(Debug)]
struct RightNumbers;

impl FunctionRewrite for RightNumbers {
    fn name(&self) -> &'static str {
        "right_numbers"
    }

    /// Operators within `expr` have been replaced already.
    fn rewrite(
        &self,
        expr: Expr,
        schema: &DFSchema,
        _: &ConfigOptions,
    ) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(operation) => Ok(rewrite_operation(operation, schema)),
            Expr::Case(mut case) => {
                let results = case.when_then_expr.iter_mut().map(|(_, then)| then);
                let mut results: Vec<&mut Expr> = results
                    .chain(&mut case.else_expr)
                    .map(|result| &mut **result)
                    .collect();
                let is_changed = decimals::settle_choice(&mut results, schema);
                let case = Expr::Case(case);
                Ok(changed(case, is_changed))
            }
            Expr::ScalarFunction(mut function)
                if ["coalesce", "nullif", "nvl", "greatest", "least"]
                    .contains(&function.func.name()) =>
            {
                let mut choices: Vec<&mut Expr> = function.args.iter_mut().collect();
                let is_changed = decimals::settle_choice(&mut choices, schema);
                Ok(changed(Expr::ScalarFunction(function), is_changed))
            }
            Expr::ScalarFunction(function) => {
                let (function, is_changed) = days::rewrite(function, schema)?;
                Ok(changed(function, is_changed))
            }
            Expr::Negative(inner)
                if integer(&inner, schema)
                    .is_some_and(|data_type| data_type.is_signed_integer()) =>
            {
                let negation = ScalarUDF::new_from_impl(Checked::new(Vec::new()));
                Ok(Transformed::yes(negation.call(vec![*inner])))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

fn changed(expr: Expr, is_changed: bool) -> Transformed<Expr> {
    match is_changed {
        true => Transformed::yes(expr),
        false => Transformed::no(expr),
    }
}

/// The type of an integer. What has no type is told of by those who look for types.
fn integer(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    let data_type = expr.get_type(schema).ok()?;
    (data_type.is_integer() || data_type.is_null()).then_some(data_type)
}

fn rewrite_operation(operation: BinaryExpr, schema: &DFSchema) -> Transformed<Expr> {
    if let Some(left) = integer(&operation.left, schema)
        && let Some(right) = integer(&operation.right, schema)
    {
        // Signed and unsigned integers of 64 bits make a decimal together.
        let is_integer = BinaryTypeCoercer::new(&left, &operation.op, &right)
            .get_result_type()
            .is_ok_and(|result| result.is_integer());
        if precedence(operation.op).is_some() && is_integer {
            let BinaryExpr { left, op, right } = operation;
            return Transformed::yes(chained(*left, op, *right));
        }
        return Transformed::no(Expr::BinaryExpr(operation));
    }
    // What the engine calls it, before literals in it become others.
    let written = matches!(operation.op, Operator::Multiply | Operator::Divide).then(|| {
        format!(
            "{} {} {}",
            operation.left.schema_name(),
            operation.op,
            operation.right.schema_name()
        )
    });
    let (operation, is_settled) = decimals::settle(operation, schema);
    match written.map(|written| decimals::operation(&operation, written, schema)) {
        Some(Some(exact)) => Transformed::yes(exact),
        _ => changed(Expr::BinaryExpr(operation), is_settled),
    }
}

/// Operators of one precedence are computed from left to right.
fn precedence(operator: Operator) -> Option<u8> {
    match operator {
        Operator::Plus | Operator::Minus => Some(1),
        Operator::Multiply | Operator::Divide | Operator::Modulo => Some(2),
        _ => None,
    }
}

/// One function for a whole chain of operators: a tree of a thousand functions would take the engine minutes to plan.
fn chained(left: Expr, operator: Operator, right: Expr) -> Expr {
    let begun = match &left {
        Expr::ScalarFunction(function) => function.func.inner().downcast_ref::<Checked>(),
        _ => None,
    };
    let begun = begun.map(|begun| begun.operators.clone()).filter(|begun| {
        let last = begun.last();
        last.is_some_and(|last| precedence(*last) == precedence(operator))
    });
    let (mut operators, mut operands) = match (begun, left) {
        (Some(operators), Expr::ScalarFunction(function)) => (operators, function.args),
        (_, left) => (Vec::new(), vec![left]),
    };
    operators.push(operator);
    operands.push(right);
    ScalarUDF::new_from_impl(Checked::new(operators)).call(operands)
}

/// Operators whose result fits its type, or is an error.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    /// Between the operands. Without any, the one operand is negated.
    operators: Vec<Operator>,
    signature: Signature,
}

impl Checked {
    fn new(operators: Vec<Operator>) -> Self {
        Self {
            operators,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    /// The first operand, and the others with the operators before them.
    fn steps<'a, T>(&'a self, operands: &'a [T]) -> Result<(&'a T, Steps<'a, T>)> {
        match operands.split_first() {
            Some((first, others)) if others.len() == self.operators.len() => {
                Ok((first, self.operators.iter().copied().zip(others)))
            }
            _ => {
                let message = format!("{} operands of {:?}", operands.len(), self.operators);
                Err(DataFusionError::Internal(message))
            }
        }
    }
}

type Steps<'a, T> =
    std::iter::Zip<std::iter::Copied<std::slice::Iter<'a, Operator>>, std::slice::Iter<'a, T>>;

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &'static str {
        "checked"
    }

    /// The name of the operators' own expression, by which other parts of a plan find the column.
    fn schema_name(&self, operands: &[Expr]) -> Result<String> {
        let (first, steps) = self.steps(operands)?;
        let mut name = first.schema_name().to_string();
        if self.operators.is_empty() {
            return Ok(format!("(- {name})"));
        }
        for (operator, operand) in steps {
            name.push_str(&format!(" {operator} {}", operand.schema_name()));
        }
        Ok(name)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![self.return_type(types)?; types.len()])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let (first, mut steps) = self.steps(types)?;
        steps.try_fold(first.clone(), |left, (operator, right)| {
            BinaryTypeCoercer::new(&left, &operator, right).get_result_type()
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let fields = args.arg_fields;
        let types: Vec<DataType> = fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        let is_nullable = fields.iter().any(|field| field.is_nullable());
        let field = Field::new(self.name(), self.return_type(&types)?, is_nullable);
        Ok(Arc::new(field))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (first, mut steps) = self.steps(&args.args)?;
        if self.operators.is_empty() {
            return match first {
                ColumnarValue::Array(array) => Ok(ColumnarValue::Array(neg(array)?)),
                ColumnarValue::Scalar(value) => {
                    Ok(ColumnarValue::Scalar(value.arithmetic_negate()?))
                }
            };
        }
        steps.try_fold(first.clone(), |left, (operator, right)| match operator {
            Operator::Plus => apply(&left, right, add),
            Operator::Minus => apply(&left, right, sub),
            Operator::Multiply => apply(&left, right, mul),
            Operator::Divide => apply(&left, right, div),
            Operator::Modulo => apply(&left, right, rem),
            other => {
                let message = format!("`{other}` is not an operator of integers");
                Err(DataFusionError::Internal(message))
            }
        })
    }
}
