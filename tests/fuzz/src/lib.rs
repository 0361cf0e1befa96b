//! What the fuzzers share: a bound on memory, and what a request must be.

mod memory;
mod requests;

pub use memory::{image, within};
pub use requests::request;
