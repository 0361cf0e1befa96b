//! The scheduler without a process or a clock: events in, commands out.

mod ends;
mod shortage;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use super::*;
use crate::link::{ProgressReport, Return, link_status};
use crate::plugin::outcome::Exit;
use crate::task::Client;
use plugin_api::abi::status;
use service::bytes::ByteBudget;

mod broken;

const KILLED: Exit = Exit {
    code: None,
    signal: Some(libc::SIGKILL),
    culprit: None,
};
const LIMIT: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Answers(Mutex<Vec<(u64, Outcome)>>);

impl Client for Answers {
    fn finished(&self, key: u64, outcome: Outcome) {
        self.0.lock().unwrap().push((key, outcome));
    }

    fn happened(&self, _key: u64, _name: &str, _data: Bytes) -> bool {
        true
    }

    fn progressed(&self, _key: u64, _done: u64, _total: u64, _message: String) {}
}

/// A scheduler with its surroundings played by the test.
struct Stage {
    scheduler: Scheduler,
    now: Moment,
    answers: Arc<Answers>,
    boards: BTreeMap<WorkerId, Arc<Board>>,
    /// Calls that a worker has, oldest first.
    calls: BTreeMap<WorkerId, VecDeque<Call>>,
    spawned: Vec<WorkerId>,
    cancelled: Vec<TaskId>,
    closed: Vec<WorkerId>,
    killed: Vec<WorkerId>,
    budget: ByteBudget,
}

impl Stage {
    /// One worker with one slot; `adapt` changes the settings.
    fn new(adapt: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            workers_max: 4,
            cores: 2,
            queue_len_max: 100,
            open_timeout: Duration::from_secs(5),
            cancel_grace: GRACE,
            idle_timeout: Duration::from_secs(60),
            tasks_max: None,
            rss_max: Some(1000),
        };
        adapt(&mut settings);
        let functions = [(); 2]
            .map(|()| Function::new(LIMIT, Arc::default()))
            .into();
        let mut stage = Self {
            scheduler: Scheduler::new(settings, functions),
            now: Moment::from_nanos(1_000_000_000_000),
            answers: Arc::default(),
            boards: BTreeMap::new(),
            calls: BTreeMap::new(),
            spawned: Vec::new(),
            cancelled: Vec::new(),
            closed: Vec::new(),
            killed: Vec::new(),
            budget: ByteBudget::new(1 << 20),
        };
        let board = stage.board(WorkerId(1));
        stage.scheduler.adopt(WorkerId(1), board, 1, stage.now);
        stage
    }

    fn board(&mut self, id: WorkerId) -> Arc<Board> {
        let board = Arc::new(Board::create().unwrap().0);
        self.boards.insert(id, Arc::clone(&board));
        board
    }

    fn submit(&mut self, id: u64) {
        self.submit_until(id, Moment::NEVER);
    }

    fn submit_until(&mut self, id: u64, deadline: Moment) {
        self.submit_to(0, id, deadline);
    }

    fn submit_to(&mut self, function: u32, id: u64, deadline: Moment) {
        let task = Task {
            deadline,
            ..self.task(id)
        };
        self.submit_task(function, task);
    }

    fn task(&self, id: u64) -> Task {
        let client: Arc<dyn Client> = Arc::clone(&self.answers) as Arc<dyn Client>;
        Task {
            received: self.now,
            ..Task::made_up(id, client, &self.budget)
        }
    }

    fn submit_task(&mut self, function: u32, task: Task) {
        self.scheduler.submit(function, task, self.now);
        self.carry_out();
    }

    /// The grace of a drain is over, with nobody else to run what waits.
    fn cut_short(&mut self) {
        self.scheduler.cut_short(self.now);
        self.scheduler.refuse_waiting(self.now);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        // A look at all of them after each would take minutes where they are many.
        if self.scheduler.tasks.len() < 1000 {
            self.scheduler.check();
        }
        for command in self.scheduler.take_commands() {
            match command {
                Command::Spawn(id) => self.spawned.push(id),
                Command::Call(id, call) => self.calls.entry(id).or_default().push_back(call),
                Command::Cancel(_, task) => self.cancelled.push(task),
                Command::Close(id) => self.closed.push(id),
                Command::Kill(id) => self.killed.push(id),
            }
        }
    }

    /// The workers that were asked for have opened their plugin.
    fn open_spawned(&mut self, slots: u32) {
        for id in std::mem::take(&mut self.spawned) {
            let board = self.board(id);
            self.scheduler.worker_opened(id, board, slots, self.now);
        }
        self.carry_out();
    }

    /// The worker takes up its next call.
    fn start(&mut self, worker: u32) -> Call {
        let id = WorkerId(worker);
        let call = self.calls.get_mut(&id).unwrap().pop_front().unwrap();
        assert!(
            self.boards[&id].start(call.cell, self.now),
            "it was taken back"
        );
        call
    }

    fn finish(&mut self, worker: u32, call: &Call, status: u32, ran: Duration) {
        let id = WorkerId(worker);
        self.boards[&id].finish(call.cell);
        let returned = Return {
            task: call.task,
            cell: call.cell,
            status,
            ran_ns: u64::try_from(ran.as_nanos()).unwrap(),
            payload: Bytes::from_static(b"1"),
        };
        self.scheduler.returned(id, &returned, self.now);
        self.carry_out();
    }

    fn run_next(&mut self, worker: u32, ran: Duration) {
        let call = self.start(worker);
        self.finish(worker, &call, status::OK, ran);
    }

    fn skip_next(&mut self, worker: u32) {
        let id = WorkerId(worker);
        let call = self.calls.get_mut(&id).unwrap().pop_front().unwrap();
        assert!(
            !self.boards[&id].start(call.cell, self.now),
            "it was not taken back"
        );
        let skipped = Return {
            task: call.task,
            cell: call.cell,
            status: link_status::SKIPPED,
            ran_ns: 0,
            payload: Bytes::new(),
        };
        self.scheduler.returned(id, &skipped, self.now);
        self.carry_out();
    }

    fn die(&mut self, worker: u32, exit: Exit) {
        self.scheduler
            .worker_exited(WorkerId(worker), exit, None, self.now);
        self.calls.remove(&WorkerId(worker));
        self.carry_out();
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        assert!(
            self.scheduler.next_tick() <= self.now,
            "nothing would ring by then"
        );
        self.scheduler.tick(self.now);
        self.carry_out();
    }

    /// Answers so far: task and code, `ok` where it succeeded.
    fn answers(&self) -> Vec<(u64, &'static str, bool)> {
        let answers = self.answers.0.lock().unwrap();
        answers
            .iter()
            .map(|(key, outcome)| match outcome {
                Ok(_) => (*key, "ok", true),
                Err(failure) => (*key, failure.code.as_str(), failure.started),
            })
            .collect()
    }

    fn waiting_calls(&self, worker: u32) -> Vec<u64> {
        let calls = self.calls.get(&WorkerId(worker));
        calls
            .map(|calls| calls.iter().map(|call| call.task).collect())
            .unwrap_or_default()
    }
}

#[test]
fn a_task_is_answered_once_and_its_memory_given_back() {
    let mut stage = Stage::new(|_| ());
    stage.submit(1);
    stage.run_next(1, Duration::from_millis(3));
    assert_eq!(stage.answers(), [(1, "ok", true)]);
    assert!(stage.budget.hold(1 << 20).is_some());
}

#[test]
fn what_is_kept_for_long_keeps_nothing_that_was_read_with_it() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    let read = Bytes::from(vec![b'1'; 1 << 20]);
    for id in 1..=2 {
        let args = read.slice(..3);
        let task = Task {
            args,
            ..stage.task(id)
        };
        stage.submit_task(0, task);
    }
    assert_eq!(*stage.start(1).args, *b"111");
    stage.wait(Duration::from_millis(40));
    assert!(read.is_unique());
}

#[test]
fn unknown_costs_get_a_worker_of_their_own_up_to_the_maximum() {
    let mut stage = Stage::new(|_| ());
    (1..=9).for_each(|task| stage.submit(task));
    assert_eq!(stage.waiting_calls(1), [1]);
    assert_eq!(stage.spawned, [WorkerId(2), WorkerId(3), WorkerId(4)]);
    stage.open_spawned(1);
    for (worker, task) in [(2, 2), (3, 3), (4, 4)] {
        assert_eq!(stage.waiting_calls(worker), [task]);
    }
    assert_eq!(stage.spawned, [], "that is all there may be");
}

#[test]
fn quick_tasks_are_stacked_on_one_worker() {
    let mut stage = Stage::new(|_| ());
    stage.submit(1);
    stage.run_next(1, Duration::from_micros(10));
    (2..=11).for_each(|task| stage.submit(task));
    assert_eq!(stage.waiting_calls(1), (2..=11).collect::<Vec<u64>>());
    assert_eq!(stage.spawned, []);
}

#[test]
fn what_was_stacked_on_a_task_that_turns_out_slow_goes_elsewhere() {
    let mut stage = Stage::new(|_| ());
    stage.submit(1);
    stage.run_next(1, Duration::from_micros(10));
    (2..=4).for_each(|task| stage.submit(task));
    let slow = stage.start(1);
    stage.wait(Duration::from_millis(6));
    assert_eq!(stage.spawned.len(), 2, "one for each that waits");
    stage.open_spawned(1);
    assert_eq!(
        stage.waiting_calls(2),
        [3, 4],
        "quick ones, as far as is known"
    );
    stage.skip_next(1);
    stage.skip_next(1);
    stage.finish(1, &slow, status::OK, Duration::from_millis(6));
    stage.run_next(2, Duration::from_micros(10));
    stage.run_next(2, Duration::from_micros(10));
    assert_eq!(stage.answers().len(), 4);
    assert!(stage.answers().iter().all(|(_, code, _)| *code == "ok"));
}

#[test]
fn what_is_taken_for_quick_and_is_not_keeps_no_other_worker_from_being_started() {
    let mut stage = Stage::new(|settings| settings.cores = 1);
    stage.submit(1);
    stage.run_next(1, Duration::from_micros(10));
    stage.submit(2);
    stage.start(1);
    // Of another function, of which nobody knows anything.
    stage.submit_to(1, 3, Moment::NEVER);
    assert_eq!(stage.spawned, [], "the first one is over in no time");
    stage.wait(STACK_WAIT_MAX);
    assert_eq!(stage.spawned, [WorkerId(2)]);
    stage.open_spawned(1);
    assert_eq!(stage.waiting_calls(2), [3]);
}

#[test]
fn what_is_refused_says_nothing_of_what_is_not() {
    let mut stage = Stage::new(|_| ());
    stage.submit(1);
    let call = stage.start(1);
    stage.finish(1, &call, status::INVALID_ARGS, Duration::from_micros(10));
    (2..=3).for_each(|task| stage.submit(task));
    assert_eq!(stage.waiting_calls(1), [2], "nothing is stacked on it");
    assert_eq!(stage.spawned, [WorkerId(2)]);
}

#[test]
fn a_full_queue_refuses() {
    let mut stage = Stage::new(|settings| {
        settings.queue_len_max = 2;
        settings.workers_max = 1;
    });
    (1..=4).for_each(|task| stage.submit(task));
    assert_eq!(stage.answers(), [(4, "overloaded", false)]);
}

#[test]
fn time_can_be_up_before_a_task_begins() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    stage.submit(1);
    let deadline = stage.now + Duration::from_millis(100);
    stage.submit_until(2, deadline);
    stage.wait(Duration::from_millis(100));
    assert_eq!(stage.answers(), [(2, "timeout", false)]);
}

#[test]
fn a_handler_over_its_limit_is_told_then_its_worker_killed() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    stage.submit(1);
    stage.submit(2);
    stage.start(1);
    stage.wait(LIMIT);
    assert_eq!(stage.answers(), [(1, "timeout", true)]);
    assert_eq!(stage.cancelled, [TaskId(1)]);
    assert_eq!(stage.killed, []);
    stage.wait(GRACE);
    assert_eq!(stage.killed, [WorkerId(1)]);
    stage.die(1, KILLED);
    assert_eq!(
        stage.scheduler.crashes(),
        0,
        "it did not crash, it was killed"
    );
    stage.open_spawned(1);
    stage.run_next(2, Duration::from_millis(1));
    assert_eq!(stage.answers(), [(1, "timeout", true), (2, "ok", true)]);
}

#[test]
fn beside_others_a_stuck_task_waits_for_them_to_finish() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    stage.run_away_with_slots(2);
    stage.submit(1);
    stage.start(2);
    stage.now = stage.now + Duration::from_secs(5);
    stage.submit(2);
    let other = stage.start(2);
    stage.wait(Duration::from_secs(5));
    stage.wait(GRACE);
    assert_eq!(
        stage.killed,
        [WorkerId(1)],
        "only the first worker, of the set-up"
    );
    stage.finish(2, &other, status::OK, Duration::from_secs(3));
    assert_eq!(stage.killed, [WorkerId(1), WorkerId(2)]);
}

#[test]
fn beside_others_too_a_task_that_does_not_hear_is_answered_when_its_grace_is_over() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    stage.run_away_with_slots(2);
    let before = stage.answers().len();
    (1..=2).for_each(|task| stage.submit(task));
    let stuck = stage.start(2);
    let other = stage.start(2);
    stage.scheduler.cancel(TaskId(stuck.task), stage.now);
    stage.carry_out();
    stage.wait(GRACE);
    assert_eq!(stage.answers()[before..], [(stuck.task, "cancelled", true)]);
    assert_eq!(stage.killed, [WorkerId(1)], "of the set-up");
    stage.finish(2, &other, status::OK, Duration::from_secs(3));
    assert_eq!(stage.killed, [WorkerId(1), WorkerId(2)]);
    stage.die(2, KILLED);
    assert_eq!(stage.answers()[before..].len(), 2);
}

impl Stage {
    /// Replaces the first worker by one with more slots.
    fn run_away_with_slots(&mut self, slots: u32) {
        self.submit(100);
        self.start(1);
        self.scheduler.cancel(TaskId(100), self.now);
        self.wait(GRACE);
        self.die(1, KILLED);
        self.submit(101);
        self.open_spawned(slots);
        self.run_next(2, Duration::from_secs(1));
    }
}

#[test]
fn a_crash_is_answered_by_what_had_started_and_unseen_by_what_had_not() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    stage.submit(1);
    stage.run_next(1, Duration::from_micros(5));
    (2..=5).for_each(|task| stage.submit(task));
    let done = stage.start(1);
    stage.boards[&WorkerId(1)].finish(done.cell);
    stage.start(1);
    stage.die(1, KILLED);
    assert_eq!(
        stage.answers()[1..],
        [(2, "worker_crashed", true), (3, "worker_crashed", true)]
    );
    stage.open_spawned(1);
    assert_eq!(stage.waiting_calls(2)[0], 4);
    stage.run_next(2, Duration::from_micros(5));
    stage.run_next(2, Duration::from_micros(5));
    assert_eq!(stage.answers()[3..], [(4, "ok", true), (5, "ok", true)]);
}

#[test]
fn cancel_reaches_a_task_wherever_it_is() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    (1..=2).for_each(|task| stage.submit(task));
    let running = stage.start(1);
    stage.scheduler.cancel(TaskId(2), stage.now);
    stage.scheduler.cancel(TaskId(1), stage.now);
    stage.scheduler.cancel(TaskId(77), stage.now);
    stage.carry_out();
    assert_eq!(stage.answers(), [(2, "cancelled", false)]);
    assert_eq!(stage.cancelled, [TaskId(1)]);
    stage.finish(1, &running, status::CANCELLED, Duration::from_millis(1));
    assert_eq!(
        stage.answers(),
        [(2, "cancelled", false), (1, "cancelled", true)]
    );
}

#[test]
fn a_result_that_came_before_the_handler_heard_of_the_cancel_counts() {
    let mut stage = Stage::new(|_| ());
    stage.submit(1);
    let running = stage.start(1);
    stage.scheduler.cancel(TaskId(1), stage.now);
    stage.finish(1, &running, status::OK, Duration::from_millis(1));
    assert_eq!(stage.answers(), [(1, "ok", true)]);
}

#[test]
fn crashes_in_a_row_back_off_then_quarantine_then_try_again() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    for crash in 1..=u64::from(CRASHES_MAX) {
        stage.submit(crash);
        if stage.spawned.is_empty() && crash > 1 {
            stage.wait(stage.scheduler.next_tick().since(stage.now));
        }
        stage.open_spawned(1);
        let worker = stage.worker();
        stage.start(worker);
        stage.die(worker, KILLED);
    }
    assert_eq!(
        stage.scheduler.report(stage.now).crashes,
        u64::from(CRASHES_MAX)
    );
    stage.submit(50);
    assert_eq!(stage.answers().last(), Some(&(50, "unavailable", false)));
    stage.now = stage.now + BACK_OFF_MAX;
    stage.submit(51);
    assert_eq!(stage.spawned.len(), 1, "another try");
    stage.open_spawned(1);
    let worker = stage.worker();
    stage.run_next(worker, Duration::from_millis(1));
    assert_eq!(stage.answers().last(), Some(&(51, "ok", true)));
    assert!(!stage.scheduler.report(stage.now).quarantined);
}

impl Stage {
    /// The one worker that is there.
    fn worker(&self) -> u32 {
        self.scheduler.workers.ids()[0].0
    }
}

#[test]
fn a_worker_that_never_opens_is_killed() {
    let mut stage = Stage::new(|settings| settings.workers_max = 2);
    (1..=2).for_each(|task| stage.submit(task));
    assert_eq!(stage.spawned, [WorkerId(2)]);
    stage.wait(Duration::from_secs(5));
    assert_eq!(stage.killed, [WorkerId(2)]);
    stage.die(2, KILLED);
    assert_eq!(stage.scheduler.crashes(), 1);
    assert_eq!(
        stage.answers(),
        [],
        "the second task still waits for a worker"
    );
}

#[test]
fn workers_are_recycled_by_tasks_and_by_memory() {
    let mut stage = Stage::new(|settings| settings.tasks_max = Some(2));
    (1..=2).for_each(|task| {
        stage.submit(task);
        stage.run_next(1, Duration::from_millis(1));
    });
    assert_eq!(stage.closed, [WorkerId(1)]);
    stage.submit(3);
    stage.open_spawned(1);
    stage.run_next(2, Duration::from_millis(1));
    stage.scheduler.worker_holds(WorkerId(2), 1001, stage.now);
    stage.carry_out();
    assert_eq!(stage.closed, [WorkerId(1), WorkerId(2)]);
}

#[test]
fn idle_workers_close_but_for_one() {
    let mut stage = Stage::new(|_| ());
    (1..=3).for_each(|task| stage.submit(task));
    stage.open_spawned(1);
    (1..=3).for_each(|worker| stage.run_next(worker, Duration::from_secs(1)));
    stage.wait(Duration::from_secs(60));
    assert_eq!(stage.closed.len(), 2);
}

#[test]
fn a_drain_finishes_what_is_there_and_refuses_what_comes() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    (1..=2).for_each(|task| stage.submit(task));
    stage.scheduler.drain(stage.now);
    stage.submit(3);
    assert_eq!(stage.answers(), [(3, "shutting_down", false)]);
    stage.run_next(1, Duration::from_secs(1));
    assert_eq!(stage.closed, []);
    stage.run_next(1, Duration::from_secs(1));
    assert_eq!(stage.closed, [WorkerId(1)]);
    assert!(!stage.scheduler.is_drained());
    stage.die(
        1,
        Exit {
            code: Some(0),
            signal: None,
            culprit: None,
        },
    );
    assert!(stage.scheduler.is_drained());
    assert_eq!(stage.scheduler.crashes(), 0);
}

#[test]
fn a_drain_cut_short_answers_everything() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    (1..=2).for_each(|task| stage.submit(task));
    stage.start(1);
    stage.scheduler.drain(stage.now);
    stage.cut_short();
    assert_eq!(stage.answers(), [(2, "shutting_down", false)]);
    stage.wait(GRACE);
    assert_eq!(stage.killed, [WorkerId(1)]);
    stage.die(1, KILLED);
    assert_eq!(
        stage.answers(),
        [(2, "shutting_down", false), (1, "worker_crashed", true)]
    );
    assert!(stage.scheduler.is_drained());
}

#[test]
fn what_comes_back_after_a_drain_was_cut_short_is_not_begun_again() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    (1..=2).for_each(|task| stage.submit(task));
    stage.start(1);
    stage.scheduler.drain(stage.now);
    stage.scheduler.cut_short(stage.now);
    let waiting = stage.scheduler.give_up_waiting(stage.now);
    let ids: Vec<TaskId> = waiting.iter().map(|(_, task)| task.id).collect();
    assert_eq!(ids, [TaskId(2)], "it is another's to run");
    stage.carry_out();
    assert!(stage.scheduler.is_cut());
    stage.die(1, KILLED);
    assert_eq!(stage.answers(), [(1, "worker_crashed", true)]);
    assert_eq!(stage.spawned, [], "nothing is left to run");
    assert!(stage.scheduler.is_drained());
}

/// Looking at all that waits, for each that leaves, would take minutes.
#[test]
fn a_long_queue_whose_time_is_up_at_once_is_answered() {
    let mut stage = Stage::new(|settings| settings.queue_len_max = usize::MAX);
    let deadline = stage.now + Duration::from_secs(1);
    stage.submit(1);
    (2..=400_000).for_each(|task| stage.submit_until(task, deadline));
    stage.wait(Duration::from_secs(1));
    let answers = stage.answers();
    assert_eq!(answers.len(), 399_999);
    assert!(
        answers
            .iter()
            .all(|answer| (answer.1, answer.2) == ("timeout", false))
    );
}

#[test]
fn what_a_broken_worker_makes_up_changes_nothing() {
    let mut stage = Stage::new(|_| ());
    stage.submit(1);
    let made_up = Return {
        task: 99,
        cell: 7,
        status: 0,
        ran_ns: 0,
        payload: Bytes::new(),
    };
    stage.scheduler.returned(WorkerId(1), &made_up, stage.now);
    stage.scheduler.returned(WorkerId(9), &made_up, stage.now);
    let progress = ProgressReport {
        task: 99,
        done: 1,
        total: 1,
        message: String::new(),
    };
    stage.scheduler.progressed(WorkerId(1), progress);
    stage.run_next(1, Duration::from_millis(1));
    assert_eq!(stage.answers(), [(1, "ok", true)]);
}

#[test]
fn a_worker_that_takes_nothing_is_replaced() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    stage.submit(1);
    stage.wait(LIMIT);
    assert_eq!(stage.killed, [WorkerId(1)]);
    assert_eq!(
        stage.answers(),
        [],
        "it has not begun, so it may run elsewhere"
    );
    stage.open_spawned(1);
    stage.run_next(2, Duration::from_millis(1));
    assert_eq!(stage.answers(), [(1, "ok", true)]);
    stage.die(1, KILLED);
    assert_eq!(stage.answers().len(), 1);
}

#[test]
fn a_drain_cut_short_ends_workers_that_take_nothing() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    stage.submit(1);
    stage.scheduler.drain(stage.now);
    stage.cut_short();
    assert_eq!(stage.answers(), [(1, "shutting_down", false)]);
    assert_eq!(stage.closed, [WorkerId(1)]);
    stage.wait(GRACE);
    assert_eq!(stage.killed, [WorkerId(1)]);
    stage.die(1, KILLED);
    assert!(stage.scheduler.is_drained());
}

#[test]
fn a_client_in_a_hurry_costs_no_worker() {
    let mut stage = Stage::new(|settings| settings.workers_max = 1);
    let deadline = stage.now + Duration::from_millis(1);
    stage.submit_until(1, deadline);
    stage.wait(Duration::from_millis(1));
    assert_eq!(stage.answers(), [(1, "timeout", false)]);
    assert_eq!(stage.killed, []);
}

#[test]
fn as_long_as_as_many_open_as_may_at_once_nothing_is_due() {
    let mut stage = Stage::new(|settings| settings.workers_max = 100);
    for id in 1..=50 {
        stage.submit(id);
    }
    assert!(stage.spawned.len() < 49, "{}", stage.spawned.len());
    let next = stage.scheduler.next_tick();
    assert!(next > stage.now, "{next:?} at {:?}", stage.now);
}
