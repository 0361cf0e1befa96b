//! The way in for the fuzzers of `tests/fuzz`, which stand outside of this crate; every test takes it with what they begin
//! with. What must hold stands in the rooms that it is about.

use std::sync::{Arc, LazyLock};

use service::supervise::Supervisor;
use tokio::runtime::{Builder, Runtime};

use crate::config::Config;
use crate::gateway::Gateway;
use crate::http::{self, Site};
use crate::message;

/// A gateway that is whole, but that it reaches no host.
static SERVED: LazyLock<(Runtime, Arc<Site>)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("there are descriptors");
    let config = format!(
        r#"
        allow = ["echo"]
        hosts = ["127.0.0.1:1"]
        cookie = "session"
        console = false
        origins = ["https://*.example.com"]
        trusted_proxies = ["127.0.0.1"]
        [[tokens]]
        token = "{}"
        user = "ada"
        "#,
        http::fuzzing::TOKEN
    );
    let config = Config::of(&config).expect("it is a configuration");
    let gateway = {
        let _within = runtime.enter();
        let (supervisor, _) = Supervisor::new();
        Gateway::start(
            &supervisor,
            config.access,
            config.limits,
            config.session,
            config.upstream,
        )
    };
    let site = Site {
        gateway,
        settings: config.http,
        socket: Arc::new(config.socket),
    };
    (runtime, Arc::new(site))
});

/// What a client says over a WebSocket.
pub fn messages(text: &[u8]) {
    message::fuzzing::messages(text);
}

/// Bytes from a client: requests, and what follows where one of them opens a WebSocket. The first says how it is
/// connected.
pub fn requests(data: &[u8]) {
    let (runtime, site) = &*SERVED;
    http::fuzzing::requests(runtime, site, data);
}

/// What to begin with for [`requests`].
pub fn seeds_of_requests() -> Vec<Vec<u8>> {
    http::fuzzing::seeds()
}

/// What to begin with for [`messages`], beside the examples of the documentation.
pub fn seeds_of_messages() -> Vec<Vec<u8>> {
    message::fuzzing::seeds()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fuzzers_begin_with_holds() {
        for seed in seeds_of_messages() {
            messages(&seed);
        }
        for seed in seeds_of_requests() {
            requests(&seed);
            // And without what makes it valid.
            let text = String::from_utf8_lossy(&seed).replace(http::fuzzing::TOKEN, "another");
            requests(text.as_bytes());
        }
    }
}
