//! How a socket ends: so that its client hears why, whatever it is in the middle of.

use std::io;
use std::time::Duration;

use futures_util::SinkExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;

use super::READ_BUFFER_LEN;
use super::close::Close;
use super::frames::Frames;
use super::metered::Metered;
use crate::limits::REST_TIMEOUT;

/// How long the client may take for the close frame, and how long it may be silent before it sends its own.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Clients that are told to come back do so within this time, not all at the same moment. In milliseconds.
const RETRY_SPREAD_MS: u64 = 2000;

/// Says why, and waits for the client to close as well.
pub(super) async fn end<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocketStream<Metered<S>>,
    close: Close,
) {
    if close == Close::ByClient {
        // The answer to its closing is still in the buffer.
        drop(timeout(CLOSE_TIMEOUT, socket.flush()).await);
        return;
    }
    let retry_after = Duration::from_millis(500 + fastrand::u64(0..RETRY_SPREAD_MS));
    let said = timeout(CLOSE_TIMEOUT, socket.close(Some(close.frame(retry_after)))).await;
    if let Ok(Ok(())) = said {
        let (stream, frames) = socket.into_inner().into_parts();
        drop(timeout(REST_TIMEOUT, hear_out(stream, frames)).await);
    }
}

/// Reads what the client still sends, perhaps of a message that was too much, or the kernel would take the goodbye back.
/// The connection is closed only after the client's own close frame: there are clients that fail, and never tell why the
/// socket was closed, when their connection ends in the middle of what they write.
async fn hear_out<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    mut frames: Frames,
) -> io::Result<()> {
    let mut buffer = vec![0; READ_BUFFER_LEN];
    while !frames.are_over() {
        let Ok(read) = timeout(CLOSE_TIMEOUT, stream.read(&mut buffer)).await else {
            break;
        };
        match read? {
            0 => return Ok(()),
            len => frames.read(&buffer[..len]),
        }
    }
    stream.shutdown().await?;
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}
