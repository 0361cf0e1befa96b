//! The first message of a client that has not said who it is.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::close::Close;
use super::messages::{Socket, fault, next};
use crate::access::Identity;
use crate::gateway::Gateway;
use crate::message::{ClientMessage, Control};

/// Waits for the message that says who the client is: that, and what else it said in it.
pub(super) async fn introduce<S: AsyncRead + AsyncWrite + Unpin>(
    gateway: &Gateway,
    socket: &mut Socket<S>,
) -> Result<(Arc<Identity>, Box<Control>), Close> {
    let text = timeout(gateway.limits.auth_timeout, first_text(socket))
        .await
        .map_err(|_| Close::AuthTimeout)??;
    let Ok(ClientMessage::Control(mut control)) = ClientMessage::parse(&text) else {
        return Err(Close::Unauthorized);
    };
    let token = control.token.take().ok_or(Close::Unauthorized)?;
    let identity = gateway.access.authenticate(&token).await?;
    socket.get_mut().introduced();
    Ok((Arc::new(identity), control))
}

async fn first_text<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
) -> Result<Bytes, Close> {
    loop {
        match next(socket).await {
            Some(Ok(Message::Text(text))) => return Ok(text.into()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_) | Message::Frame(_))) => return Err(Close::Binary),
            Some(Ok(Message::Close(_))) | None => return Err(Close::ByClient),
            Some(Err(error)) => return Err(fault(&error)),
        }
    }
}
