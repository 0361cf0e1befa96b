//! What the worker offers to its plugin: the functions behind `plugin_api::abi::HostServices`.
//!
//! A task is known to the plugin by a number. Whatever a plugin does with it (answer twice, answer from a thread that
//! outlived the task, make a number up), the worst it gets is a line in the log.

use std::time::Duration;

use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::std_types::{RSlice, RStr, RVec};
use plugin_api::abi::{HostServices, HostServicesRef};

use super::tasks::Tasks;
use super::{TASKS, copy};
use crate::clock::Moment;
use crate::link::LogRecord;

/// The services over this process's one table of tasks.
pub(super) fn offer() -> HostServicesRef {
    HostServices {
        complete,
        is_cancelled,
        remaining_ns,
        progress,
        log_level_max,
        log,
    }
    .leak_into_prefix()
}

/// The tasks of this worker; `None`: none yet, or this is a copy of the worker, in which locks may be held for ever.
fn tasks() -> Option<&'static Tasks> {
    TASKS.get().filter(|_| !copy::is_copy())
}

extern "C" fn complete(task: u64, status: u32, bytes: RVec<u8>) {
    copy::end_if_copy();
    if let Some(tasks) = tasks() {
        tasks.complete(task, status, bytes.into_vec());
    }
}

extern "C" fn is_cancelled(task: u64) -> bool {
    tasks().is_none_or(|tasks| tasks.is_cancelled(task))
}

extern "C" fn remaining_ns(task: u64) -> u64 {
    let deadline = tasks().map_or(Moment::default(), |tasks| tasks.deadline(task));
    if deadline == Moment::NEVER {
        return u64::MAX;
    }
    let left: Duration = deadline.since(Moment::now());
    u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)
}

extern "C" fn progress(task: u64, done: u64, total: u64, message: RStr<'_>) {
    if let Some(tasks) = tasks() {
        tasks.progress(task, done, total, message.as_str());
    }
}

extern "C" fn log_level_max() -> u32 {
    tasks().map_or(0, Tasks::log_level)
}

extern "C" fn log(
    task: u64,
    level: u32,
    target: RStr<'_>,
    message: RStr<'_>,
    fields: RSlice<'_, u8>,
) {
    if let Some(tasks) = tasks() {
        tasks.log(LogRecord {
            task,
            level,
            target: target.as_str().to_owned(),
            message: message.as_str().to_owned(),
            fields: String::from_utf8_lossy(fields.as_slice()).into_owned(),
        });
    }
}
