//! `->` and `->>` bind more tightly than every other operator between two values, as in `SQLite`. The parser lets them
//! bind less tightly than comparisons, so that `o ->> 'city' = 'Rome'` would look for the key `'city' = 'Rome'`.

use std::{mem, ops::ControlFlow};

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, Value, visit_expressions_mut};

use crate::error::{Result, Trouble};

/// Gives each of them the operands next to it.
pub(super) fn tighten(query: &mut Query) -> Result<()> {
    // Inner expressions come before those that hold them.
    match visit_expressions_mut(query, tighten_one) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(expr) => {
            let message =
                format!("what belongs to `->` or `->>` is in doubt; put it in parentheses: {expr}");
            Err(Trouble::new("invalid_query", message))
        }
    }
}

fn nothing() -> Expr {
    Expr::value(Value::Null)
}

fn tighten_one(expr: &mut Expr) -> ControlFlow<String> {
    let Expr::BinaryOp { left, op, right } = expr else {
        return ControlFlow::Continue(());
    };
    if !is_arrow(op) {
        return ControlFlow::Continue(());
    }
    let op = op.clone();
    let (mut left, mut right) = (
        mem::replace(&mut **left, nothing()),
        mem::replace(&mut **right, nothing()),
    );
    let join = |left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: op.clone(),
        right: Box::new(right),
    };
    *expr = match (last(&mut left).is_some(), first(&mut right).is_some()) {
        (false, false) => join(left, right),
        (true, false) => {
            let end = innermost(&mut left, last);
            *end = join(mem::replace(end, nothing()), right);
            left
        }
        (false, true) => {
            let begin = innermost(&mut right, first);
            *begin = join(left, mem::replace(begin, nothing()));
            right
        }
        // Which of the two others comes first, only the parser knows.
        (true, true) => return ControlFlow::Break(join(left, right).to_string()),
    };
    ControlFlow::Continue(())
}

fn is_arrow(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::Arrow | BinaryOperator::LongArrow)
}

/// The operand that ends an expression, or begins it, however deep it is.
fn innermost(expr: &mut Expr, next: fn(&mut Expr) -> Option<&mut Expr>) -> &mut Expr {
    let mut at = expr;
    while next(at).is_some() {
        match next(at) {
            Some(inner) => at = inner,
            None => unreachable!("it was there"),
        }
    }
    at
}

/// What an operation ends with that isn't in parentheses.
fn last(expr: &mut Expr) -> Option<&mut Expr> {
    match expr {
        Expr::BinaryOp { op, right, .. } if !is_arrow(op) => Some(right),
        Expr::Like { pattern: end, .. }
        | Expr::ILike { pattern: end, .. }
        | Expr::SimilarTo { pattern: end, .. }
        | Expr::RLike { pattern: end, .. }
        | Expr::Between { high: end, .. }
        | Expr::IsDistinctFrom(_, end)
        | Expr::IsNotDistinctFrom(_, end) => Some(end),
        _ => None,
    }
}

/// What an operation begins with that isn't in parentheses.
fn first(expr: &mut Expr) -> Option<&mut Expr> {
    match expr {
        Expr::BinaryOp { op, left, .. } if !is_arrow(op) => Some(left),
        Expr::Like { expr: begin, .. }
        | Expr::ILike { expr: begin, .. }
        | Expr::SimilarTo { expr: begin, .. }
        | Expr::RLike { expr: begin, .. }
        | Expr::Between { expr: begin, .. }
        | Expr::InList { expr: begin, .. }
        | Expr::InSubquery { expr: begin, .. }
        | Expr::InUnnest { expr: begin, .. }
        | Expr::IsDistinctFrom(begin, _)
        | Expr::IsNotDistinctFrom(begin, _)
        | Expr::IsNull(begin)
        | Expr::IsNotNull(begin)
        | Expr::IsTrue(begin)
        | Expr::IsNotTrue(begin)
        | Expr::IsFalse(begin)
        | Expr::IsNotFalse(begin)
        | Expr::IsUnknown(begin)
        | Expr::IsNotUnknown(begin)
        | Expr::AtTimeZone {
            timestamp: begin, ..
        } => Some(begin),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::{dialect::GenericDialect, parser::Parser};

    use super::*;

    fn tightened(text: &str) -> Option<String> {
        let query = format!("SELECT {text}");
        let mut parser = Parser::new(&GenericDialect {})
            .try_with_sql(&query)
            .unwrap();
        let mut query = parser.parse_query().unwrap();
        tighten(&mut query).ok()?;
        // With parentheses around each of them, to see what belongs to it.
        let _ = visit_expressions_mut(&mut *query, |expr| {
            if matches!(expr, Expr::BinaryOp { op, .. } if is_arrow(op)) {
                *expr = Expr::Nested(Box::new(mem::replace(expr, nothing())));
            }
            ControlFlow::<()>::Continue(())
        });
        Some(query.to_string().replacen("SELECT ", "", 1))
    }

    #[test]
    fn arrows_have_the_operands_next_to_them() {
        for (text, expected) in [
            ("o -> 'a'", "(o -> 'a')"),
            ("o -> 'a' ->> 0", "((o -> 'a') ->> 0)"),
            ("o ->> 'a' = 'x'", "(o ->> 'a') = 'x'"),
            ("'x' = o ->> 'a'", "'x' = (o ->> 'a')"),
            (
                "o ->> 'a' = p -> 'b' ->> 'c'",
                "(o ->> 'a') = ((p -> 'b') ->> 'c')",
            ),
            ("o ->> 'a' IS NULL", "(o ->> 'a') IS NULL"),
            (
                "o ->> 'a' IN ('x') AND o -> 'b' LIKE '%'",
                "(o ->> 'a') IN ('x') AND (o -> 'b') LIKE '%'",
            ),
            ("o ->> 'a' || 'x' || 'y'", "(o ->> 'a') || 'x' || 'y'"),
            ("1 - 2 * o -> 'n'", "1 - 2 * (o -> 'n')"),
            (
                "o ->> 'n' BETWEEN '1' AND '2'",
                "(o ->> 'n') BETWEEN '1' AND '2'",
            ),
            (
                "x BETWEEN '1' AND o ->> 'n'",
                "x BETWEEN '1' AND (o ->> 'n')",
            ),
            ("NOT o ->> 'a' = 'x' OR y", "NOT (o ->> 'a') = 'x' OR y"),
            ("o -> ('a' || 'b')", "(o -> ('a' || 'b'))"),
            ("f(o ->> 'a' = 'x')", "f((o ->> 'a') = 'x')"),
            (
                "(SELECT o ->> 'a' = 'x' FROM t)",
                "(SELECT (o ->> 'a') = 'x' FROM t)",
            ),
        ] {
            assert_eq!(tightened(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(tightened("1 - o -> 'n' - 2"), None);
    }
}
