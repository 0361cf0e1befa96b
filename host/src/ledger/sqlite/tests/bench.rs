//! How fast the ledger is, beside the least that `SQLite` could have to do. Takes minutes, and asserts nothing:
//!
//! `cargo test --release -p host --lib ledger::sqlite::tests::bench -- --ignored --nocapture --test-threads 1`
//!
//! The variable `LEDGER_BENCH_FOLDER` names the folder, which should be on the disk that is asked about.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rusqlite::{Connection, params};
use rustix::time::{ClockId, clock_gettime};

use super::super::{Options, Sqlite, WORK_BATCH, WORK_BOUND};
use crate::ledger::answer::Done;
use crate::ledger::queue::{Batch, Queue, Weighed, Weight};
use crate::ledger::store::{ClaimAsk, Durability, Limits, Store, Want};
use crate::ledger::tests::{DISCARDED_TTL_MS, NOW, ask, completed, end, id, task};
use crate::ledger::{Enqueued, NewTask};

const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;

/// As the benchmarks of the host: 120 bytes.
fn new_task(number: u64) -> NewTask {
    NewTask {
        args: Bytes::from(vec![b'1'; 120]),
        ..task(number, "echo")
    }
}

fn folder() -> tempfile::TempDir {
    match std::env::var_os("LEDGER_BENCH_FOLDER") {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    }
}

fn open(folder: &Path) -> Arc<Sqlite> {
    let limits = Limits {
        waiting_max: u64::MAX,
        stored_len_max: u64::MAX,
        discarded_ttl_ms: DISCARDED_TTL_MS,
    };
    Arc::new(
        Sqlite::open(
            folder,
            Options {
                durability: Durability::Fsync,
                limits,
            },
            NOW,
        )
        .unwrap(),
    )
}

/// Takes a task in, and calls when that is durable.
type Submit = dyn Fn(NewTask, Box<dyn FnOnce() + Send>) + Send + Sync;

/// Tasks a second, and microseconds of this process's time for each, of so many submitters who each wait for their answer
/// before they go on. Two threads speak for all of them, as a host's do for its connections.
fn rate(submitters: usize, numbers: &AtomicU64, submit: &Arc<Submit>) -> (f64, f64) {
    std::thread::scope(|scope| {
        let (stop, mut threads) = (
            Arc::new(std::sync::atomic::AtomicBool::new(false)),
            Vec::new(),
        );
        let answered = Arc::new(AtomicU64::new(0));
        for share in [submitters.div_ceil(2), submitters / 2] {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            threads.push(scope.spawn(move || {
                let (sender, receiver) = mpsc::channel();
                // Each message is a submitter who may go on.
                (0..share).for_each(|_| sender.send(()).unwrap());
                let mut going = share;
                while going > 0 {
                    receiver.recv().unwrap();
                    if stop.load(Ordering::Relaxed) {
                        going -= 1;
                        continue;
                    }
                    let (sender, answered) = (sender.clone(), Arc::clone(&answered));
                    submit(
                        new_task(numbers.fetch_add(1, Ordering::Relaxed)),
                        Box::new(move || {
                            answered.fetch_add(1, Ordering::Relaxed);
                            let _ = sender.send(());
                        }),
                    );
                }
            }));
        }
        std::thread::sleep(WARM_UP);
        let (before, began, used) = (
            answered.load(Ordering::Relaxed),
            Instant::now(),
            processor_time(),
        );
        std::thread::sleep(MEASURED);
        let count = (answered.load(Ordering::Relaxed) - before) as f64;
        let figures = (
            count / began.elapsed().as_secs_f64(),
            (processor_time() - used).as_secs_f64() * 1e6 / count,
        );
        stop.store(true, Ordering::Relaxed);
        figures
    })
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

struct Bare {
    task: NewTask,
    done: Box<dyn FnOnce() + Send>,
}

impl Weighed for Bare {
    fn weight(&self) -> Weight {
        Weight {
            tasks: 1,
            bytes: self.task.args.len(),
        }
    }
}

/// One prepared `INSERT`, in transactions of what has gathered.
fn bare(folder: &Path, queue: &Queue<Bare>) {
    let connection = Connection::open(folder.join("bare.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -32768",
        )
        .unwrap();
    connection
        .execute_batch("CREATE TABLE task (id BLOB NOT NULL PRIMARY KEY, function TEXT, state INTEGER, args TEXT) WITHOUT ROWID")
        .unwrap();
    let mut begin = connection.prepare("BEGIN IMMEDIATE").unwrap();
    let mut insert = connection
        .prepare("INSERT INTO task VALUES (?, ?, ?, ?)")
        .unwrap();
    let mut commit = connection.prepare("COMMIT").unwrap();
    loop {
        let batch = match queue.take(Duration::from_secs(1)) {
            Batch::Work(batch) => batch,
            Batch::Idle => continue,
            Batch::Closed => return,
        };
        begin.execute([]).unwrap();
        for Bare { task, .. } in &batch {
            let args = std::str::from_utf8(&task.args).unwrap();
            insert
                .execute(params![task.id, task.function, 1, args])
                .unwrap();
        }
        commit.execute([]).unwrap();
        batch.into_iter().for_each(|bare| (bare.done)());
    }
}

#[test]
#[ignore = "a benchmark"]
fn enqueue_beside_a_bare_insert() {
    let numbers = Arc::new(AtomicU64::new(1));
    for submitters in [1, 50, 500] {
        for round in 1..=ROUNDS {
            let bare_folder = folder();
            let queue = Arc::new(Queue::new(WORK_BOUND, WORK_BATCH));
            let (of_thread, path) = (Arc::clone(&queue), bare_folder.path().to_owned());
            let thread = std::thread::spawn(move || bare(&path, &of_thread));
            let to_bare = Arc::clone(&queue);
            let submit: Arc<Submit> =
                Arc::new(move |task, done| drop(to_bare.push(Bare { task, done })));
            let of_bare = rate(submitters, &numbers, &submit);
            queue.close();
            thread.join().unwrap();

            let store_folder = folder();
            let store = open(store_folder.path());
            let submit: Arc<Submit> = Arc::new(move |task, done| {
                let done: Done<Vec<Enqueued>> = Box::new(move |answer| {
                    assert!(matches!(answer.unwrap()[..], [Enqueued::Stored(_)]));
                    done();
                });
                store.enqueue(vec![task], NOW, done);
            });
            let of_store = rate(submitters, &numbers, &submit);
            println!(
                "{submitters:3} submitters, round {round}: bare {:7.0}/s {:5.1} us; enqueue {:7.0}/s {:5.1} us; {:.2}",
                of_bare.0,
                of_bare.1,
                of_store.0,
                of_store.1,
                of_store.0 / of_bare.0
            );
        }
    }
}

fn claim_ask(count: u32) -> ClaimAsk {
    let want = Want {
        function: "echo".into(),
        version: "1".into(),
        count,
    };
    ClaimAsk {
        node: "node".into(),
        wants: vec![want],
    }
}

/// Claims and finishes until told to stop; so many tasks at a time, two batches on their way.
fn consume(
    store: &Arc<Sqlite>,
    stop: &Arc<std::sync::atomic::AtomicBool>,
    finished: &Arc<AtomicU64>,
) {
    while !stop.load(Ordering::Relaxed) {
        let claimed = ask(|done| store.claim(claim_ask(256), NOW, done)).unwrap();
        let ends: Vec<_> = claimed
            .iter()
            .map(|claimed| end(claimed, completed("{\"ok\":true}")))
            .collect();
        if ends.is_empty() {
            std::thread::yield_now();
            continue;
        }
        let finished = Arc::clone(finished);
        let count = ends.len() as u64;
        store.finish(
            ends,
            NOW,
            Box::new(move |answer| {
                answer.unwrap();
                finished.fetch_add(count, Ordering::Relaxed);
            }),
        );
    }
}

#[test]
#[ignore = "a benchmark"]
fn a_whole_life() {
    let numbers = Arc::new(AtomicU64::new(1));
    for submitters in [50, 500] {
        for round in 1..=ROUNDS {
            let store_folder = folder();
            let store = open(store_folder.path());
            let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let finished = Arc::new(AtomicU64::new(0));
            let consumer = std::thread::spawn({
                let (store, stop, finished) =
                    (Arc::clone(&store), Arc::clone(&stop), Arc::clone(&finished));
                move || consume(&store, &stop, &finished)
            });
            let submit: Arc<Submit> = Arc::new(move |task, done| {
                let done: Done<Vec<Enqueued>> = Box::new(move |answer| {
                    answer.unwrap();
                    done();
                });
                store.enqueue(vec![task], NOW, done);
            });
            let began = (Instant::now(), finished.load(Ordering::Relaxed));
            let enqueued = rate(submitters, &numbers, &submit);
            let lives = (finished.load(Ordering::Relaxed) - began.1) as f64
                / began.0.elapsed().as_secs_f64();
            stop.store(true, Ordering::Relaxed);
            consumer.join().unwrap();
            println!(
                "{submitters:3} submitters, round {round}: enqueued {:7.0}/s, ended {lives:7.0}/s, {:5.1} us a task",
                enqueued.0, enqueued.1
            );
        }
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "a benchmark"]
fn a_million_waiting_and_a_million_finished() {
    const MILLION: u64 = 1_000_000;
    let store_folder = folder();
    let store = open(store_folder.path());
    let before = resident_kib();
    let mut began = Instant::now();
    for first in (1..=MILLION).step_by(1_000) {
        ask(|done| store.enqueue((first..first + 1_000).map(new_task).collect(), NOW, done))
            .unwrap();
    }
    println!("a million taken in, 1,000 a call: {:.1?}", began.elapsed());
    println!(
        "memory with a million waiting: {} KiB more",
        resident_kib().saturating_sub(before)
    );
    began = Instant::now();
    let stats = ask(|done| store.stats(done)).unwrap();
    println!(
        "statistics: {:.1?} ({:?} bytes of files)",
        began.elapsed(),
        stats.file_len
    );
    let mut claims = Vec::new();
    for at in 0..2_000 {
        let began = Instant::now();
        let claimed = ask(|done| store.claim(claim_ask(500), NOW, done)).unwrap();
        claims.push(began.elapsed());
        let ends: Vec<_> = claimed
            .iter()
            .map(|claimed| end(claimed, completed("{\"ok\":true}")))
            .collect();
        assert_eq!(ends.len(), 500, "claim {at}");
        ask(|done| store.finish(ends, NOW, done)).unwrap();
    }
    let (first, last) = claims.split_at(1_000);
    println!(
        "a claim of 500, median: first half {:.1?}, second half {:.1?}",
        median(first),
        median(last)
    );
    let mut gets = Vec::new();
    for at in 0..20_000_u64 {
        let wanted = id(at.wrapping_mul(0x9e37_79b9_7f4a_7c15) % MILLION + 1);
        let began = Instant::now();
        assert!(ask(|done| store.get(wanted, done)).unwrap().is_some());
        gets.push(began.elapsed());
    }
    gets.sort_unstable();
    println!(
        "get among a million finished: p50 {:.1?}, p99 {:.1?}",
        gets[gets.len() / 2],
        gets[gets.len() * 99 / 100]
    );
    println!(
        "memory with a million finished: {} KiB more",
        resident_kib().saturating_sub(before)
    );
    began = Instant::now();
    drop(store);
    println!("closed: {:.1?}", began.elapsed());
    began = Instant::now();
    let store = open(store_folder.path());
    println!("opened: {:.1?}", began.elapsed());
    began = Instant::now();
    let pruned = ask(|done| store.prune(NOW * 2, 1_000, done)).unwrap();
    println!("1,000 forgotten: {:.1?} {pruned:?}", began.elapsed());
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}
