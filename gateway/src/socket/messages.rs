//! Messages from a client, and what it means when there are none.

use std::io;

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};

use super::close::Close;
use super::metered::Metered;

/// A client's WebSocket.
pub(super) type Socket<S> = WebSocketStream<Metered<S>>;

/// The next message, which is no longer on its way in. None where the client has gone.
pub(super) async fn next<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
) -> Option<Result<Message, Error>> {
    let said = socket.next().await;
    if let Some(Ok(message)) = &said {
        socket.get_mut().became(message);
    }
    said
}

/// What an error on a socket means to its client.
pub(super) fn fault(error: &Error) -> Close {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Close::TooLong,
        Error::Utf8(_) => Close::NotUtf8,
        Error::Protocol(_) => Close::Protocol,
        Error::Io(error) if error.kind() == io::ErrorKind::QuotaExceeded => Close::TooMany,
        Error::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => Close::Unauthorized,
        Error::Io(_) | Error::ConnectionClosed | Error::AlreadyClosed => Close::ByClient,
        _ => Close::Protocol,
    }
}
