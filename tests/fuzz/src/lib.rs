//! What the fuzzers share: a bound on memory, and what a request must be.

mod memory;
mod requests;

#[cfg(feature = "resize")]
pub use memory::image;
pub use memory::within;
pub use requests::request;
