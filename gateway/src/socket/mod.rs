//! One WebSocket: its client says who it is, speaks with the gateway, and hears why it ends.

mod close;
mod conversation;
mod flow;
mod frames;
mod goodbye;
mod introduction;
mod messages;
mod metered;
mod requests;
mod settings;
mod turns;

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use self::close::Close;
use self::conversation::Conversation;
use self::introduction::introduce;
use self::messages::Socket;
use self::metered::Metered;
pub(crate) use self::settings::{HeartbeatTable, Settings};
use crate::access::Identity;
use crate::gateway::Gateway;
use crate::limits::ConnectionPermit;
use crate::session::Session;

/// The subprotocol with sessions.
pub(crate) const TASKS_V1: &str = "tasks.v1";
/// Bytes that are read at once. More costs memory for each connection, and is no faster for messages of usual length.
const READ_BUFFER_LEN: usize = 4 * 1024;

/// How the client wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    TasksV1,
    Plain,
}

/// What is known of a client when its socket opens.
#[derive(Debug)]
pub(crate) struct Client {
    /// None if it has yet to say who it is.
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) mode: Mode,
    pub(crate) permit: ConnectionPermit,
}

/// Speaks with a client until either wants no more.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(
    gateway: Arc<Gateway>,
    settings: Arc<Settings>,
    stream: S,
    read_already: Bytes,
    client: Client,
) {
    let message_len_max = gateway.limits.message_len_max;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_LEN)
        .max_message_size(Some(message_len_max))
        .max_frame_size(Some(message_len_max));
    // In a buffer of its own, since the original is in one of 8 KiB, which would be kept. Those that follow it when it is
    // full are as large as this one.
    let mut ahead = Vec::with_capacity(READ_BUFFER_LEN.max(read_already.len()));
    ahead.extend_from_slice(&read_already);
    drop(read_already);
    let is_known = client.identity.is_some();
    let stream = Metered::new(stream, &ahead, client.permit.incoming(), is_known);
    let mut socket =
        WebSocketStream::from_partially_read(stream, ahead, Role::Server, Some(config)).await;
    // Each part in a box of its own, which goes when the part is over: idle clients are many.
    let close = Box::pin(speak(&gateway, &settings, &mut socket, client)).await;
    Box::pin(goodbye::end(socket, close)).await;
}

/// All of it but the goodbye.
async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send>(
    gateway: &Gateway,
    settings: &Settings,
    socket: &mut Socket<S>,
    client: Client,
) -> Close {
    let Client {
        identity,
        mode,
        mut permit,
    } = client;
    let (identity, first) = match identity {
        Some(identity) => (identity, None),
        None => match Box::pin(introduce(gateway, socket)).await {
            Ok((identity, control)) => (identity, Some(control)),
            Err(close) => return close,
        },
    };
    if let Some(user) = &identity.user
        && permit.of_user(user).is_err()
    {
        return Close::TooMany;
    }
    let Some(session) = open(gateway, settings, mode, identity) else {
        return Close::Internal;
    };
    let mut conversation = Conversation::new(gateway, settings, socket, session, mode, permit);
    conversation.run(first).await
}

fn open(
    gateway: &Gateway,
    settings: &Settings,
    mode: Mode,
    identity: Arc<Identity>,
) -> Option<Arc<Session>> {
    match mode {
        Mode::TasksV1 => gateway.sessions.open(identity).ok(),
        Mode::Plain => {
            let notify_text = settings.notify_text.as_deref().map(Utf8Bytes::from);
            Some(gateway.sessions.open_plain(identity, notify_text))
        }
    }
}
