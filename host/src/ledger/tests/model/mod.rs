//! A store as simple as can be, in memory: what the others are compared with, and what tests of others may stand on.

mod inner;

use std::sync::{Arc, Mutex, MutexGuard};

use self::inner::Inner;
use crate::ledger::states::{Event, State};
use crate::ledger::store::{Node, NodeAbout, OnlyNode};
use crate::ledger::{
    ClaimAsk, Claimed, Done, Durability, Enqueued, Finish, Finished, Held, KnownFunction, Limits,
    Listener, NewTask, Page, PageAsk, Pruned, Selection, Stats, Store, StoreError, StoreErrorKind,
    Swept, TaskId, TaskView,
};

pub(crate) struct Model {
    limits: Limits,
    node: OnlyNode,
    inner: Mutex<Inner>,
}

impl Model {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            node: OnlyNode::default(),
            inner: Mutex::new(Inner::default()),
        }
    }

    /// As a host that starts again: the next claim is the first one.
    pub(crate) fn forget_turns(&self) {
        self.inner.lock().unwrap().claims.clear();
    }

    fn answer<T>(&self, done: Done<T>, act: impl FnOnce(&mut Inner) -> Result<T, StoreError>) {
        let mut inner: MutexGuard<'_, Inner> = self.inner.lock().unwrap();
        let answer = act(&mut inner);
        let changes = std::mem::take(&mut inner.changes);
        let mut available = std::mem::take(&mut inner.available);
        let listener = inner.listener.clone();
        drop(inner);
        done(answer);
        available.sort();
        available.dedup();
        if let Some(listener) = listener {
            if !available.is_empty() {
                listener.available(&available);
            }
            if listener.wants_changes() && !changes.is_empty() {
                listener.changed(&changes);
            }
        }
    }

    fn change(
        &self,
        selection: &Selection,
        event: Event,
        dry_run: bool,
        now: i64,
        done: Done<u64>,
    ) {
        self.answer(done, |inner| {
            let ids: Vec<TaskId> = match selection {
                Selection::Task(id) if inner.tasks.contains_key(id) => vec![*id],
                Selection::Task(_) => {
                    return Err(StoreError::new(
                        StoreErrorKind::UnknownTask,
                        "there is no such task, or its time to be asked for is over",
                    ));
                }
                Selection::Filter(filter) => {
                    let tasks = inner
                        .tasks
                        .iter()
                        .rev()
                        .filter(|(_, kept)| kept.fits(filter));
                    tasks.map(|(id, _)| *id).collect()
                }
            };
            let changed = ids.into_iter().filter(|id| {
                if dry_run {
                    inner.tasks[id].state.after(event).is_some()
                } else {
                    inner.change(*id, event, now)
                }
            });
            Ok(changed.count() as u64)
        });
    }
}

impl Store for Model {
    fn durability(&self) -> Durability {
        Durability::Write
    }

    fn enqueue(&self, tasks: Vec<NewTask>, now: i64, done: Done<Vec<Enqueued>>) {
        self.answer(done, |inner| {
            Ok(tasks
                .into_iter()
                .map(|task| inner.enqueue(task, self.limits, now))
                .collect())
        });
    }

    fn claim(&self, ask: ClaimAsk, now: i64, done: Done<Vec<Claimed>>) {
        self.answer(done, |inner| {
            Ok(ask
                .wants
                .iter()
                .flat_map(|want| inner.claim(want, &ask.node, now))
                .collect())
        });
    }

    fn finish(&self, ends: Vec<Finish>, now: i64, done: Done<Vec<Finished>>) {
        self.answer(done, |inner| {
            Ok(ends.iter().map(|end| inner.finish(end, now)).collect())
        });
    }

    fn beat(&self, runs: Vec<(TaskId, i64)>, _now: i64, done: Done<Vec<Held>>) {
        self.answer(done, |inner| {
            let held = runs.iter().map(|(id, lease)| match inner.tasks.get(id) {
                Some(kept)
                    if kept.state == State::Running
                        && kept.lease == *lease
                        && kept.cancel_asked =>
                {
                    Held::CancelAsked
                }
                Some(kept) if kept.state == State::Running && kept.lease == *lease => Held::Yes,
                _ => Held::Stale,
            });
            Ok(held.collect())
        });
    }

    fn sweep(&self, now: i64, limit: usize, done: Done<Swept>) {
        self.answer(done, |inner| Ok(inner.sweep(now, limit)));
    }

    fn prune(&self, now: i64, limit: usize, done: Done<Pruned>) {
        self.answer(done, |inner| Ok(inner.prune(now, limit)));
    }

    fn get(&self, id: TaskId, done: Done<Option<Box<TaskView>>>) {
        self.answer(done, |inner| {
            Ok(inner.tasks.get(&id).map(|kept| Box::new(kept.view())))
        });
    }

    fn list(&self, ask: PageAsk, done: Done<Page>) {
        self.answer(done, |inner| Ok(inner.list(&ask)));
    }

    fn cancel(&self, selection: Selection, dry_run: bool, now: i64, done: Done<u64>) {
        self.change(&selection, Event::Cancel, dry_run, now, done);
    }

    fn retry(&self, selection: Selection, dry_run: bool, now: i64, done: Done<u64>) {
        self.change(&selection, Event::Retry, dry_run, now, done);
    }

    fn discard(&self, selection: Selection, dry_run: bool, now: i64, done: Done<u64>) {
        self.change(&selection, Event::Discard, dry_run, now, done);
    }

    fn pause(&self, function: Arc<str>, paused: bool, _now: i64, done: Done<()>) {
        self.answer(done, |inner| {
            if !paused {
                inner.available.push(Arc::clone(&function));
            }
            inner.functions.insert(function, paused);
            Ok(())
        });
    }

    fn know(&self, functions: Vec<Arc<str>>, _now: i64, done: Done<()>) {
        self.answer(done, |inner| {
            for function in functions {
                inner.functions.entry(function).or_insert(false);
            }
            Ok(())
        });
    }

    fn known(&self, done: Done<Vec<KnownFunction>>) {
        self.answer(done, |inner| {
            let known = inner.functions.iter().map(|(name, paused)| KnownFunction {
                name: Arc::clone(name),
                paused: *paused,
            });
            Ok(known.collect())
        });
    }

    fn stats(&self, done: Done<Stats>) {
        self.answer(done, |inner| Ok(inner.stats()));
    }

    fn introduce(&self, node: NodeAbout, done: Done<()>) {
        self.node.set(node);
        done(Ok(()));
    }

    fn nodes(&self, done: Done<Vec<Node>>) {
        done(Ok(self.node.get()));
    }

    fn watch(&self, listener: Arc<dyn Listener>) {
        self.inner.lock().unwrap().listener = Some(listener);
    }
}
