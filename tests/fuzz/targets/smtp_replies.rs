//! What a server says to the mail plugin.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::within(data, mail::fuzzing::smtp_replies));
