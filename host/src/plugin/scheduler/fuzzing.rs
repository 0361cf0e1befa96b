//! What must hold of a pool whatever its workers do: frames of any content, a board that a plugin has written over, ends
//! at any moment. For the fuzzers of `tests/fuzz`, and for a few scripts in every test.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use bytes::BytesMut;
use service::bytes::ByteBudget;

use super::*;
use crate::link::{CELLS_MAX, Culprit, ToHost, WorkerFrames, fuzzing::FRAME_LEN_MAX};
use crate::plugin::outcome::Exit;
use crate::task::Client;

const LIMIT: Duration = Duration::from_secs(10);
const TASKS_MAX: u64 = 200;
const WORKERS_MAX: usize = 3;
/// Within this every task is answered though no worker says anything more: a few limits and back-offs.
const SILENCE_MAX: Duration = Duration::from_secs(3600);
/// So late the pool may notice that a timer has rung.
const LATE: Duration = Duration::from_millis(50);

/// Counts the answers of each task.
#[derive(Default)]
struct Answers(Mutex<BTreeMap<u64, u32>>);

impl Answers {
    fn given(&self) -> BTreeMap<u64, u32> {
        let given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.clone()
    }
}

impl Client for Answers {
    fn finished(&self, key: u64, _outcome: Outcome) {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = given.entry(key).or_default();
        *count += 1;
        assert_eq!(*count, 1, "task {key} is answered again");
    }

    fn happened(&self, _key: u64, _name: &str, _data: Bytes) -> bool {
        true
    }

    fn progressed(&self, key: u64, _done: u64, _total: u64, _message: String) {
        let given = self.given();
        assert!(
            !given.contains_key(&key),
            "task {key} goes on after its end"
        );
    }
}

/// A worker as the script plays it.
struct Played {
    board: Arc<Board>,
    frames: WorkerFrames,
    /// Calls that it has taken up no more of, oldest first.
    calls: VecDeque<Call>,
    /// Nothing of the board can be believed any more.
    has_scribbled: bool,
}

/// A scheduler with its surroundings played by a script.
struct Stage<'a> {
    script: &'a [u8],
    scheduler: Scheduler,
    now: Moment,
    answers: Arc<Answers>,
    budget: ByteBudget,
    submitted: u64,
    /// Processes that were started and have not opened.
    spawned: BTreeSet<WorkerId>,
    workers: BTreeMap<WorkerId, Played>,
    /// Told to end, and still there.
    told: BTreeSet<WorkerId>,
    /// Tasks that a worker has begun whose board is to be believed.
    begun: BTreeSet<u64>,
}

/// Plays a script: each step is a byte that says which, and what it needs. After it nobody says anything any more, and
/// every task must be answered, once, within its time; then the pool must be able to end.
pub(crate) fn broken_workers(script: &[u8]) {
    let mut stage = Stage::new(script);
    while let Some(step) = stage.byte() {
        stage.step(step);
        stage.carry_out();
    }
    stage.wait_for_answers();
    stage.end();
}

/// Scripts that do something of everything.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut returned = BytesMut::new();
    for sample in crate::link::fuzzing::samples_to_host() {
        sample.encode(&mut returned);
    }
    let mut frames = vec![0, 0, 1, 0, u8::try_from(returned.len()).unwrap_or(0)];
    frames.extend_from_slice(&returned);
    vec![
        vec![0, 0, 2, 0, 3, 0, 1],
        vec![0, 1, 0, 2, 0, 3, 2, 0, 4, 0, 0, 1, 0, 0, 7, 0, 200, 5, 255],
        vec![0, 0, 2, 0, 8, 1, 4, 0, 0, 1, 0, 0, 5, 255, 5, 255, 6, 0],
        vec![0, 0, 0, 0, 6, 9, 1, 2, 0, 7, 0, 9, 10, 11, 0, 0, 12],
        frames,
    ]
}

impl<'a> Stage<'a> {
    fn new(script: &'a [u8]) -> Self {
        let settings = Settings {
            workers_max: WORKERS_MAX,
            cores: 2,
            queue_len_max: 20,
            open_timeout: Duration::from_secs(5),
            cancel_grace: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(60),
            tasks_max: Some(50),
            rss_max: Some(1000),
        };
        let functions = vec![
            Function::new(LIMIT, Arc::default()),
            Function::new(Duration::from_millis(100), Arc::default()),
        ];
        let mut stage = Self {
            script,
            scheduler: Scheduler::new(settings, functions),
            now: Moment::from_nanos(1_000_000_000_000),
            answers: Arc::default(),
            budget: ByteBudget::new(1 << 20),
            submitted: 0,
            spawned: BTreeSet::new(),
            workers: BTreeMap::new(),
            told: BTreeSet::new(),
            begun: BTreeSet::new(),
        };
        let first = WorkerId(1);
        let board = stage.board(first);
        stage.scheduler.adopt(first, board, 1, stage.now);
        stage
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.script.split_first()?;
        self.script = rest;
        Some(*byte)
    }

    /// A number that the script gives: 0 where it has ended.
    fn number(&mut self) -> u8 {
        self.byte().unwrap_or(0)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.number()).min(self.script.len());
        let (bytes, rest) = self.script.split_at(len);
        self.script = rest;
        bytes
    }

    fn board(&mut self, id: WorkerId) -> Arc<Board> {
        let (board, _) = Board::create().expect("a board is a few pages of memory");
        let board = Arc::new(board);
        let played = Played {
            board: Arc::clone(&board),
            frames: WorkerFrames::new(FRAME_LEN_MAX),
            calls: VecDeque::new(),
            has_scribbled: false,
        };
        self.workers.insert(id, played);
        board
    }

    /// One of the workers that the script may mean.
    fn worker(&mut self) -> Option<WorkerId> {
        let number = usize::from(self.number());
        let count = self.workers.len().max(1);
        self.workers.keys().nth(number % count).copied()
    }

    fn step(&mut self, step: u8) {
        match step % 13 {
            0 => self.submit(),
            1 => self.send_frames(),
            2 => self.begin(),
            3 => self.give_back(),
            4 => self.scribble(),
            5 => {
                let ms = u64::from(self.number()).pow(2);
                self.now = self.now + Duration::from_millis(ms);
                self.scheduler.tick(self.now);
            }
            6 => {
                let task = u64::from(self.number()) % (self.submitted + 1);
                self.scheduler.cancel(TaskId(task), self.now);
            }
            7 => self.exit(),
            8 => self.open(),
            9 => drop(self.scheduler.give_up_waiting(self.now)),
            10 => {
                if let Some(id) = self.worker() {
                    self.scheduler.worker_holds(id, 2000, self.now);
                }
            }
            11 => self.not_started(),
            _ => self.scheduler.drain(self.now),
        }
    }

    fn submit(&mut self) {
        let how = self.number();
        if self.submitted == TASKS_MAX {
            return;
        }
        self.submitted += 1;
        let id = self.submitted;
        let deadline = if how & 1 == 0 {
            Moment::NEVER
        } else {
            self.now + Duration::from_millis(u64::from(how) * 10)
        };
        let client: Arc<dyn Client> = Arc::clone(&self.answers) as Arc<dyn Client>;
        let task = Task {
            received: self.now,
            deadline,
            progress: how & 2 != 0,
            ..Task::made_up(id, client, &self.budget)
        };
        let function = u32::from(how >> 2) % 2;
        self.scheduler.submit(function, task, self.now);
    }

    /// What the pool does with what comes over a link; a broken one is the worker's end.
    fn send_frames(&mut self) {
        let Some(id) = self.worker() else { return };
        let bytes = self.bytes();
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        worker.frames.buffer_mut().extend_from_slice(bytes);
        loop {
            let Some(worker) = self.workers.get_mut(&id) else {
                return;
            };
            match worker.frames.next_to_host() {
                Ok(Some(ToHost::Return(returned))) => {
                    self.scheduler.returned(id, &returned, self.now);
                }
                Ok(Some(ToHost::Progress(report))) => self.scheduler.progressed(id, report),
                Ok(Some(ToHost::Opened { slots, .. })) => {
                    let board = Arc::clone(&worker.board);
                    self.scheduler.worker_opened(id, board, slots, self.now);
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => return self.gone(id, Exit::default()),
            }
        }
    }

    /// The worker takes up its next call.
    fn begin(&mut self) {
        let Some(id) = self.worker() else { return };
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let Some(call) = worker.calls.front() else {
            return;
        };
        if worker.board.start(call.cell, self.now) && !worker.has_scribbled {
            self.begun.insert(call.task);
        }
    }

    /// The worker returns its oldest call, as a well-behaved one does.
    fn give_back(&mut self) {
        let Some(id) = self.worker() else { return };
        let status = u32::from(self.number() % 8);
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let Some(call) = worker.calls.pop_front() else {
            return;
        };
        let started = worker.board.state(call.cell) == crate::link::CellState::Running
            || worker.board.start(call.cell, self.now);
        let status = if started {
            worker.board.finish(call.cell);
            status
        } else {
            crate::link::link_status::SKIPPED
        };
        let returned = crate::link::Return {
            task: call.task,
            cell: call.cell,
            status,
            ran_ns: u64::from(status) * 1000,
            payload: Bytes::from_static(b"1"),
        };
        self.scheduler.returned(id, &returned, self.now);
    }

    fn scribble(&mut self) {
        let Some(id) = self.worker() else { return };
        let (cell, state, started, note) =
            (self.number(), self.number(), self.number(), self.number());
        // The first cells handed over are the last of the board or the first, whichever way it is filled.
        let cell = if cell & 1 == 0 {
            cell / 2
        } else {
            255 - cell / 2
        };
        let started = match started {
            0 => 0,
            255 => u64::MAX,
            some => self.now.as_nanos() + u64::from(some) * 1_000_000,
        };
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.has_scribbled = true;
            for call in &worker.calls {
                self.begun.remove(&call.task);
            }
            let note = (note != 0).then_some((u32::from(note) * 3, u32::from(note) * 9));
            worker.board.scribble(cell, state, started, note);
        }
    }

    fn exit(&mut self) {
        let Some(id) = self.worker() else { return };
        let how = self.number();
        let culprit = self
            .workers
            .get(&id)
            .and_then(|worker| worker.board.culprit());
        let exit = Exit {
            code: (how & 1 == 0).then(|| i32::from(how)),
            signal: (how & 1 == 1).then(|| i32::from(how / 2)),
            culprit: culprit.or((how > 200).then_some(Culprit {
                signal: u32::from(how),
                cell: Some(how),
            })),
        };
        self.gone(id, exit);
    }

    /// A process that was asked for opens its plugin.
    fn open(&mut self) {
        let slots = match self.number() {
            255 => u32::MAX,
            slots => u32::from(slots),
        };
        if let Some(id) = self.spawned.pop_first() {
            let board = self.board(id);
            self.scheduler.worker_opened(id, board, slots, self.now);
        }
    }

    fn not_started(&mut self) {
        let is_short = self.number() & 1 == 1;
        if let Some(id) = self.spawned.pop_first() {
            self.told.remove(&id);
            if is_short {
                let why = "no processes are left";
                self.scheduler.worker_without_room(id, why, self.now);
            } else {
                let why = "no such file";
                self.scheduler.worker_not_started(id, why, self.now);
            }
        }
    }

    fn gone(&mut self, id: WorkerId, exit: Exit) {
        self.workers.remove(&id);
        self.spawned.remove(&id);
        self.told.remove(&id);
        self.scheduler.worker_exited(id, exit, None, self.now);
    }

    fn carry_out(&mut self) {
        self.scheduler.check();
        for command in self.scheduler.take_commands() {
            match command {
                Command::Spawn(id) => {
                    assert!(self.spawned.insert(id), "{id:?} is started twice");
                }
                Command::Call(id, call) => {
                    assert!(
                        !self.begun.contains(&call.task),
                        "task {} has begun already",
                        call.task
                    );
                    if let Some(worker) = self.workers.get_mut(&id) {
                        worker.calls.push_back(call);
                        assert!(worker.calls.len() <= CELLS_MAX || worker.has_scribbled);
                    }
                }
                Command::Cancel(..) => {}
                Command::Close(id) | Command::Kill(id) => {
                    self.told.insert(id);
                }
            }
        }
    }

    /// From here on workers say nothing but that they have opened, and end when they are told to.
    fn wait_for_answers(&mut self) {
        self.wait_until("a task is never answered", |stage| {
            stage.answers.given().len() as u64 == stage.submitted
        });
    }

    fn wait_until(&mut self, otherwise: &str, is_over: impl Fn(&Self) -> bool) {
        let until = self.now + SILENCE_MAX;
        loop {
            self.obey();
            if is_over(self) {
                return;
            }
            let next = self.scheduler.next_tick();
            assert!(
                next < until,
                "{otherwise}: {:?}",
                self.scheduler.report(self.now)
            );
            self.now = next.max(self.now + LATE);
            self.scheduler.tick(self.now);
            self.carry_out();
        }
    }

    fn obey(&mut self) {
        if self.scheduler.is_cut() {
            self.scheduler.refuse_waiting(self.now);
            self.carry_out();
        }
        while let Some(id) = self.told.pop_first() {
            self.gone(id, Exit::default());
            self.carry_out();
        }
        while let Some(id) = self.spawned.pop_first() {
            let board = self.board(id);
            self.scheduler.worker_opened(id, board, 1, self.now);
            self.carry_out();
        }
    }

    fn end(&mut self) {
        self.scheduler.drain(self.now);
        self.carry_out();
        self.scheduler.cut_short(self.now);
        self.carry_out();
        self.wait_until("the pool never ends", |stage| stage.scheduler.is_drained());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn workers_that_break_every_rule_cost_no_task_its_answer() {
        seeds().iter().for_each(|script| broken_workers(script));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn no_script_costs_a_task_its_answer(script in proptest::collection::vec(any::<u8>(), 0..300)) {
            broken_workers(&script);
        }
    }
}
