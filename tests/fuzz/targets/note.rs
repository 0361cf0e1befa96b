//! Sections and texts of plugins' notes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::within(data, host::fuzzing::note));
