//! An opened plugin: one for the whole library in a worker, one for each test in the testing kit.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

#[cfg(feature = "async")]
use crate::runtime::{self, Runtime};
use crate::{
    answer::Answer,
    args::{self, Array},
    dispatch::{self, Call, Plugin},
    error::TaskError,
    log, log_crate, panics, refusal, task,
    task::Task,
};

/// Error kind for a call to a plugin that is not open.
const KIND_CLOSED: &str = "closed";
/// Error kind for a call of a function number that the manifest doesn't have.
const KIND_UNKNOWN_FUNCTION: &str = "unknown_function";

/// A plugin's state, while it is open.
pub struct Instance<P: 'static> {
    state: RwLock<Option<Arc<P>>>,
    /// Which functions take an object as their arguments; computed when the first array comes.
    takes_object: OnceLock<Vec<bool>>,
    /// Made with its first use, as nothing that is shared by threads can stand in a constant.
    #[cfg(feature = "async")]
    runtime: OnceLock<Arc<Runtime>>,
}

impl<P: Plugin> Instance<P> {
    /// An instance that is not open yet.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "only the macro makes one, in a static"
    )]
    pub const fn new() -> Self {
        Self {
            state: RwLock::new(None),
            takes_object: OnceLock::new(),
            #[cfg(feature = "async")]
            runtime: OnceLock::new(),
        }
    }

    /// Opens the plugin; `task` is number 0, no task, and leads to the host that gets the log. The error is a sentence.
    pub(crate) fn open(&self, task: &Task, config: &[u8]) -> Result<(), String> {
        if self.plugin().is_some() {
            return Err(String::from("the plugin is open already"));
        }
        log::install();
        log_crate::install();
        let opened = {
            let _current = task::enter(task);
            #[cfg(feature = "async")]
            let _runtime = runtime::enter(self.runtime());
            panics::catch(|| P::open(config))
        };
        let plugin = match opened {
            Ok(Ok(plugin)) => plugin,
            Ok(Err(error)) => return Err(log::explain(error.into_message())),
            Err(text) => return Err(log::explain(format!("opening the plugin {text}"))),
        };
        self.replace(Some(Arc::new(plugin)));
        Ok(())
    }

    /// Runs function number `function` and answers `task`.
    pub(crate) fn call(&self, function: u32, task: &Task, args: &[u8]) {
        let Some(plugin) = self.plugin() else {
            let error = TaskError::new(KIND_CLOSED, "the plugin is not open");
            return Answer::Failed(error).send(task);
        };
        let index = usize::try_from(function).unwrap_or(usize::MAX);
        let Some(entry) = P::FUNCTIONS.get(index) else {
            let text = format!("the plugin has no function number {function}");
            return Answer::Failed(TaskError::new(KIND_UNKNOWN_FUNCTION, text)).send(task);
        };
        let args = match self.array_for_object(index, args) {
            None => args,
            Some(Array::Empty) => b"{}",
            Some(Array::Filled) => {
                let schema = (entry.args_schema)();
                return Answer::InvalidArgs(refusal::array_refused(&schema)).send(task);
            }
        };
        #[cfg(feature = "async")]
        let _runtime = runtime::enter(self.runtime());
        let call = Call {
            task,
            args,
            #[cfg(feature = "async")]
            runtime: self.runtime(),
        };
        dispatch::run(entry, &plugin, call);
    }

    /// Drops the state, as soon as the last task that uses it has ended.
    pub(crate) fn close(&self) {
        #[cfg(feature = "async")]
        self.runtime().stop();
        let plugin = self.replace(None);
        if let Err(text) = panics::catch(|| drop(plugin)) {
            tracing::error!("closing the plugin {text}");
        }
    }

    #[cfg(feature = "async")]
    fn runtime(&self) -> &Arc<Runtime> {
        self.runtime.get_or_init(|| Arc::new(Runtime::new()))
    }

    pub(crate) fn plugin(&self) -> Option<Arc<P>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }

    fn replace(&self, plugin: Option<Arc<P>>) -> Option<Arc<P>> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *state, plugin)
    }

    /// The array that stands where the function takes an object.
    fn array_for_object(&self, index: usize, args: &[u8]) -> Option<Array> {
        let array = args::array(args)?;
        let takes_object = self.takes_object.get_or_init(|| {
            let schemas = P::FUNCTIONS.iter().map(|function| (function.args_schema)());
            schemas.map(|schema| args::is_object(&schema)).collect()
        });
        takes_object[index].then_some(array)
    }
}
