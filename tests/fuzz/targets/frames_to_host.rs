//! What a worker, or a plugin inside of it, writes on its link.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::within(data, host::fuzzing::frames_to_host));
