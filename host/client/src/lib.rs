//! The Text protocol as a client, for many requests on one connection.
//!
//! [`Client`] does no I/O and has no clock: bytes to write come out of it, lines that were read go in, and it says who
//! they are for. It is generic over what its user keeps for a request. [`blocking::call`] makes one call over a stream
//! with it, and shows how the parts fit together.
//!
//! ```
//! use client::{Client, Received, Room};
//! use protocol::{Request, ServerLine};
//!
//! let mut client = Client::new(Room::UNLIMITED);
//! client.send(Request::new("echo"), None, "first").unwrap();
//! let mut bytes = Vec::new();
//! client.take_unwritten(&mut bytes);
//! assert_eq!(bytes, b"{\"id\":1,\"function\":\"echo\",\"args\":{}}\n");
//! client.wrote(bytes.len());
//! let line = ServerLine::parse(&"{\"id\":1,\"ok\":true,\"result\":{}}".into()).unwrap();
//! let Received::Ended(ended) = client.receive(line) else { unreachable!() };
//! assert_eq!((ended.kept, ended.outcome.unwrap().as_ref()), ("first", &b"{}"[..]));
//! ```

pub mod blocking;
mod client;
mod host_limits;

pub use client::{Client, Ended, Orphan, Received, Refusal, Refused, Room, Unanswered};
pub use host_limits::{HOST_IN_FLIGHT_MIN, HostLimits};
