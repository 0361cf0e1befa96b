//! Workers that write over their board, or say nothing: no task waits for them for ever, and none runs twice.

use super::*;

/// `Running` and so on, as they stand on the board.
const HANDED_OVER: u8 = 1;
const DONE: u8 = 3;

impl Stage {
    /// The plugin writes over the cell of a task that its worker has.
    fn scribble(&mut self, worker: u32, call: &Call, state: u8, started: Moment) {
        self.boards[&WorkerId(worker)].scribble(call.cell, state, started.as_nanos(), None);
    }
}

#[test]
fn a_task_that_was_told_to_stop_has_started_whatever_the_board_says() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    stage.submit(1);
    let call = stage.start(1);
    stage.wait(LIMIT);
    stage.scribble(1, &call, HANDED_OVER, Moment::default());
    stage.wait(GRACE);
    assert_eq!(stage.killed, [WorkerId(1)]);
    stage.die(1, KILLED);
    stage.open_spawned(1);
    assert!(
        stage.calls.values().all(VecDeque::is_empty),
        "it runs again"
    );
    assert_eq!(stage.answers(), [(1, "timeout", true)]);
}

#[test]
fn a_task_that_was_cancelled_is_not_run_again_when_its_worker_dies() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    stage.submit(1);
    let call = stage.start(1);
    stage.scheduler.cancel(TaskId(1), stage.now);
    stage.scribble(1, &call, HANDED_OVER, Moment::default());
    stage.die(1, KILLED);
    stage.open_spawned(1);
    assert_eq!(stage.answers(), [(1, "cancelled", true)]);
}

#[test]
fn the_time_of_a_task_is_up_whatever_the_board_says_of_it() {
    for (state, started, code) in [
        (DONE, Moment::default(), "worker_crashed"),
        (2, Moment::NEVER, "timeout"),
        (2, Moment::from_nanos(u64::MAX / 2), "timeout"),
    ] {
        let mut stage = Stage::new(|_| ());
        stage.submit(1);
        let call = stage.start(1);
        let begin = stage.now;
        while stage.answers().is_empty() {
            stage.scribble(1, &call, state, started);
            stage.wait(Duration::from_secs(10));
            assert!(stage.now.since(begin) <= LIMIT * 3, "{state} {started:?}");
        }
        assert_eq!(stage.answers(), [(1, code, true)]);
    }
}

#[test]
fn a_worker_that_says_it_has_no_slots_has_one() {
    let mut stage = Stage::new(|settings| settings.workers_max = 2);
    stage.submit(1);
    stage.start(1);
    stage.submit(2);
    stage.open_spawned(0);
    stage.run_next(2, Duration::from_millis(1));
    assert_eq!(stage.answers(), [(2, "ok", true)]);
}

/// Plays workers that open, begin nothing, and end when they are killed, until the task is answered.
fn none_begins_anything(limit: Duration) -> Stage {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    stage.scheduler.functions[0].limit = limit;
    stage.submit(1);
    let begin = stage.now;
    while stage.answers().is_empty() {
        assert!(stage.now.since(begin) < Duration::from_secs(600));
        let next = stage.scheduler.next_tick();
        stage.wait(next.since(stage.now));
        for killed in std::mem::take(&mut stage.killed) {
            stage.die(killed.0, KILLED);
        }
        stage.open_spawned(1);
    }
    stage
}

#[test]
fn workers_that_begin_nothing_are_a_crash_loop() {
    for limit in [LIMIT, Duration::from_millis(20)] {
        let stage = none_begins_anything(limit);
        assert_eq!(stage.answers(), [(1, "unavailable", false)]);
        let report = stage.scheduler.report(stage.now);
        assert!(report.last_crash.unwrap().contains("began no task"));
    }
}

#[test]
fn a_worker_that_leaves_does_not_stay_for_what_was_taken_back() {
    let mut stage = Stage::new(|settings| settings.workers_max = 2);
    stage.submit(1);
    stage.scheduler.worker_holds(WorkerId(1), 2000, stage.now);
    stage.scheduler.cancel(TaskId(1), stage.now);
    stage.carry_out();
    assert_eq!(stage.closed, [WorkerId(1)]);
    stage.wait(CLOSE_WAIT_MAX);
    assert_eq!(stage.killed, [WorkerId(1)], "it has not noticed anything");
}
