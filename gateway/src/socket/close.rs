//! Why sockets are closed, with codes that clients can act on.

use std::time::Duration;

use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::access::{Denied, DeniedKind};
use crate::session::Eviction;

/// Why a socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// The client has closed it.
    ByClient,
    /// Its frames are not as RFC 6455 asks for.
    Protocol,
    /// A binary message.
    Binary,
    /// Text that is not UTF-8.
    NotUtf8,
    /// A message over `message_len_max`.
    TooLong,
    /// The gateway's own fault.
    Internal,
    /// The gateway is about to stop.
    Restart,
    /// Too many connections, too many bytes of messages that aren't whole, or a message that isn't whole for too long; or
    /// there are no keys by which tokens could be checked.
    TooMany,
    /// The token is missing, wrong, or has expired.
    Unauthorized,
    /// No token within the time for it.
    AuthTimeout,
    /// Another socket goes on with the session.
    TakenOver,
    /// The session has ended.
    SessionEnded,
    /// The client reads more slowly than there is to tell.
    TooSlow,
    /// The client doesn't answer pings.
    Gone,
}

/// What a code means to a client. The table in `docs/GATEWAY.md` is made of these, and tested against them.
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the page has columns that the gateway itself doesn't need"
    )
)]
pub(crate) struct CloseInfo {
    pub(crate) close: Close,
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    /// Whether to connect again, and with what.
    pub(crate) retry: &'static str,
}

#[rustfmt::skip]
pub(crate) const CLOSES: [CloseInfo; 14] = [
    CloseInfo { close: Close::ByClient, code: 1000, reason: "you closed it", retry: "no" },
    CloseInfo { close: Close::Protocol, code: 1002, reason: "a frame is not as RFC 6455 requires", retry: "no: fix the client" },
    CloseInfo { close: Close::Binary, code: 1003, reason: "messages must be text", retry: "no: fix the client" },
    CloseInfo { close: Close::NotUtf8, code: 1007, reason: "the text is not UTF-8", retry: "no: fix the client" },
    CloseInfo { close: Close::TooLong, code: 1009, reason: "the message is longer than `limits.message_len_max`", retry: "no: send less at once" },
    CloseInfo { close: Close::Internal, code: 1011, reason: "the gateway's own fault", retry: "yes, and resume" },
    CloseInfo { close: Close::Restart, code: 1012, reason: "the gateway is about to stop", retry: "yes, after the time that the reason gives" },
    CloseInfo { close: Close::TooMany, code: 1013, reason: "too many connections, too many bytes of unfinished messages, or tokens can't be checked at the moment", retry: "yes, later, and resume" },
    CloseInfo { close: Close::Unauthorized, code: 4401, reason: "the token is missing, wrong, or has expired", retry: "with a new token" },
    CloseInfo { close: Close::AuthTimeout, code: 4408, reason: "no token came in time", retry: "with a token" },
    CloseInfo { close: Close::TakenOver, code: 4409, reason: "another socket has resumed this session", retry: "no" },
    CloseInfo { close: Close::SessionEnded, code: 4410, reason: "the session has ended: more messages waited for you than are kept", retry: "yes, with a new session" },
    CloseInfo { close: Close::TooSlow, code: 4413, reason: "you read too slowly", retry: "yes, and resume" },
    CloseInfo { close: Close::Gone, code: 4414, reason: "you did not answer pings", retry: "yes, and resume" },
];

impl Close {
    pub(crate) fn info(self) -> &'static CloseInfo {
        // In the order of the enum, which a test holds to.
        &CLOSES[self as usize]
    }

    /// What goes over the wire. `retry_after` is for a gateway that is about to stop.
    pub(crate) fn frame(self, retry_after: Duration) -> CloseFrame {
        let info = self.info();
        let reason = match self {
            Self::Restart => {
                format!(
                    "{}; retry_after_ms={}",
                    info.reason,
                    retry_after.as_millis()
                )
            }
            _ => info.reason.to_owned(),
        };
        CloseFrame {
            code: CloseCode::from(info.code),
            reason: reason.into(),
        }
    }
}

impl From<Denied> for Close {
    fn from(denied: Denied) -> Self {
        match denied.kind {
            DeniedKind::Invalid | DeniedKind::Expired => Self::Unauthorized,
            DeniedKind::WithoutKeys => Self::TooMany,
        }
    }
}

impl From<Eviction> for Close {
    fn from(eviction: Eviction) -> Self {
        match eviction {
            Eviction::TakenOver => Self::TakenOver,
            Eviction::TooSlow => Self::TooSlow,
            Eviction::Ended => Self::SessionEnded,
            Eviction::Expired => Self::Unauthorized,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/GATEWAY.md");

    #[test]
    fn each_has_its_line() {
        for (number, info) in CLOSES.iter().enumerate() {
            assert_eq!(info.close as usize, number);
            let line = format!("| {} | {} | {} |\n", info.code, info.reason, info.retry);
            assert!(PAGE.contains(&line), "docs/GATEWAY.md lacks {line}");
            // A control frame has 125 bytes, two of them for the code.
            assert!(info.close.frame(Duration::from_secs(9999)).reason.len() <= 123);
        }
    }
}
