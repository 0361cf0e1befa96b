//! Answers that come later than the handler returns.

use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Serialize;

use crate::{answer::Answer, error::TaskError, panics, task::Task};

/// The right, and the duty, to answer a task later, from any thread.
///
/// A handler that takes one instead of returning a result may return at once: the task runs on until
/// [`complete`](Self::complete). A completion that is dropped unanswered fails its task with the error kind `abandoned`,
/// so that no client waits for ever.
///
/// ```standalone_crate
/// use plugin_api::{Completion, plugin, testing};
///
/// #[derive(Default)]
/// struct Clock;
///
/// #[plugin]
/// impl Clock {
///     /// Ticks once, elsewhere.
///     #[handler]
///     fn tick(&self, completion: Completion<&'static str>) {
///         std::thread::spawn(move || completion.complete(Ok("tick")));
///     }
/// }
///
/// let clock = testing::open::<Clock>(()).unwrap();
/// assert_eq!(clock.call("tick", ()).unwrap(), "tick");
/// ```
#[must_use = "dropping a completion fails its task"]
pub struct Completion<R> {
    once: Once,
    result: PhantomData<fn(R)>,
}

impl<R: Serialize> Completion<R> {
    /// Answers the task.
    pub fn complete(self, result: Result<R, TaskError>) {
        self.once.answer(Answer::from_result(result));
    }
}

impl<R> Completion<R> {
    pub(crate) fn new(once: Once) -> Self {
        Self {
            once,
            result: PhantomData,
        }
    }

    /// The task to be answered.
    #[must_use]
    pub fn task(&self) -> &Task {
        self.once.task()
    }
}

impl<R> Drop for Completion<R> {
    fn drop(&mut self) {
        self.once.abandon();
    }
}

impl<R> fmt::Debug for Completion<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion")
            .field("task", self.task())
            .finish_non_exhaustive()
    }
}

/// A task's one answer, shared by everything that may give it: the first one wins.
#[derive(Clone)]
pub(crate) struct Once(Arc<OnceInner>);

struct OnceInner {
    task: Task,
    answered: AtomicBool,
}

impl Once {
    pub(crate) fn new(task: Task) -> Self {
        Self(Arc::new(OnceInner {
            task,
            answered: AtomicBool::new(false),
        }))
    }

    pub(crate) fn task(&self) -> &Task {
        &self.0.task
    }

    pub(crate) fn answer(&self, answer: Answer) {
        if !self.0.answered.swap(true, Ordering::AcqRel) {
            answer.send(&self.0.task);
        }
    }

    /// Answers in place of an owner that was dropped: with the panic that unwinds this thread, else as abandoned.
    pub(crate) fn abandon(&self) {
        if self.0.answered.load(Ordering::Acquire) {
            return;
        }
        let panic = std::thread::panicking().then(panics::take_last).flatten();
        self.answer(panic.map_or(Answer::Abandoned, Answer::Panicked));
    }
}
