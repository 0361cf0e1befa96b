//! What first-party plugins share, each thing once: [`files`] that requests name, [`secret`]s of configurations, sizes
//! and durations ([`units`]), and the [`Trouble`] that a task's error is made of.
//!
//! It stands on `plugin-api`, knows nothing of the host or the protocol, and of no plugin.

pub mod files;
pub mod secret;
mod text;
mod trouble;
pub mod units;

pub use crate::{
    text::excerpt,
    trouble::{Result, Trouble},
};
