//! A commit whose answer never comes, whatever became of it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{LIMITS, Schema, wait_until};
use crate::ledger::postgres::{Postgres, PostgresOptions};
use crate::ledger::store::Store as _;
use crate::ledger::tests::{
    NOW, ask, claim, claim_of, completed, end, enqueue, finish, id, task, view, want,
};
use crate::ledger::{Enqueued, Finished, State, StoreErrorKind};

/// What happens to a commit on its way.
enum Lose {
    /// It doesn't arrive.
    Itself,
    /// It does, but not its answer.
    Answer,
    /// It doesn't arrive, which is noticed only when this says so. Says itself when it is there.
    Later(Sender<()>, Receiver<()>),
}

/// Stands between a store and its database.
struct Between {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What to do with the next commit.
    lose: Mutex<Option<Lose>>,
    /// Nobody gets through.
    is_away: AtomicBool,
}

impl Between {
    fn start(server: &databases::Postgres) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let (to, for_thread) = (server.port(), Arc::clone(&shared));
        // It ends with the test program.
        thread::spawn(move || {
            for client in listener.incoming() {
                let server = TcpStream::connect(("127.0.0.1", to));
                if let (Ok(client), Ok(server)) = (client, server)
                    && !for_thread.is_away.load(Ordering::SeqCst)
                {
                    for_thread.join(client, server);
                }
            }
        });
        Self { port, shared }
    }

    fn open(&self, server: &databases::Postgres, schema: &str) -> Postgres {
        let url = server.url();
        let port = format!(":{}/", server.port());
        Postgres::open(PostgresOptions {
            url: url.replace(&port, &format!(":{}/", self.port)),
            schema: schema.to_owned(),
            limits: LIMITS,
            node: "node-a".into(),
            is_pooled: false,
        })
        .unwrap()
    }

    fn lose(&self, lose: Lose) {
        *self.shared.lose.lock().unwrap() = Some(lose);
    }

    fn has_lost(&self) -> bool {
        self.shared.lose.lock().unwrap().is_none()
    }
}

impl Shared {
    /// Hands on what each says to the other.
    fn join(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let is_mute = Arc::new(AtomicBool::new(false));
        let (to_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let (shared, mutes) = (Arc::clone(self), Arc::clone(&is_mute));
        thread::spawn(move || {
            pump(client, to_server, |said| {
                if !said.windows(7).any(|part| part == b"COMMIT\0") {
                    return true;
                }
                match shared.lose.lock().unwrap().take() {
                    None => true,
                    Some(Lose::Itself) => false,
                    Some(Lose::Answer) => {
                        mutes.store(true, Ordering::SeqCst);
                        true
                    }
                    Some(Lose::Later(is_there, goes_on)) => {
                        is_there.send(()).unwrap();
                        goes_on.recv().unwrap();
                        false
                    }
                }
            });
        });
        thread::spawn(move || pump(server, to_client, |_| !is_mute.load(Ordering::SeqCst)));
    }
}

/// Hands on what is said, until something is said that may not be.
fn pump(mut from: TcpStream, mut to: TcpStream, mut may: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if !may(&buffer[..len]) || to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    // One of them may be closed already.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}

#[test]
fn nobody_notices_that_an_answer_was_lost() {
    let schema = Schema::new();
    let between = Between::start(super::server());
    let store = between.open(super::server(), &schema.0);
    enqueue(&store, vec![task(1, "f")]);
    for (number, lose) in [(2, Lose::Answer), (3, Lose::Itself)] {
        between.lose(lose);
        enqueue(&store, vec![task(number, "f")]);
        assert!(between.has_lost());
    }
    between.lose(Lose::Answer);
    let claimed = claim(&store, "f", 9);
    assert!(between.has_lost());
    assert_eq!(claimed.len(), 3);
    for task in &claimed {
        between.lose(Lose::Answer);
        let finished = finish(&store, end(task, completed("1")), NOW);
        assert!(matches!(finished, Finished::Now { .. }), "{finished:?}");
    }
    assert_eq!(schema.miscounts(), Vec::<String>::new());
}

#[test]
fn what_was_claimed_for_nobody_is_given_back() {
    let schema = Schema::new();
    let between = Between::start(super::server());
    let store = between.open(super::server(), &schema.0);
    enqueue(&store, vec![task(1, "f"), task(2, "f")]);
    between.shared.is_away.store(true, Ordering::SeqCst);
    between.lose(Lose::Answer);
    let ask_of = crate::ledger::store::ClaimAsk {
        node: "node-a".into(),
        wants: vec![want("f", 1)],
    };
    let error = ask(|done| store.claim(ask_of, NOW, done)).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    let sql = format!("SELECT count(*) FROM {}.live WHERE state = 2", schema.0);
    assert_eq!(super::run(&sql), ["1"], "it is claimed");
    between.shared.is_away.store(false, Ordering::SeqCst);
    let mut claimed = Vec::new();
    wait_until("it can be claimed again", || {
        if ask(|done| store.sweep(NOW, 1, done)).is_ok() {
            claimed.extend(claim_of(&store, want("f", 9), NOW));
        }
        claimed.len() == 2
    });
    assert_eq!(schema.miscounts(), Vec::<String>::new());
    for task in &claimed {
        finish(&store, end(task, completed("1")), NOW);
    }
}

/// After a crash, the database gives numbers of transactions that it has forgotten to others.
#[test]
fn another_transactions_commit_is_not_taken_for_ones_own() {
    // What isn't committed is in memory alone.
    let mut server = databases::Postgres::start(&["wal_writer_delay=10s"]);
    let between = Between::start(&server);
    let store = between.open(&server, "task_server");
    enqueue(&store, vec![task(1, "f")]);
    let (is_there, came) = channel();
    let (go_on, goes_on) = channel();
    between.lose(Lose::Later(is_there, goes_on));
    let (told, answered) = channel();
    let tell = move |answer| told.send(answer).unwrap();
    store.enqueue(vec![task(2, "f")], NOW, Box::new(tell));
    came.recv().unwrap();
    server.restart();
    let other = Postgres::open(PostgresOptions {
        url: server.socket_url(),
        schema: "task_server".into(),
        limits: LIMITS,
        node: "node-b".into(),
        is_pooled: false,
    })
    .unwrap();
    for number in 100..150 {
        enqueue(&other, vec![task(number, "f")]);
    }
    go_on.send(()).unwrap();
    let answer = answered.recv().unwrap();
    let is_there = view(&other, id(2)).is_some();
    match answer {
        Ok(stored) => {
            assert_eq!(stored, [Enqueued::Stored(State::Available)]);
            assert!(is_there, "it was acknowledged");
        }
        Err(error) => assert!(!is_there, "{error}"),
    }
}
