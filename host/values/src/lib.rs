//! What people write in configurations and on command lines, with one meaning in every program and plugin: sizes and
//! durations ([`units`]), and [`secret`]s.
#![forbid(unsafe_code)]

pub mod secret;
pub mod units;
