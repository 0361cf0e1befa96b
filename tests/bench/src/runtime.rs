//! Runtimes, for clients and for servers.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::error::BenchError;

/// A runtime on the thread that uses it.
pub(crate) fn on_this_thread() -> Result<Runtime, BenchError> {
    built(&mut Builder::new_current_thread())
}

/// A runtime with as many threads as there are processors.
pub(crate) fn on_all_processors() -> Result<Runtime, BenchError> {
    built(&mut Builder::new_multi_thread())
}

fn built(builder: &mut Builder) -> Result<Runtime, BenchError> {
    builder
        .enable_all()
        .build()
        .map_err(BenchError::io("can't start a runtime"))
}

/// Runs a client on this thread, until the deadline at the latest.
pub(crate) fn block_on<T>(
    deadline: Duration,
    client: impl Future<Output = Result<T, BenchError>>,
) -> Result<T, BenchError> {
    on_this_thread()?.block_on(async {
        tokio::time::timeout(deadline, client)
            .await
            .unwrap_or(Err(BenchError::Silent {
                seconds: deadline.as_secs(),
            }))
    })
}
