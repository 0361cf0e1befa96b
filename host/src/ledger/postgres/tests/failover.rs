//! A replica that takes over, or doesn't follow.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use databases::Postgres as Server;

use super::{open_at, options_at, wait_until};
use crate::ledger::postgres::{Postgres, PostgresOptions};
use crate::ledger::store::Store as _;
use crate::ledger::tests::{
    NOW, ask, claim, completed, end, enqueue, finish, id, task, view, want,
};
use crate::ledger::{ClaimAsk, Enqueued, Finished, State, StoreErrorKind, TaskId};

/// A server, and a replica without which nothing is committed.
fn two() -> (Server, Server) {
    let first = Server::start(&[]);
    let second = first.replica(&[]);
    drop(first.sql("ALTER SYSTEM SET synchronous_standby_names = '*'"));
    drop(first.sql("SELECT pg_reload_conf()"));
    wait_until("nothing is committed without the replica", || {
        let states = first.sql("SELECT sync_state FROM pg_stat_replication");
        states.trim() == "sync"
    });
    (first, second)
}

#[test]
fn a_replica_takes_over_and_nothing_is_lost() {
    let (mut first, second) = two();
    let url = format!(
        "postgres://shop:secret@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write",
        first.port(),
        second.port()
    );
    let open = |node: &str| {
        let options = PostgresOptions {
            url: url.clone(),
            node: node.into(),
            ..options_at(&first)
        };
        Postgres::open(options).unwrap()
    };
    let (taking, running) = (open("a"), open("b"));
    let is_over = AtomicBool::new(false);
    let (acknowledged, ended) = (Mutex::new(Vec::new()), Mutex::new(Vec::<TaskId>::new()));
    let count = || acknowledged.lock().unwrap().len();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1.. {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                match ask(|done| taking.enqueue(vec![task(number, "f")], NOW, done)) {
                    Ok(_) => acknowledged.lock().unwrap().push(id(number)),
                    Err(error) => assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}"),
                }
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                let ask_of = ClaimAsk {
                    node: "b".into(),
                    wants: vec![want("f", 5)],
                };
                let claimed = ask(|done| running.claim(ask_of, NOW, done)).unwrap_or_default();
                for task in &claimed {
                    // As hosts do: until it is written down, or counts for nothing.
                    let answer = loop {
                        let ends = vec![end(task, completed("1"))];
                        if let Ok(answer) = ask(|done| running.finish(ends, NOW, done)) {
                            break answer[0];
                        }
                    };
                    if matches!(answer, Finished::Now { .. }) {
                        ended.lock().unwrap().push(task.id);
                    }
                }
            }
        });
        let _over = Over(&is_over);
        wait_until("tasks come", || count() > 50);
        first.kill();
        second.promote();
        let before = count();
        wait_until("tasks come again", || count() > before + 50);
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    for id in &acknowledged {
        assert!(view(&taking, *id).is_some(), "{id} was acknowledged");
    }
    let ended = ended.into_inner().unwrap();
    let once: BTreeSet<_> = ended.iter().collect();
    assert_eq!(once.len(), ended.len(), "some ended twice");
    for id in &ended {
        let state = view(&taking, *id).unwrap().summary.state;
        assert_eq!(state, State::Completed, "{id}");
    }
    assert!(second.sql("SELECT pg_is_in_recovery()").starts_with('f'));
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_server_that_hangs_is_not_always_waited_for_first() {
    let server = super::server();
    let database = super::Database::new();
    // The kernel takes connections for it, and nobody answers.
    let hangs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = PostgresOptions {
        url: format!(
            "postgres://shop:secret@127.0.0.1:{},127.0.0.1:{}/{}?target_session_attrs=read-write",
            hangs.local_addr().unwrap().port(),
            server.port(),
            database.0
        ),
        ..database.options()
    };
    let mut store = None;
    wait_until("the other one is reached", || {
        store = Postgres::open(options.clone()).ok();
        store.is_some()
    });
    wait_until("tasks are taken in", || {
        let store = store.as_ref().unwrap();
        ask(|done| store.enqueue(vec![task(1, "f")], NOW, done)).is_ok()
    });
}

/// No time limit of a statement's ends the database's wait for the replica: it would say then that it has committed.
#[test]
fn what_a_replica_hasnt_got_is_not_acknowledged() {
    let (first, second) = two();
    let store = open_at(&first);
    enqueue(&store, vec![task(1, "f"), task(2, "f")]);
    let claimed = claim(&store, "f", 1);
    second.stand_still();
    let error = ask(|done| store.enqueue(vec![task(3, "f")], NOW, done)).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
    assert!(
        error.message().contains("may be written down or not"),
        "{error}"
    );
    assert!(view(&store, id(1)).is_some(), "it can be read");
    assert!(view(&store, id(3)).is_none(), "the replica hasn't got it");
    // That it lives is known to others all the while.
    assert!(store.is_alive());
    second.go_on();
    wait_until("it goes on", || {
        let taken = ask(|done| store.enqueue(vec![task(4, "f")], NOW, done));
        taken.is_ok_and(|taken| taken == [Enqueued::Stored(State::Available)])
    });
    finish(&store, end(&claimed[0], completed("1")), NOW);
    assert!(
        view(&store, id(3)).is_some(),
        "in the end it was written down"
    );
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    assert_eq!(first.sql(waiting).trim(), "0", "and nobody waits any more");
}
