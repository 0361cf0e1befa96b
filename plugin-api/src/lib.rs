//! All that a handler author needs to write a plugin for the task server.

pub mod abi;
pub mod manifest;
pub mod note;

pub use abi_stable;
