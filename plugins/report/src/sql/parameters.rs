//! What `$name` stands for: values that stay values, whatever is in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use datafusion::sql::sqlparser::ast::{
    Expr, Query, UnaryOperator, Value as Literal, VisitMut as _, VisitorMut,
};
use serde_json::{Value, json};

use super::at;
use crate::error::{Result, Trouble, invalid_report, unknown};

/// What `$name` stands for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(BTreeMap<String, Value>);

impl Parameters {
    pub(crate) fn new(parameters: Option<Value>) -> Result<Self> {
        let named: BTreeMap<String, Value> = match parameters {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(Value::Array(values)) => (1..)
                .map(|number: usize| number.to_string())
                .zip(values)
                .collect(),
            Some(Value::Object(values)) => values.into_iter().collect(),
            Some(_) => {
                return Err(invalid_report(
                    "`parameters` must be an object, or a list for $1, $2 and so on",
                ));
            }
        };
        for (name, value) in &named {
            let is_scalar = |value: &Value| !value.is_array() && !value.is_object();
            let is_known = match value {
                Value::Array(values) => values.iter().all(is_scalar),
                value => is_scalar(value),
            };
            if !is_known {
                let message = format!(
                    "parameter `{name}` must be a text, a number, a boolean, null, or a list of them"
                );
                return Err(Trouble::new("invalid_parameter", message).data(json!({"name": name})));
            }
        }
        Ok(Self(named))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Puts values for parameters.
pub(super) fn bind(
    query: &mut Query,
    parameters: &Parameters,
    used: &mut BTreeSet<String>,
    text: &str,
) -> Result<()> {
    let mut binding = Binding {
        parameters,
        used,
        text,
    };
    match query.visit(&mut binding) {
        ControlFlow::Break(trouble) => Err(trouble),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Binding<'a> {
    parameters: &'a Parameters,
    used: &'a mut BTreeSet<String>,
    text: &'a str,
}

impl VisitorMut for Binding<'_> {
    type Break = Trouble;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Trouble> {
        let done = match expr {
            Expr::InList { .. } => self.in_list(expr),
            _ => self.bind(expr),
        };
        match done {
            Ok(()) => ControlFlow::Continue(()),
            Err(trouble) => ControlFlow::Break(trouble),
        }
    }
}

impl Binding<'_> {
    /// `IN ($names)` with a list as its value. Nothing is in a list of nothing, and everything, even null, is not in it.
    fn in_list(&mut self, expr: &mut Expr) -> Result<()> {
        let Expr::InList {
            expr: looked_for,
            list,
            negated,
        } = expr
        else {
            return Ok(());
        };
        self.spread(list)?;
        if list.is_empty() {
            if let ControlFlow::Break(trouble) = looked_for.visit(self) {
                return Err(trouble);
            }
            *expr = Expr::Value(Literal::Boolean(*negated).into());
        }
        Ok(())
    }

    fn bind(&mut self, expr: &mut Expr) -> Result<()> {
        let Some((name, place)) = placeholder(expr) else {
            return Ok(());
        };
        let value = self.value(&name, place)?;
        if value.is_array() {
            let message =
                format!("parameter `{name}` is a list, which goes nowhere but into `IN (${name})`");
            return Err(Trouble::new("invalid_parameter", message).data(json!({"name": name})));
        }
        *expr = literal(value);
        Ok(())
    }

    fn spread(&mut self, list: &mut Vec<Expr>) -> Result<()> {
        let mut spread = Vec::with_capacity(list.len());
        for expr in list.drain(..) {
            match placeholder(&expr) {
                Some((name, place)) => match self.value(&name, place)? {
                    Value::Array(values) => spread.extend(values.iter().map(literal)),
                    value => spread.push(literal(value)),
                },
                None => spread.push(expr),
            }
        }
        *list = spread;
        Ok(())
    }

    fn value(&mut self, name: &str, place: Option<(u64, u64)>) -> Result<&Value> {
        match self.parameters.0.get(name) {
            Some(value) => {
                self.used.insert(name.to_owned());
                Ok(value)
            }
            None => {
                let mut trouble = unknown(
                    "missing_parameter",
                    "value in `parameters` for",
                    name,
                    self.parameters.names(),
                );
                if let Some((line, column)) = place {
                    trouble = at(trouble, self.text, line, column);
                }
                Err(trouble)
            }
        }
    }
}

/// The name behind `$`, and where it stands.
fn placeholder(expr: &Expr) -> Option<(String, Option<(u64, u64)>)> {
    let Expr::Value(value) = expr else {
        return None;
    };
    let Literal::Placeholder(name) = &value.value else {
        return None;
    };
    let start = value.span.start;
    let place = (start.line > 0).then_some((start.line, start.column));
    let name = name.strip_prefix(['$', ':', '@']).unwrap_or(name);
    Some((name.to_owned(), place))
}

/// The value as a leaf of the syntax tree: whatever is in it, it stays a value.
fn literal(value: &Value) -> Expr {
    let value = match value {
        Value::Bool(value) => Literal::Boolean(*value),
        Value::Number(number) => {
            let text = number.to_string();
            let magnitude = text.strip_prefix('-').unwrap_or(&text);
            let literal = Expr::Value(Literal::Number(magnitude.to_owned(), false).into());
            if magnitude.len() == text.len() {
                return literal;
            }
            return Expr::Nested(Box::new(Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr: Box::new(literal),
            }));
        }
        Value::String(text) => Literal::SingleQuotedString(text.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => Literal::Null,
    };
    Expr::Value(value.into())
}
