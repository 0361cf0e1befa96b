//! Joins by columns of one name.

use std::mem;

use datafusion::sql::sqlparser::{
    ast::{JoinConstraint, JoinOperator, SetExpr, TableFactor},
    dialect::GenericDialect,
    parser::Parser,
};

use super::scope::Relation;

pub(super) fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    use JoinOperator as Op;

    match operator {
        Op::Join(constraint)
        | Op::Inner(constraint)
        | Op::Left(constraint)
        | Op::LeftOuter(constraint)
        | Op::Right(constraint)
        | Op::RightOuter(constraint)
        | Op::FullOuter(constraint)
        | Op::CrossJoin(constraint)
        | Op::Semi(constraint)
        | Op::LeftSemi(constraint)
        | Op::RightSemi(constraint)
        | Op::Anti(constraint)
        | Op::LeftAnti(constraint)
        | Op::RightAnti(constraint) => Some(constraint),
        _ => None,
    }
}

/// Whether columns that both sides have may come from the right side alone.
pub(super) fn takes_either(operator: &JoinOperator) -> bool {
    use JoinOperator as Op;

    matches!(
        operator,
        Op::Right(_) | Op::RightOuter(_) | Op::FullOuter(_)
    )
}

/// Gives columns of a relation the names that they have on the other side of a join, by a query around it; `names` are
/// pairs of the old and the new one. A relation whose columns are not all known stays as it is.
pub(super) fn respell(
    factor: &mut TableFactor,
    relation: &mut Relation,
    names: &[(String, String)],
) {
    let Some(name) = relation
        .name
        .clone()
        .filter(|_| relation.columns.is_complete)
    else {
        return;
    };
    let respelled = |column: &String| {
        let found = names.iter().find(|(from, _)| from == column);
        found.map_or_else(|| column.clone(), |(_, to)| to.clone())
    };
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let items: Vec<String> = relation
        .columns
        .names
        .iter()
        .map(|column| format!("{} AS {}", quoted(column), quoted(&respelled(column))))
        .collect();
    let text = format!(
        "SELECT * FROM (SELECT {} FROM place) AS {}",
        items.join(", "),
        quoted(&name)
    );
    let Some(mut around) = first_factor(&text) else {
        return;
    };
    let inner = match &mut around {
        TableFactor::Derived { subquery, .. } => match subquery.body.as_mut() {
            SetExpr::Select(select) => select.from.first_mut(),
            _ => None,
        },
        _ => None,
    };
    if let Some(inner) = inner {
        mem::swap(&mut inner.relation, factor);
        *factor = around;
        for column in &mut relation.columns.names {
            *column = respelled(column);
        }
    }
}

/// What stands behind FROM.
fn first_factor(text: &str) -> Option<TableFactor> {
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(text).ok()?;
    let query = parser.parse_query().ok()?;
    match *query.body {
        SetExpr::Select(select) => Some(select.from.into_iter().next()?.relation),
        _ => None,
    }
}
