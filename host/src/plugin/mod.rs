//! One generation of one plugin: its workers, who runs what, and what their ends mean.
//!
//! [`scheduler`] decides and does nothing, [`process`] does and decides nothing, [`pool`] joins the two.

mod outcome;
mod pool;
mod process;
mod scheduler;

pub(crate) use outcome::data as reply_data;
pub(crate) use pool::{
    Drain, Notice, Notify, Opened, PoolHandle, PoolSettings, Reroute, Runner, open,
};
pub(crate) use process::Spec;
#[cfg(fuzzing)]
pub(crate) use scheduler::fuzzing;
pub(crate) use scheduler::{PoolReport, Settings};
