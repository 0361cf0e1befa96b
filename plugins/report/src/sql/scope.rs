//! What names stand for: the columns of tables and queries, and the scopes that they are looked up in.

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, ObjectNamePart, SelectItem, SelectItemQualifiedWildcardKind,
    TableAlias, WildcardAdditionalOptions,
};

use super::catalog::meant;

/// The columns of a table, or of what a query gives.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    pub(super) names: Vec<String>,
    /// It is, or has all columns of, this open table.
    pub(super) open: Option<String>,
    /// All names are known.
    pub(super) is_complete: bool,
}

impl Columns {
    pub(super) fn known(names: Vec<String>) -> Self {
        Self {
            names,
            open: None,
            is_complete: true,
        }
    }

    pub(super) fn named_by(mut self, alias: &TableAlias) -> Self {
        for (index, column) in alias.columns.iter().enumerate() {
            let name = column.name.value.clone();
            match self.names.get_mut(index) {
                Some(old) => *old = name,
                None => self.names.push(name),
            }
        }
        self
    }
}

impl Columns {
    /// What `*` stands for.
    fn add_all(&mut self, relation: &Relation, options: &WildcardAdditionalOptions) {
        let mut options = options.clone();
        let without: Vec<String> = left_out(&mut options)
            .map(|ident| ident.value.clone())
            .collect();
        let columns = &relation.columns;
        let names = columns.names.iter().filter(|name| !without.contains(name));
        self.names.extend(names.cloned());
        self.is_complete &= columns.is_complete && options.opt_rename.is_none();
        if self.open.is_none() {
            self.open.clone_from(&columns.open);
        }
    }
}

/// What stands behind FROM.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub(super) name: Option<String>,
    pub(super) columns: Columns,
}

/// The relations of a query, and those of the query that it stands in.
pub(super) struct Scope<'s> {
    pub(super) relations: Vec<Relation>,
    /// Columns that an outer join takes from either side, which the engine doesn't.
    pub(super) of_either: Vec<String>,
    pub(super) outer: Option<&'s Scope<'s>>,
}

impl<'s> Scope<'s> {
    pub(super) fn within(outer: Option<&'s Scope<'s>>) -> Self {
        Self {
            relations: Vec::new(),
            of_either: Vec::new(),
            outer,
        }
    }

    pub(super) fn levels(&'s self) -> impl Iterator<Item = &'s Scope<'s>> {
        std::iter::successors(Some(self), |scope| scope.outer)
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &String> + Clone {
        self.relations
            .iter()
            .flat_map(|relation| &relation.columns.names)
    }
}

/// The relation of this name in the innermost scope that has it.
pub(super) fn relation<'s>(ident: &Ident, scope: &'s Scope<'s>) -> Option<&'s Relation> {
    let is_quoted = ident.quote_style.is_some();
    scope.levels().find_map(|level| {
        let names = level.relations.iter().filter_map(|it| it.name.as_ref());
        let found = meant(&ident.value, is_quoted, names)?;
        let mut relations = level.relations.iter();
        relations.find(|it| it.name.as_ref() == Some(found))
    })
}

/// The names that `* EXCEPT (…)` and `* EXCLUDE (…)` leave out.
pub(super) fn left_out(
    options: &mut WildcardAdditionalOptions,
) -> impl Iterator<Item = &mut Ident> {
    let except = options.opt_except.iter_mut().flat_map(|except| {
        std::iter::once(&mut except.first_element).chain(&mut except.additional_elements)
    });
    let exclude = options
        .opt_exclude
        .iter_mut()
        .flat_map(|exclude| match exclude {
            ExcludeSelectItem::Single(name) => std::slice::from_mut(name),
            ExcludeSelectItem::Multiple(names) => names.as_mut_slice(),
        });
    let exclude = exclude.filter_map(|name| match name.0.as_mut_slice() {
        [ObjectNamePart::Identifier(ident)] => Some(ident),
        _ => None,
    });
    except.chain(exclude)
}

/// The columns that a query gives, in their order.
pub(super) fn given(projection: &[SelectItem], scope: &Scope<'_>) -> Columns {
    let mut given = Columns {
        is_complete: true,
        ..Columns::default()
    };
    for item in projection {
        match item {
            SelectItem::Wildcard(options) => {
                for relation in &scope.relations {
                    given.add_all(relation, options);
                }
            }
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) => {
                let ident = name.0.first().and_then(ObjectNamePart::as_ident);
                if let Some(relation) = ident.and_then(|ident| relation(ident, scope)) {
                    given.add_all(relation, options);
                }
            }
            SelectItem::ExprWithAlias { alias, .. } => given.names.push(alias.value.clone()),
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => {
                given.names.push(ident.value.clone());
            }
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                let last = parts.last().map(|ident| ident.value.clone());
                given.names.push(last.unwrap_or_default());
            }
            _ => {
                // It has a place, but no name by which anybody could ask for it.
                given.names.push(String::new());
                given.is_complete = false;
            }
        }
    }
    given
}
