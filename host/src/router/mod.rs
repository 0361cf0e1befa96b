//! Which runner has which function: one table, changed in single steps. It knows names and runners, and nothing else.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use protocol::{ErrorCode, TaskFailure, excerpt};
use service::config::did_you_mean;
use service::sync::{read, write};

use crate::access::Caller;
use crate::plugin::{Reroute, Runner};
use crate::task::Task;

/// When to try again what a plugin will run that is being opened.
const OPENING_WAIT: Duration = Duration::from_millis(100);

/// A plugin that is being opened.
#[derive(Debug)]
struct Coming {
    /// Of the generation.
    number: u64,
    plugin: String,
}

/// A task, and what is to run it.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) function: String,
    /// As [`Router::route`] gave it for the function.
    pub(crate) runner: Runner,
    pub(crate) task: Task,
}

#[derive(Debug, Default)]
struct Table {
    runners: HashMap<String, Runner>,
    /// By function. Those that run already are in `runners` as well.
    coming: HashMap<String, Coming>,
    /// The host ends: nothing is routed any more.
    ending: bool,
}

/// The table. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Router(Arc<RwLock<Table>>);

impl Router {
    /// What runs this function, or the client's error when nothing does. To one that may not call it, it is not there, nor
    /// are others that it may not call.
    pub(crate) fn route(&self, function: &str, caller: &Caller) -> Result<Runner, TaskFailure> {
        let may_call = caller.may_call(function);
        let known: Vec<String> = {
            let table = read(&self.0);
            match table.runners.get(function) {
                _ if table.ending => return Err(shutting_down()),
                Some(runner) if may_call => return Ok(runner.clone()),
                None if may_call && let Some(coming) = table.coming.get(function) => {
                    return Err(is_coming(function, &coming.plugin));
                }
                _ => table.runners.keys().cloned().collect(),
            }
        };
        // Similar names are sought when nobody has to wait for the table.
        let known = known.iter().map(String::as_str);
        Err(unknown_function(
            function,
            known.filter(|name| caller.may_call(name)),
        ))
    }

    /// Has tasks run, in their order; those of one pool that follow each other at once.
    pub(crate) fn submit_all(&self, tasks: &mut VecDeque<Routed>) {
        while let Some(first) = tasks.front() {
            let (runner, count) = (first.runner.clone(), tasks.len());
            runner.run_all(|| {
                let next = tasks.pop_front_if(|next| next.runner.is_of_same_pool(&runner))?;
                Some((next.runner.function(), next.task))
            });
            if tasks.len() == count
                && let Some(Routed {
                    function,
                    runner,
                    task,
                }) = tasks.pop_front()
            {
                // That pool has ended.
                self.submit(&function, runner, task);
            }
        }
    }

    /// Has the task run by `runner`, which [`Router::route`] gave for `function`. One that has ended since then gives it
    /// back, and by then the table names another, or none.
    pub(crate) fn submit(&self, function: &str, mut runner: Runner, mut task: Task) {
        loop {
            match runner.run(task) {
                None => return,
                Some(returned) => task = returned,
            }
            match self.route(function, &task.caller) {
                // Whoever ends a pool takes it out of the table first: this one has broken down.
                Ok(next) if next.is_of_same_pool(&runner) => {
                    return task.answer.finish(Err(runner_lost(function)));
                }
                Ok(next) => runner = next,
                Err(failure) => return task.answer.finish(Err(failure)),
            }
        }
    }

    /// In one step, takes out functions and puts in others. One that another pool runs by now stays.
    pub(crate) fn replace<'f>(
        &self,
        out: impl Iterator<Item = (&'f str, Runner)>,
        with: impl Iterator<Item = (&'f str, Runner)>,
    ) {
        let mut table = write(&self.0);
        for (function, runner) in out {
            let runs = table.runners.get(function);
            if runs.is_some_and(|now| now.is_of_same_pool(&runner)) {
                table.runners.remove(function);
            }
        }
        let with = with.map(|(function, runner)| (function.to_owned(), runner));
        table.runners.extend(with);
    }

    /// The plugin is being opened, as the generation of this number; it will run these functions.
    pub(crate) fn expect<'f>(
        &self,
        number: u64,
        plugin: &str,
        functions: impl Iterator<Item = &'f str>,
    ) {
        let functions = functions.map(|function| {
            let plugin = plugin.to_owned();
            (function.to_owned(), Coming { number, plugin })
        });
        write(&self.0).coming.extend(functions);
    }

    /// The generation of this number has been opened, or never will be.
    pub(crate) fn expect_no_more(&self, number: u64) {
        write(&self.0)
            .coming
            .retain(|_, coming| coming.number != number);
    }

    /// The host ends: from now on no function is found.
    pub(crate) fn end(&self) {
        write(&self.0).ending = true;
    }
}

impl Reroute for Router {
    fn reroute(&self, function: &str, tasks: Vec<Task>) {
        for task in tasks {
            if task.caller.is_background() {
                // The ledger knows which version it may run by, and writes down by which it ran.
                task.answer.finish(Err(left_behind(function)));
                continue;
            }
            match self.route(function, &task.caller) {
                Ok(runner) => self.submit(function, runner, task),
                Err(failure) => task.answer.finish(Err(failure)),
            }
        }
    }
}

/// The host finishes what it has, and takes nothing new.
pub(crate) fn shutting_down() -> TaskFailure {
    TaskFailure::new(ErrorCode::ShuttingDown, "the host is shutting down")
}

fn left_behind(function: &str) -> TaskFailure {
    let message =
        format!("the plugin that exports `{function}` was replaced before the task began");
    TaskFailure::new(ErrorCode::Unavailable, message)
}

fn is_coming(function: &str, plugin: &str) -> TaskFailure {
    let message = format!("the plugin `{plugin}`, which exports `{function}`, is being opened");
    TaskFailure::new(ErrorCode::Unavailable, message).with_retry_after(OPENING_WAIT)
}

fn runner_lost(function: &str) -> TaskFailure {
    tracing::error!(
        function,
        "a pool has broken down: nothing runs this function"
    );
    let message = "what runs this function has broken down, and is started anew; \
                   the host's log says more under \"a pool has broken down\"";
    TaskFailure {
        started: false,
        ..TaskFailure::new(ErrorCode::Internal, message)
    }
}

fn unknown_function<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> TaskFailure {
    let meant = did_you_mean(wanted, known);
    let message = format!("no live plugin exports `{}`{meant}", excerpt(wanted));
    TaskFailure::new(ErrorCode::UnknownFunction, message)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use bytes::Bytes;
    use protocol::Outcome;
    use service::bytes::ByteBudget;

    use super::*;
    use crate::plugin::PoolHandle;
    use crate::task::Client;

    const DEADLINE: Duration = Duration::from_secs(60);

    struct Waiting(mpsc::Sender<Outcome>);

    impl Client for Waiting {
        fn finished(&self, _key: u64, outcome: Outcome) {
            self.0.send(outcome).unwrap();
        }

        fn happened(&self, _key: u64, _name: &str, _data: Bytes) -> bool {
            true
        }

        fn progressed(&self, _key: u64, _done: u64, _total: u64, _message: String) {}
    }

    #[test]
    fn a_task_for_a_pool_that_has_broken_down_is_answered() {
        let router = Router::default();
        let runner = PoolHandle::ended().runner(0);
        router.replace(std::iter::empty(), std::iter::once(("f", runner)));
        let runner = router.route("f", &Caller::default()).unwrap();
        let (client, answers) = mpsc::channel();
        let task = Task::made_up(1, Arc::new(Waiting(client)), &ByteBudget::new(2));
        // In a thread of its own: a loop that never yields has no deadline.
        thread::spawn(move || router.submit("f", runner, task));
        let failure = answers.recv_timeout(DEADLINE).unwrap().unwrap_err();
        assert_eq!(failure.code, ErrorCode::Internal);
        assert!(!failure.started, "{failure:?}");
    }

    #[test]
    fn functions_come_and_go_in_one_step_until_the_end() {
        let router = Router::default();
        let (first, second) = (PoolHandle::ended(), PoolHandle::ended());
        let of = |pool: &PoolHandle, names: [&'static str; 2]| {
            let runner = pool.runner(0);
            names.map(|name| (name, runner.clone())).into_iter()
        };
        router.replace(std::iter::empty(), of(&first, ["f", "g"]));
        router.replace(of(&first, ["f", "g"]), of(&second, ["g", "h"]));
        // Not what is another's by now.
        router.replace(of(&first, ["f", "g"]), std::iter::empty());
        for (function, is_there) in [("f", false), ("g", true), ("h", true)] {
            assert_eq!(
                router.route(function, &Caller::default()).is_ok(),
                is_there,
                "{function}"
            );
        }
        router.end();
        assert_eq!(
            router.route("g", &Caller::default()).unwrap_err().code,
            ErrorCode::ShuttingDown
        );
    }

    #[test]
    fn what_is_being_opened_is_not_unknown() {
        let router = Router::default();
        router.expect(1, "p", ["f"].into_iter());
        let failure = router.route("f", &Caller::default()).unwrap_err();
        assert_eq!(failure.code, ErrorCode::Unavailable);
        assert!(failure.retryable && !failure.started, "{failure:?}");
        // Another candidate has taken its place.
        router.expect(2, "p", ["f"].into_iter());
        router.expect_no_more(1);
        assert_eq!(
            router.route("f", &Caller::default()).unwrap_err().code,
            ErrorCode::Unavailable
        );
        router.expect_no_more(2);
        assert_eq!(
            router.route("f", &Caller::default()).unwrap_err().code,
            ErrorCode::UnknownFunction
        );
    }

    #[test]
    fn near_misses_are_named_and_others_are_not() {
        let known = ["send_mail", "send_bulk", "resize"];
        let message = |wanted| unknown_function(wanted, known.into_iter()).message;
        assert_eq!(
            message("send_mial"),
            "no live plugin exports `send_mial`; did you mean `send_mail` or `send_bulk`?"
        );
        assert_eq!(message("xyz"), "no live plugin exports `xyz`");
    }
}
