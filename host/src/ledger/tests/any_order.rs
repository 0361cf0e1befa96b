//! Random operations in random order: each store answers as the model does, and keeps the same of every task.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::contract::NO_LIMITS;
use super::model::Model;
use super::{NOW, ask, id, task, want};
use crate::ledger::postgres::tests::Schema;
use crate::ledger::{
    ClaimAsk, Durability, Ending, Enqueued, Failure, Filter, Finish, NewTask, Options, PageAsk,
    RetryOn, RetryPolicy, Selection, Sqlite, State, Store, Target, TaskId, Want, copy,
};

#[derive(Clone, Debug)]
enum Op {
    Enqueue(Vec<NewTask>),
    Claim(Vec<Want>),
    /// Ends of claims, of which the number says which; some of them over already.
    Finish(Vec<(usize, Ending)>),
    Beat(Vec<usize>),
    Sweep(usize),
    Prune(usize),
    Cancel(Selection, bool),
    Retry(Selection, bool),
    Discard(Selection, bool),
    Pause(&'static str, bool),
    List(PageAsk),
    /// The host ends and comes again; what ran was given back.
    Reopen,
}

const FUNCTIONS: [&str; 2] = ["f", "g"];

fn of<T: Clone + std::fmt::Debug + 'static>(values: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(values)
}

fn maybe(values: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    prop::option::of(of(values).prop_map(str::to_owned))
}

/// Without an id, and with times that are counted from when it is taken in.
fn new_task() -> impl Strategy<Value = NewTask> {
    let names = (
        of(&FUNCTIONS),
        maybe(&["k", "l"]),
        maybe(&["s", "t"]),
        maybe(&["a", "b"]),
        maybe(&["1", "2"]),
    );
    let times = (
        of(&[0, 0, 0, 30, 300]),
        prop::option::of(of(&[20, 200])),
        prop::option::of(of(&[10, 100])),
        of(&[0, 50, 500]),
    );
    let rest = (
        1..=9_u8,
        0..3_u32,
        any::<bool>(),
        prop::bool::weighted(0.2),
        of(&[0, 3, 600]),
    );
    (names, times, rest).prop_map(
        |(names, times, (priority, max, any, at_most_once, args_len))| {
            let on = if any {
                RetryOn::Any
            } else {
                RetryOn::Retryable
            };
            NewTask {
                key: names.1,
                subject: names.2,
                limit_key: names.3,
                version: names.4,
                available_at: times.0,
                deadline_at: times.1,
                unique_until: times.2,
                result_ttl_ms: times.3,
                priority,
                retry: RetryPolicy {
                    max,
                    base_ms: 20,
                    cap_ms: 100,
                    on,
                },
                at_most_once,
                args: Bytes::from(vec![b'7'; args_len]),
                ..task(0, names.0)
            }
        },
    )
}

fn wanted() -> impl Strategy<Value = Want> {
    (of(&FUNCTIONS), of(&["1", "2"]), 0..6_u32).prop_map(|(function, version, count)| Want {
        version: version.into(),
        ..want(function, count)
    })
}

fn ending() -> impl Strategy<Value = Ending> {
    let error = Bytes::from_static(b"{\"code\":\"handler_failed\"}");
    let (for_failed, for_lost, for_cancelled) = (error.clone(), error.clone(), error);
    let failure = (
        any::<bool>(),
        prop::bool::weighted(0.1),
        prop::option::of(of(&[0, 40])),
    );
    prop_oneof![
        of(&[1, 2, 700]).prop_map(|len| Ending::Completed {
            result: Bytes::from(vec![b'1'; len])
        }),
        failure.prop_map(move |(retryable, never_again, wait_ms)| Ending::Failed {
            error: for_failed.clone(),
            failure: Failure {
                retryable,
                never_again,
                wait_ms
            },
        }),
        Just(Ending::Lost { error: for_lost }),
        Just(Ending::Cancelled {
            error: for_cancelled
        }),
        Just(Ending::Released),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let function = prop::option::of(of(&FUNCTIONS).prop_map(Arc::from));
    (
        prop::option::of(of(&State::ALL)),
        function,
        maybe(&["k", "l"]),
        maybe(&["s", "t"]),
    )
        .prop_map(|(state, function, key, subject)| Filter {
            state,
            function,
            key,
            subject,
        })
}

fn selection() -> impl Strategy<Value = Selection> {
    prop_oneof![
        (1..60_u64).prop_map(|number| Selection::Task(id(number))),
        filter().prop_map(Selection::Filter)
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let page = (
        filter(),
        prop::option::of((0..60_u64).prop_map(id)),
        1..9_usize,
    );
    prop_oneof![
        8 => prop::collection::vec(new_task(), 0..6).prop_map(Op::Enqueue),
        6 => prop::collection::vec(wanted(), 0..3).prop_map(Op::Claim),
        6 => prop::collection::vec((0..30_usize, ending()), 0..6).prop_map(Op::Finish),
        1 => prop::collection::vec(0..30_usize, 0..6).prop_map(Op::Beat),
        4 => (1..9_usize).prop_map(Op::Sweep),
        2 => (1..9_usize).prop_map(Op::Prune),
        1 => (selection(), any::<bool>()).prop_map(|(selection, dry_run)| Op::Cancel(selection, dry_run)),
        1 => (selection(), any::<bool>()).prop_map(|(selection, dry_run)| Op::Retry(selection, dry_run)),
        1 => (selection(), any::<bool>()).prop_map(|(selection, dry_run)| Op::Discard(selection, dry_run)),
        1 => (of(&FUNCTIONS), any::<bool>()).prop_map(|(function, paused)| Op::Pause(function, paused)),
        2 => page.prop_map(|(filter, after, limit)| Op::List(PageAsk { filter, after, limit })),
        1 => Just(Op::Reopen),
    ]
}

/// Where a store keeps what it has while it is closed.
enum Place {
    Folder(tempfile::TempDir),
    Schema(Schema),
}

impl Place {
    fn open(&self, now: i64) -> Box<dyn Store> {
        match self {
            Self::Folder(folder) => {
                let options = Options {
                    durability: Durability::Write,
                    limits: NO_LIMITS,
                };
                Box::new(Sqlite::open(folder.path(), options, now).unwrap())
            }
            Self::Schema(schema) => Box::new(schema.open(NO_LIMITS)),
        }
    }

    fn check(&self) {
        match self {
            Self::Folder(folder) => {
                let checked = crate::ledger::sqlite::check(folder.path()).unwrap();
                assert!(checked.faults.is_empty(), "{checked:?}");
            }
            Self::Schema(schema) => assert_eq!(schema.miscounts(), Vec::<String>::new()),
        }
    }
}

/// A store, the model, and what both were asked so far.
struct Pair {
    // Before the place where it keeps what it has.
    store: Option<Box<dyn Store>>,
    place: Place,
    model: Model,
    now: i64,
    /// Tasks that were handed in.
    count: u64,
    claims: Vec<(TaskId, i64)>,
}

impl Pair {
    fn new(place: Place) -> Self {
        let mut pair = Self {
            store: None,
            place,
            model: Model::new(NO_LIMITS),
            now: NOW,
            count: 0,
            claims: Vec::new(),
        };
        pair.open();
        pair
    }

    fn open(&mut self) {
        // First the folder is let go of.
        self.store = None;
        self.store = Some(self.place.open(self.now));
    }

    /// Asks both the same, and compares what they say.
    fn compare_answers<T: PartialEq + std::fmt::Debug>(&self, ask: impl Fn(&dyn Store) -> T) {
        let _ = self.both(ask);
    }

    /// As [`Self::compare_answers`], for what is said.
    fn both<T: PartialEq + std::fmt::Debug>(&self, ask: impl Fn(&dyn Store) -> T) -> T {
        let (store, model) = (ask(&**self.store.as_ref().unwrap()), ask(&self.model));
        assert_eq!(store, model, "the store is left, the model right");
        store
    }

    fn act(&mut self, op: Op) {
        let now = self.now;
        match op {
            Op::Enqueue(tasks) => self.enqueue(tasks),
            Op::Claim(wants) => {
                // A store may pick several before it meets one that is too late, which shifts who is next by age.
                self.both(|store| ask(|done| store.sweep(now, 1_000, done)).unwrap());
                let ask_of = ClaimAsk {
                    node: "n".into(),
                    wants,
                };
                let claimed =
                    self.both(|store| ask(|done| store.claim(ask_of.clone(), now, done)).unwrap());
                self.claims
                    .extend(claimed.iter().map(|claimed| (claimed.id, claimed.lease)));
            }
            Op::Finish(ends) => {
                let ends = ends.into_iter().filter_map(|(at, ending)| {
                    let (id, lease) = *self.claims.get(at % self.claims.len().max(1))?;
                    Some(Finish {
                        id,
                        lease,
                        started_at: None,
                        version: "1.0.0".into(),
                        ending,
                    })
                });
                let ends: Vec<Finish> = ends.collect();
                self.both(|store| ask(|done| store.finish(ends.clone(), now, done)).unwrap());
            }
            Op::Beat(runs) => {
                let runs = runs
                    .into_iter()
                    .filter_map(|at| self.claims.get(at).copied());
                let runs: Vec<_> = runs.collect();
                self.both(|store| ask(|done| store.beat(runs.clone(), now, done)).unwrap());
            }
            Op::Sweep(limit) => {
                self.both(|store| ask(|done| store.sweep(now, limit, done)).unwrap());
            }
            Op::Prune(limit) => {
                self.both(|store| ask(|done| store.prune(now, limit, done)).unwrap());
            }
            Op::Cancel(selection, dry_run) => {
                self.compare_answers(|store| {
                    ask(|done| store.cancel(selection.clone(), dry_run, now, done))
                });
            }
            Op::Retry(selection, dry_run) => {
                self.compare_answers(|store| {
                    ask(|done| store.retry(selection.clone(), dry_run, now, done))
                });
            }
            Op::Discard(selection, dry_run) => {
                self.compare_answers(|store| {
                    ask(|done| store.discard(selection.clone(), dry_run, now, done))
                });
            }
            Op::Pause(function, paused) => {
                self.both(|store| {
                    ask(|done| store.pause(function.into(), paused, now, done)).unwrap();
                });
            }
            Op::List(ask_of) => {
                let list =
                    |store: &dyn Store| ask(|done| store.list(ask_of.clone(), done)).unwrap().tasks;
                self.both(list);
            }
            Op::Reopen => self.reopen(),
        }
    }

    fn enqueue(&mut self, tasks: Vec<NewTask>) {
        let now = self.now;
        let tasks = tasks.into_iter().map(|task| {
            self.count += 1;
            NewTask {
                id: id(self.count),
                available_at: now + task.available_at,
                deadline_at: task.deadline_at.map(|after| now + after),
                unique_until: task.unique_until.map(|after| now + after),
                ..task
            }
        });
        let tasks: Vec<NewTask> = tasks.collect();
        let answers: Vec<Enqueued> =
            self.both(|store| ask(|done| store.enqueue(tasks.clone(), now, done)).unwrap());
        assert_eq!(answers.len(), tasks.len());
    }

    fn reopen(&mut self) {
        let running = PageAsk {
            filter: Filter {
                state: Some(State::Running),
                ..Filter::default()
            },
            after: None,
            limit: 1_000,
        };
        let running =
            self.both(|store| ask(|done| store.list(running.clone(), done)).unwrap().tasks);
        let running = running.iter().map(|task| task.id);
        let leases = running.map(|id| {
            *self
                .claims
                .iter()
                .filter(|(claimed, _)| *claimed == id)
                .max()
                .unwrap()
        });
        let version: Arc<str> = "1.0.0".into();
        let release = |(id, lease)| Finish {
            id,
            lease,
            started_at: None,
            version: version.clone(),
            ending: Ending::Released,
        };
        let ends: Vec<Finish> = leases.map(release).collect();
        let now = self.now;
        self.both(|store| ask(|done| store.finish(ends.clone(), now, done)).unwrap());
        // Whose turn it is by age isn't written down: a claim of eight, or so many that it doesn't matter, brings both in step.
        self.open();
        self.model.forget_turns();
    }

    /// The ledger in the folder is copied into a database, and goes on there.
    fn move_to(&mut self, schema: Schema) {
        self.reopen();
        self.store = None;
        let Place::Folder(folder) = &self.place else {
            panic!("it is in a database already");
        };
        let options = schema.options(NO_LIMITS);
        let target = Target {
            url: &options.url,
            schema: &options.schema,
        };
        copy(folder.path(), target, NO_LIMITS, self.now, &mut |_, _| ()).unwrap();
        self.place = Place::Schema(schema);
        self.open();
    }

    fn compare(&self) {
        for number in 1..=self.count {
            self.both(|store| ask(|done| store.get(id(number), done)).unwrap());
        }
        let mut stats = ask(|done| self.store.as_ref().unwrap().stats(done)).unwrap();
        stats.functions.sort_by(|a, b| a.function.cmp(&b.function));
        assert!(stats.file_len.take().is_some());
        let exact = ask(|done| self.model.stats(done)).unwrap();
        for (function, exact) in stats.functions.iter_mut().zip(&exact.functions) {
            // The oldest task may have become available after a younger one.
            assert!(function.oldest_available_at.is_some() == exact.oldest_available_at.is_some());
            assert!(function.oldest_available_at >= exact.oldest_available_at);
            function.oldest_available_at = exact.oldest_available_at;
            function.oldest_version.clone_from(&exact.oldest_version);
        }
        assert_eq!(stats, exact);
        self.place.check();
    }
}

fn compare(place: Place, ops: &[(Op, i64)]) {
    let mut pair = Pair::new(place);
    for (op, later) in ops {
        pair.now += later;
        pair.act(op.clone());
    }
    pair.compare();
}

fn compare_moved(ops: &[(Op, i64)], later: &[(Op, i64)]) {
    let mut pair = Pair::new(Place::Folder(tempfile::tempdir().unwrap()));
    for (op, wait) in ops {
        pair.now += wait;
        pair.act(op.clone());
    }
    pair.move_to(Schema::new());
    pair.compare();
    for (op, wait) in later {
        pair.now += wait;
        pair.act(op.clone());
    }
    pair.compare();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_does_what_the_model_does(ops in prop::collection::vec((op(), 0..40_i64), 1..60)) {
        compare(Place::Folder(tempfile::tempdir().unwrap()), &ops);
        compare(Place::Schema(Schema::new()), &ops);
    }

    #[test]
    fn a_ledger_that_is_copied_goes_on_as_if_it_had_not_been(
        ops in prop::collection::vec((op(), 0..40_i64), 1..60),
        later in prop::collection::vec((op(), 0..40_i64), 0..30),
    ) {
        compare_moved(&ops, &later);
    }
}

/// With the variable `SOAK` as many as find what is rare.
fn cases() -> u32 {
    if std::env::var_os("SOAK").is_some() {
        2_000
    } else {
        24
    }
}
