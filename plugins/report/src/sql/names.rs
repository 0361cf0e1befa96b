//! Names of a query, found as SQL has them: by scope, the innermost first, and in any case unless they are quoted. What is
//! meant is put in their place as the sources write it, because the engine's names are exact.

use std::{mem, ops::ControlFlow};

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, ObjectName, ObjectNamePart, OrderByKind, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins, VisitMut,
    VisitorMut,
};

use super::{
    catalog::{Catalog, meant},
    joins, parting,
    scope::{Columns, Relation, Scope, given, left_out, relation},
};
use crate::error::{Result, Trouble};

/// What a query names.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// The tables that are none of its own.
    pub(super) tables: Vec<Ident>,
    /// Columns of open tables, each with its table, in the order in which they are named.
    pub(super) asked: Vec<(String, String)>,
    /// The open table all of whose columns the query gives.
    pub(super) gives_open: Option<String>,
}

/// Puts the names that are meant into a query.
pub(super) fn resolve(query: &mut Query, catalog: &Catalog) -> Result<Named> {
    let mut names = Names {
        catalog,
        ctes: Vec::new(),
        named: Named::default(),
        trouble: None,
    };
    let given = names.query(query, None);
    match names.trouble {
        Some(trouble) => Err(trouble),
        None => Ok(Named {
            gives_open: given.open,
            ..names.named
        }),
    }
}

struct Names<'a> {
    catalog: &'a Catalog,
    /// The query's own tables that are in scope, the innermost last.
    ctes: Vec<(String, Columns)>,
    named: Named,
    trouble: Option<Trouble>,
}

impl Names<'_> {
    fn query(&mut self, query: &mut Query, outer: Option<&Scope<'_>>) -> Columns {
        let ctes_before = self.ctes.len();
        if let Some(with) = &mut query.with {
            for cte in &mut with.cte_tables {
                let name = cte.alias.name.value.clone();
                if with.recursive {
                    // Its first part says what the columns of the others are.
                    let columns = self.begin_of(&cte.query, outer).named_by(&cte.alias);
                    self.ctes.push((name, columns));
                    self.query(&mut cte.query, outer);
                } else {
                    let columns = self.query(&mut cte.query, outer).named_by(&cte.alias);
                    self.ctes.push((name, columns));
                }
            }
        }
        let (given, scope) = self.body(&mut query.body, outer);
        if let Some(order_by) = &mut query.order_by
            && let OrderByKind::Expressions(exprs) = &mut order_by.kind
        {
            for order in exprs {
                match &mut order.expr {
                    Expr::Identifier(ident) => self.ordered_by(ident, &given, &scope),
                    expr => self.exprs(expr, &scope, &given.names),
                }
            }
        }
        self.exprs(&mut query.limit_clause, &scope, &[]);
        self.exprs(&mut query.fetch, &scope, &[]);
        self.ctes.truncate(ctes_before);
        given
    }

    /// The columns of a recursive query's first part.
    fn begin_of(&mut self, query: &Query, outer: Option<&Scope<'_>>) -> Columns {
        let mut body = query.body.clone();
        while let SetExpr::SetOperation { left, .. } = *body {
            body = left;
        }
        self.body(&mut body, outer).0
    }

    /// What a body gives, and what its rows may be ordered by beside it.
    fn body<'s>(
        &mut self,
        body: &mut SetExpr,
        outer: Option<&'s Scope<'s>>,
    ) -> (Columns, Scope<'s>) {
        let nothing = Scope::within(outer);
        match body {
            SetExpr::Select(select) => self.select(select, outer),
            SetExpr::Query(query) => (self.query(query, outer), nothing),
            SetExpr::SetOperation { left, right, .. } => {
                let given = self.body(left, outer).0;
                self.body(right, outer);
                (given, nothing)
            }
            SetExpr::Values(values) => {
                let width = values.rows.first().map_or(0, |row| row.content.len());
                for row in &mut values.rows {
                    self.exprs(&mut row.content, &nothing, &[]);
                }
                let names = (1..=width).map(|number| format!("column{number}"));
                (Columns::known(names.collect()), nothing)
            }
            _ => (Columns::default(), nothing),
        }
    }

    fn select<'s>(
        &mut self,
        select: &mut Select,
        outer: Option<&'s Scope<'s>>,
    ) -> (Columns, Scope<'s>) {
        let mut from = mem::take(&mut select.from);
        let mut scope = Scope::within(outer);
        for item in &mut from {
            self.from(item, &mut scope);
        }
        let aliases: Vec<String> = select
            .projection
            .iter()
            .filter_map(|item| match item {
                SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
                _ => None,
            })
            .collect();
        for item in &mut select.projection {
            self.wildcard(item, &scope);
        }
        // FROM is put back behind everything that is looked up in it.
        self.exprs(select, &scope, &aliases);
        select.from = from;
        parting::part(&mut select.projection, &scope);
        let given = given(&select.projection, &scope);
        (given, scope)
    }

    /// Names behind `t.*`, and those that `* EXCEPT (…)` leaves out.
    fn wildcard(&mut self, item: &mut SelectItem, scope: &Scope<'_>) {
        let options = match item {
            SelectItem::Wildcard(options) => {
                if let Some(name) = scope.of_either.first() {
                    self.check_either(name, scope);
                }
                options
            }
            SelectItem::QualifiedWildcard(kind, options) => {
                if let SelectItemQualifiedWildcardKind::ObjectName(name) = kind
                    && let [ObjectNamePart::Identifier(ident)] = name.0.as_mut_slice()
                    && let Some(relation) = relation(ident, scope)
                    && let Some(name) = &relation.name
                {
                    ident.value.clone_from(name);
                }
                options
            }
            _ => return,
        };
        for ident in left_out(options) {
            self.column(ident, scope, &[]);
        }
        if let Some(replace) = &mut options.opt_replace {
            for item in &mut replace.items {
                self.column(&mut item.column_name, scope, &[]);
            }
        }
    }

    fn from(&mut self, item: &mut TableWithJoins, scope: &mut Scope<'_>) {
        let left_from = scope.relations.len();
        let relations = self.factor(&mut item.relation, scope);
        scope.relations.extend(relations);
        for join in &mut item.joins {
            let mut right = self.factor(&mut join.relation, scope);
            let joined = self.using(join, &scope.relations[left_from..], &mut right);
            if joins::takes_either(&join.join_operator) {
                scope.of_either.extend(joined);
            }
            scope.relations.extend(right);
            self.exprs(&mut join.join_operator, scope, &[]);
        }
    }

    /// `USING` and `NATURAL`, whose columns have one name on both sides, whatever the case of it; the names.
    fn using(&mut self, join: &mut Join, left: &[Relation], right: &mut [Relation]) -> Vec<String> {
        let Some(constraint) = joins::constraint(&mut join.join_operator) else {
            return Vec::new();
        };
        let left_names = || left.iter().flat_map(|relation| &relation.columns.names);
        let [right] = right else {
            return Vec::new();
        };
        let mut respelled: Vec<(String, String)> = Vec::new();
        match constraint {
            JoinConstraint::Using(names) => {
                for name in names {
                    let [ObjectNamePart::Identifier(ident)] = name.0.as_mut_slice() else {
                        continue;
                    };
                    let is_quoted = ident.quote_style.is_some();
                    let on_left = meant(&ident.value, is_quoted, left_names());
                    let on_right = meant(&ident.value, is_quoted, right.columns.names.iter());
                    if let (Some(on_left), Some(on_right)) = (on_left, on_right) {
                        ident.value.clone_from(on_left);
                        respelled.push((on_right.clone(), on_left.clone()));
                    }
                }
            }
            JoinConstraint::Natural => {
                for name in &right.columns.names {
                    if let Some(on_left) = meant(name, false, left_names()) {
                        respelled.push((name.clone(), on_left.clone()));
                    }
                }
                if respelled.iter().any(|(from, to)| from != to) {
                    let names = respelled.iter().map(|(_, name)| {
                        ObjectName::from(vec![Ident::with_quote('"', name.as_str())])
                    });
                    *constraint = JoinConstraint::Using(names.collect());
                }
            }
            JoinConstraint::On(_) | JoinConstraint::None => return Vec::new(),
        }
        let joined = respelled.iter().map(|(_, name)| name.clone()).collect();
        respelled.retain(|(from, to)| from != to);
        if !respelled.is_empty() {
            joins::respell(&mut join.relation, right, &respelled);
        }
        joined
    }

    /// The engine takes a column that both sides of an outer join have from the left side, also where only the right side
    /// has it.
    fn check_either(&mut self, name: &str, level: &Scope<'_>) {
        if level.of_either.iter().any(|either| either == name) {
            let message = format!(
                "`{name}` of a RIGHT or FULL JOIN by USING or NATURAL is what either side has, which the engine doesn't know; join with ON, and write coalesce(a.{name}, b.{name})"
            );
            self.trouble
                .get_or_insert_with(|| Trouble::new("invalid_query", message));
        }
    }

    /// A name that a query within gives to several columns.
    fn check_parted<'n>(&mut self, name: &str, names: impl Iterator<Item = &'n String>) {
        if parting::is_parted(name, names) {
            let message =
                format!("`{name}` is the name of several columns; name them apart with AS");
            self.trouble
                .get_or_insert_with(|| Trouble::new("ambiguous_column", message));
        }
    }

    /// The relations of a table, a subquery, or a join in parentheses.
    fn factor(&mut self, factor: &mut TableFactor, scope: &Scope<'_>) -> Vec<Relation> {
        let (columns, own_name, alias) = match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                let columns = self.table(name);
                let own = name.0.last().and_then(ObjectNamePart::as_ident);
                (columns, own.map(|own| own.value.clone()), alias)
            }
            TableFactor::Table {
                name, alias, args, ..
            } => {
                self.exprs(args, scope, &[]);
                let own = name.0.last().and_then(ObjectNamePart::as_ident);
                let columns = Columns {
                    // Of generate_series and range.
                    names: vec![String::from("value")],
                    ..Columns::default()
                };
                (columns, own.map(|own| own.value.clone()), alias)
            }
            TableFactor::Derived {
                lateral,
                subquery,
                alias,
                ..
            } => {
                let outer = if *lateral { Some(scope) } else { scope.outer };
                (self.query(subquery, outer), None, alias)
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                let mut inner = Scope::within(scope.outer);
                self.from(table_with_joins, &mut inner);
                let Some(alias) = alias else {
                    return inner.relations;
                };
                let names = inner.columns().cloned().collect();
                return vec![Relation {
                    name: Some(alias.name.value.clone()),
                    columns: Columns {
                        names,
                        ..Columns::default()
                    }
                    .named_by(alias),
                }];
            }
            TableFactor::UNNEST {
                alias, array_exprs, ..
            } => {
                self.exprs(array_exprs, scope, &[]);
                (Columns::default(), None, alias)
            }
            other => {
                self.exprs(other, scope, &[]);
                return Vec::new();
            }
        };
        vec![match alias {
            Some(alias) => Relation {
                name: Some(alias.name.value.clone()),
                columns: columns.named_by(alias),
            },
            None => Relation {
                name: own_name,
                columns,
            },
        }]
    }

    /// A table by its name: one of the query's own, or a source.
    fn table(&mut self, name: &mut ObjectName) -> Columns {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_mut_slice() else {
            let message = format!("a table's name has one part, `{name}` has several");
            self.trouble
                .get_or_insert_with(|| Trouble::new("unknown_table", message));
            return Columns::default();
        };
        let is_quoted = ident.quote_style.is_some();
        let own = self
            .ctes
            .iter()
            .rev()
            .find(|(own, _)| meant(&ident.value, is_quoted, std::iter::once(own)).is_some());
        if let Some((own, columns)) = own {
            ident.value.clone_from(own);
            return columns.clone();
        }
        let found = meant(&ident.value, is_quoted, self.catalog.tables());
        if let Some(found) = found {
            ident.value.clone_from(found);
        }
        if !self.named.tables.iter().any(|it| it.value == ident.value) {
            self.named.tables.push(ident.clone());
        }
        let Some(names) = found.and_then(|found| self.catalog.get(found)) else {
            return Columns::default();
        };
        Columns {
            names: names.columns.clone(),
            open: names.is_open.then(|| ident.value.clone()),
            is_complete: !names.is_open,
        }
    }

    fn exprs(&mut self, part: &mut impl VisitMut, scope: &Scope<'_>, aliases: &[String]) {
        let mut exprs = Exprs {
            names: self,
            scope,
            aliases,
            depth: 0,
        };
        let _: ControlFlow<()> = part.visit(&mut exprs);
    }

    /// A column of the innermost scope that has it; then what the query itself gives; then what an open table may have.
    fn column(&mut self, ident: &mut Ident, scope: &Scope<'_>, aliases: &[String]) {
        let is_quoted = ident.quote_style.is_some();
        let here = meant(&ident.value, is_quoted, scope.columns())
            .or_else(|| meant(&ident.value, is_quoted, aliases.iter()));
        let found = here.or_else(|| {
            scope
                .levels()
                .skip(1)
                .find_map(|level| meant(&ident.value, is_quoted, level.columns()))
        });
        if let Some(found) = found {
            ident.value.clone_from(found);
            let level = scope
                .levels()
                .find(|level| level.columns().any(|name| *name == ident.value));
            if let Some(level) = level {
                self.check_either(&ident.value, level);
                self.check_parted(&ident.value, level.columns());
            }
            return;
        }
        let open = scope
            .levels()
            .flat_map(|level| &level.relations)
            .find_map(|relation| relation.columns.open.clone());
        if let Some(open) = open {
            self.ask(open, ident);
        }
    }

    /// A column that nothing is known of, but that it is wanted.
    fn ask(&mut self, table: String, ident: &mut Ident) {
        let known = self.named.asked.iter();
        let known = known.filter(|(of, _)| *of == table).map(|(_, name)| name);
        let is_quoted = ident.quote_style.is_some();
        if let Some(found) = meant(&ident.value, is_quoted, known.clone()) {
            ident.value.clone_from(found);
        } else {
            self.named.asked.push((table, ident.value.clone()));
        }
    }

    /// Behind ORDER BY, what the query gives comes before what it reads.
    fn ordered_by(&mut self, ident: &mut Ident, given: &Columns, scope: &Scope<'_>) {
        let is_quoted = ident.quote_style.is_some();
        match meant(&ident.value, is_quoted, given.names.iter()) {
            Some(found) => ident.value.clone_from(found),
            None => self.column(ident, scope, &[]),
        }
    }

    /// `table.column`, or a part of a column.
    fn compound(&mut self, parts: &mut [Ident], scope: &Scope<'_>, aliases: &[String]) {
        let [table, column, ..] = parts else {
            return;
        };
        let Some(relation) = relation(table, scope) else {
            return self.column(table, scope, aliases);
        };
        if let Some(name) = &relation.name {
            table.value.clone_from(name);
        }
        let is_quoted = column.quote_style.is_some();
        match meant(&column.value, is_quoted, relation.columns.names.iter()) {
            Some(found) => {
                column.value.clone_from(found);
                self.check_parted(found, relation.columns.names.iter());
            }
            None => {
                if let Some(open) = relation.columns.open.clone() {
                    self.ask(open, column);
                }
            }
        }
    }
}

/// Looks up the names of expressions, and of the queries in them.
struct Exprs<'n, 'a, 's> {
    names: &'n mut Names<'a>,
    scope: &'s Scope<'s>,
    aliases: &'s [String],
    /// Of queries within; their names have been looked up when they were entered.
    depth: usize,
}

impl VisitorMut for Exprs<'_, '_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if self.depth == 0 {
            self.names.query(query, Some(self.scope));
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0 {
            match expr {
                Expr::Identifier(ident) => self.names.column(ident, self.scope, self.aliases),
                Expr::CompoundIdentifier(parts) => {
                    self.names.compound(parts, self.scope, self.aliases);
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}
