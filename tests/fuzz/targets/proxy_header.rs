//! What a proxy sends before its client's own bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::within(data, host::fuzzing::proxy_header));
