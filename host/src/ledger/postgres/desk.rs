//! Where the writer works: a connection inside a transaction, and what the transaction has changed so far. Changes of tasks
//! gather in [`Writes`], and are written together.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use tokio_postgres::types::Type;

use super::connection::Connection;
use super::fault::Fault;
use super::known::Known;
use super::memory::{Delta, Memory};
use crate::ledger::id::TaskId;
use crate::ledger::states::State;
use crate::ledger::store::{Change, Limits};

pub(super) struct Desk<'a> {
    pub(super) connection: &'a Connection,
    pub(super) memory: &'a mut Memory,
    pub(super) limits: Limits,
    /// The others know that this host lives.
    pub(super) may_claim: bool,
    pub(super) news: News,
    pub(super) deltas: FxHashMap<i32, Delta>,
    /// Of the index of what is available, so many entries were read until it was last asked.
    pub(super) entries: u64,
    /// Something was written, so that it matters whether the transaction was committed.
    pub(super) has_written: bool,
}

/// What the transaction changed, to be told when it is committed.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) available: FxHashSet<i32>,
    pub(super) changes: Vec<Change>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        memory: &'a mut Memory,
        limits: Limits,
        may_claim: bool,
    ) -> Self {
        Self {
            connection,
            memory,
            limits,
            may_claim,
            news: News::default(),
            deltas: FxHashMap::default(),
            entries: 0,
            has_written: false,
        }
    }

    /// A task of this function changes its state; one that is new comes from none, one that is forgotten goes to none.
    pub(super) fn counts(&mut self, function: i32, from: Option<State>, to: Option<State>) {
        let delta = self.deltas.entry(function).or_default();
        for (state, by) in [(from, -1), (to, 1)] {
            if let Some(count) = state.and_then(|state| delta.counts.get_mut(state.index())) {
                *count += by;
            }
        }
    }

    /// So many more bytes are kept of this function's tasks.
    pub(super) fn holds(&mut self, function: i32, by: i64) {
        self.deltas.entry(function).or_default().stored_len += by;
    }

    pub(super) fn tell(
        &mut self,
        id: TaskId,
        function: i32,
        state: State,
        subject: Option<&str>,
        cancel_asked: bool,
    ) {
        if state == State::Available {
            self.news.available.insert(function);
        }
        // Who watches is known at the end.
        if let Some(name) = self.memory.name_of(function) {
            self.news.changes.push(Change {
                id,
                state,
                function: Arc::clone(name),
                subject: subject.map(Arc::from),
                cancel_asked,
            });
        }
    }

    /// Has counts and news follow a change of state.
    pub(super) fn moved(&mut self, task: &Known, to: State) {
        self.counts(task.function, Some(task.state), Some(to));
        self.tell(task.id, task.function, to, task.subject.as_deref(), false);
    }

    /// Writes down how the counts have changed, as a part of the transaction that changed them; and what has changed, where
    /// somebody watches. It comes last: what is changed is locked.
    pub(super) async fn tally(&mut self) -> Result<(), Fault> {
        let is_watched = self.write_tally().await?;
        self.tell_hosts(is_watched).await
    }

    /// Answers whether some host wants each change, where it was looked.
    async fn write_tally(&mut self) -> Result<Option<bool>, Fault> {
        self.deltas.retain(|_, delta| *delta != Delta::default());
        if self.deltas.is_empty() {
            return Ok(None);
        }
        let functions: Vec<i32> = self.deltas.keys().copied().collect();
        let column =
            |of: &dyn Fn(&Delta) -> i64| self.deltas.values().map(of).collect::<Vec<i64>>();
        let counts = |state: State| {
            column(&move |delta| delta.counts.get(state.index()).copied().unwrap_or(0))
        };
        let [c0, c1, c2, c3, c4, c5, c6, c7] = State::ALL.map(counts);
        let stored_len = column(&|delta| delta.stored_len);
        let longs = Type::INT8_ARRAY;
        let rows = self
            .connection
            .query(
                "WITH tallied AS (INSERT INTO @tally (function, scheduled, available, running, retryable, completed, \
                 discarded, cancelled, unknown, stored_len) SELECT * FROM unnest($1::int4[], $2::int8[], $3::int8[], \
                 $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::int8[])) \
                 SELECT EXISTS (SELECT FROM @listener WHERE watches AND until > now())",
                &[
                    (&functions, Type::INT4_ARRAY),
                    (&c0, longs.clone()),
                    (&c1, longs.clone()),
                    (&c2, longs.clone()),
                    (&c3, longs.clone()),
                    (&c4, longs.clone()),
                    (&c5, longs.clone()),
                    (&c6, longs.clone()),
                    (&c7, longs.clone()),
                    (&stored_len, longs),
                ],
            )
            .await?;
        self.has_written = true;
        rows.first().map(|row| Ok(row.try_get(0)?)).transpose()
    }

    /// By how much the transaction has changed how many tasks wait, and how many bytes are kept.
    pub(super) fn sums(&self) -> (i64, i64) {
        let (unfinished, stored_len) = self.memory.sums();
        let deltas = self.deltas.values();
        deltas.fold((unfinished, stored_len), |(tasks, bytes), delta| {
            (tasks + delta.unfinished(), bytes + delta.stored_len)
        })
    }
}
