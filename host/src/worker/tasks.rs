//! The tasks of this worker: those that wait for a slot, those that run, and how they are answered.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use plugin_api::abi::{PluginModuleRef, status};
use plugin_api::limits::{self, STACK_LEN, TEXT_LEN_MAX, cut};
use service::rate::{self, Rate, Sample};
use service::shortage;
use service::sync::lock;

use super::inlet::{Inlet, Reading};
use super::outbox::{self, Outbox};
use super::progress::{Due, Report};
use super::running::{AllRunning, Running};
use super::slots::{Next, Slots, Tell};
use super::{copy, signals};
use crate::clock::Moment;
use crate::link::{Board, Call, LogRecord, ProgressReport, Return, ToHost, ToWorker, link_status};

/// Log records a second; the rest are counted and left out.
const LOG_RECORDS_PER_SECOND_MAX: u32 = 1000;
/// A longer log record counts as several of this length, in bytes.
const LOG_RECORD_LEN_USUAL: usize = 1024;

/// The plugin, once it is open.
static MODULE: OnceLock<PluginModuleRef> = OnceLock::new();

/// Everything the worker's threads share.
#[derive(Debug)]
pub(super) struct Tasks {
    board: &'static Board,
    outbox: &'static Outbox,
    result_len_max: usize,
    /// Least severe level that is worth sending: 0 off, 1 error … 5 trace.
    log_level: AtomicU32,
    slots: Slots,
    inlet: &'static Inlet,
    running: AllRunning,
    log_sample: Mutex<Sample>,
    /// Tasks with progress that is kept, by the moment at which it is to be sent.
    kept_progress: Mutex<BTreeSet<(Moment, u64)>>,
    /// Rung when there is progress to be sent sooner than before.
    progress_bell: Condvar,
}

impl Tasks {
    pub(super) fn new(
        board: &'static Board,
        inlet: &'static Inlet,
        outbox: &'static Outbox,
        result_len_max: usize,
    ) -> Self {
        Self {
            board,
            outbox,
            result_len_max,
            log_level: AtomicU32::new(0),
            slots: Slots::default(),
            inlet,
            running: AllRunning::default(),
            log_sample: Mutex::new(Sample::new(Rate::per_second(LOG_RECORDS_PER_SECOND_MAX))),
            kept_progress: Mutex::default(),
            progress_bell: Condvar::new(),
        }
    }

    /// From now on `slots` tasks run at once. The first one's thread is there from now on, others come when they are needed.
    ///
    /// # Errors
    /// The system has no thread.
    pub(super) fn open(&'static self, module: PluginModuleRef, slots: u32) -> io::Result<()> {
        MODULE.get_or_init(|| module);
        self.slots.open(slots);
        self.start_thread(module)
    }

    fn start_thread(&'static self, module: PluginModuleRef) -> io::Result<()> {
        std::thread::Builder::new()
            .name("slot".to_owned())
            .stack_size(STACK_LEN)
            .spawn(move || self.run_slot(module))?;
        Ok(())
    }

    /// Sees that what waits and could run has a thread. Of what has none the newest is given back.
    fn rouse(&'static self, module: PluginModuleRef) {
        if let Some((calls, error)) = self.slots.rouse(|| self.start_thread(module)) {
            self.give_back(&calls, &error);
        }
    }

    /// Answers calls for which there is no thread, and which have not started.
    fn give_back(&self, calls: &[Call], error: &io::Error) {
        let why = shortage::describe(error).unwrap_or_else(|| error.to_string());
        for call in calls {
            if !self.board.take_back(call.cell) {
                self.skip(call);
                continue;
            }
            self.answer(Return {
                task: call.task,
                cell: call.cell,
                status: link_status::NO_THREAD,
                ran_ns: 0,
                payload: why.clone().into(),
            });
        }
    }

    /// A thread that runs one task after another, and reads the link where nobody else does, for ever.
    fn run_slot(&'static self, module: PluginModuleRef) {
        loop {
            match self.slots.next() {
                Next::Run { call, more } => {
                    if more {
                        self.rouse(module);
                    }
                    self.run(module, &call);
                }
                Next::Read => {
                    self.read();
                    self.slots.has_read();
                }
            }
        }
    }

    fn run(&self, module: PluginModuleRef, call: &Call) {
        let now = Moment::now();
        let limit = now + Duration::from_nanos(call.limit_ns);
        let running = Running {
            cell: call.cell,
            started: now,
            deadline: call.deadline.min(limit),
            progress_wanted: call.progress,
            cancelled: AtomicBool::new(false),
            progress: Mutex::default(),
        };
        if !self.running.begin(self.board, call.task, running) {
            self.skip(call);
            return;
        }
        signals::set_current_cell(Some(call.cell));
        module.call()(call.function, call.task, (&*call.args).into());
        copy::end_if_copy();
        signals::set_current_cell(None);
    }

    // ---- from the host ----

    /// Takes in what the host has said; waits for it, unless there is something to run.
    fn read(&self) {
        let mut reading = self.inlet.lock();
        let read = match reading.read() {
            Ok(false) => {
                reading.wait(|| self.slots.has_work());
                reading.read()
            }
            read => read,
        };
        if let Err(error) = read.and_then(|_| self.take_frames(&mut reading)) {
            outbox::lost(&error);
        }
    }

    /// The thread that reads what can't wait while every other one runs a task, for ever.
    pub(super) fn run_urgent(&'static self) {
        loop {
            let mut reading = self.inlet.wait_urgent();
            let read = reading.read();
            if let Err(error) = read.and_then(|_| self.take_frames(&mut reading)) {
                outbox::lost(&error);
            }
            drop(reading);
            if let Some(module) = MODULE.get() {
                self.rouse(*module);
            }
        }
    }

    fn take_frames(&self, reading: &mut Reading) -> io::Result<()> {
        let mut calls = Vec::new();
        while let Some(frame) = reading.next()? {
            match frame {
                ToWorker::Call(call) => calls.push(call),
                ToWorker::Cancel { task } => self.cancel(task),
                ToWorker::LogLevel(level) => self.set_log_level(level),
                ToWorker::Close => self.close(),
                ToWorker::Open(_) => return Err(io::Error::other("opened twice")),
            }
        }
        // By whoever reads, so that they wait in their order.
        self.slots.push(calls.into_iter());
        Ok(())
    }

    /// The orderly end: the host has no more tasks for this worker, and waits for none. It kills a worker that takes too
    /// long.
    fn close(&self) -> ! {
        if let Some(module) = MODULE.get() {
            module.close()();
        }
        std::process::exit(0)
    }

    // ---- to the host ----

    fn skip(&self, call: &Call) {
        self.answer(Return {
            task: call.task,
            cell: call.cell,
            status: link_status::SKIPPED,
            ran_ns: 0,
            payload: Bytes::new(),
        });
    }

    /// The plugin's answer. Only the first one for a task counts.
    pub(super) fn complete(&self, task: u64, status: u32, payload: Vec<u8>) {
        let Some(running) = self.running.end(task) else {
            self.warn(task, "the plugin answered a task a second time, or one it never got; only the first answer counts");
            return;
        };
        // Whoever asked for progress sees how far it came.
        if running.progress_wanted {
            self.send_kept(task, &running);
        }
        let ran_ns = Moment::now().since(running.started).as_nanos();
        let (status, payload) = self.checked(status, payload);
        self.board.finish(running.cell);
        self.answer(Return {
            task,
            cell: running.cell,
            status,
            ran_ns: u64::try_from(ran_ns).unwrap_or(u64::MAX),
            payload,
        });
    }

    /// A result must be one line of JSON that fits; whatever else a handler calls its result is a failure of its own.
    /// Texts are cut: they are for people.
    fn checked(&self, status: u32, payload: Vec<u8>) -> (u32, Bytes) {
        let (status, payload) = limits::fit(status, payload, self.result_len_max);
        let payload = Bytes::from(payload);
        if status != status::OK {
            return (status, payload);
        }
        match protocol::json::one_line(&payload) {
            Ok(line) => (status, line),
            Err(error) => (link_status::INVALID_RESULT, error.to_string().into()),
        }
    }

    fn answer(&self, answer: Return) {
        let elsewhere = !signals::is_current_cell(answer.cell);
        if self.slots.ended(elsewhere) == Tell::Reader {
            self.inlet.poke();
        }
        self.outbox.send(&ToHost::Return(answer));
    }

    /// Tells the handler to stop; it hears it when it asks.
    pub(super) fn cancel(&self, task: u64) {
        if let Some(running) = self.running.get(task) {
            running.cancelled.store(true, Ordering::Release);
        }
    }

    /// An answered or unknown task counts as cancelled: nobody waits for what is done for it.
    pub(super) fn is_cancelled(&self, task: u64) -> bool {
        self.running
            .get(task)
            .is_none_or(|running| running.cancelled.load(Ordering::Acquire))
    }

    pub(super) fn deadline(&self, task: u64) -> Moment {
        self.running
            .get(task)
            .map_or(Moment::default(), |running| running.deadline)
    }

    pub(super) fn progress(&self, task: u64, done: u64, total: u64, message: &str) {
        let Some(running) = self.running.get(task) else {
            return;
        };
        if !running.progress_wanted {
            return;
        }
        let report = Report {
            done,
            total,
            message: cut(message).to_owned(),
        };
        let mut progress = lock(&running.progress);
        match progress.report(report, Moment::now()) {
            // Under the task's lock, so that they are sent in their order.
            Due::Now(report) => self.send_progress(task, report),
            Due::At(at) => {
                lock(&self.kept_progress).insert((at, task));
                self.progress_bell.notify_one();
            }
            Due::Merged => {}
        }
    }

    /// Sends what was kept of tasks that have gone silent, for ever.
    pub(super) fn run_progress(&self) -> ! {
        let mut kept = lock(&self.kept_progress);
        loop {
            let now = Moment::now();
            kept = match kept.first().copied() {
                None => self
                    .progress_bell
                    .wait(kept)
                    .unwrap_or_else(PoisonError::into_inner),
                Some((at, _)) if now < at => {
                    self.progress_bell
                        .wait_timeout(kept, at.since(now))
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                Some(due @ (_, task)) => {
                    kept.remove(&due);
                    drop(kept);
                    if let Some(running) = self.running.get(task) {
                        self.send_kept(task, &running);
                    }
                    lock(&self.kept_progress)
                }
            };
        }
    }

    fn send_kept(&self, task: u64, running: &Running) {
        let mut progress = lock(&running.progress);
        if let Some(report) = progress.take(Moment::now()) {
            self.send_progress(task, report);
        }
    }

    fn send_progress(&self, task: u64, report: Report) {
        let Report {
            done,
            total,
            message,
        } = report;
        self.outbox.send(&ToHost::Progress(ProgressReport {
            task,
            done,
            total,
            message,
        }));
    }

    pub(super) fn log_level(&self) -> u32 {
        self.log_level.load(Ordering::Relaxed)
    }

    pub(super) fn set_log_level(&self, level: u32) {
        self.log_level.store(level, Ordering::Relaxed);
    }

    pub(super) fn log(&self, mut record: LogRecord) {
        if record.level > self.log_level() {
            return;
        }
        let len = record.message.len() + record.fields.len();
        let weight = rate::weight(len.min(2 * TEXT_LEN_MAX), LOG_RECORD_LEN_USUAL);
        let left_out = match lock(&self.log_sample).take_for(weight, Instant::now()) {
            Some(left_out) => left_out,
            None => return,
        };
        if left_out > 0 {
            self.warn(0, &format!("{left_out} log records left out: at most {LOG_RECORDS_PER_SECOND_MAX} a second are kept"));
        }
        record.target.truncate(cut(&record.target).len());
        record.message.truncate(cut(&record.message).len());
        if record.fields.len() > TEXT_LEN_MAX {
            record.fields.clear();
        }
        self.outbox.send(&ToHost::Log(record));
    }

    fn warn(&self, task: u64, message: &str) {
        self.outbox.send(&ToHost::Log(LogRecord {
            task,
            level: 2,
            target: "worker".to_owned(),
            message: message.to_owned(),
            fields: String::new(),
        }));
    }
}
