//! The tasks of the model, and what happens to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::ledger::endings::Run;
use crate::ledger::states::{Event, State};
use crate::ledger::tests::DISCARDED_TTL_MS;
use crate::ledger::{
    Attempt, Change, Claimed, Ending, Enqueued, Filter, Finish, Finished, FunctionStats, Limits,
    Listener, NewTask, Page, PageAsk, Pruned, Stats, Swept, TaskId, TaskSummary, TaskView, Want,
};

/// A task, as all that is known of it.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) new: NewTask,
    pub(super) state: State,
    pub(super) lease: i64,
    pub(super) tries: u32,
    pub(super) attempts: Vec<Attempt>,
    pub(super) cancel_asked: bool,
    pub(super) node: Option<Arc<str>>,
    pub(super) created_at: i64,
    pub(super) available_at: i64,
    pub(super) claimed_at: Option<i64>,
    pub(super) ended_at: Option<i64>,
    pub(super) forget_at: Option<i64>,
    pub(super) deadline_at: Option<i64>,
    pub(super) result: Option<Bytes>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) tasks: BTreeMap<TaskId, Kept>,
    /// Name to whether it is paused.
    pub(super) functions: BTreeMap<Arc<str>, bool>,
    pub(super) claims: BTreeMap<Arc<str>, u64>,
    pub(super) keys: BTreeMap<(Arc<str>, Option<String>, String), TaskId>,
    pub(super) listener: Option<Arc<dyn Listener>>,
    pub(super) changes: Vec<Change>,
    pub(super) available: Vec<Arc<str>>,
}

impl Kept {
    pub(super) fn fits(&self, filter: &Filter) -> bool {
        filter.state.is_none_or(|state| state == self.state)
            && filter
                .function
                .as_ref()
                .is_none_or(|function| *function == self.new.function)
            && filter.key.is_none_or_eq(&self.new.key)
            && filter.subject.is_none_or_eq(&self.new.subject)
    }

    pub(super) fn summary(&self) -> TaskSummary {
        TaskSummary {
            id: self.new.id,
            state: self.state,
            function: Arc::clone(&self.new.function),
            key: self.new.key.clone(),
            subject: self.new.subject.clone(),
            priority: self.new.priority,
            attempts: u32::try_from(self.attempts.len()).unwrap(),
            created_at: self.created_at,
            available_at: self.available_at,
            claimed_at: self.claimed_at,
            ended_at: self.ended_at,
            deadline_at: self.deadline_at,
            limit_key: self.new.limit_key.clone(),
            version: self.new.version.clone(),
            parent: self.new.parent,
            batch: self.new.batch.clone(),
            cancel_asked: self.cancel_asked,
        }
    }

    pub(super) fn view(&self) -> TaskView {
        TaskView {
            summary: self.summary(),
            args: self.new.args.clone(),
            result: self.result.clone(),
            attempts: self.attempts[self.attempts.len().saturating_sub(100)..].to_vec(),
            retry: self.new.retry,
            timeout_ms: self.new.timeout_ms,
            result_ttl_ms: self.new.result_ttl_ms,
            unique_until: self.new.unique_until,
            at_most_once: self.new.at_most_once,
            traceparent: self.new.traceparent.clone(),
            client: self.new.client.clone(),
            node: self.node.as_deref().map(str::to_owned),
            lease: self.lease,
            forget_at: self.forget_at,
        }
    }
}

trait NoneOrEq {
    fn is_none_or_eq(&self, other: &Self) -> bool;
}

impl NoneOrEq for Option<String> {
    fn is_none_or_eq(&self, other: &Self) -> bool {
        self.is_none() || self == other
    }
}

impl Inner {
    pub(super) fn key_of(&self, id: TaskId) -> Option<(Arc<str>, Option<String>, String)> {
        let new = &self.tasks[&id].new;
        let key = new.key.clone()?;
        Some((Arc::clone(&new.function), new.subject.clone(), key))
    }

    /// The task is in this state now.
    pub(super) fn set(&mut self, id: TaskId, state: State, now: i64) {
        let key = self.key_of(id);
        let Some(kept) = self.tasks.get_mut(&id) else {
            return;
        };
        kept.state = state;
        kept.ended_at = state.is_finished().then_some(now);
        let ttl_ms = match state {
            State::Completed | State::Cancelled => Some(kept.new.result_ttl_ms),
            State::Discarded => Some(kept.new.result_ttl_ms.max(DISCARDED_TTL_MS)),
            _ => None,
        };
        kept.forget_at =
            ttl_ms.map(|ttl_ms| (now + ttl_ms.max(0)).max(kept.new.unique_until.unwrap_or(0)));
        if state != State::Running {
            kept.node = None;
            kept.cancel_asked = false;
        }
        let is_released =
            state.is_finished() && kept.new.unique_until.is_none_or(|until| until <= now);
        if let Some(key) = key.filter(|key| is_released && self.keys.get(key) == Some(&id)) {
            self.keys.remove(&key);
        }
        self.tell(id, false);
    }

    pub(super) fn tell(&mut self, id: TaskId, cancel_asked: bool) {
        let kept = &self.tasks[&id];
        if kept.state == State::Available {
            self.available.push(Arc::clone(&kept.new.function));
        }
        let function = Arc::clone(&kept.new.function);
        let subject = kept.new.subject.as_deref().map(Arc::from);
        self.changes.push(Change {
            id,
            state: kept.state,
            function,
            subject,
            cancel_asked,
        });
    }

    pub(super) fn change(&mut self, id: TaskId, event: Event, now: i64) -> bool {
        let from = self.tasks[&id].state;
        let Some(to) = from.after(event) else {
            return false;
        };
        if to == State::Running {
            self.tasks.get_mut(&id).unwrap().cancel_asked = true;
            self.tell(id, true);
            return true;
        }
        let is_anew = event == Event::Retry && from.is_finished();
        if is_anew
            && let Some(key) = self.key_of(id)
            && *self.keys.entry(key).or_insert(id) != id
        {
            return false;
        }
        let kept = self.tasks.get_mut(&id).unwrap();
        if to == State::Available {
            kept.available_at = now;
        }
        if is_anew {
            kept.deadline_at = None;
        }
        if event == Event::Retry {
            kept.tries = 0;
        }
        self.set(id, to, now);
        true
    }

    pub(super) fn enqueue(&mut self, new: NewTask, limits: Limits, now: i64) -> Enqueued {
        let key = new
            .key
            .clone()
            .map(|key| (Arc::clone(&new.function), new.subject.clone(), key));
        if let Some(holder) = key.as_ref().and_then(|key| self.keys.get(key)) {
            let kept = &self.tasks[holder];
            let is_kept = kept.new.unique_until.is_some_and(|until| until > now);
            if !kept.state.is_finished() || is_kept {
                return if kept.new.args == new.args {
                    Enqueued::Duplicate {
                        id: *holder,
                        state: kept.state,
                    }
                } else {
                    Enqueued::KeyConflict { id: *holder }
                };
            }
        }
        let waiting = self
            .tasks
            .values()
            .filter(|kept| !kept.state.is_finished())
            .count() as u64;
        if waiting >= limits.waiting_max {
            return Enqueued::Overloaded("waiting_max".into());
        }
        if self.stored_len() + new.args.len() as u64 > limits.stored_len_max {
            return Enqueued::Overloaded("stored_len_max".into());
        }
        self.functions
            .entry(Arc::clone(&new.function))
            .or_insert(false);
        let id = new.id;
        if let Some(key) = key {
            self.keys.insert(key, id);
        }
        let state = State::of_new(new.available_at, now);
        let kept = Kept {
            state,
            lease: 0,
            tries: 0,
            attempts: Vec::new(),
            cancel_asked: false,
            node: None,
            created_at: now,
            available_at: new.available_at.max(now),
            claimed_at: None,
            ended_at: None,
            forget_at: None,
            deadline_at: new.deadline_at,
            result: None,
            new,
        };
        self.tasks.insert(id, kept);
        self.tell(id, false);
        Enqueued::Stored(state)
    }

    pub(super) fn stored_len(&self) -> u64 {
        let lens = self
            .tasks
            .values()
            .map(|kept| kept.new.args.len() + kept.result.as_ref().map_or(0, Bytes::len));
        lens.sum::<usize>() as u64
    }

    pub(super) fn next(&self, want: &Want) -> Option<TaskId> {
        let fitting = self.tasks.iter().filter(|(_, kept)| {
            kept.state == State::Available
                && kept.new.function == want.function
                && kept
                    .new
                    .version
                    .as_ref()
                    .is_none_or(|version| **version == *want.version)
        });
        let is_by_age = self.claims.get(&want.function).unwrap_or(&0) % 8 == 7;
        fitting
            .map(|(id, kept)| (if is_by_age { 0 } else { kept.new.priority }, *id))
            .min()
            .map(|(_, id)| id)
    }

    pub(super) fn claim(&mut self, want: &Want, node: &Arc<str>, now: i64) -> Vec<Claimed> {
        let mut claimed = Vec::new();
        if self.functions.get(&want.function).copied().unwrap_or(true) {
            return claimed;
        }
        while claimed.len() < want.count as usize {
            let Some(id) = self.next(want) else { break };
            if self.tasks[&id]
                .deadline_at
                .is_some_and(|deadline| deadline <= now)
            {
                self.change(id, Event::Expire, now);
                continue;
            }
            *self.claims.entry(Arc::clone(&want.function)).or_insert(0) += 1;
            self.set(id, State::Running, now);
            let kept = self.tasks.get_mut(&id).unwrap();
            kept.lease += 1;
            kept.node = Some(Arc::clone(node));
            kept.claimed_at = Some(now);
            let new = &kept.new;
            claimed.push(Claimed {
                id,
                lease: kept.lease,
                attempt: u32::try_from(kept.attempts.len()).unwrap() + 1,
                function: Arc::clone(&new.function),
                version: new.version.as_deref().map(Into::into),
                args: new.args.clone(),
                created_at: kept.created_at,
                deadline_at: kept.deadline_at,
                timeout_ms: new.timeout_ms,
                at_most_once: new.at_most_once,
                priority: new.priority,
                key: new.key.clone(),
                subject: new.subject.clone(),
                limit_key: new.limit_key.clone(),
                traceparent: new.traceparent.clone(),
                client: new.client.clone(),
            });
        }
        claimed
    }

    pub(super) fn finish(&mut self, end: &Finish, now: i64) -> Finished {
        let Some(kept) = self.tasks.get_mut(&end.id) else {
            return Finished::Stale;
        };
        if kept.state != State::Running || kept.lease != end.lease {
            return Finished::Stale;
        }
        let run = Run {
            id: end.id.as_bytes(),
            policy: &kept.new.retry,
            tries: kept.tries,
            deadline_at: kept.deadline_at,
            at_most_once: kept.new.at_most_once,
            cancel_asked: kept.cancel_asked,
        };
        let next = run.end(&end.ending, now);
        let to = kept.state.after(next.event).unwrap();
        let error = match &end.ending {
            Ending::Failed { error, .. } | Ending::Cancelled { error } | Ending::Lost { error } => {
                Some(error.clone())
            }
            Ending::Completed { .. } | Ending::Released => None,
        };
        if next.counts {
            kept.tries += 1;
            kept.attempts.push(Attempt {
                number: u32::try_from(kept.attempts.len()).unwrap() + 1,
                node: kept.node.as_deref().unwrap_or_default().to_owned(),
                version: end.version.to_string(),
                started_at: end.started_at.or(kept.claimed_at).unwrap(),
                ended_at: now,
                error,
            });
        }
        if let Ending::Completed { result } = &end.ending {
            kept.result = Some(result.clone());
        }
        if next.event == Event::TryAgain {
            kept.available_at = next.available_at;
        }
        let available_at = (to == State::Retryable).then_some(next.available_at);
        self.set(end.id, to, now);
        Finished::Now {
            state: to,
            available_at,
        }
    }

    pub(super) fn sweep(&mut self, now: i64, limit: usize) -> Swept {
        let wakes_at = |kept: &Kept| {
            let waits = matches!(kept.state, State::Scheduled | State::Retryable);
            let deadline = kept
                .deadline_at
                .filter(|_| waits || kept.state == State::Available);
            [waits.then_some(kept.available_at), deadline]
                .into_iter()
                .flatten()
                .min()
        };
        let woken = self
            .tasks
            .values()
            .filter_map(|kept| wakes_at(kept).map(|at| (at, kept.new.id)));
        let mut woken: Vec<(i64, TaskId)> = woken.filter(|(at, _)| *at <= now).collect();
        woken.sort_unstable();
        woken.truncate(limit);
        let mut swept = Swept {
            more: woken.len() >= limit,
            ..Swept::default()
        };
        for (_, id) in woken {
            if self.tasks[&id]
                .deadline_at
                .is_some_and(|deadline| deadline <= now)
            {
                swept.expired += u64::from(self.change(id, Event::Expire, now));
            } else {
                swept.due += u64::from(self.change(id, Event::Due, now));
            }
        }
        swept.next_at = self.tasks.values().filter_map(wakes_at).min();
        swept
    }

    pub(super) fn prune(&mut self, now: i64, limit: usize) -> Pruned {
        let over = self
            .tasks
            .values()
            .filter_map(|kept| kept.forget_at.map(|at| (at, kept.new.id)));
        let mut over: Vec<_> = over.filter(|(at, _)| *at <= now).collect();
        over.sort_unstable();
        over.truncate(limit);
        for (_, id) in &over {
            self.tasks.remove(id);
            self.keys.retain(|_, holder| holder != id);
        }
        Pruned {
            forgotten: over.len() as u64,
            more: over.len() >= limit,
        }
    }

    pub(super) fn list(&self, ask: &PageAsk) -> Page {
        let before = self
            .tasks
            .range(..ask.after.unwrap_or(TaskId::from_bytes([255; 16])))
            .rev();
        let limit = ask.limit.clamp(1, 1_000);
        let fitting: Vec<_> = before
            .filter(|(_, kept)| kept.fits(&ask.filter))
            .take(limit)
            .collect();
        let next = if fitting.len() == limit {
            fitting.last().map(|(id, _)| **id)
        } else {
            None
        };
        Page {
            tasks: fitting.iter().map(|(_, kept)| kept.summary()).collect(),
            next,
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let functions = self.functions.iter().map(|(function, paused)| {
            let tasks = || {
                self.tasks
                    .values()
                    .filter(|kept| kept.new.function == *function)
            };
            let mut counts = [0; State::ALL.len()];
            tasks().for_each(|kept| counts[kept.state.index()] += 1);
            let available = tasks().filter(|kept| kept.state == State::Available);
            let oldest = available.min_by_key(|kept| kept.available_at);
            FunctionStats {
                function: Arc::clone(function),
                paused: *paused,
                counts,
                oldest_available_at: oldest.map(|kept| kept.available_at),
                oldest_version: oldest.and_then(|kept| kept.new.version.as_deref().map(Arc::from)),
            }
        });
        Stats {
            functions: functions.collect(),
            stored_len: self.stored_len(),
            file_len: None,
        }
    }
}
