use serde_json::{Value, json};

use crate::client::Client;
use crate::host::Host;

/// A connection that is told what happens to plugins.
#[derive(Debug)]
pub struct PluginWatch {
    client: Client,
    /// All events so far.
    seen: Vec<Value>,
}

impl PluginWatch {
    /// What happens from now on.
    #[must_use]
    #[track_caller]
    pub fn start(host: &Host) -> Self {
        let mut client = host.client();
        client.send(json!({"id": "watch", "function": "host.plugins", "args": {"watch": true}}));
        let first = client.recv();
        assert!(
            first["id"] == "watch" && first["event"] == "plugins",
            "{first}"
        );
        assert!(first["data"]["plugins"].is_array(), "{first}");
        Self {
            client,
            seen: Vec::new(),
        }
    }

    /// The next event.
    #[track_caller]
    pub fn next_event(&mut self) -> Value {
        let line = self.client.recv();
        assert!(line["id"] == "watch" && line["event"] == "plugin", "{line}");
        self.seen.push(line["data"].clone());
        line["data"].clone()
    }

    /// The next event that `wanted` takes; those before it are only remembered.
    #[track_caller]
    pub fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.next_event();
            if wanted(&event) {
                return event;
            }
        }
    }

    /// The next event of this state.
    #[track_caller]
    pub fn wait_for_state(&mut self, state: &str) -> Value {
        self.wait_for(|event| event["state"] == state)
    }

    /// Goes away so that the host knows at once: one that only closes its connection may still be reading, for all the host
    /// knows, until it is sent the next event.
    pub fn end(self) {
        self.client.reset();
    }

    /// All events that were received so far.
    #[must_use]
    pub fn seen(&self) -> &[Value] {
        &self.seen
    }
}
