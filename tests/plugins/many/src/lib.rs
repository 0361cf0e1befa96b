//! Fixture plugin of the benchmarks: as many functions as they want, each of which results in its arguments. The build
//! script writes it, and the benchmarks make copies of it by another number in its names.
#![forbid(unsafe_code)]

use plugin_api::{PluginError, TaskError, plugin};
use serde_json::value::RawValue;

struct Many;

include!(concat!(env!("OUT_DIR"), "/plugin.rs"));
