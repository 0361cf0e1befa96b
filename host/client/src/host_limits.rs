//! What a host allows each of its connections.

use serde::Deserialize;

/// Requests to the host itself that find room beside as many tasks as there may be: a ping, a watch, cancellations.
const RESERVED_MAX: usize = 24;
/// With fewer requests at a time on one connection, a host can't be worked with.
pub const HOST_IN_FLIGHT_MIN: usize = 4;

/// What a host allows each of its connections, as `host.status` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HostLimits {
    /// Requests at a time. Beyond it, the host reads nothing more, not even a ping.
    pub in_flight_max: usize,
    /// The longest line that the host takes or sends, in bytes.
    pub line_len_max: usize,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            in_flight_max: 1024,
            line_len_max: protocol::LINE_LEN_MAX_DEFAULT,
        }
    }
}

impl HostLimits {
    /// Reads the result of `host.status`. What it doesn't tell has the default of a host.
    #[must_use]
    pub fn read(json: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Status {
            limits: HostLimits,
        }
        serde_json::from_slice::<Status>(json)
            .unwrap_or_default()
            .limits
    }

    /// Tasks that one connection may have at the host, beside the requests to the host itself; none where the host
    /// allows fewer than [`HOST_IN_FLIGHT_MIN`] requests.
    #[must_use]
    pub fn tasks_max(self) -> Option<usize> {
        let reserved = (self.in_flight_max / 4).clamp(2, RESERVED_MAX);
        (self.in_flight_max >= HOST_IN_FLIGHT_MIN).then(|| self.in_flight_max - reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_room_for_more_than_tasks() {
        let tasks_max = |in_flight_max: usize| {
            let json = format!("{{\"pid\":7,\"limits\":{{\"in_flight_max\":{in_flight_max}}}}}");
            HostLimits::read(json.as_bytes()).tasks_max()
        };
        assert_eq!(tasks_max(1024), Some(1000));
        assert_eq!(tasks_max(20), Some(15));
        assert_eq!(tasks_max(4), Some(2));
        assert_eq!(tasks_max(3), None);
        assert_eq!(HostLimits::read(b"{}"), HostLimits::default());
        assert_eq!(HostLimits::read(b"no status"), HostLimits::default());
    }
}
