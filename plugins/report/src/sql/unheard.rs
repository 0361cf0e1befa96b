//! Parts of a query that the engine would pass over without a word, so that what comes out is not what was asked for.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Query, Select, SetExpr, TableFactor, Value, ValueWithSpan, Visit as _, Visitor,
};

use crate::error::{Result, Trouble};

/// # Errors
/// `invalid_query` for the first such part, with its name.
pub(super) fn refuse(query: &Query) -> Result<()> {
    match query.visit(&mut Unheard) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(what) => Err(Trouble::new(
            "invalid_query",
            format!("the engine can't do this: {what}"),
        )),
    }
}

/// As many as an exact number of the engine's can have.
const DIGITS_MAX: usize = 38;

/// Whether the engine would take this number for the nearest one that a double has. With an exponent it is meant to be one.
fn is_too_long(number: &str) -> bool {
    let digits = number.chars().filter(char::is_ascii_digit);
    let significant = digits.skip_while(|digit| *digit == '0').count();
    significant > DIGITS_MAX && !number.contains(['e', 'E'])
}

struct Unheard;

impl Visitor for Unheard {
    type Break = &'static str;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        first(&[
            ("FOR UPDATE and FOR SHARE", !query.locks.is_empty()),
            ("FOR XML, JSON or BROWSE", query.for_clause.is_some()),
            ("SETTINGS", query.settings.is_some()),
            ("FORMAT", query.format_clause.is_some()),
        ])?;
        bodies(&query.body)
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<Self::Break> {
        let is_too_long = matches!(&value.value, Value::Number(number, _) if is_too_long(number));
        first(&[("a number of more than 38 digits", is_too_long)])
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        match factor {
            TableFactor::Table {
                with_hints,
                version,
                partitions,
                sample,
                index_hints,
                with_ordinality,
                ..
            } => first(&[
                ("TABLESAMPLE", sample.is_some()),
                ("a table's hints", !with_hints.is_empty()),
                ("a table's hints", !index_hints.is_empty()),
                ("a table's PARTITION", !partitions.is_empty()),
                ("a table's version", version.is_some()),
                ("WITH ORDINALITY", *with_ordinality),
            ]),
            TableFactor::Derived { sample, .. } => first(&[("TABLESAMPLE", sample.is_some())]),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn bodies(body: &SetExpr) -> ControlFlow<&'static str> {
    match body {
        SetExpr::Select(select) => of_select(select),
        SetExpr::SetOperation { left, right, .. } => {
            bodies(left)?;
            bodies(right)
        }
        // Queries in parentheses are visited by themselves.
        _ => ControlFlow::Continue(()),
    }
}

fn of_select(select: &Select) -> ControlFlow<&'static str> {
    first(&[
        ("PREWHERE", select.prewhere.is_some()),
        (
            "CONNECT BY and START WITH; WITH RECURSIVE can",
            !select.connect_by.is_empty(),
        ),
    ])
}

fn first(parts: &[(&'static str, bool)]) -> ControlFlow<&'static str> {
    match parts.iter().find(|(_, is_there)| *is_there) {
        Some((what, _)) => ControlFlow::Break(what),
        None => ControlFlow::Continue(()),
    }
}
