//! A pool whose workers are played by the test.

use std::sync::Mutex;

use plugin_api::abi::status;
use protocol::{ErrorCode, Outcome};
use service::bytes::ByteBudget;
use tokio::sync::{Notify as Bell, mpsc};

use super::*;
use crate::link::{Board, Return};
use crate::plugin::outcome::Exit;
use crate::plugin::process::Listens;
use crate::task::Client;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Answers {
    outcomes: Mutex<Vec<(u64, Outcome)>>,
    bell: Bell,
    /// Whose end the client wants.
    cancelled: Option<u64>,
}

impl Client for Answers {
    fn finished(&self, key: u64, outcome: Outcome) {
        self.outcomes.lock().unwrap().push((key, outcome));
        self.bell.notify_one();
    }

    fn happened(&self, _key: u64, _name: &str, _data: Bytes) -> bool {
        true
    }

    fn progressed(&self, _key: u64, _done: u64, _total: u64, _message: String) {}

    fn has_cancelled(&self, key: u64) -> bool {
        self.cancelled == Some(key)
    }
}

impl Answers {
    async fn wait(&self, count: usize) -> Vec<(u64, Outcome)> {
        let all = async {
            loop {
                let outcomes = self.outcomes.lock().unwrap().clone();
                if outcomes.len() >= count {
                    return outcomes;
                }
                self.bell.notified().await;
            }
        };
        tokio::time::timeout(DEADLINE, all).await.unwrap()
    }
}

/// A pool of one function and one worker without a process.
fn pool(notify: Notify) -> PoolHandle {
    pool_of(1, notify)
}

/// As [`pool`], which may have so many workers.
fn pool_of(workers_max: usize, notify: Notify) -> PoolHandle {
    let settings = Settings {
        workers_max,
        cores: 1,
        queue_len_max: 10,
        open_timeout: DEADLINE,
        cancel_grace: DEADLINE,
        idle_timeout: DEADLINE,
        tasks_max: None,
        rss_max: None,
    };
    let functions = vec![Function::new(DEADLINE, Arc::default())];
    let mut scheduler = Scheduler::new(settings, functions);
    let board = Arc::new(Board::create().unwrap().0);
    scheduler.adopt(WorkerId(1), board, 1, Moment::now());
    let spec = Arc::new(Spec::made_up());
    let pool = Pool::new("p".to_owned(), Arc::clone(&notify));
    let names = vec!["f".to_owned()];
    pool.open(Desk::new(Arc::clone(&spec), scheduler, names, notify));
    keeper::start(Arc::clone(&pool), spec);
    PoolHandle(pool)
}

fn task(number: u64, answers: &Arc<Answers>) -> Task {
    let client: Arc<dyn Client> = Arc::clone(answers) as Arc<dyn Client>;
    Task::made_up(number, client, &ByteBudget::new(2))
}

#[tokio::test]
async fn a_task_that_was_cancelled_on_its_way_is_answered_by_the_pool_that_gets_it() {
    let handle = pool(Arc::new(|_| ()));
    let answers = Arc::new(Answers {
        cancelled: Some(7),
        ..Answers::default()
    });
    assert!(handle.runner(0).run(task(7, &answers)).is_none());
    let (number, outcome) = answers.wait(1).await.remove(0);
    let failure = outcome.unwrap_err();
    assert_eq!((number, failure.code), (7, ErrorCode::Cancelled));
    assert!(!failure.started, "{failure:?}");
}

#[tokio::test]
async fn a_pool_that_panics_answers_its_tasks_and_says_so() {
    let (lost, mut notices) = mpsc::unbounded_channel();
    let handle = pool(Arc::new(move |notice| match notice {
        // As any mistake in the pool's own code would.
        Notice::Crashed { .. } => panic!("as it should in this test"),
        notice => lost.send(notice).unwrap(),
    }));
    let answers = Arc::new(Answers::default());
    let runner = handle.runner(0);
    for number in 1..=3 {
        assert!(runner.run(task(number, &answers)).is_none());
    }
    let exited = WorkerEvent::Exited {
        exit: Exit::default(),
        broken: None,
    };
    Ear::new(&handle.0, WorkerId(1)).exited(exited);
    let notice = tokio::time::timeout(DEADLINE, notices.recv()).await;
    assert_eq!(notice.unwrap(), Some(Notice::Lost));
    for (number, outcome) in answers.wait(3).await {
        let code = outcome.unwrap_err().code;
        // The first one had been handed to the worker whose end was told.
        assert!(
            code == ErrorCode::Internal || (number == 1 && code == ErrorCode::WorkerCrashed),
            "{number}: {code}"
        );
    }
    // Whoever comes later gets the task back, to hand it to what takes the pool's place.
    assert!(runner.run(task(4, &answers)).is_some());
    handle.drain(DEADLINE, Drain::Ended).await;
}

#[tokio::test]
async fn what_a_worker_returns_is_the_answer() {
    let handle = pool(Arc::new(|_| ()));
    let answers = Arc::new(Answers::default());
    assert!(handle.runner(0).run(task(1, &answers)).is_none());
    let returned = Return {
        task: 1,
        cell: 0,
        status: status::OK,
        ran_ns: 1,
        payload: Bytes::from_static(b"7"),
    };
    let mut frames = vec![ToHost::Return(returned)];
    Ear::new(&handle.0, WorkerId(1)).said(&mut frames);
    assert!(frames.is_empty());
    assert_eq!(answers.wait(1).await, [(1, Ok(Bytes::from_static(b"7")))]);
}

/// Who has what a drained pool doesn't run.
#[derive(Debug, Default)]
struct Successor(Mutex<usize>);

impl Reroute for Successor {
    fn reroute(&self, _function: &str, tasks: Vec<Task>) {
        *self.0.lock().unwrap() += tasks.len();
    }
}

#[tokio::test]
async fn a_pool_that_has_been_replaced_starts_no_worker_for_what_it_does_not_run() {
    let handle = pool_of(2, Arc::new(|_| ()));
    let answers = Arc::new(Answers::default());
    for number in 1..=2 {
        assert!(handle.runner(0).run(task(number, &answers)).is_none());
    }
    // The second worker is asked for, and its keeper has not had its turn yet.
    let successor = Arc::<Successor>::default();
    let reroute = Arc::clone(&successor) as Arc<dyn Reroute>;
    let drain = |desk: &mut Desk, now| desk.drain(DEADLINE, Drain::Replaced(reroute), now);
    handle.0.with(drain).unwrap();
    assert_eq!(*successor.0.lock().unwrap(), 2);
    assert_eq!(handle.0.with(|desk, _| desk.rest().0), Some(Vec::new()));
    let exited = WorkerEvent::Exited {
        exit: Exit::default(),
        broken: None,
    };
    Ear::new(&handle.0, WorkerId(1)).exited(exited);
    assert!(handle.0.with(|_, _| ()).is_none(), "it has ended");
}
