//! The one lane that writes: each transaction takes what has gathered while the one before was committed, and everyone in it
//! is answered after it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commits::Commits;
use super::connection::Connection;
use super::desk::Desk;
use super::fault::Fault;
use super::link::Link;
use super::memory::Memory;
use super::read;
use super::shared::Shared;
use crate::ledger::error::StoreError;
use crate::ledger::queue::{Batch, Closing};
use crate::ledger::record::{Enqueued, Finish, Finished, NewTask};
use crate::ledger::store::{Change, KnownFunction, Limits, Stats};
use crate::ledger::work::{Ask, Look, Told, Work};

/// Where somebody had locked what was needed, nobody waits long for such a thing for a while.
const IMPATIENCE: Duration = Duration::from_secs(10);

/// For so long it is looked which of a batch need what is locked, so that the others go on.
const SORTING_MAX: Duration = Duration::from_secs(10);

/// How often the same is tried again at once where other nodes came in between.
const TRIES_MAX: u32 = 5;

pub(super) struct Writer<'a> {
    shared: &'a Shared,
    link: Link,
    memory: Memory,
    limits: Limits,
    commits: Commits,
    /// Until then nobody waits long for a lock.
    impatient_until: Option<Instant>,
}

/// A transaction that is committed.
struct Committed {
    told: Vec<Told>,
    available: Vec<Arc<str>>,
    changes: Vec<Change>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(shared: &'a Shared, link: Link, limits: Limits) -> Self {
        Self {
            shared,
            link,
            memory: Memory::default(),
            limits,
            commits: Commits::new(Arc::clone(&shared.own.id)),
            impatient_until: None,
        }
    }

    /// Does what is asked until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        // What is dropped unanswered is answered so.
        let _closing = Closing(&self.shared.work);
        loop {
            match self.shared.work.next().await {
                Batch::Work(batch) => self.batch(batch).await,
                Batch::Idle => {}
                Batch::Closed => return,
            }
        }
    }

    async fn batch(&mut self, batch: Vec<Work>) {
        let (after, batch): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|work| matches!(work.ask, Ask::Known(_) | Ask::Stats(_)));
        let start = Instant::now();
        let mut batches = VecDeque::from([batch]);
        while let Some(batch) = batches.pop_front() {
            for part in self.commit(batch, start).await.into_iter().rev() {
                batches.push_front(part);
            }
        }
        for work in after {
            match work.ask {
                Ask::Known(owed) => owed.pay(self.known().await),
                // A queue that is full or closed answers for itself.
                Ask::Stats(owed) => {
                    let _ = self.shared.looks.push(Look::Stats(Stats::default(), owed));
                }
                _ => {}
            }
        }
    }

    async fn known(&mut self) -> Result<Vec<KnownFunction>, StoreError> {
        let known = read::known(self.link.get().await?).await;
        known.map_err(|fault| {
            self.link.heed(&fault);
            fault.into_store_error()
        })
    }

    /// Does all of a batch, or nothing, and answers. Where one of it is to blame for nothing, it comes back in parts, in
    /// order. `start`: when it was begun with the whole.
    async fn commit(&mut self, mut batch: Vec<Work>, start: Instant) -> Vec<Vec<Work>> {
        if batch.is_empty() {
            return Vec::new();
        }
        let mut tries = 0;
        let fault = loop {
            match self.transact(&batch).await {
                Ok(committed) => {
                    self.answer(batch, committed);
                    return Vec::new();
                }
                Err(fault) => {
                    tries += 1;
                    if !self.link.heed(&fault) || tries >= TRIES_MAX {
                        break fault;
                    }
                }
            }
        };
        if fault.is_about_one() && batch.len() > 1 {
            return batch.into_iter().map(|work| vec![work]).collect();
        }
        if fault.is_locked() {
            self.impatient_until = Some(Instant::now() + IMPATIENCE);
            if batch.len() > 1 && start.elapsed() < SORTING_MAX {
                let others = batch.split_off(batch.len() / 2);
                return vec![batch, others];
            }
        }
        let error = fault.into_store_error();
        for work in batch {
            work.refuse(error.clone());
        }
        Vec::new()
    }

    fn answer(&self, batch: Vec<Work>, committed: Committed) {
        for (work, told) in batch.into_iter().zip(committed.told) {
            if let Some(rest) = work.answer(told) {
                // What came meanwhile goes first. A queue that is closed answers for itself.
                let _ = self.shared.work.push(rest);
            }
        }
        if let Some(listener) = self.shared.listener() {
            if !committed.available.is_empty() {
                self.shared.own.tells(&committed.available);
                listener.available(&committed.available);
            }
            if !committed.changes.is_empty() && listener.wants_changes() {
                listener.changed(&committed.changes);
            }
        }
    }

    async fn transact(&mut self, batch: &[Work]) -> Result<Committed, Fault> {
        let may_claim = self.shared.own.is_alive();
        let (connection, number) = self.link.get_numbered().await.map_err(Fault::Known)?;
        self.memory.look_anew(connection, number).await?;
        self.commits.resolve(connection).await?;
        prepare(connection, &mut self.memory, batch).await?;
        if self
            .impatient_until
            .is_some_and(|until| Instant::now() < until)
        {
            connection.begin_impatiently().await?;
        } else {
            connection.begin().await?;
        }
        let mut desk = Desk::new(connection, &mut self.memory, self.limits, may_claim);
        let done = act_all(&mut desk, batch, &mut self.commits).await;
        let has_written = desk.has_written;
        let news = std::mem::take(&mut desk.news);
        let deltas = std::mem::take(&mut desk.deltas);
        let told = match done {
            Ok(told) => told,
            Err(fault) => {
                if !fault.breaks_connection() && connection.rollback().await.is_err() {
                    self.link.drop_connection();
                }
                return Err(fault);
            }
        };
        if let Err(fault) = connection.commit().await {
            self.memory.forget_sums();
            if !has_written {
                return Err(fault);
            }
            self.commits.settle(&mut self.link, &told, fault).await?;
        }
        self.commits.are_well();
        self.memory.apply(&deltas);
        let names = news
            .available
            .iter()
            .filter_map(|number| self.memory.name_of(*number));
        Ok(Committed {
            told,
            available: names.map(Arc::clone).collect(),
            changes: news.changes,
        })
    }
}

/// What is done before the transaction, so that it isn't rolled back with it.
async fn prepare(
    connection: &Connection,
    memory: &mut Memory,
    batch: &[Work],
) -> Result<(), Fault> {
    let mut has_tasks = false;
    for work in batch {
        match &work.ask {
            Ask::Enqueue(tasks, _) => {
                has_tasks = true;
                let names = tasks.iter().map(|task| &task.function);
                memory.know(connection, names, work.now).await?;
            }
            Ask::Know(names, _) => memory.know(connection, names, work.now).await?,
            Ask::Pause(name, ..) => memory.know(connection, [name], work.now).await?,
            _ => {}
        }
    }
    if has_tasks {
        memory.sum(connection).await?;
    }
    Ok(())
}

/// Does all in order; what several ask for one after another is done together.
async fn act_all(
    desk: &mut Desk<'_>,
    batch: &[Work],
    commits: &mut Commits,
) -> Result<Vec<Told>, Fault> {
    let mut told = Vec::with_capacity(batch.len());
    if let Some(work) = batch.first() {
        commits.give_back(desk, work.now).await?;
    }
    let mut rest = batch;
    while let Some((first, others)) = rest.split_first() {
        match &first.ask {
            Ask::Enqueue(..) => rest = enqueue_all(desk, rest, &mut told).await?,
            Ask::Finish(..) => rest = finish_all(desk, rest, &mut told).await?,
            _ => {
                told.push(act(desk, first).await?);
                rest = others;
            }
        }
    }
    desk.tally().await?;
    if desk.has_written {
        commits.count(desk.connection).await?;
    }
    Ok(told)
}

/// Of those that stand first; answers the others.
async fn enqueue_all<'b>(
    desk: &mut Desk<'_>,
    batch: &'b [Work],
    told: &mut Vec<Told>,
) -> Result<&'b [Work], Fault> {
    let mut tasks: Vec<(&NewTask, i64)> = Vec::new();
    let mut lens = Vec::new();
    for work in batch {
        let Ask::Enqueue(new, _) = &work.ask else {
            break;
        };
        tasks.extend(new.iter().map(|task| (task, work.now)));
        lens.push(new.len());
    }
    let mut answers = desk.enqueue(&tasks).await?.into_iter();
    for len in &lens {
        let own: Vec<Enqueued> = answers.by_ref().take(*len).collect();
        told.push(Told::Enqueued(own));
    }
    Ok(batch.get(lens.len()..).unwrap_or_default())
}

/// As [`enqueue_all`].
async fn finish_all<'b>(
    desk: &mut Desk<'_>,
    batch: &'b [Work],
    told: &mut Vec<Told>,
) -> Result<&'b [Work], Fault> {
    let mut ends: Vec<(&Finish, i64)> = Vec::new();
    let mut lens = Vec::new();
    for work in batch {
        let Ask::Finish(own, _) = &work.ask else {
            break;
        };
        ends.extend(own.iter().map(|end| (end, work.now)));
        lens.push(own.len());
    }
    let mut answers = desk.finish(&ends).await?.into_iter();
    for len in &lens {
        let own: Vec<Finished> = answers.by_ref().take(*len).collect();
        told.push(Told::Finished(own));
    }
    Ok(batch.get(lens.len()..).unwrap_or_default())
}

async fn act(desk: &mut Desk<'_>, work: &Work) -> Result<Told, Fault> {
    let now = work.now;
    let told = match &work.ask {
        Ask::Claim(ask, _) => desk.claim(ask, now).await.map(Told::Claimed),
        Ask::Beat(runs, _) => desk.beat(runs).await.map(Told::Held),
        Ask::Sweep(limit, _) => desk.sweep(now, *limit).await.map(Told::Swept),
        Ask::Prune(limit, _) => desk.prune(now, *limit).await.map(Told::Pruned),
        Ask::Change(selection, event, progress, _) => desk
            .change_selected(selection, *event, now, progress)
            .await
            .map(Told::Changed),
        Ask::Pause(function, paused, _) => {
            desk.pause(function, *paused).await.map(|()| Told::Nothing)
        }
        _ => Ok(Told::Nothing),
    };
    match told {
        // About this one, which has changed nothing.
        Err(Fault::Refused(error)) => Ok(Told::Refused(error)),
        told => told,
    }
}
