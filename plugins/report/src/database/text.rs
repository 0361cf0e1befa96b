//! What a database's query may be: one statement that reads. The read-only transaction is what keeps it from writing to
//! tables; this is about what such a transaction lets through.

use datafusion::sql::sqlparser::{
    dialect::{Dialect as SqlDialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect},
    keywords::Keyword,
    tokenizer::{Token, Tokenizer},
};

use crate::{
    database::Dialect,
    error::{Result, Trouble},
};

const LEN_MAX: usize = 100_000;

/// Refuses everything but one SELECT (or WITH, VALUES, TABLE).
pub(crate) fn check(sql: &str, dialect: Dialect) -> Result<()> {
    if sql.len() > LEN_MAX {
        return Err(Trouble::new(
            "invalid_query",
            format!("the query is longer than {LEN_MAX} bytes"),
        ));
    }
    // MySQL runs what is in such comments.
    if dialect == Dialect::MySql && (sql.contains("/*!") || sql.contains("/*M!")) {
        return Err(refused("comments that are run (`/*!`)"));
    }
    let syntax: &dyn SqlDialect = match dialect {
        Dialect::Postgres => &PostgreSqlDialect {},
        Dialect::MySql => &MySqlDialect {},
        Dialect::Sqlite => &SQLiteDialect {},
    };
    let tokens = Tokenizer::new(syntax, sql)
        .tokenize()
        .map_err(|error| Trouble::new("sql_syntax", format!("the query can't be read: {error}")))?;
    let mut words = tokens
        .iter()
        .filter(|token| !matches!(token, Token::Whitespace(_)));
    let first = words.clone().find(|token| !matches!(token, Token::LParen));
    match first {
        None => return Err(Trouble::new("invalid_query", "the query is empty")),
        Some(Token::Word(word))
            if word.quote_style.is_none()
                && matches!(
                    word.keyword,
                    Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE
                ) => {}
        Some(other) => return Err(refused(&format!("`{other}`"))),
    }
    while let Some(token) = words.next() {
        match token {
            Token::SemiColon
                if words
                    .clone()
                    .any(|token| !matches!(token, Token::SemiColon)) =>
            {
                return Err(refused("more than one statement"));
            }
            // SELECT … INTO makes a table, or, in MySQL, a file on the server.
            Token::Word(word) if word.quote_style.is_none() && word.keyword == Keyword::INTO => {
                return Err(refused("`INTO`"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn refused(what: &str) -> Trouble {
    let message = format!("{what} is refused: a report only reads, by one SELECT");
    Trouble::new("statement_refused", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_that_reads() {
        let all = [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite];
        for sql in [
            "SELECT 1",
            "  (select 1) union (select 2) ;",
            "-- comment\nWITH t AS (SELECT ';' AS x) SELECT * FROM t",
            "VALUES (1)",
            "SELECT 'INTO OUTFILE' AS \"into\"",
        ] {
            for dialect in all {
                assert!(check(sql, dialect).is_ok(), "{sql} {dialect:?}");
            }
        }
        for sql in [
            "DELETE FROM t",
            "INSERT INTO t VALUES (1)",
            "SELECT 1; DROP TABLE t",
            "SELECT 1;;SELECT 2",
            "ATTACH DATABASE '/etc/passwd' AS x",
            "PRAGMA journal_mode = delete",
            "SELECT * INTO t2 FROM t",
            "SELECT 1 INTO OUTFILE '/tmp/x'",
            "COPY t TO '/tmp/x'",
            "CALL p()",
            "DO 1",
            "EXPLAIN ANALYZE SELECT 1",
            "SET x = 1",
            "\"SELECT\" 1",
        ] {
            for dialect in all {
                let error = check(sql, dialect).unwrap_err();
                assert_eq!(
                    error.kind, "statement_refused",
                    "{sql} {dialect:?}: {error}"
                );
            }
        }
        let hidden = "SELECT 1 /*!50000 INTO OUTFILE '/tmp/x' */";
        assert_eq!(
            check(hidden, Dialect::MySql).unwrap_err().kind,
            "statement_refused"
        );
        assert_eq!(
            check("", Dialect::Postgres).unwrap_err().kind,
            "invalid_query"
        );
        assert_eq!(
            check("SELECT 'x", Dialect::Postgres).unwrap_err().kind,
            "sql_syntax"
        );
    }

    #[test]
    fn names_of_tables_are_quoted() {
        assert_eq!(
            Dialect::Postgres.whole_table("public.a\"b"),
            "SELECT * FROM \"public\".\"a\"\"b\""
        );
        assert_eq!(Dialect::MySql.whole_table("a`b"), "SELECT * FROM `a``b`");
    }
}
