//! Columns of one name in one SELECT, which SQL allows and the engine doesn't: each but the first gets a name of its own
//! here, from which the one that was meant can be told again.

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectNamePart, SelectItem, SelectItemQualifiedWildcardKind,
};

use super::{
    headings,
    scope::{Relation, Scope, relation},
};

/// Stands between a name and the number that parts it from others; no text has this character.
const MARK: char = '\u{fdd0}';

/// What a column is that the engine tells apart from others: its table, if it has one, and its name.
type Known = (Option<String>, String);

/// Parts the columns of one name that a SELECT gives. `scope` is what stands behind its FROM.
pub(super) fn part(projection: &mut [SelectItem], scope: &Scope<'_>) {
    // Those of stars are parted from no others, wherever the star stands.
    let mut seen: Vec<Known> = Vec::new();
    for relation in projection.iter().flat_map(|item| starred(item, scope)) {
        let columns = relation.columns.names.iter();
        seen.extend(columns.map(|name| (relation.name.clone(), name.clone())));
    }
    for item in projection {
        let Some(known) = known(item, scope) else {
            continue;
        };
        let alike = |(table, name): &&Known| {
            *name == known.1 && (table.is_none() || known.0.is_none() || *table == known.0)
        };
        let before = seen.iter().filter(alike).count();
        if before > 0 {
            let name = format!("{}{MARK}{}", known.1, seen.len());
            rename(item, &name);
            seen.push((None, name));
        }
        seen.push(known);
    }
}

/// The relations whose columns a star gives.
fn starred<'s>(item: &SelectItem, scope: &'s Scope<'s>) -> Vec<&'s Relation> {
    match item {
        SelectItem::Wildcard(_) => scope.relations.iter().collect(),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
            let ident = name.0.first().and_then(ObjectNamePart::as_ident);
            let relation = ident.and_then(|ident| relation(ident, scope));
            relation.into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// The name that a column was meant to have.
pub(crate) fn meant(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}

/// Whether a SELECT that gives these names gives this one more than once.
pub(super) fn is_parted<'n>(name: &str, mut names: impl Iterator<Item = &'n String>) -> bool {
    names.any(|other| {
        other
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(MARK))
    })
}

fn known(item: &SelectItem, scope: &Scope<'_>) -> Option<Known> {
    Some(match item {
        SelectItem::ExprWithAlias { alias, .. } => (None, alias.value.clone()),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
            let mut relations = scope.relations.iter();
            let of = relations.find(|it| it.columns.names.contains(&ident.value));
            (of.and_then(|of| of.name.clone()), ident.value.clone())
        }
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            let [.., table, column] = parts.as_slice() else {
                return None;
            };
            let table = relation(table, scope)?.name.clone();
            (table, column.value.clone())
        }
        SelectItem::UnnamedExpr(expr) => (None, headings::written(expr)),
        _ => return None,
    })
}

fn rename(item: &mut SelectItem, name: &str) {
    let alias = Ident::with_quote('"', name);
    *item = match item {
        SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) => {
            SelectItem::ExprWithAlias {
                expr: expr.clone(),
                alias,
            }
        }
        _ => return,
    };
}
