//! Where the host has no room for another worker, or a worker none for another thread.

use super::*;

const WHY: &str = "files: Too many open files";

impl Stage {
    fn nothing_can_be_started(&mut self) {
        for id in std::mem::take(&mut self.spawned) {
            self.scheduler.worker_without_room(id, WHY, self.now);
        }
        self.carry_out();
    }

    /// Time passes until the next try.
    fn wait_for_next_try(&mut self) {
        // On the way to it the scheduler may look at tasks that run.
        while self.spawned.is_empty() {
            self.wait(self.scheduler.next_tick().since(self.now));
        }
    }
}

#[test]
fn it_is_no_crash_and_tried_again_until_there_is_room() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    stage.die(1, KILLED);
    stage.submit(1);
    for _ in 0..50 {
        assert_eq!(stage.spawned.len(), 1);
        stage.nothing_can_be_started();
        assert_eq!(stage.scheduler.shortage(), Some(WHY));
        assert_eq!(stage.spawned, [], "not at once");
        let before = stage.now;
        stage.wait_for_next_try();
        assert!(stage.now.since(before) <= SHORTAGE_WAIT_MAX);
    }
    let report = stage.scheduler.report(stage.now);
    assert_eq!((report.crashes, report.quarantined), (1, false));
    assert_eq!(stage.answers(), []);
    stage.open_spawned(1);
    assert_eq!(stage.scheduler.shortage(), None);
    let worker = stage.worker();
    stage.run_next(worker, Duration::from_millis(1));
    assert_eq!(stage.answers(), [(1, "ok", true)]);
}

#[test]
fn one_try_at_a_time() {
    let mut stage = Stage::new(|settings| settings.workers_max = 8);
    (1..=8).for_each(|task| stage.submit(task));
    stage.nothing_can_be_started();
    stage.wait_for_next_try();
    assert_eq!(stage.spawned.len(), 1);
}

#[test]
fn a_task_for_which_there_is_no_thread_fails_alone() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    stage.run_away_with_slots(2);
    (1..=2).for_each(|task| stage.submit(task));
    let other = stage.start(2);
    let call = stage.calls.get_mut(&WorkerId(2)).unwrap().pop_front();
    let call = call.unwrap();
    assert!(stage.boards[&WorkerId(2)].take_back(call.cell));
    let given_back = Return {
        task: call.task,
        cell: call.cell,
        status: link_status::NO_THREAD,
        ran_ns: 0,
        payload: Bytes::from_static(b"threads are short"),
    };
    stage
        .scheduler
        .returned(WorkerId(2), &given_back, stage.now);
    stage.carry_out();
    assert_eq!(stage.answers().last(), Some(&(2, "overloaded", false)));
    stage.finish(2, &other, status::OK, Duration::from_millis(1));
    assert_eq!(stage.answers().last(), Some(&(1, "ok", true)));
}
