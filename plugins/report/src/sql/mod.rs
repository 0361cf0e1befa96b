//! A request's SQL, before the engine sees it: one query that reads, its parameters bound, its names found whatever their
//! case.

mod arrows;
mod catalog;
mod headings;
mod joins;
mod names;
mod parameters;
mod parting;
mod scope;
mod unheard;

use std::collections::BTreeSet;

use datafusion::sql::{
    parser::{DFParserBuilder, Statement},
    sqlparser::{
        ast::{Ident, Query, Statement as Ast},
        dialect::GenericDialect,
        keywords::Keyword,
        tokenizer::{Token, Tokenizer},
    },
};
use serde_json::json;

pub(crate) use self::{
    catalog::Catalog, headings::Headings, parameters::Parameters, parting::meant as meant_name,
};
use crate::error::{Result, Trouble};

/// A query longer than this was not written by anybody.
const LEN_MAX: usize = 100_000;

/// The syntax tree is as deep as its longest chain of operators, and trees are walked by recursion.
const OPERATORS_MAX: usize = 2_000;

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
                Ast::Query(mut query) => {
                    unheard::refuse(&query)?;
                    arrows::tighten(&mut query)?;
                    headings::name_within(&mut query);
                    Ok(Self {
                        text: text.to_owned(),
                        statement: query,
                    })
                }
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
        let named = names::resolve(&mut self.statement.clone(), &Catalog::default())?;
        Ok(named.tables)
    }

    /// The statement that the engine plans, with the names that are meant and the values of parameters.
    pub(crate) fn bind(
        &self,
        catalog: &Catalog,
        parameters: &Parameters,
        used: &mut BTreeSet<String>,
    ) -> Result<Bound> {
        let mut query = self.statement.clone();
        let headings = Headings::of(&query);
        let named = names::resolve(&mut query, catalog)?;
        parameters::bind(&mut query, parameters, used, &self.text)?;
        Ok(Bound {
            statement: Statement::Statement(Box::new(Ast::Query(query))),
            tables: named.tables,
            asked: named.asked,
            gives_open: named.gives_open,
            headings,
        })
    }
}

/// A query that can be planned.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) statement: Statement,
    /// The tables that it names, but for its own.
    pub(crate) tables: Vec<Ident>,
    /// Columns of open tables that it names, each with its table.
    pub(crate) asked: Vec<(String, String)>,
    /// The open table all of whose columns it gives.
    pub(crate) gives_open: Option<String>,
    pub(crate) headings: Headings,
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

fn refused(statement: &str) -> Trouble {
    let verb: String = statement.split_whitespace().take(1).collect();
    let message = format!(
        "`{}` is refused: a report only reads, by SELECT",
        verb.to_uppercase()
    );
    Trouble::new("statement_refused", message)
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
    use serde_json::Value;

    use super::*;

    fn bound(text: &str, parameters: Value) -> Result<String> {
        let columns = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let mut catalog = Catalog::default();
        catalog.insert("Sales", columns(&["Region", "amount", "Day", "day"]), false);
        catalog.insert("shops", columns(&["region", "Boss"]), false);
        catalog.insert("rows", columns(&[]), true);
        let parameters = Parameters::new(Some(parameters))?;
        let select = Select::parse(text)?;
        let bound = select.bind(&catalog, &parameters, &mut BTreeSet::new())?;
        Ok(bound.statement.to_string())
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

    #[test]
    fn names_are_found_by_scope() {
        for (text, expected) in [
            (
                "SELECT count(*) AS rows FROM rows",
                "SELECT count(*) AS rows FROM rows",
            ),
            (
                "WITH sales AS (SELECT * FROM sales) SELECT REGION FROM SALES",
                "WITH sales AS (SELECT * FROM Sales) SELECT Region FROM sales",
            ),
            (
                "SELECT coalesce(region, '?') AS region FROM sales GROUP BY region ORDER BY region",
                "SELECT coalesce(Region, '?') AS region FROM Sales GROUP BY Region ORDER BY region",
            ),
            // What a query gives, in the case in which it gives it.
            (
                "SELECT TOTAL FROM (SELECT sum(AMOUNT) AS Total FROM sales) t WHERE T.total > 1",
                "SELECT Total FROM (SELECT sum(amount) AS Total FROM Sales) t WHERE t.Total > 1",
            ),
            (
                "SELECT a FROM sales s(A, b) WHERE B > 1",
                "SELECT A FROM Sales s (A, b) WHERE b > 1",
            ),
            // Where both cases are there, what is written is meant.
            (
                "SELECT Day, day, DAY FROM sales",
                "SELECT Day, day, DAY FROM Sales",
            ),
            // The innermost scope first, then those around it.
            (
                "SELECT (SELECT max(boss) FROM shops WHERE shops.REGION = s.REGION AND AMOUNT > 1) FROM sales S",
                "SELECT (SELECT max(Boss) FROM shops WHERE shops.region = S.Region AND amount > 1) FROM Sales S",
            ),
            (
                "SELECT REGION FROM shops UNION SELECT REGION FROM sales ORDER BY REGION",
                "SELECT region FROM shops UNION SELECT Region FROM Sales ORDER BY region",
            ),
            (
                "WITH RECURSIVE n AS (SELECT 1 AS I UNION ALL SELECT i + 1 FROM N WHERE i < 9) SELECT i FROM n",
                "WITH RECURSIVE n AS (SELECT 1 AS I UNION ALL SELECT I + 1 FROM n WHERE I < 9) SELECT I FROM n",
            ),
            (
                "SELECT * EXCEPT (REGION) FROM sales",
                "SELECT * EXCEPT (Region) FROM Sales",
            ),
            (
                "SELECT SALES.* FROM sales JOIN shops ON sales.REGION = shops.REGION",
                "SELECT Sales.* FROM Sales JOIN shops ON Sales.Region = shops.region",
            ),
        ] {
            assert_eq!(bound(text, json!({})).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn columns_that_join_have_one_name() {
        let respelled =
            "(SELECT \"region\" AS \"Region\", \"Boss\" AS \"Boss\" FROM shops) AS \"shops\"";
        assert_eq!(
            bound(
                "SELECT REGION, boss FROM sales JOIN shops USING (region)",
                json!({})
            )
            .unwrap(),
            format!("SELECT Region, Boss FROM Sales JOIN {respelled} USING(Region)")
        );
        assert_eq!(
            bound("SELECT 1 FROM sales NATURAL LEFT JOIN shops", json!({})).unwrap(),
            format!("SELECT 1 FROM Sales LEFT JOIN {respelled} USING(\"Region\")")
        );
        assert_eq!(
            bound(
                "SELECT 1 FROM sales a JOIN sales b USING (REGION)",
                json!({})
            )
            .unwrap(),
            "SELECT 1 FROM Sales a JOIN Sales b USING(Region)"
        );
    }

    #[test]
    fn an_open_table_has_what_is_asked_of_it() {
        let mut catalog = Catalog::default();
        catalog.insert("rows", Vec::new(), true);
        catalog.insert("shops", vec![String::from("region")], false);
        let asked = |text: &str| {
            let bound = Select::parse(text).unwrap();
            let bound = bound.bind(&catalog, &Parameters::default(), &mut BTreeSet::new());
            let bound = bound.unwrap();
            let asked: Vec<String> = bound.asked.into_iter().map(|(_, name)| name).collect();
            (asked.join(","), bound.gives_open)
        };
        let open = Some(String::from("rows"));
        assert_eq!(asked("SELECT * FROM rows"), (String::new(), open.clone()));
        assert_eq!(
            asked(
                "SELECT Area, sum(amount) AS total FROM rows JOIN shops ON area = region GROUP BY AREA ORDER BY total"
            ),
            (String::from("area,amount"), None)
        );
        assert_eq!(
            asked("WITH t AS (SELECT * FROM rows) SELECT t.x, t.* FROM t WHERE Y > 1"),
            (String::from("x,Y"), open)
        );
    }

    #[test]
    fn a_list_of_nothing_holds_nothing() {
        let list = json!({"v": []});
        for (text, expected) in [
            ("SELECT 1 WHERE 'a' IN ($v)", "SELECT 1 WHERE false"),
            ("SELECT 1 WHERE NULL NOT IN ($v)", "SELECT 1 WHERE true"),
            ("SELECT 1 WHERE 1 IN ($v, 2)", "SELECT 1 WHERE 1 IN (2)"),
        ] {
            assert_eq!(bound(text, list.clone()).unwrap(), expected, "{text}");
        }
    }
}
