//! What every long-running program of ours does alike. Host and gateway stand on it; it knows neither of them, nor the
//! protocol.
//!
//! [`config`] reads files into checked values, with sizes, durations and secrets of [`values`]. [`log`] writes lines and
//! waits for nobody. [`listen`] opens sockets, [`life`] has signals, phases and the drain, [`shortage`] says what the
//! system is out of, [`supervise`] decides what the end of a loop means. [`bytes`] and [`rate`] bound what clients may ask for.
//! [`pattern`] has names with stars, [`proxies`] whom to believe
//! about others, [`tls`] certificates that change, [`remote`] where a host is. [`metrics`] and [`pages`] tell operators how the program fares.

pub mod bytes;
pub mod config;
pub mod life;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod pages;
pub mod pattern;
pub mod proxies;
pub mod rate;
pub mod remote;
pub mod shortage;
pub mod supervise;
pub mod sync;
pub mod tls;
