//! Scripts of what workers do to a pool.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::within(data, host::fuzzing::broken_workers));
