//! The features of plugin-api, as far as they decide what an author may write.

#[derive(Clone, Copy)]
pub(crate) struct Features {
    /// Handlers may be `async fn`.
    pub(crate) futures: bool,
}

impl Features {
    /// Those that this crate is built with.
    pub(crate) fn enabled() -> Self {
        Self {
            futures: cfg!(feature = "async"),
        }
    }
}
