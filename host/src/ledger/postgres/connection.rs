//! A connection to the database: statements with a time limit, prepared once where nothing stands in the way.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, SimpleQueryMessage, Statement};

use super::fault::Fault;
use super::pooler;
use super::reach::Reach;

/// No statement takes longer; the database gives up a little earlier.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// A parameter and its type.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// The database's part of [`STATEMENT_TIMEOUT`].
macro_rules! limit {
    () => {
        "statement_timeout = '9s'"
    };
}

/// Where nothing else is said: a statement that was given up here would wait on in the database for what is locked, with its
/// session, and the next one beside it.
const LIMIT: &str = concat!("SET ", limit!());

/// As [`LIMIT`], for one statement, where a pooler may give the session to others after it.
const LIMIT_ONE: &str = concat!("BEGIN; SET LOCAL ", limit!());

/// What each transaction is told; it ends with it, since a pooler may give the session to others. All that is done here
/// finds a few tasks by an index, in its order. The database may have planned a statement when there were none, and would
/// read all of them ever after; so it is told not to.
macro_rules! begin {
    ($how:literal) => {
        concat!(
            "BEGIN",
            $how,
            "; SET LOCAL ",
            limit!(),
            "; SET LOCAL idle_in_transaction_session_timeout = '30s'; \
             SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
             SET LOCAL enable_sort = off; SET LOCAL jit = off"
        )
    };
}

/// What waits for a lock is to see what was committed meanwhile, whatever the database's default is.
const BEGIN: &str = concat!(
    begin!(" ISOLATION LEVEL READ COMMITTED"),
    "; SET LOCAL lock_timeout = '5s'"
);

const BEGIN_IMPATIENT: &str = concat!(
    begin!(" ISOLATION LEVEL READ COMMITTED"),
    "; SET LOCAL lock_timeout = '200ms'"
);

const BEGIN_READ: &str = begin!(" ISOLATION LEVEL REPEATABLE READ READ ONLY");

pub(super) struct Connection {
    client: Client,
    /// The schema, quoted, with a dot.
    prefix: String,
    /// By their text as it stands in this program: as it is sent, and prepared.
    statements: RefCell<FxHashMap<&'static str, Sent>>,
    /// No statement is prepared: a pooler wouldn't find it again.
    is_pooled: bool,
    /// One has begun, whose limits hold.
    in_transaction: Cell<bool>,
}

#[derive(Clone)]
struct Sent {
    text: std::sync::Arc<str>,
    prepared: Option<Statement>,
}

impl Connection {
    /// Where nobody says whether a pooler stands in between, that is found out.
    pub(super) async fn open(reach: &Reach, is_pooled: Option<bool>) -> Result<Self, Fault> {
        let client = reach.connect().await?;
        let is_pooled = match is_pooled {
            Some(is_pooled) => is_pooled,
            None => timeout(STATEMENT_TIMEOUT, pooler::is_between(&client))
                .await
                .unwrap_or(Err(Fault::Slow))?,
        };
        let connection = Self {
            client,
            prefix: reach.prefix(),
            statements: RefCell::default(),
            is_pooled,
            in_transaction: Cell::new(false),
        };
        if !is_pooled {
            connection.run(LIMIT).await?;
        }
        Ok(connection)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// The rows that a statement finds. In its text, `@` stands for the schema.
    pub(super) async fn query(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Fault> {
        within(STATEMENT_TIMEOUT, self.query_unlimited(sql, params)).await
    }

    /// As [`Self::query`], with a time limit of the caller's; the database's own has to suit it.
    pub(super) async fn query_within(
        &self,
        limit: Duration,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Fault> {
        within(limit, self.query_unlimited(sql, params)).await
    }

    async fn query_unlimited(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Fault> {
        let sent = self.sent(sql);
        if self.is_pooled {
            let look = async { Ok(self.client.query_typed(&sent.text, params).await?) };
            return self.limited(look).await;
        }
        let statement = self.prepared(sql, sent, params).await?;
        let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
        Ok(self.client.query(&statement, &values).await?)
    }

    /// How many rows a statement changes.
    pub(super) async fn execute(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<u64, Fault> {
        within(STATEMENT_TIMEOUT, async {
            let sent = self.sent(sql);
            if self.is_pooled {
                let change = async { Ok(self.client.execute_typed(&sent.text, params).await?) };
                return self.limited(change).await;
            }
            let statement = self.prepared(sql, sent, params).await?;
            let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
            Ok(self.client.execute(&statement, &values).await?)
        })
        .await
    }

    /// A statement, with a transaction of its own where it would have no limit otherwise.
    async fn limited<T>(
        &self,
        statement: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        if !self.is_pooled || self.in_transaction.get() {
            return statement.await;
        }
        // Sent together. What has failed isn't committed.
        let (begun, done, ended) = tokio::join!(
            self.client.batch_execute(LIMIT_ONE),
            statement,
            self.client.batch_execute("COMMIT"),
        );
        begun?;
        let done = done?;
        ended?;
        Ok(done)
    }

    fn sent(&self, sql: &'static str) -> Sent {
        let mut statements = self.statements.borrow_mut();
        let sent = statements.entry(sql).or_insert_with(|| Sent {
            text: sql.replace('@', &self.prefix).into(),
            prepared: None,
        });
        sent.clone()
    }

    async fn prepared(
        &self,
        sql: &'static str,
        sent: Sent,
        params: &[Param<'_>],
    ) -> Result<Statement, Fault> {
        if let Some(statement) = sent.prepared {
            return Ok(statement);
        }
        let types: Vec<Type> = params.iter().map(|(_, kind)| kind.clone()).collect();
        let statement = self.client.prepare_typed(&sent.text, &types).await?;
        if let Some(sent) = self.statements.borrow_mut().get_mut(sql) {
            sent.prepared = Some(statement.clone());
        }
        Ok(statement)
    }

    /// The first column, which is a text, of the rows that a statement without parameters finds. It is planned anew each
    /// time, by the sizes that the tables have by now.
    pub(super) async fn texts(&self, sql: &str) -> Result<Vec<String>, Fault> {
        let text = sql.replace('@', &self.prefix);
        let look = async { Ok(self.client.simple_query(&text).await?) };
        let found = within(STATEMENT_TIMEOUT, self.limited(look)).await?;
        let texts = found.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(texts.collect())
    }

    /// Several statements without parameters.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Fault> {
        self.run_within(STATEMENT_TIMEOUT, sql).await
    }

    /// As [`Self::run`], with a time limit of the caller's; the database's own has to suit it.
    pub(super) async fn run_within(&self, limit: Duration, sql: &str) -> Result<(), Fault> {
        let text = sql.replace('@', &self.prefix);
        within(limit, async { Ok(self.client.batch_execute(&text).await?) }).await
    }

    pub(super) async fn begin(&self) -> Result<(), Fault> {
        self.begin_by(BEGIN).await
    }

    /// As [`Self::begin`], of a transaction that hardly waits for what others have locked.
    pub(super) async fn begin_impatiently(&self) -> Result<(), Fault> {
        self.begin_by(BEGIN_IMPATIENT).await
    }

    async fn begin_by(&self, sql: &str) -> Result<(), Fault> {
        self.run(sql).await?;
        self.in_transaction.set(true);
        Ok(())
    }

    /// Reads what is so at one moment.
    pub(super) async fn reading<T>(
        &self,
        look: impl AsyncFn(&Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.begin_by(BEGIN_READ).await?;
        let found = look(self).await;
        let ended = self.rollback().await;
        let found = found?;
        ended?;
        Ok(found)
    }

    /// Changes something that stands alone, or nothing.
    pub(super) async fn writing<T>(
        &self,
        change: impl AsyncFn(&Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.begin().await?;
        match change(self).await {
            Ok(changed) => {
                self.commit().await?;
                Ok(changed)
            }
            Err(fault) => {
                // A connection that can't is of no more use anyway.
                let _ = self.rollback().await;
                Err(fault)
            }
        }
    }

    pub(super) async fn commit(&self) -> Result<(), Fault> {
        self.in_transaction.set(false);
        self.run("COMMIT").await
    }

    pub(super) async fn rollback(&self) -> Result<(), Fault> {
        self.in_transaction.set(false);
        self.run("ROLLBACK").await
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout(limit, work).await.unwrap_or(Err(Fault::Slow))
}
