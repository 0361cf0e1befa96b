//! `tracing`, bridged: a library has its own copy of tracing's statics, so the plugin's events would reach nobody. This
//! subscriber is the default of that copy, and hands every event to the host, with the task it belongs to.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_core::span::Current;

use crate::{abi::log_level, error::chain, task, task::Task};

/// Used where there is no current task: on threads that the plugin starts by itself.
static DEFAULT_TASK: OnceLock<Task> = OnceLock::new();

pub(crate) fn set_default_task(task: &Task) {
    DEFAULT_TASK.get_or_init(|| task.clone());
}

/// Makes the bridge the default subscriber, unless there is one already: a test may have its own.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // It only fails if there is one already.
        let _ = tracing::subscriber::set_global_default(Bridge::default());
    });
}

pub(crate) fn current_task() -> Option<Task> {
    task::current().or_else(|| DEFAULT_TASK.get().cloned())
}

/// Why a plugin could not be opened, and what to do where it is a second subscriber or logger.
pub(crate) fn explain(mut reason: String) -> String {
    // As tracing-core and log say it, by `Display` and by `Debug`.
    const SET_ALREADY: [&str; 4] = [
        "a global default trace dispatcher has already been set",
        "attempted to set a logger after the logging system was already initialized",
        "SetGlobalDefaultError",
        "SetLoggerError",
    ];
    if SET_ALREADY.iter().any(|text| reason.contains(text)) {
        reason += "; plugin-api has set a subscriber for `tracing` and a logger for `log`, which lead to the host's log: \
            set none of your own";
    }
    reason
}

fn level_number(level: Level) -> u32 {
    match level {
        Level::ERROR => log_level::ERROR,
        Level::WARN => log_level::WARN,
        Level::INFO => log_level::INFO,
        Level::DEBUG => log_level::DEBUG,
        Level::TRACE => log_level::TRACE,
    }
}

#[derive(Default)]
struct Bridge {
    span_count: AtomicU64,
    spans: RwLock<HashMap<u64, Arc<Span>>>,
}

/// A span that is alive. Its fields go into the events within it.
struct Span {
    id: u64,
    metadata: &'static Metadata<'static>,
    parent: Option<Arc<Span>>,
    fields: Mutex<Map<String, Value>>,
    handles: AtomicUsize,
}

impl Span {
    fn fields(&self) -> MutexGuard<'_, Map<String, Value>> {
        self.fields.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    /// The spans this thread is in, the innermost last.
    static ENTERED: RefCell<Vec<Arc<Span>>> = const { RefCell::new(Vec::new()) };
}

fn innermost() -> Option<Arc<Span>> {
    ENTERED
        .try_with(|entered| entered.borrow().last().cloned())
        .ok()
        .flatten()
}

impl Bridge {
    fn span(&self, id: &Id) -> Option<Arc<Span>> {
        let spans = self.spans.read().unwrap_or_else(PoisonError::into_inner);
        spans.get(&id.into_u64()).cloned()
    }

    /// The span that something belongs to: the one it names, the one this thread is in, or none.
    fn scope(&self, named: Option<&Id>, contextual: bool) -> Option<Arc<Span>> {
        match named {
            Some(id) => self.span(id),
            None if contextual => innermost(),
            None => None,
        }
    }
}

impl Subscriber for Bridge {
    /// Never decided for good, since the host may change its level.
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        current_task()
            .is_some_and(|task| level_number(*metadata.level()) <= task.host().log_level_max())
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let id = self.span_count.fetch_add(1, Ordering::Relaxed) + 1;
        let span = Arc::new(Span {
            id,
            metadata: attributes.metadata(),
            parent: self.scope(attributes.parent(), attributes.is_contextual()),
            fields: Mutex::new(fields.into_map()),
            handles: AtomicUsize::new(1),
        });
        let mut spans = self.spans.write().unwrap_or_else(PoisonError::into_inner);
        spans.insert(id, span);
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        if let Some(span) = self.span(id) {
            let mut fields = Fields::default();
            values.record(&mut fields);
            span.fields().append(&mut fields.into_map());
        }
    }

    fn record_follows_from(&self, _id: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(task) = current_task() else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut map = fields.map;
        let mut scope = self.scope(event.parent(), event.is_contextual());
        while let Some(span) = scope {
            for (name, value) in &*span.fields() {
                // The field that is nearest to the event wins.
                if !map.contains_key(name) {
                    map.insert(name.clone(), value.clone());
                }
            }
            scope = span.parent.clone();
        }
        let json = if map.is_empty() {
            Vec::new()
        } else {
            serde_json::to_vec(&map).expect("a map of JSON values can always be written as JSON")
        };
        let metadata = event.metadata();
        let level = level_number(*metadata.level());
        task.host()
            .log(task.id(), level, metadata.target(), &fields.message, &json);
    }

    fn enter(&self, id: &Id) {
        if let Some(span) = self.span(id) {
            let _ = ENTERED.try_with(|entered| entered.borrow_mut().push(span));
        }
    }

    fn exit(&self, id: &Id) {
        let left = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            let position = entered.iter().rposition(|span| span.id == id.into_u64())?;
            Some(entered.remove(position))
        });
        // Dropped only now, when the list is no longer borrowed.
        drop(left);
    }

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(span) = self.span(id) {
            span.handles.fetch_add(1, Ordering::Relaxed);
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let Some(span) = self.span(&id) else {
            return false;
        };
        if span.handles.fetch_sub(1, Ordering::AcqRel) > 1 {
            return false;
        }
        let mut spans = self.spans.write().unwrap_or_else(PoisonError::into_inner);
        spans.remove(&id.into_u64());
        true
    }

    fn current_span(&self) -> Current {
        match innermost() {
            Some(span) => Current::new(Id::from_u64(span.id), span.metadata),
            None => Current::none(),
        }
    }
}

/// Collects the fields of an event or a span.
#[derive(Default)]
struct Fields {
    message: String,
    map: Map<String, Value>,
}

impl Fields {
    /// All of them: in a span, `message` is a field like any other.
    fn into_map(mut self) -> Map<String, Value> {
        if !self.message.is_empty() {
            self.map
                .insert(String::from("message"), Value::String(self.message));
        }
        self.map
    }

    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        match (field.name(), value.into()) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                self.map.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}
