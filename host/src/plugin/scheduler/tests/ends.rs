//! Workers that should be gone: each wait for them has an end.

use super::*;

#[test]
fn a_result_that_never_comes_is_waited_for_as_long_as_the_grace() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    stage.submit(1);
    let call = stage.start(1);
    stage.boards[&WorkerId(1)].finish(call.cell);
    stage.wait(LIMIT);
    assert_eq!(stage.answers(), [], "it may be on its way");
    assert_eq!(stage.cancelled, [], "nothing runs");
    stage.wait(GRACE);
    assert_eq!(stage.answers(), [(1, "worker_crashed", true)]);
    assert_eq!(stage.killed, [WorkerId(1)]);
    stage.die(1, KILLED);
    assert_eq!(stage.answers().len(), 1);
    stage.submit(2);
    stage.open_spawned(1);
    stage.run_next(2, Duration::from_millis(1));
    assert_eq!(stage.answers().last(), Some(&(2, "ok", true)));
}

#[test]
fn a_result_that_comes_late_counts() {
    let mut stage = Stage::new(|_| ());
    stage.submit(1);
    let call = stage.start(1);
    stage.boards[&WorkerId(1)].finish(call.cell);
    stage.wait(LIMIT);
    stage.finish(1, &call, status::OK, LIMIT);
    assert_eq!(stage.answers(), [(1, "ok", true)]);
    assert_eq!(stage.killed, []);
}

#[test]
fn beside_others_too_a_lost_result_is_answered_for() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    stage.run_away_with_slots(2);
    stage.submit(1);
    let lost = stage.start(2);
    stage.now = stage.now + Duration::from_secs(5);
    stage.submit(2);
    stage.start(2);
    stage.boards[&WorkerId(2)].finish(lost.cell);
    stage.wait(Duration::from_secs(5));
    stage.wait(GRACE);
    assert_eq!(stage.answers().last(), Some(&(1, "worker_crashed", true)));
    assert_eq!(stage.killed, [WorkerId(1)], "the other still runs");
    stage.wait(Duration::from_secs(3));
    stage.wait(GRACE);
    assert_eq!(stage.killed, [WorkerId(1), WorkerId(2)]);
}

#[test]
fn a_worker_that_closes_when_a_drain_is_cut_short_has_no_longer_than_the_grace() {
    let mut stage = Stage::new(|_| ());
    stage.scheduler.drain(stage.now);
    stage.carry_out();
    assert_eq!(stage.closed, [WorkerId(1)]);
    stage.scheduler.cut_short(stage.now);
    stage.wait(GRACE);
    assert_eq!(stage.killed, [WorkerId(1)]);
}

#[test]
fn a_worker_that_closes_after_a_drain_was_cut_short_has_no_longer_than_the_grace() {
    let mut stage = Stage::new(|_| ());
    stage.submit(1);
    let call = stage.start(1);
    stage.scheduler.drain(stage.now);
    stage.scheduler.cut_short(stage.now);
    stage.finish(1, &call, status::CANCELLED, Duration::from_millis(1));
    assert_eq!(stage.closed, [WorkerId(1)]);
    stage.wait(GRACE);
    assert_eq!(stage.killed, [WorkerId(1)]);
}

#[test]
fn workers_that_take_their_time_to_end_do_not_become_ever_more() {
    let mut stage = Stage::new(|settings| {
        settings.workers_max = 1;
        settings.tasks_max = Some(1);
    });
    stage.submit(1);
    stage.run_next(1, Duration::from_millis(1));
    stage.submit(2);
    stage.open_spawned(1);
    stage.run_next(2, Duration::from_millis(1));
    assert_eq!(stage.closed, [WorkerId(1), WorkerId(2)]);
    stage.submit(3);
    assert_eq!(stage.spawned, [], "two are there already");
    stage.die(1, KILLED);
    assert_eq!(stage.spawned, [WorkerId(3)]);
}
