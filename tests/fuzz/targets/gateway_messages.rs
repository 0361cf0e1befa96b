//! What a client says to the gateway over a WebSocket.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::within(data, gateway::fuzzing::messages));
