//! What the host writes on a link.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::within(data, host::fuzzing::frames_to_worker));
