//! Whom a task talks to: the worker, across the ABI, or whatever stands in for it in a test.

use std::{ops::Deref, sync::Arc, time::Duration};

use abi_stable::std_types::{RSlice, RStr, RVec};

use crate::abi::HostServicesRef;

/// What a task needs of its host. Every method names the task it is about.
pub(crate) trait Services: Send + Sync {
    /// Answers the task; `bytes` is the payload of the [`status`](crate::abi::status).
    fn complete(&self, task: u64, status: u32, bytes: Vec<u8>);

    fn is_cancelled(&self, task: u64) -> bool;

    /// The time left; `None` if there is no limit.
    fn remaining(&self, task: u64) -> Option<Duration>;

    /// Reports that `done` of `total` is done.
    fn progress(&self, task: u64, done: u64, total: u64, message: &str);

    /// The most verbose [`log_level`](crate::abi::log_level) to log.
    fn log_level_max(&self) -> u32;

    /// Logs an event; `fields` is a JSON object, or empty.
    fn log(&self, task: u64, level: u32, target: &str, message: &str, fields: &[u8]);
}

/// A handle to the [`Services`] of a task.
#[derive(Clone)]
pub(crate) enum Host {
    /// The worker. Not an `Arc`: tasks on many threads would contend for its reference count.
    Worker(Worker),
    StandIn(Arc<dyn Services>),
}

impl Deref for Host {
    type Target = dyn Services;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Worker(worker) => worker,
            Self::StandIn(services) => &**services,
        }
    }
}

/// The worker that loaded this library.
#[derive(Clone, Copy)]
pub(crate) struct Worker(pub(crate) HostServicesRef);

impl Services for Worker {
    fn complete(&self, task: u64, status: u32, bytes: Vec<u8>) {
        self.0.complete()(task, status, RVec::from(bytes));
    }

    fn is_cancelled(&self, task: u64) -> bool {
        self.0.is_cancelled()(task)
    }

    fn remaining(&self, task: u64) -> Option<Duration> {
        match self.0.remaining_ns()(task) {
            u64::MAX => None,
            ns => Some(Duration::from_nanos(ns)),
        }
    }

    fn progress(&self, task: u64, done: u64, total: u64, message: &str) {
        self.0.progress()(task, done, total, RStr::from_str(message));
    }

    fn log_level_max(&self) -> u32 {
        self.0.log_level_max()()
    }

    fn log(&self, task: u64, level: u32, target: &str, message: &str, fields: &[u8]) {
        self.0.log()(
            task,
            level,
            RStr::from_str(target),
            RStr::from_str(message),
            RSlice::from_slice(fields),
        );
    }
}
