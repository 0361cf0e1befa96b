//! Whether a pooler stands between host and database that gives each transaction another session, so that a statement that
//! was prepared may be gone, or be another's of the same name.

use tokio::io::AsyncReadExt as _;
use tokio_postgres::{Client, NoTls};

use super::fault::Fault;

/// What a request to cancel begins with: its length, 16, and its code.
const CANCEL: [u8; 8] = [0, 0, 0, 16, 4, 210, 22, 46];

/// A pooler makes up the number by which a session is cancelled; the database's own is that of its process. Where the number
/// can't be found out, which is so with encryption, it is assumed that there is one: that is always right, and a little slower.
pub(super) async fn is_between(client: &Client) -> Result<bool, Fault> {
    let Some(told) = number_to_cancel(client).await else {
        return Ok(true);
    };
    let rows = client.query_typed("SELECT pg_backend_pid()", &[]).await?;
    let process: i32 = match rows.first() {
        Some(row) => row.try_get(0)?,
        None => return Ok(true),
    };
    Ok(process != told)
}

/// As the driver would send it: it tells nobody otherwise.
async fn number_to_cancel(client: &Client) -> Option<i32> {
    let (sent, mut received) = tokio::io::duplex(64);
    let token = client.cancel_token();
    let receiving = async move {
        let (mut head, mut rest) = ([0; 8], [0; 8]);
        received.read_exact(&mut head).await.ok()?;
        // Otherwise it asks for encryption first.
        if head != CANCEL {
            return None;
        }
        received.read_exact(&mut rest).await.ok()?;
        let [a, b, c, d, ..] = rest;
        Some(i32::from_be_bytes([a, b, c, d]))
    };
    // Nothing comes of it but what is received.
    let (_, number) = tokio::join!(token.cancel_query_raw(sent, NoTls), receiving);
    number
}
