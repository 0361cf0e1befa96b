//! A request's SQL, before the engine sees it: one query that reads, its parameters bound, its names found whatever their
//! case.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::ControlFlow,
};

use datafusion::sql::{
    parser::{DFParserBuilder, Statement},
    sqlparser::{
        ast::{
            Expr, Ident, ObjectName, Query, SelectItem, SetExpr, Statement as Ast, TableAlias,
            TableFactor, UnaryOperator, Value as Literal, VisitMut, VisitorMut,
        },
        dialect::GenericDialect,
        keywords::Keyword,
        tokenizer::{Token, Tokenizer},
    },
};
use serde_json::{Value, json};

use crate::error::{Result, Trouble, invalid_report, unknown};

/// A query longer than this was not written by anybody.
const LEN_MAX: usize = 100_000;

/// The syntax tree is as deep as its longest chain of operators, and trees are walked by recursion.
const OPERATORS_MAX: usize = 2_000;

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

/// A query that was read.
#[derive(Debug)]
pub(crate) struct Select {
    pub(crate) text: String,
    statement: Box<Query>,
}

impl Select {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.len() > LEN_MAX {
            let message = format!("the query is longer than {LEN_MAX} bytes");
            return Err(Trouble::new("invalid_query", message));
        }
        // What can't be taken apart is told of by the parser, with its place.
        let operators = Tokenizer::new(&GenericDialect {}, text)
            .tokenize()
            .map_or(0, |tokens| {
                tokens.iter().filter(|token| is_operator(token)).count()
            });
        if operators > OPERATORS_MAX {
            let message = format!("the query has more than {OPERATORS_MAX} operators");
            return Err(Trouble::new("invalid_query", message));
        }
        let statements = DFParserBuilder::new(text)
            .with_dialect(&GenericDialect {})
            .with_recursion_limit(50)
            .build()
            .and_then(|mut parser| parser.parse_statements())
            .map_err(|error| syntax(text, &error.strip_backtrace()))?;
        let mut statements = statements.into_iter();
        match (statements.next(), statements.next()) {
            (Some(Statement::Statement(statement)), None) => match *statement {
                Ast::Query(query) => Ok(Self {
                    text: text.to_owned(),
                    statement: query,
                }),
                other => Err(refused(&other.to_string())),
            },
            (Some(other), None) => Err(refused(&other.to_string())),
            (Some(_), Some(_)) => Err(Trouble::new(
                "statement_refused",
                "there may be one query, not several",
            )),
            (None, _) => Err(Trouble::new("invalid_query", "the query is empty")),
        }
    }

    /// The tables that the query names, but for its own (`WITH`).
    pub(crate) fn tables(&self) -> Result<Vec<Ident>> {
        let mut collect = Relations::default();
        let _: ControlFlow<()> = self.statement.clone().visit(&mut collect);
        let mut tables: Vec<Ident> = Vec::new();
        for name in collect.relations {
            let Some(ident) = single(&name) else {
                let message = format!("a table's name has one part, `{name}` has several");
                return Err(Trouble::new("unknown_table", message));
            };
            let is_own = collect
                .own
                .iter()
                .any(|own| own.eq_ignore_ascii_case(&ident.value));
            if !is_own && !tables.iter().any(|table| table.value == ident.value) {
                tables.push(ident.clone());
            }
        }
        Ok(tables)
    }

    /// The statement that the engine plans. `tables` and `columns` are all that there are.
    pub(crate) fn bind(
        &self,
        tables: &BTreeSet<String>,
        columns: &BTreeSet<String>,
        parameters: &Parameters,
        used: &mut BTreeSet<String>,
    ) -> Result<Statement> {
        let mut statement = self.statement.clone();
        let mut relations = Relations::default();
        let _: ControlFlow<()> = statement.visit(&mut relations);
        let mut names = Names {
            tables,
            columns,
            own: &relations.own,
            parameters,
            used,
            text: &self.text,
        };
        match statement.visit(&mut names) {
            ControlFlow::Break(trouble) => Err(trouble),
            ControlFlow::Continue(()) => Ok(Statement::Statement(Box::new(Ast::Query(statement)))),
        }
    }
}

/// Whatever may make the tree deeper.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Whitespace(_)
        | Token::Comma
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_)
        | Token::Period => false,
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        _ => true,
    }
}

fn single(name: &ObjectName) -> Option<&Ident> {
    match name.0.as_slice() {
        [part] => part.as_ident(),
        _ => None,
    }
}

fn refused(statement: &str) -> Trouble {
    let verb: String = statement.split_whitespace().take(1).collect();
    let message = format!(
        "`{}` is refused: a report only reads, by SELECT",
        verb.to_uppercase()
    );
    Trouble::new("statement_refused", message)
}

/// Tables that are named, and names that the query itself gives.
#[derive(Default)]
struct Relations {
    relations: Vec<ObjectName>,
    own: HashSet<String>,
}

impl VisitorMut for Relations {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.alias(&table.alias);
        }
        self.aliases(&query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        self.relations.push(relation.clone());
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let (TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::NestedJoin { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Function { alias, .. }) = factor
        else {
            return ControlFlow::Continue(());
        };
        if let Some(alias) = alias {
            // The name of a column, or of a table beside those there are: never looked up as a source.
            self.own
                .extend(alias.columns.iter().map(|column| column.name.value.clone()));
        }
        ControlFlow::Continue(())
    }
}

impl Relations {
    fn alias(&mut self, alias: &TableAlias) {
        self.own.insert(alias.name.value.clone());
        self.own
            .extend(alias.columns.iter().map(|column| column.name.value.clone()));
    }

    fn aliases(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(select) => {
                for item in &select.projection {
                    if let SelectItem::ExprWithAlias { alias, .. } = item {
                        self.own.insert(alias.value.clone());
                    }
                }
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.aliases(left);
                self.aliases(right);
            }
            _ => {}
        }
    }
}

/// Puts values for parameters, and names as they are written in the sources for those in another case.
struct Names<'a> {
    tables: &'a BTreeSet<String>,
    columns: &'a BTreeSet<String>,
    own: &'a HashSet<String>,
    parameters: &'a Parameters,
    used: &'a mut BTreeSet<String>,
    text: &'a str,
}

impl VisitorMut for Names<'_> {
    type Break = Trouble;

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<Trouble> {
        if let [part] = relation.0.as_mut_slice()
            && let datafusion::sql::sqlparser::ast::ObjectNamePart::Identifier(ident) = part
        {
            self.rename(ident, self.tables);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Trouble> {
        let done = match expr {
            Expr::Identifier(ident) => {
                self.rename(ident, self.columns);
                Ok(())
            }
            Expr::CompoundIdentifier(parts) => {
                if let [table, column] = parts.as_mut_slice() {
                    self.rename(table, self.tables);
                    self.rename(column, self.columns);
                }
                Ok(())
            }
            Expr::InList { list, .. } => self.spread(list),
            _ => self.bind(expr),
        };
        match done {
            Ok(()) => ControlFlow::Continue(()),
            Err(trouble) => ControlFlow::Break(trouble),
        }
    }
}

impl Names<'_> {
    /// Names without quotes may be written in any case, as long as one only is meant.
    fn rename(&self, ident: &mut Ident, known: &BTreeSet<String>) {
        if ident.quote_style.is_some()
            || known.contains(&ident.value)
            || self.own.contains(&ident.value)
        {
            return;
        }
        let lower = ident.value.to_lowercase();
        let mut found = known.iter().filter(|name| name.to_lowercase() == lower);
        if let (Some(name), None) = (found.next(), found.next()) {
            ident.value.clone_from(name);
        } else if let Some(own) = self.own.iter().find(|own| own.to_lowercase() == lower) {
            ident.value.clone_from(own);
        }
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

    /// `IN ($names)` with a list as its value.
    fn spread(&mut self, list: &mut Vec<Expr>) -> Result<()> {
        let mut spread = Vec::with_capacity(list.len());
        for expr in list.drain(..) {
            match placeholder(&expr) {
                Some((name, place)) => match self.value(&name, place)? {
                    Value::Array(values) if values.is_empty() => spread.push(literal(&Value::Null)),
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

/// The parser's error, with the place that its message ends with.
fn syntax(text: &str, message: &str) -> Trouble {
    let message = message
        .strip_prefix("SQL error: ")
        .map_or(message, |inner| {
            let inner = inner
                .trim_start_matches("ParserError(\"")
                .trim_start_matches("TokenizerError(\"");
            inner.strip_suffix("\")").unwrap_or(inner)
        })
        .replace("\\\"", "\"");
    let place = message
        .rsplit_once(" at Line: ")
        .and_then(|(before, place)| {
            let (line, column) = place.split_once(", Column: ")?;
            let column: String = column.chars().take_while(char::is_ascii_digit).collect();
            Some((before.to_owned(), line.parse().ok()?, column.parse().ok()?))
        });
    match place {
        Some((message, line, column)) => {
            let message = format!("the query can't be read: {}", lower_first(&message));
            at(Trouble::new("sql_syntax", message), text, line, column)
        }
        None => {
            let message = format!("the query can't be read: {}", lower_first(&message));
            Trouble::new("sql_syntax", message)
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// The same trouble with its place: in the data, and as the query's line with a caret below it.
pub(crate) fn at(mut trouble: Trouble, text: &str, line: u64, column: u64) -> Trouble {
    let index = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
    let offset = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
    if let Some(source) = text.lines().nth(index) {
        // Of long lines the part around the place.
        let from = offset.saturating_sub(60);
        let shown: String = source
            .chars()
            .skip(from)
            .take(120)
            .map(|c| if c == '\t' { ' ' } else { c })
            .collect();
        let caret = " ".repeat(offset.saturating_sub(from).min(shown.chars().count()));
        trouble.message = format!(
            "{}\nline {line}, column {column}:\n{shown}\n{caret}^",
            trouble.message
        );
    }
    let mut data = trouble.data.take().unwrap_or_else(|| json!({}));
    if let Some(data) = data.as_object_mut() {
        data.insert("line".into(), json!(line));
        data.insert("column_number".into(), json!(column));
    }
    trouble.data = Some(data);
    trouble
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str, parameters: Value) -> Result<String> {
        let tables = BTreeSet::from(["Sales".to_owned(), "shops".to_owned()]);
        let columns = BTreeSet::from(["Region".to_owned(), "amount".to_owned()]);
        let parameters = Parameters::new(Some(parameters))?;
        let select = Select::parse(text)?;
        let bound = select.bind(&tables, &columns, &parameters, &mut BTreeSet::new())?;
        Ok(bound.to_string())
    }

    #[test]
    fn only_one_query_is_read() {
        for refused in [
            "DROP TABLE sales",
            "CREATE TABLE t AS SELECT 1",
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "CREATE VIEW v AS SELECT 1",
            "INSERT INTO sales VALUES (1)",
            "UPDATE sales SET a = 1",
            "DELETE FROM sales",
            "COPY (SELECT 1) TO '/tmp/x.csv'",
            "COPY sales TO 'x.json'",
            "SET datafusion.execution.batch_size = 1",
            "SHOW TABLES",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT 1",
            "DESCRIBE sales",
            "BEGIN",
            "PREPARE p AS SELECT 1",
            "SELECT 1; SELECT 2",
            "TRUNCATE TABLE sales",
        ] {
            let error = Select::parse(refused).unwrap_err();
            assert_eq!(error.kind, "statement_refused", "{refused}: {error}");
        }
        assert_eq!(Select::parse("").unwrap_err().kind, "invalid_query");
        assert_eq!(Select::parse(" ; ").unwrap_err().kind, "invalid_query");
        assert!(Select::parse("SELECT 1;").is_ok());
    }

    #[test]
    fn what_cannot_be_read_is_shown_with_its_place() {
        let error = Select::parse("SELECT a,\n  FROM sales WHERE").unwrap_err();
        assert_eq!(error.kind, "sql_syntax");
        let error = Select::parse("SELECT a\nFORM sales x y").unwrap_err();
        assert_eq!(error.data.unwrap()["line"], 2);
        assert!(
            error.message.contains("FORM sales x y\n"),
            "{}",
            error.message
        );
        let error = Select::parse("SELECT 'a").unwrap_err();
        assert_eq!(error.kind, "sql_syntax");
        let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(Select::parse(&deep).is_err());
    }

    #[test]
    fn names_are_found_in_any_case_unless_they_are_quoted() {
        let sql = bound(
            "SELECT sales.REGION, sum(Amount) AS Total FROM SALES GROUP BY region ORDER BY total",
            json!({}),
        );
        assert_eq!(
            sql.unwrap(),
            "SELECT Sales.Region, sum(amount) AS Total FROM Sales GROUP BY Region ORDER BY Total"
        );
        let sql = bound("SELECT \"REGION\" FROM Sales", json!({})).unwrap();
        assert_eq!(sql, "SELECT \"REGION\" FROM Sales");
    }

    #[test]
    fn parameters_stay_values() {
        let text = "SELECT $a, $b FROM Sales WHERE Region IN ($list) LIMIT $n";
        let parameters =
            json!({"a": "' OR 1=1; DROP TABLE x --", "b": -1.5, "list": ["x", 2], "n": 3});
        assert_eq!(
            bound(text, parameters).unwrap(),
            "SELECT ''' OR 1=1; DROP TABLE x --', (-1.5) FROM Sales WHERE Region IN ('x', 2) LIMIT 3"
        );
        assert_eq!(
            bound("SELECT $1, $2", json!([null, true])).unwrap(),
            "SELECT NULL, true"
        );
        assert_eq!(
            bound("SELECT $x", json!({"a": 1})).unwrap_err().kind,
            "missing_parameter"
        );
        assert_eq!(
            bound("SELECT $a", json!({"a": [1]})).unwrap_err().kind,
            "invalid_parameter"
        );
        assert_eq!(
            bound("SELECT $a", json!({"a": {}})).unwrap_err().kind,
            "invalid_parameter"
        );
        assert_eq!(
            bound("SELECT 1", json!("x")).unwrap_err().kind,
            "invalid_report"
        );
    }

    #[test]
    fn tables_are_those_that_are_not_the_querys_own() {
        let select = Select::parse(
            "WITH t AS (SELECT * FROM sales) SELECT * FROM t JOIN (SELECT * FROM shops s) u ON true WHERE 1 IN (SELECT 1 FROM \"Other\")",
        );
        let tables: Vec<String> = select
            .unwrap()
            .tables()
            .unwrap()
            .into_iter()
            .map(|it| it.value)
            .collect();
        assert_eq!(tables, ["sales", "shops", "Other"]);
    }
}
