//! Whom a task talks to: the worker across the ABI, or the bench of the testing kit.

use std::{sync::Arc, time::Duration};

use abi_stable::std_types::{RSlice, RStr, RVec};

use crate::{abi::HostServicesRef, testing::Bench};

#[derive(Clone)]
pub(crate) enum Host {
    Worker(HostServicesRef),
    Bench(Arc<Bench>),
}

impl Host {
    pub(crate) fn complete(&self, task: u64, status: u32, bytes: Vec<u8>) {
        match self {
            Self::Worker(services) => services.complete()(task, status, RVec::from(bytes)),
            Self::Bench(bench) => bench.complete(status, &bytes),
        }
    }

    pub(crate) fn is_cancelled(&self, task: u64) -> bool {
        match self {
            Self::Worker(services) => services.is_cancelled()(task),
            Self::Bench(bench) => bench.is_cancelled(),
        }
    }

    /// The time left, `None` where there is no limit.
    pub(crate) fn remaining(&self, task: u64) -> Option<Duration> {
        match self {
            Self::Worker(services) => match services.remaining_ns()(task) {
                u64::MAX => None,
                ns => Some(Duration::from_nanos(ns)),
            },
            Self::Bench(bench) => bench.remaining(),
        }
    }

    pub(crate) fn progress(&self, task: u64, done: u64, total: u64, message: &str) {
        match self {
            Self::Worker(services) => {
                services.progress()(task, done, total, RStr::from_str(message));
            }
            Self::Bench(bench) => bench.progress(done, total, message),
        }
    }

    pub(crate) fn log_level_max(&self) -> u32 {
        match self {
            Self::Worker(services) => services.log_level_max()(),
            Self::Bench(_) => crate::log::LEVEL_TRACE,
        }
    }

    /// `fields` is a JSON object, or empty.
    pub(crate) fn log(&self, task: u64, level: u32, target: &str, message: &str, fields: &[u8]) {
        match self {
            Self::Worker(services) => services.log()(
                task,
                level,
                RStr::from_str(target),
                RStr::from_str(message),
                RSlice::from_slice(fields),
            ),
            Self::Bench(bench) => bench.log(level, target, message, fields),
        }
    }
}
