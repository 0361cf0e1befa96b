//! What a client sends to the gateway: HTTP, and what follows it on a WebSocket.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gateway::fuzzing::requests(data));
