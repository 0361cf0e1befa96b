//! What a worker sees of a plugin: the header, the layout, the note, and the four functions.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    collections::HashMap,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use plugin_api::{
    __private::{Plugin, header, note_bytes, note_len},
    Task, TaskError,
    abi::{Failure, HostServices, HostServicesRef, PluginModule, PluginModuleRef, status},
    abi_stable::{
        StableAbi,
        abi_stability::abi_checking::{CheckingGlobals, check_layout_compatibility_with_globals},
        library::ROOT_MODULE_LOADER_NAME,
        prefix_type::{PTStructLayout, PrefixTypeTrait},
        std_types::{RResult, RSlice, RStr, RVec},
    },
    manifest::Manifest,
    note, plugin, tracing,
};
use serde_json::json;

/// Panics that the plugin's own hook has seen.
static HOOKED: AtomicU32 = AtomicU32::new(0);

struct Counter;

impl Default for Counter {
    fn default() -> Self {
        std::panic::set_hook(Box::new(|_| {
            HOOKED.fetch_add(1, Ordering::Relaxed);
        }));
        Self
    }
}

#[plugin]
impl Counter {
    /// Counts to `n`.
    #[handler(timeout = "1m")]
    fn count(&self, args: u64, task: &Task) -> Result<u64, TaskError> {
        for step in 1..=args {
            task.check()?;
            task.progress(step, args, "counting");
        }
        tracing::info!(args, "counted");
        tracing::debug!("not wanted");
        Ok(args)
    }

    #[handler]
    fn panic(&self) -> Result<(), TaskError> {
        panic!("told to");
    }

    #[handler]
    fn remaining(&self, task: &Task) -> Result<Option<u128>, TaskError> {
        Ok(task.remaining().map(|left| left.as_nanos()))
    }
}

/// A worker with notebook. Task numbers are its commands: 7 is cancelled, 8 has no deadline.
#[derive(Default)]
struct Worker {
    answers: HashMap<u64, Vec<(u32, Vec<u8>)>>,
    progress: Vec<(u64, u64, u64, String)>,
    logs: Vec<(u64, u32, String, String, String)>,
}

static WORKER: Mutex<Option<Worker>> = Mutex::new(None);
static ANSWERED: Condvar = Condvar::new();
static LOG_LEVEL_MAX: AtomicU32 = AtomicU32::new(3);

fn with_worker<R>(use_it: impl FnOnce(&mut Worker) -> R) -> R {
    let mut worker = WORKER.lock().unwrap_or_else(PoisonError::into_inner);
    use_it(worker.get_or_insert_default())
}

extern "C" fn complete(task: u64, status: u32, bytes: RVec<u8>) {
    with_worker(|worker| {
        let answers = worker.answers.entry(task).or_default();
        answers.push((status, bytes.into_vec()));
    });
    ANSWERED.notify_all();
}

extern "C" fn is_cancelled(task: u64) -> bool {
    task == 7
}

extern "C" fn remaining_ns(task: u64) -> u64 {
    if task == 8 { u64::MAX } else { 5_000_000_000 }
}

extern "C" fn progress(task: u64, done: u64, total: u64, message: RStr<'_>) {
    with_worker(|worker| {
        worker
            .progress
            .push((task, done, total, message.to_string()));
    });
}

extern "C" fn log_level_max() -> u32 {
    LOG_LEVEL_MAX.load(Ordering::Relaxed)
}

extern "C" fn log(
    task: u64,
    level: u32,
    target: RStr<'_>,
    message: RStr<'_>,
    fields: RSlice<'_, u8>,
) {
    let fields = String::from_utf8(fields.to_vec()).unwrap();
    let event = (task, level, target.to_string(), message.to_string(), fields);
    with_worker(|worker| worker.logs.push(event));
}

fn services() -> HostServicesRef {
    HostServices {
        complete,
        is_cancelled,
        remaining_ns,
        progress,
        log_level_max,
        log,
    }
    .leak_into_prefix()
}

fn answer(task: u64) -> (u32, Vec<u8>) {
    let worker = WORKER.lock().unwrap_or_else(PoisonError::into_inner);
    let answered = |worker: &Option<Worker>| {
        worker
            .as_ref()
            .is_some_and(|worker| worker.answers.contains_key(&task))
    };
    let (mut worker, wait) = ANSWERED
        .wait_timeout_while(worker, Duration::from_secs(60), |worker| !answered(worker))
        .unwrap_or_else(PoisonError::into_inner);
    assert!(!wait.timed_out(), "task {task} was not answered");
    let answers = worker.as_mut().unwrap().answers.remove(&task).unwrap();
    let [answer] = answers.as_slice() else {
        panic!("task {task} was answered {} times", answers.len());
    };
    answer.clone()
}

fn open(module: PluginModuleRef, config: &[u8]) -> Result<(), String> {
    match module.open()(services(), RSlice::from_slice(config)) {
        RResult::ROk(()) => Ok(()),
        RResult::RErr(text) => Err(String::from_utf8(text.into_vec()).unwrap()),
    }
}

/// One test, since a process has one plugin, which is opened once.
#[test]
fn a_plugin_lives_through_its_whole_life() {
    let header = header::<Counter>(ROOT_MODULE_LOADER_NAME);
    assert_eq!(header.version_strings().version.as_str(), "1.0.0");
    let layout = header.layout().unwrap();
    let globals = CheckingGlobals::new();
    check_layout_compatibility_with_globals(PluginModuleRef::LAYOUT, layout, &globals).unwrap();
    let module = header.init_root_module::<PluginModuleRef>().unwrap();

    let manifest: Manifest = serde_json::from_slice(&module.manifest()()).unwrap();
    assert_eq!(manifest.name, "abi");
    assert_eq!(manifest.functions[0].timeout_ms, Some(60_000));

    let call = |function, task, args: &str| {
        module.call()(function, task, RSlice::from_slice(args.as_bytes()));
    };
    call(0, 1, "1");
    assert!(
        with_worker(|worker| worker.answers.is_empty()),
        "nobody can answer before open"
    );

    let refused = open(module, b"{\"level\": 3}").unwrap_err();
    assert_eq!(
        refused,
        "the configuration is refused: this plugin takes none, but `level` is set"
    );
    open(module, b"{}").unwrap();
    assert_eq!(
        open(module, b"{}").unwrap_err(),
        "the plugin is open already"
    );

    calls_are_answered(call);

    module.close()();
    call(0, 30, "1");
    let (status, bytes) = answer(30);
    let failure: Failure = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((status, failure.kind.as_str()), (status::FAILED, "closed"));
}

fn calls_are_answered(call: impl Fn(u32, u64, &str)) {
    call(0, 2, "2");
    assert_eq!(answer(2), (status::OK, b"2".to_vec()));
    let counted = (
        2,
        3,
        String::from("abi"),
        String::from("counted"),
        json!({"args": 2}).to_string(),
    );
    let steps = [1, 2].map(|step| (2, step, 2, String::from("counting")));
    with_worker(|worker| {
        assert_eq!(worker.progress, steps);
        assert_eq!(worker.logs, [counted]);
    });

    LOG_LEVEL_MAX.store(4, Ordering::Relaxed);
    call(0, 3, "0");
    answer(3);
    let levels = with_worker(|worker| worker.logs.iter().map(|log| log.1).collect::<Vec<_>>());
    assert_eq!(levels, [3, 3, 4], "the level is asked for anew");

    call(0, 4, "-1");
    let (status, text) = answer(4);
    assert_eq!(status, status::INVALID_ARGS);
    assert!(String::from_utf8(text).unwrap().contains("integer `-1`"));

    call(0, 7, "1");
    assert_eq!(
        answer(7),
        (status::CANCELLED, b"the task was cancelled".to_vec())
    );

    call(1, 5, "");
    let (status, text) = answer(5);
    assert_eq!(status, status::PANICKED);
    let text = String::from_utf8(text).unwrap();
    let place = "panicked at plugin-api/tests/abi.rs:";
    assert!(
        text.starts_with(place),
        "under a hook of the plugin's own: {text}"
    );
    assert!(text.ends_with(": told to"), "{text}");
    assert_eq!(
        HOOKED.load(Ordering::Relaxed),
        1,
        "theirs is called as well"
    );

    call(2, 6, "[]");
    assert_eq!(answer(6), (status::OK, b"5000000000".to_vec()));
    call(2, 8, "[]");
    assert_eq!(answer(8), (status::OK, b"null".to_vec()));

    call(99, 9, "{}");
    let (status, bytes) = answer(9);
    let failure: Failure = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        (status, failure.kind.as_str()),
        (status::FAILED, "unknown_function")
    );
}

/// The promise of 1.x: these fields stay, in this order; new ones come behind them.
#[test]
fn fields_are_only_ever_appended() {
    let names = |layout: &'static PTStructLayout| layout.get_field_names().collect::<Vec<_>>();
    let services = names(HostServices::PT_LAYOUT);
    let services_1_0 = [
        "complete",
        "is_cancelled",
        "remaining_ns",
        "progress",
        "log_level_max",
        "log",
    ];
    assert!(services.starts_with(&services_1_0), "{services:?}");
    let module = names(PluginModule::PT_LAYOUT);
    assert!(
        module.starts_with(&["manifest", "open", "call", "close"]),
        "{module:?}"
    );
}

#[test]
fn the_note_says_what_the_manifest_says() {
    const NOTE_LEN: usize = note_len::<Counter>();
    let bytes = note_bytes::<Counter, NOTE_LEN>();
    assert_eq!(bytes.as_bytes().len() % 4, 0);
    let note = note::parse(bytes.as_bytes()).unwrap();
    assert_eq!(note.name, "abi");
    assert_eq!(note.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(note.plugin_api, plugin_api::VERSION);
    assert_eq!(note.rustc, plugin_api::RUSTC);
    assert_eq!(note.target, plugin_api::TARGET);
    assert_eq!(note.panic, "unwind");
    let names: Vec<&str> = Counter::FUNCTIONS
        .iter()
        .map(|function| function.name)
        .collect();
    assert_eq!(note.functions, names);
}
