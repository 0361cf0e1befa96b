use std::fs;
use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many ports are tried before all of them.
const COUNT: u32 = 10_000;

/// A free port for a server that goes and comes back: none of those that the system gives to clients, any of which may
/// have it meanwhile.
#[must_use]
pub fn lasting_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first_of_clients = range
        .split_whitespace()
        .next()
        .and_then(|port| port.parse().ok());
    let end: u32 = first_of_clients.unwrap_or(32_768);
    // Beginning elsewhere in each process, so that two that run at once rarely meet.
    let start = process::id().wrapping_mul(97);
    loop {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        let port = end - 1 - start.wrapping_add(tried) % COUNT;
        let port = u16::try_from(port).expect("ports have 16 bits");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
