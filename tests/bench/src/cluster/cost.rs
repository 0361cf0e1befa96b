//! What many whole lives cost, and for each of them.

use std::fmt;
use std::time::{Duration, Instant};

use super::database::{Database, Done};
use crate::error::BenchError;
use crate::numbers::us;
use crate::usage::{Processes, Usage};

pub(super) struct Cost {
    tasks: f64,
    took: Duration,
    runners: Duration,
    database: Duration,
    done: Done,
}

/// How things stood when it began.
pub(super) struct Before {
    began: Instant,
    runners: Vec<(Processes, Usage)>,
    database: Usage,
    done: Done,
}

impl Before {
    /// Now; `runners` are the programs that run the tasks.
    pub(super) fn now(
        database: &Database,
        runners: impl Iterator<Item = Processes>,
    ) -> Result<Self, BenchError> {
        let with_usage = runners.map(|of| Usage::now(&of).map(|usage| (of, usage)));
        Ok(Self {
            runners: with_usage.collect::<Result<_, _>>()?,
            database: Usage::now(&database.processes())?,
            done: database.done()?,
            began: Instant::now(),
        })
    }

    /// What so many tasks have cost since then; `took` is how long they took.
    pub(super) fn cost(
        &self,
        database: &Database,
        tasks: u64,
        took: Duration,
    ) -> Result<Cost, BenchError> {
        let done = database.done()?;
        let used = |of: &Processes, before: &Usage| {
            let usage = Usage::now(of)? - *before;
            Ok::<_, BenchError>(usage.server + usage.workers)
        };
        let runners = self.runners.iter().map(|(of, before)| used(of, before));
        Ok(Cost {
            tasks: tasks as f64,
            took,
            runners: runners.sum::<Result<_, _>>()?,
            database: used(&database.processes(), &self.database)?,
            done: Done {
                wal_len: done.wal_len - self.done.wal_len,
                transactions: done.transactions - self.done.transactions,
                statements: done.statements - self.done.statements,
            },
        })
    }

    /// How long it has taken until now.
    pub(super) fn took(&self) -> Duration {
        self.began.elapsed()
    }
}

/// Each of one task, but for the first.
impl Cost {
    /// Tasks a second.
    pub(super) fn rate(&self) -> f64 {
        self.tasks / self.took.as_secs_f64()
    }

    pub(super) fn runners_us(&self) -> f64 {
        us(self.runners) / self.tasks
    }

    pub(super) fn database_us(&self) -> f64 {
        us(self.database) / self.tasks
    }

    pub(super) fn wal_len(&self) -> f64 {
        self.done.wal_len / self.tasks
    }

    pub(super) fn transactions(&self) -> f64 {
        self.done.transactions / self.tasks
    }

    pub(super) fn statements(&self) -> f64 {
        self.done.statements / self.tasks
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} tasks in {:.1} s, {:.0}/s, {:.0} µs by what runs them, {:.0} µs by the database, {:.0} bytes of WAL, \
             {:.3} transactions, {:.3} statements",
            self.tasks,
            self.took.as_secs_f64(),
            self.rate(),
            self.runners_us(),
            self.database_us(),
            self.wal_len(),
            self.transactions(),
            self.statements(),
        )
    }
}
