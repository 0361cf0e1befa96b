//! Tasks come in: a request becomes a task that is written down, and its client is told so.

use std::sync::Arc;

use protocol::{Background as Asked, ErrorCode, Outcome, Request, RetryOn as AskedOn, TaskFailure};
use serde::Serialize;

use super::events::Event;
use super::storage::Handle;
use super::{Background, Shared, failure};
use crate::access::Caller;
use crate::ledger::{
    Durability, Enqueued, NewTask, RetryOn, RetryPolicy, State, StoreError, TaskId,
};
use crate::plugin::reply_data;
use crate::task::{Answer, RETRY_AFTER};

impl Background {
    /// Writes the task down that the request asks for, and answers when it is safe.
    pub(crate) fn enqueue(&self, request: Request, asked: Asked, caller: &Caller, answer: Answer) {
        let shared = &self.0;
        let refusal = shared.refusal(&request.function, caller);
        if let Some(failure) = refusal
            && !shared.may_be_known(&failure)
        {
            return answer.finish(Err(failure));
        }
        if shared.has_learnt()
            && let Some(store) = shared.storage.get()
        {
            return shared.put(&store, request, asked, caller, answer);
        }
        let (shared, caller) = (Arc::clone(shared), caller.clone());
        tokio::spawn(async move {
            match shared.open().await {
                Ok(store) => match shared.refusal(&request.function, &caller) {
                    Some(failure) => answer.finish(Err(failure)),
                    None => shared.put(&store, request, asked, &caller, answer),
                },
                Err(error) => answer.finish(Err(failure(&error))),
            }
        });
    }
}

impl Shared {
    /// Why the function's tasks are not taken in, as far as is known.
    fn refusal(&self, function: &str, caller: &Caller) -> Option<TaskFailure> {
        let failure = self.router.route(function, caller).err()?;
        (!self.may_wait(function, caller, &failure)).then_some(failure)
    }

    /// Whether the ledger, which has not been asked yet, may know better.
    fn may_be_known(&self, failure: &TaskFailure) -> bool {
        failure.code == ErrorCode::UnknownFunction && !self.has_learnt() && self.storage.is_there()
    }

    /// Whether a function that nothing runs now will be run again, as far as anybody knows.
    fn may_wait(&self, function: &str, caller: &Caller, failure: &TaskFailure) -> bool {
        match failure.code {
            ErrorCode::Unavailable => true,
            ErrorCode::UnknownFunction => caller.may_call(function) && self.knows(function),
            _ => false,
        }
    }

    fn put(&self, store: &Handle, request: Request, asked: Asked, caller: &Caller, answer: Answer) {
        let now = store.now();
        let task = self.new_task(request, asked, caller, now);
        let (id, due, deadline) = (task.id, task.available_at, task.deadline_at);
        let durability = store.durability();
        let events = Arc::clone(&self.events);
        let told = move |enqueued: Result<Vec<Enqueued>, StoreError>| {
            let enqueued = enqueued.map(|all| all.into_iter().next());
            if let Ok(Some(Enqueued::Stored(state))) = &enqueued {
                let delay = (*state == State::Scheduled).then_some(due);
                if let Some(at) = delay.into_iter().chain(deadline).min() {
                    events.push(Event::Due(at));
                }
            }
            answer.finish(outcome(enqueued, id, durability));
        };
        store.enqueue(vec![task], now, Box::new(told));
    }

    fn new_task(&self, request: Request, asked: Asked, caller: &Caller, now: i64) -> NewTask {
        let time = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let at = |ms: u64| now.saturating_add(time(ms));
        NewTask {
            id: self.ids.next(now),
            function: request.function.into(),
            // Not the whole line, which other requests may share.
            args: bytes::Bytes::copy_from_slice(&request.args),
            key: asked.key,
            unique_until: (asked.unique_ms > 0).then(|| at(asked.unique_ms)),
            available_at: at(asked.delay_ms),
            priority: asked.priority,
            retry: RetryPolicy {
                max: asked.retry.max,
                base_ms: time(asked.retry.base_ms),
                cap_ms: time(asked.retry.cap_ms),
                on: match asked.retry.on {
                    AskedOn::Any => RetryOn::Any,
                    AskedOn::Retryable => RetryOn::Retryable,
                },
            },
            deadline_at: asked.deadline_ms.map(at),
            result_ttl_ms: asked.result_ttl_ms.map_or(self.result_ttl_ms, time),
            timeout_ms: request
                .timeout
                .map(|timeout| i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX)),
            // Until authors can declare it.
            at_most_once: false,
            subject: request.subject.map(Into::into),
            limit_key: asked.limit_key,
            version: asked.version,
            parent: None,
            batch: None,
            traceparent: request.traceparent.map(|parent| parent.as_str().to_owned()),
            client: caller.client().map(str::to_owned),
        }
    }
}

/// What a client is told of its task.
fn outcome(
    enqueued: Result<Option<Enqueued>, StoreError>,
    id: TaskId,
    durability: Durability,
) -> Outcome {
    #[derive(Serialize)]
    struct Accepted {
        task: String,
        state: &'static str,
        durable: &'static str,
        duplicate: bool,
    }
    let accepted = |task: TaskId, state: State, duplicate| {
        let accepted = Accepted {
            task: task.to_string(),
            state: state.name(),
            durable: durability.name(),
            duplicate,
        };
        reply_data(&accepted)
            .ok_or_else(|| TaskFailure::new(ErrorCode::Internal, "it can't be told"))
    };
    match enqueued {
        Ok(Some(Enqueued::Stored(state))) => accepted(id, state, false),
        Ok(Some(Enqueued::Duplicate { id, state })) => accepted(id, state, true),
        Ok(Some(Enqueued::KeyConflict { id })) => {
            let message = format!("the key is taken by the task {id}, whose arguments differ");
            let mut failure = TaskFailure::new(ErrorCode::KeyConflict, message);
            failure.data = Some(format!("{{\"task\":\"{id}\"}}").into());
            Err(failure)
        }
        Ok(Some(Enqueued::Overloaded(why))) => {
            let failure = TaskFailure::new(ErrorCode::Overloaded, &*why);
            Err(failure.with_retry_after(RETRY_AFTER))
        }
        Ok(None) => Err(TaskFailure::new(
            ErrorCode::Internal,
            "the ledger did not say what became of the task",
        )),
        Err(error) => Err(failure(&error)),
    }
}
