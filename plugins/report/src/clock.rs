//! What those who wait wait with.

use tokio::runtime::{Builder, Runtime};

use crate::error::{Result, Trouble};

/// A runtime for waiting, on the thread that waits: it goes on even when all threads of the queries are busy computing.
pub(crate) fn new() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| Trouble::io("the report can't begin", &error))
}
