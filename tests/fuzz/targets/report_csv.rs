//! CSV files of every dialect.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| report::fuzzing::csv(data));
