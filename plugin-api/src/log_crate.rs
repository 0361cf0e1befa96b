//! The `log` crate, bridged: many dependencies write to it. Like tracing's, its statics exist once per library.

use log::{LevelFilter, Log, Metadata, Record};

use crate::{abi::log_level, log::current_task};

struct Bridge;

/// Makes the bridge the logger, unless there is one already: a test may have its own.
pub(crate) fn install() {
    if log::set_logger(&Bridge).is_ok() {
        // The host decides what is logged, and may change its mind.
        log::set_max_level(LevelFilter::Trace);
    }
}

fn level_number(level: log::Level) -> u32 {
    match level {
        log::Level::Error => log_level::ERROR,
        log::Level::Warn => log_level::WARN,
        log::Level::Info => log_level::INFO,
        log::Level::Debug => log_level::DEBUG,
        log::Level::Trace => log_level::TRACE,
    }
}

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        current_task()
            .is_some_and(|task| level_number(metadata.level()) <= task.host().log_level_max())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let Some(task) = current_task() else { return };
        let message = record.args().to_string();
        let level = level_number(record.level());
        task.host()
            .log(task.id(), level, record.target(), &message, &[]);
    }

    fn flush(&self) {}
}
