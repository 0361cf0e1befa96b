//! The report plugin: `report` reads rows from files and databases, queries them by SQL, and writes them as JSON, CSV,
//! XLSX, HTML and PDF.

mod args;
mod arithmetic;
mod bounds;
mod clock;
mod columns;
mod config;
mod database;
mod encoding;
mod engine;
mod error;
mod frame;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod json;
mod memory;
mod outputs;
mod request;
mod rows;
mod run;
mod source;
mod spill;
mod sql;
mod sums;
mod warning;
mod watch;

use std::sync::{Arc, Mutex, PoisonError};

use plugin_api::{PluginError, Task, TaskError, plugin};
use report_document::Fonts;
use tokio::runtime::{Builder, Runtime};

pub use crate::{
    args::{
        Format, Output, OutputArgs, Report as ReportMade, ReportArgs, SectionArgs, SourceArgs,
        Warning,
    },
    config::ReportConfig,
    database::{ConnectionConfig, Tls},
    encoding::Encoding,
};
use crate::{config::Checked, engine::Limits, run::Resources};

/// The plugin's state in a worker: what was configured, and the threads of its queries.
pub struct Report {
    config: Checked,
    limits: Limits,
    fonts: Arc<Fonts>,
    /// Started by the first task.
    threads: Mutex<Option<Arc<Threads>>>,
}

#[plugin(cpu_bound)]
impl Report {
    /// Connects to nothing and starts nothing: that waits for the first report.
    fn open(config: ReportConfig) -> Result<Self, PluginError> {
        let config = config.check()?;
        Ok(Self {
            limits: Limits {
                memory_max: config.memory_max,
                spill_folder: config.spill_folder.clone(),
                spill_max: config.spill_max,
            },
            fonts: Arc::new(Fonts::new(config.fonts.clone())),
            threads: Mutex::new(None),
            config,
        })
    }

    /// Makes a report of rows from files, databases or the request itself: queried by SQL, and written as JSON, CSV,
    /// XLSX, HTML or PDF, one or several at once. Reports progress.
    #[handler(timeout = "10m")]
    fn report(&self, args: ReportArgs, task: &Task) -> Result<ReportMade, TaskError> {
        let threads = self.threads()?;
        let Some(runtime) = &threads.0 else {
            return Err(TaskError::new("internal", "the threads are gone"));
        };
        let resources = Resources {
            config: &self.config,
            limits: &self.limits,
            fonts: &self.fonts,
            runtime,
        };
        let made = run::report(&resources, args, task);
        if made.is_err() {
            // What was stopped may go on computing for a while; the next report has threads of its own.
            let mut kept = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
            kept.take_if(|kept| Arc::ptr_eq(kept, &threads));
        }
        made
    }
}

impl Report {
    fn threads(&self) -> Result<Arc<Threads>, TaskError> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(threads) = &*threads {
            return Ok(Arc::clone(threads));
        }
        let started = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("report")
            .thread_stack_size(64 << 20)
            .enable_all()
            .build()?;
        Ok(Arc::clone(threads.insert(Arc::new(Threads(Some(started))))))
    }
}

/// The threads of queries. Dropping them doesn't wait for what they compute.
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
