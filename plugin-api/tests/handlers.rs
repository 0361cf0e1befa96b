//! Every form a handler may have, and everything that may become of a call, on the path that a worker takes.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use plugin_api::{
    Completion, PluginError, Task, TaskError, plugin,
    testing::{self, CallError, Opened},
    tracing::{self, Level},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

struct Sample {
    shout: bool,
    parked: Mutex<Vec<Completion<u32>>>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    shout: bool,
    #[serde(default)]
    limits: BTreeMap<String, u8>,
    #[serde(default)]
    sets: String,
}

#[derive(Deserialize, JsonSchema)]
struct Letter {
    /// The recipients.
    to: Vec<String>,
    #[serde(default)]
    copies: u8,
}

#[derive(Serialize, JsonSchema)]
struct Sent {
    accepted: usize,
}

#[derive(Serialize, JsonSchema)]
struct Statistics {
    mean: f32,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Options {
    verbose: bool,
}

struct OwnLogger;

impl log::Log for OwnLogger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        false
    }

    fn log(&self, _: &log::Record<'_>) {}

    fn flush(&self) {}
}

#[plugin(name = "sample", cpu_bound, slots = 8)]
impl Sample {
    fn open(config: Config) -> Result<Self, PluginError> {
        match config.sets.as_str() {
            "a subscriber" => {
                tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::new())?;
            }
            "a logger" => log::set_logger(&OwnLogger)?,
            "a logger, and panics" => log::set_logger(&OwnLogger).unwrap(),
            _ => {}
        }
        tracing::info!(limits = config.limits.len(), "opened");
        if config.limits.contains_key("panic") {
            panic!("limits are {:?}", config.limits);
        }
        if config.limits.values().any(|&limit| limit == 0) {
            return Err(PluginError::new("a limit must not be 0"));
        }
        Ok(Self {
            shout: config.shout,
            parked: Mutex::default(),
        })
    }

    /// Sends a letter.
    ///
    /// To everybody.
    #[handler(timeout = "30s")]
    fn send(&self, args: Letter, task: &Task) -> Result<Sent, TaskError> {
        task.check()?;
        Ok(Sent {
            accepted: args.to.len() + usize::from(args.copies),
        })
    }

    #[handler]
    fn nothing(&self) -> Result<(), TaskError> {
        self.no_handler();
        Ok(())
    }

    #[handler(name = "sample.only-args")]
    fn only_args(&self, Options { verbose }: Options) -> Result<bool, TaskError> {
        Ok(verbose)
    }

    #[handler]
    fn only_task(&self, task: &Task) -> Result<u64, TaskError> {
        Ok(task.id())
    }

    #[handler]
    fn r#type(&self, args: Box<RawValue>) -> Result<Box<RawValue>, TaskError> {
        Ok(args)
    }

    #[handler]
    fn list(&self, mut args: Vec<u8>) -> Result<Vec<u8>, TaskError> {
        args.reverse();
        Ok(args)
    }

    #[handler]
    fn fail(&self) -> Result<(), TaskError> {
        Err(TaskError::new("full", "no room")
            .retryable()
            .data(json!({"free": 0})))
    }

    #[handler]
    fn io_error(&self) -> Result<String, TaskError> {
        Ok(std::fs::read_to_string("/no/such/file")?)
    }

    #[handler]
    fn panic(&self) -> Result<(), TaskError> {
        panic!("shout is {}", self.shout)
    }

    #[handler]
    fn not_a_number(&self) -> Result<Statistics, TaskError> {
        Ok(Statistics { mean: f32::NAN })
    }

    #[handler]
    fn unit(&self, args: ()) -> Result<(), TaskError> {
        Ok(args)
    }

    #[handler]
    fn perhaps(&self, args: Option<Letter>) -> Result<Option<usize>, TaskError> {
        Ok(args.map(|letter| letter.to.len()))
    }

    #[handler]
    fn unwritable(&self) -> Result<BTreeMap<Option<u8>, ()>, TaskError> {
        Ok(BTreeMap::from([(None, ())]))
    }

    #[handler]
    fn steps(&self, args: u64, task: &Task) -> Result<u64, TaskError> {
        for step in 0.. {
            if step == args {
                return Ok(step);
            }
            task.check()?;
            task.progress(step, args, "stepping");
            thread::yield_now();
        }
        unreachable!("steps go on for ever")
    }

    #[handler]
    fn time(&self, task: &Task) -> Result<(bool, bool), TaskError> {
        Ok((task.deadline().is_some(), task.remaining().is_some()))
    }

    #[handler]
    fn log(&self, args: String) -> Result<(), TaskError> {
        let outer = tracing::info_span!(
            "outer",
            color = "red",
            who = "outer",
            late = tracing::field::Empty
        );
        let _outer = outer.enter();
        outer.record("late", 7);
        let inner = tracing::info_span!("inner", who = "inner");
        inner.in_scope(|| tracing::warn!(answer = 42, ratio = 0.5, text = %args, debug = ?Some(1), "says {args}"));
        tracing::trace!(target: "elsewhere", parent: None, "alone");
        Ok(())
    }

    #[handler]
    fn log_crate(&self, args: String) -> Result<(), TaskError> {
        log::warn!(target: "a_dependency", "says {args}");
        Ok(())
    }

    #[handler]
    fn later(&self, args: u32, completion: Completion<u32>) {
        thread::spawn(move || completion.complete(Ok(args + 1)));
    }

    #[handler]
    fn later_failing(&self, completion: Completion<u32>) {
        thread::spawn(move || completion.complete(Err(TaskError::new("late", "too late"))));
    }

    #[handler]
    fn dropped(&self, completion: Completion<()>) {
        thread::spawn(move || drop(completion));
    }

    #[handler]
    fn dropped_in_panic(&self, completion: Completion<()>) {
        let thread = thread::spawn(move || {
            assert_eq!(completion.task().id(), 0, "no luck elsewhere");
        });
        assert!(thread.join().is_err());
    }

    #[handler]
    fn panic_with_completion(&self, completion: Completion<()>) {
        let _held = completion;
        panic!("held");
    }

    #[handler]
    fn panic_after_parking(&self, completion: Completion<u32>) {
        self.parked.lock().unwrap().push(completion);
        panic!("parked");
    }

    #[handler]
    fn park(&self, completion: Completion<u32>) {
        let task = completion.task().clone();
        self.parked.lock().unwrap().push(completion);
        task.progress(1, 1, "parked");
    }

    #[handler]
    fn unpark(&self) -> Result<usize, TaskError> {
        let parked = std::mem::take(&mut *self.parked.lock().unwrap());
        let count = parked.len();
        for completion in parked {
            completion.complete(Ok(1));
        }
        Ok(count)
    }

    #[cfg(not(test))]
    #[handler]
    fn twin(&self) -> Result<NoSuchType, TaskError> {
        unreachable!()
    }

    #[cfg(test)]
    #[handler]
    fn twin(&self) -> Result<&'static str, TaskError> {
        Ok("the one that is there")
    }

    /// No handler, and left alone: generic, by value, whatever.
    fn no_handler(&self) -> &Self {
        self
    }
}

fn opened() -> Opened<Sample> {
    testing::open(()).unwrap()
}

#[test]
fn handlers_of_every_form_are_called_by_name_and_json() {
    let sample = opened();
    let to = json!({"to": ["a", "b"], "copies": 1});
    assert_eq!(sample.call("send", to).unwrap(), json!({"accepted": 3}));
    assert_eq!(sample.call("nothing", ()).unwrap(), json!(null));
    assert_eq!(
        sample
            .call("sample.only-args", json!({"verbose": true}))
            .unwrap(),
        true
    );
    assert!(sample.call("only_task", ()).unwrap().as_u64().unwrap() > 0);
    assert_eq!(sample.call("list", [1, 2, 3]).unwrap(), json!([3, 2, 1]));
    assert_eq!(sample.call("later", 1).unwrap(), 2);
    assert_eq!(sample.call("twin", ()).unwrap(), "the one that is there");
    let missing = sample.call("no_handler", ()).unwrap_err();
    assert_eq!(
        missing,
        CallError::UnknownFunction(String::from("no_handler"))
    );
}

#[test]
fn a_result_that_is_raw_json_is_passed_byte_for_byte() {
    let text = r#"{"b":  1.50, "a": [ ]}"#;
    let args: Box<RawValue> = serde_json::from_str(text).unwrap();
    let result = opened().call("type", args).unwrap();
    assert_eq!(result, serde_json::from_str::<Value>(text).unwrap());
}

#[test]
fn the_manifest_tells_what_the_code_says() {
    let manifest = opened().manifest();
    assert_eq!(manifest.name, "sample");
    assert_eq!(manifest.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest.plugin_api, "1.0.0");
    assert!(manifest.rustc.starts_with("rustc 1."), "{}", manifest.rustc);
    assert_eq!(manifest.panic, "unwind");
    assert!(manifest.cpu_bound);
    assert_eq!(manifest.slots, Some(8));

    let send = &manifest.functions[0];
    assert_eq!(send.name, "send");
    assert_eq!(send.description, "Sends a letter.\n\nTo everybody.");
    assert_eq!(send.timeout_ms, Some(30_000));
    assert_eq!(send.args_schema["required"], json!(["to"]));
    assert_eq!(
        send.args_schema["properties"]["to"]["description"],
        "The recipients."
    );
    assert_eq!(send.result_schema["required"], json!(["accepted"]));
    // In the author's order, which is the one that people see.
    let properties = send.args_schema["properties"].as_object().unwrap();
    assert!(properties.keys().eq(["to", "copies"]), "{properties:?}");

    let later = manifest
        .functions
        .iter()
        .find(|function| function.name == "later")
        .unwrap();
    assert_eq!(later.timeout_ms, None);
    assert_eq!(later.result_schema["type"], "integer");
    let nothing = &manifest.functions[1];
    assert_eq!(
        (nothing.description.as_str(), &nothing.args_schema),
        ("", &json!({}))
    );
}

#[test]
fn an_empty_array_stands_for_an_empty_object_where_one_is_wanted() {
    let sample = opened();
    let empty: [u8; 0] = [];
    assert_eq!(sample.call("sample.only-args", empty).unwrap(), false);
    assert_eq!(sample.call("list", empty).unwrap(), json!([]));
    assert_eq!(sample.call("type", empty).unwrap(), json!([]));
    assert_eq!(sample.call("nothing", empty).unwrap(), json!(null));
    let refused = sample.call("send", empty).unwrap_err();
    assert_eq!(
        refused,
        CallError::InvalidArgs(String::from("missing field `to`"))
    );
}

#[test]
fn a_request_without_arguments_is_what_the_type_takes_for_nothing() {
    let sample = opened();
    let empty: [u8; 0] = [];
    for nothing in [json!({}), json!(empty), json!(null)] {
        assert_eq!(sample.call("unit", &nothing).unwrap(), json!(null));
        assert_eq!(sample.call("perhaps", &nothing).unwrap(), json!(null));
    }
    let letter = json!({"to": ["a"]});
    assert_eq!(sample.call("perhaps", letter).unwrap(), 1);
    let refused = sample.call("perhaps", json!({"copies": 1})).unwrap_err();
    let missing = CallError::InvalidArgs(String::from("missing field `to`"));
    assert_eq!(refused, missing);
}

#[test]
fn refused_arguments_name_path_and_reason() {
    let refused = opened().call("send", json!({"to": ["a", 5]})).unwrap_err();
    let reason = "at `to[1]`: invalid type: integer `5`, expected a string";
    assert_eq!(refused, CallError::InvalidArgs(reason.to_owned()));
    let refused = opened().call("later", "x").unwrap_err();
    assert!(matches!(refused, CallError::InvalidArgs(_)), "{refused}");
}

#[test]
fn a_failure_arrives_with_all_it_says() {
    let sample = opened();
    let failure = CallError::Failed {
        kind: String::from("full"),
        message: String::from("no room"),
        retryable: true,
        data: Some(json!({"free": 0})),
    };
    assert_eq!(sample.call("fail", ()).unwrap_err(), failure);
    assert_eq!(
        sample.call("later_failing", ()).unwrap_err().kind(),
        Some("late")
    );
    assert_eq!(
        sample.call("io_error", ()).unwrap_err().kind(),
        Some("error")
    );
    assert_eq!(
        sample.call("unwritable", ()).unwrap_err().kind(),
        Some("invalid_result")
    );
    let CallError::Failed { kind, message, .. } = sample.call("not_a_number", ()).unwrap_err()
    else {
        panic!("a number that JSON doesn't have is no result");
    };
    assert_eq!(kind, "invalid_result");
    assert!(
        message.starts_with("the result can't be written as JSON: at `mean`: JSON has no NaN"),
        "{message}"
    );
}

#[test]
fn a_panic_is_located_and_the_plugin_lives() {
    let sample = testing::open::<Sample>(json!({"shout": true})).unwrap();
    for _ in 0..2 {
        let CallError::Panicked(text) = sample.call("panic", ()).unwrap_err() else {
            panic!("not answered as a panic");
        };
        assert!(
            text.starts_with("panicked at plugin-api/tests/handlers.rs:"),
            "{text}"
        );
        assert!(text.ends_with(": shout is true"), "{text}");
    }
    assert_eq!(sample.call("nothing", ()).unwrap(), json!(null));
}

#[test]
fn a_completion_answers_exactly_once_whatever_happens() {
    let sample = opened();
    assert_eq!(
        sample.call("dropped", ()).unwrap_err(),
        CallError::Abandoned
    );
    for function in [
        "dropped_in_panic",
        "panic_with_completion",
        "panic_after_parking",
    ] {
        let error = sample.call(function, ()).unwrap_err();
        assert!(
            matches!(error, CallError::Panicked(_)),
            "{function}: {error}"
        );
    }
    // The parked one was answered when its handler panicked; what comes now comes too late, and does no harm.
    assert_eq!(sample.call("unpark", ()).unwrap(), 1);
}

#[test]
fn a_running_task_is_cancelled_from_elsewhere() {
    let running = opened().prepare("steps", u64::MAX).start();
    running.wait_for_progress(3);
    running.cancel();
    let finished = running.wait();
    let cancelled = CallError::Cancelled(String::from("the task was cancelled"));
    assert_eq!(finished.result.unwrap_err(), cancelled);
    assert!(finished.progress.len() > 3);
    assert_eq!(finished.progress[1].done, 1);
    assert_eq!(finished.progress[1].total, u64::MAX);
    assert_eq!(finished.progress[1].message, "stepping");
}

#[test]
fn a_task_whose_time_is_up_is_answered_so() {
    let call = opened().prepare("steps", u64::MAX);
    let finished = call.timeout(Duration::from_millis(5)).run();
    assert!(matches!(finished.result, Err(CallError::Timeout(_))));
}

#[test]
fn a_task_knows_its_deadline() {
    let sample = opened();
    assert_eq!(sample.call("time", ()).unwrap(), json!([true, true]));
    let task = testing::task();
    assert!(task.deadline().is_none(), "a task of a test has no limit");
}

#[test]
fn log_events_arrive_with_their_fields_and_those_of_their_spans() {
    let logs = opened().prepare("log", "hello").run().logs;
    let [first, second] = logs.as_slice() else {
        panic!("{logs:?}");
    };
    assert_eq!(first.level, Level::WARN);
    assert_eq!(first.target, "handlers");
    assert_eq!(first.message, "says hello");
    let fields = json!({
        "answer": 42, "ratio": 0.5, "text": "hello", "debug": "Some(1)", "color": "red", "who": "inner", "late": 7,
    });
    assert_eq!(Value::Object(first.fields.clone()), fields);
    assert_eq!(
        (second.level, second.target.as_str()),
        (Level::TRACE, "elsewhere")
    );
    assert!(second.fields.is_empty());
}

#[test]
fn what_is_written_to_the_log_crate_arrives_too() {
    let logs = opened().prepare("log_crate", "hello").run().logs;
    let [event] = logs.as_slice() else {
        panic!("{logs:?}");
    };
    assert_eq!(
        (event.level, event.target.as_str()),
        (Level::WARN, "a_dependency")
    );
    assert_eq!(event.message, "says hello");
}

#[test]
fn a_subscriber_or_a_logger_of_its_own_is_refused_by_a_sentence() {
    let sentence = |what: &str| {
        let opened = testing::open::<Sample>(json!({ "sets": what }));
        opened.unwrap_err().message().to_owned()
    };
    for what in ["a subscriber", "a logger", "a logger, and panics"] {
        let text = sentence(what);
        assert!(text.ends_with("set none of your own"), "{text}");
    }
}

#[test]
fn opening_logs_fails_and_panics_as_it_should() {
    let sample = testing::open::<Sample>(json!({"limits": {"a": 1}})).unwrap();
    assert_eq!(sample.logs()[0].message, "opened");
    assert_eq!(sample.logs()[0].fields["limits"], 1);

    let sentence = |config: Value| {
        testing::open::<Sample>(config)
            .unwrap_err()
            .message()
            .to_owned()
    };
    assert_eq!(
        sentence(json!({"limits": {"a": 0}})),
        "a limit must not be 0"
    );
    assert_eq!(
        sentence(json!({"limits": {"a": "x"}})),
        "the configuration is refused: at `limits.a`: invalid type: string \"x\", expected u8"
    );
    let text = sentence(json!({"limits": {"panic": 1}}));
    assert!(
        text.starts_with("opening the plugin panicked at plugin-api/tests/handlers.rs:"),
        "{text}"
    );
}

#[test]
fn tests_side_by_side_see_nothing_of_each_other() {
    let finished = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..16 {
            let finished = &finished;
            scope.spawn(move || {
                let sample = opened();
                let text = format!("number {number}");
                for _ in 0..50 {
                    let call = sample.prepare("log", &text).run();
                    assert_eq!(call.logs.len(), 2);
                    assert_eq!(call.logs[0].fields["text"], text.as_str());
                    assert_eq!(sample.call("steps", number).unwrap(), number);
                    assert!(sample.call("panic", ()).is_err());
                }
                finished.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(finished.load(Ordering::Relaxed), 16);
}

#[test]
fn a_method_is_called_directly_with_a_task_of_the_kit() {
    let sample = Sample {
        shout: false,
        parked: Mutex::default(),
    };
    let task = testing::task();
    assert_eq!(sample.steps(3, &task).unwrap(), 3);
    let done: Vec<u64> = task
        .progress_so_far()
        .iter()
        .map(|progress| progress.done)
        .collect();
    assert_eq!(done, [0, 1, 2]);

    let other = testing::task();
    sample.later(1, other.completion());
    assert_eq!(other.wait().result.unwrap(), 2);
    assert!(other.is_cancelled(), "an answered task is wanted no more");

    assert!(!task.is_cancelled());
    task.cancel();
    assert!(sample.steps(3, &task).unwrap_err().is_cancelled());
    let late = testing::task_with_timeout(Duration::ZERO);
    assert!(late.is_cancelled());
    assert_eq!(late.remaining(), Some(Duration::ZERO));
}

#[test]
fn closing_drops_the_state() {
    let sample = opened();
    let parked = sample.prepare("park", ()).start();
    parked.wait_for_progress(1);
    sample.close();
    // Whatever the state held went with it.
    assert_eq!(parked.wait().result.unwrap_err(), CallError::Abandoned);
}
