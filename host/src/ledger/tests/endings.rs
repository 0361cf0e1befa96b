//! What the end of a run means.

use bytes::Bytes;

use super::{NOW, completed, failed};
use crate::ledger::endings::{Next, Run};
use crate::ledger::states::Event;
use crate::ledger::{Ending, Failure, RetryPolicy};

const POLICY: RetryPolicy = RetryPolicy {
    max: 1,
    base_ms: 1_000,
    cap_ms: 10_000,
    on: crate::ledger::RetryOn::Any,
};

fn run() -> Run<'static> {
    Run {
        id: &[7; 16],
        policy: &POLICY,
        tries: 0,
        deadline_at: None,
        at_most_once: false,
        cancel_asked: false,
    }
}

fn lost() -> Ending {
    Ending::Lost {
        error: Bytes::from_static(b"{}"),
    }
}

fn stopped() -> Ending {
    Ending::Cancelled {
        error: Bytes::from_static(b"{}"),
    }
}

fn asking_for(wait_ms: i64) -> Ending {
    let failure = Failure {
        wait_ms: Some(wait_ms),
        ..Failure::default()
    };
    Ending::Failed {
        error: Bytes::from_static(b"{}"),
        failure,
    }
}

#[test]
fn an_end_means_this() {
    let plain = run();
    let last = Run { tries: 1, ..run() };
    let once = Run {
        at_most_once: true,
        ..run()
    };
    let called_off = Run {
        cancel_asked: true,
        ..run()
    };
    let called_off_once = Run {
        at_most_once: true,
        ..called_off
    };
    let over = Run {
        deadline_at: Some(NOW),
        ..run()
    };
    let soon_over = Run {
        deadline_at: Some(NOW + 100),
        ..run()
    };
    // What ran, how it ended, what that means, whether it was an attempt.
    let rows = [
        (plain, completed("1"), Event::Complete, true),
        (plain, failed("{}"), Event::TryAgain, true),
        (plain, lost(), Event::TryAgain, true),
        (plain, Ending::Released, Event::Release, false),
        (plain, stopped(), Event::Stop, true),
        (last, completed("1"), Event::Complete, true),
        (last, failed("{}"), Event::GiveUp, true),
        (last, lost(), Event::GiveUp, true),
        (last, Ending::Released, Event::Release, false),
        // At most once: no second run, whatever it said of the first.
        (once, completed("1"), Event::Complete, true),
        (once, failed("{}"), Event::GiveUp, true),
        (once, lost(), Event::LoseTrack, true),
        (once, Ending::Released, Event::Release, false),
        // Called off: it isn't tried again; what has ended well has.
        (called_off, completed("1"), Event::Complete, true),
        (called_off, failed("{}"), Event::Stop, true),
        (called_off, lost(), Event::Stop, true),
        (called_off, Ending::Released, Event::Stop, false),
        (called_off_once, lost(), Event::Stop, true),
        // Past its deadline, or before the next attempt.
        (over, completed("1"), Event::Complete, true),
        (over, failed("{}"), Event::GiveUp, true),
        (over, Ending::Released, Event::GiveUp, false),
        (soon_over, failed("{}"), Event::GiveUp, true),
        (soon_over, asking_for(99), Event::TryAgain, true),
        (soon_over, asking_for(100), Event::GiveUp, true),
        (soon_over, Ending::Released, Event::Release, false),
    ];
    for (run, ending, event, counts) in rows {
        let next = run.end(&ending, NOW);
        assert_eq!(
            (next.event, next.counts),
            (event, counts),
            "{run:?} {ending:?}"
        );
    }
}

#[test]
fn the_next_attempt_has_its_time() {
    let Next { available_at, .. } = run().end(&asking_for(250), NOW);
    assert_eq!(available_at, NOW + 250);
    let Next { available_at, .. } = run().end(&failed("{}"), NOW);
    assert!(
        (NOW + 500..=NOW + 1_000).contains(&available_at),
        "{}",
        available_at - NOW
    );
}
