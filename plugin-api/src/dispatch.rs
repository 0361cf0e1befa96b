//! From a function's number and JSON arguments to the author's method, and back. What `#[plugin]` generates is a table
//! for this module, and nothing else.

use std::{fmt::Display, sync::Arc};

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

#[cfg(feature = "async")]
use crate::runtime::Runtime;
use crate::{
    RUSTC, TARGET, VERSION,
    answer::{Answer, Outcome},
    args::{self, Args},
    completion::{Completion, Once},
    error::{HandlerError, PluginError},
    manifest::{self, Manifest},
    panics, task,
    task::Task,
};

/// A plugin, as `#[plugin]` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a plugin",
    note = "write `#[plugin]` above `impl {Self} {{ … }}`"
)]
pub trait Plugin: Sized + Send + Sync + 'static {
    #[doc(hidden)]
    const NAME: &'static str;
    #[doc(hidden)]
    const VERSION: &'static str;
    #[doc(hidden)]
    const CPU_BOUND: bool;
    #[doc(hidden)]
    const SLOTS: Option<u32>;
    #[doc(hidden)]
    const FUNCTIONS: &'static [Function<Self>];
    #[doc(hidden)]
    fn open(config: &[u8]) -> Result<Self, PluginError>;
}

/// A row of the table: one function and its handler.
pub struct Function<P: 'static> {
    /// The name that requests use.
    pub name: &'static str,
    /// The handler's doc comment.
    pub description: &'static str,
    /// The handler's time limit in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Makes the JSON Schema of the arguments.
    pub args_schema: fn() -> Value,
    /// Makes the JSON Schema of the result.
    pub result_schema: fn() -> Value,
    /// Reads the arguments, runs the handler, writes its result.
    pub run: fn(&Arc<P>, Call<'_>) -> Outcome,
}

/// The JSON Schema of the arguments `T`.
#[must_use]
pub fn args_schema<T: Args>() -> Value {
    T::schema()
}

/// The JSON Schema of the result of a handler that returns `T`.
#[must_use]
pub fn returned_schema<T: Returns>() -> Value
where
    T::Result: HandlerResult,
{
    args::result_schema::<T::Result>()
}

/// The JSON Schema of the result of a handler that answers through `T`.
#[must_use]
pub fn completed_schema<T: Completes>() -> Value
where
    T::Result: HandlerResult,
{
    args::result_schema::<T::Result>()
}

/// The outcome of a handler that has returned.
pub fn returned<T: Returns>(returned: T) -> Outcome
where
    T::Result: HandlerResult,
    T::Error: HandlerError,
{
    let result = returned.into_result();
    Outcome(Some(Answer::from_result(
        result.map_err(HandlerError::into_task_error),
    )))
}

// In the traits below, what an author may get wrong is a bound of its own, with a sentence of its own. A bound on the whole
// signature would be explained by the compiler's words for the innermost one.

/// What a handler may return.
#[diagnostic::on_unimplemented(
    message = "a handler returns `Result<R, TaskError>`, not `{Self}`",
    label = "write `Result<R, TaskError>` here, where `R` derives `serde::Serialize` and `schemars::JsonSchema`"
)]
pub trait Returns {
    /// The type of the result.
    type Result;
    /// The type of the error.
    type Error;

    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Result, Self::Error>;
}

impl<R, E> Returns for Result<R, E> {
    type Result = R;
    type Error = E;

    fn into_result(self) -> Self {
        self
    }
}

/// What a handler may answer through.
#[diagnostic::on_unimplemented(
    message = "a handler answers later through `plugin_api::Completion<R>`, not `{Self}`",
    label = "write `Completion<R>`, where `R` derives `serde::Serialize` and `schemars::JsonSchema`"
)]
pub trait Completes {
    /// The type of the result.
    type Result;
}

impl<R> Completes for Completion<R> {
    type Result = R;
}

/// What a handler may have as its result.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the result of a handler",
    label = "derive `serde::Serialize` and `schemars::JsonSchema` for `{Self}`"
)]
pub trait HandlerResult: Serialize + JsonSchema {}

impl<R: Serialize + JsonSchema> HandlerResult for R {}

/// What `open` may take as the plugin's configuration.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the configuration of a plugin",
    label = "derive `serde::Deserialize` for `{Self}`"
)]
pub trait Config: DeserializeOwned {}

impl<C: DeserializeOwned> Config for C {}

/// What `open` may return.
#[diagnostic::on_unimplemented(
    message = "`open` returns `Result<Self, PluginError>`, not `{Self}`",
    label = "write `Result<Self, PluginError>` here",
    note = "`?` makes a `PluginError` of any `std::error::Error`; of another error make one by `.map_err(|error| PluginError::new(error.to_string()))?`"
)]
pub trait Opens<P> {
    #[doc(hidden)]
    fn into_opened(self) -> Result<P, PluginError>;
}

impl<P> Opens<P> for Result<P, PluginError> {
    fn into_opened(self) -> Self {
        self
    }
}

/// A plugin that needs no `open`.
#[diagnostic::on_unimplemented(
    message = "nothing says how `{Self}` is opened",
    label = "derive `Default` for `{Self}`, or write `fn open() -> Result<Self, PluginError>` in this block"
)]
pub trait OpensByDefault: Default {}

impl<P: Default> OpensByDefault for P {}

/// Opens a plugin without `open`.
#[must_use]
pub fn opened_by_default<P: OpensByDefault>() -> P {
    P::default()
}

/// Opens a plugin by what its `open` has returned.
///
/// # Errors
/// That of `open`.
pub fn opened<P, O: Opens<P>>(opened: O) -> Result<P, PluginError> {
    opened.into_opened()
}

/// Reads a plugin's configuration.
///
/// # Errors
/// When the configuration is refused.
pub fn config<C: Config>(json: &[u8]) -> Result<C, PluginError> {
    args::read_sent(json, None).map_err(refused)
}

/// Checks that there is no configuration, for a plugin that takes none: to ignore one would hide a mistake.
///
/// # Errors
/// When `json` has a key.
pub fn no_config(json: &[u8]) -> Result<(), PluginError> {
    let keys: Map<String, Value> = config(json)?;
    match keys.keys().next() {
        None => Ok(()),
        Some(key) => Err(refused(format!(
            "this plugin takes none, but `{key}` is set"
        ))),
    }
}

fn refused(reason: impl Display) -> PluginError {
    PluginError::new(format!("the configuration is refused: {reason}"))
}

/// A call on its way to its handler.
pub struct Call<'a> {
    pub(crate) task: &'a Task,
    pub(crate) args: &'a [u8],
    #[cfg(feature = "async")]
    pub(crate) runtime: &'a Runtime,
}

impl Call<'_> {
    /// Reads the arguments.
    ///
    /// # Errors
    /// When they are refused; the error is the call's outcome.
    pub fn args<T: Args>(&self) -> Result<T, Outcome> {
        T::read(self.args).map_err(|reason| Outcome(Some(Answer::InvalidArgs(reason))))
    }

    /// The task that is called for.
    #[must_use]
    pub fn task(&self) -> &Task {
        self.task
    }

    /// Runs a handler that answers by means of its completion.
    pub fn deferred<R>(self, handler: impl FnOnce(Completion<R>)) -> Outcome {
        let once = Once::new(self.task.clone());
        let completion = Completion::new(once.clone());
        // Whatever holds the completion when the handler panics may answer as well: the first answer counts.
        if let Err(text) = panics::catch(|| handler(completion)) {
            once.answer(Answer::Panicked(text));
        }
        Outcome::LATER
    }

    /// Starts a handler that is a future.
    #[cfg(feature = "async")]
    pub fn future<P, F>(self, plugin: &Arc<P>, handler: impl FnOnce(Arc<P>, Task) -> F) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let future = handler(Arc::clone(plugin), self.task.clone());
        match self.runtime.spawn(self.task.clone(), future) {
            Ok(()) => Outcome::LATER,
            Err(error) => Outcome(Some(Answer::Failed(error))),
        }
    }
}

/// Runs `function` for `task`; the answer goes through the task.
pub(crate) fn run<P: Plugin>(function: &Function<P>, plugin: &Arc<P>, call: Call<'_>) {
    let task = call.task;
    let outcome = {
        let _current = task::enter(task);
        panics::catch(|| (function.run)(plugin, call))
    };
    let answer = match outcome {
        Ok(Outcome(answer)) => answer,
        Err(text) => Some(Answer::Panicked(text)),
    };
    if let Some(answer) = answer {
        answer.send(task);
    }
}

pub(crate) fn manifest<P: Plugin>() -> Manifest {
    let functions = P::FUNCTIONS.iter().map(|function| manifest::Function {
        name: function.name.to_owned(),
        description: function.description.to_owned(),
        args_schema: (function.args_schema)(),
        result_schema: (function.result_schema)(),
        timeout_ms: function.timeout_ms,
    });
    Manifest {
        name: P::NAME.to_owned(),
        version: P::VERSION.to_owned(),
        plugin_api: VERSION.to_owned(),
        rustc: RUSTC.to_owned(),
        target: TARGET.to_owned(),
        panic: PANIC.to_owned(),
        cpu_bound: P::CPU_BOUND,
        slots: P::SLOTS,
        functions: functions.collect(),
    }
}

/// The panic strategy of this library.
pub(crate) const PANIC: &str = if cfg!(panic = "abort") {
    "abort"
} else {
    "unwind"
};
