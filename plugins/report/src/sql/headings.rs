//! What columns are called that the query gives no name: as the query writes them, and not as the engine does.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, SelectItem, SetExpr, TableFactor, VisitMut as _, VisitorMut,
};

/// The names of a query's columns, as far as the query tells them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headings {
    /// Before the first `*`, or all; none where the column has a name of its own.
    before: Vec<Option<String>>,
    /// Behind the last `*`, if there is one.
    after: Vec<Option<String>>,
}

/// A longer heading is read by nobody.
const LEN_MAX: usize = 200;

impl Headings {
    pub(super) fn of(query: &Query) -> Self {
        let mut body = &query.body;
        let select = loop {
            match &**body {
                SetExpr::Select(select) => break select,
                SetExpr::SetOperation { left, .. } => body = left,
                SetExpr::Query(query) => body = &query.body,
                _ => return Self::default(),
            }
        };
        let items = &select.projection;
        let is_star = |item: &SelectItem| {
            !matches!(
                item,
                SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
            )
        };
        let named = |items: &[SelectItem]| items.iter().map(name).collect();
        match (
            items.iter().position(is_star),
            items.iter().rposition(is_star),
        ) {
            (Some(first), Some(last)) => Self {
                before: named(&items[..first]),
                after: named(&items[last + 1..]),
            },
            _ => Self {
                before: named(items),
                after: Vec::new(),
            },
        }
    }

    /// Puts them in place of the engine's names.
    pub(crate) fn apply(&self, names: &mut [String]) {
        let put = |(name, heading): (&mut String, &Option<String>)| {
            if let Some(heading) = heading {
                name.clone_from(heading);
            }
        };
        if self.before.len() + self.after.len() > names.len() {
            return;
        }
        names.iter_mut().zip(&self.before).for_each(put);
        let after = self.after.iter().rev();
        names.iter_mut().rev().zip(after).for_each(put);
    }
}

fn name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => None,
        SelectItem::UnnamedExpr(expr) => Some(written(expr)),
        _ => None,
    }
}

/// What a column is called that has no other name.
pub(super) fn written(expr: &Expr) -> String {
    crate::error::excerpt(&expr.to_string(), LEN_MAX)
}

/// Gives such columns of a query's own tables (`WITH`, and queries behind `FROM`) their names.
pub(super) fn name_within(query: &mut Query) {
    let _: ControlFlow<()> = query.visit(&mut Within);
}

struct Within;

impl VisitorMut for Within {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let ctes = query.with.iter_mut().flat_map(|with| &mut with.cte_tables);
        ctes.for_each(|cte| name_all(&mut cte.query.body));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived { subquery, .. } = factor {
            name_all(&mut subquery.body);
        }
        ControlFlow::Continue(())
    }
}

/// Of several SELECT, the first says what the columns are called.
fn name_all(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                if let (Some(name), SelectItem::UnnamedExpr(expr)) = (name(item), &*item) {
                    let (expr, alias) = (expr.clone(), Ident::with_quote('"', name));
                    *item = SelectItem::ExprWithAlias { expr, alias };
                }
            }
        }
        SetExpr::SetOperation { left, .. } => name_all(left),
        SetExpr::Query(query) => name_all(&mut query.body),
        _ => {}
    }
}
