//! What a client sends, cut anywhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::within(data, host::fuzzing::lines));
