//! The servers to compare with: the same sockets and the same lines, and nothing behind them, or next to nothing.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use protocol::{LINE_LEN_MAX_DEFAULT, LineDecoder, Reply, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::error::BenchError;
use crate::keeper::Keeper;
use crate::runtime;
use crate::say;

const READ_LEN: usize = 64 * 1024;

/// Appends what a line is answered with.
type Answer = fn(&Bytes, &mut Vec<u8>);

/// The line itself.
pub(crate) fn line_echo(line: &Bytes, out: &mut Vec<u8>) {
    out.extend_from_slice(line);
    out.push(b'\n');
}

/// The reply that a handler would have given that returns its args.
pub(crate) fn json_echo(line: &Bytes, out: &mut Vec<u8>) {
    let reply = match Request::parse(line) {
        Ok(request) => Reply {
            id: request.id,
            outcome: Ok(request.args),
        },
        Err(bad_request) => bad_request.into(),
    };
    reply.encode(out);
}

/// Serves until it is killed. With a keeper, lines are kept before they are answered.
pub(crate) fn run(
    addr: SocketAddr,
    answer: Answer,
    keeper: Option<Keeper>,
) -> Result<String, BenchError> {
    runtime::on_all_processors()?
        .block_on(serve(addr, answer, keeper))
        .map(|never| match never {})
        .map_err(BenchError::io(format!("can't listen on {addr}")))
}

async fn serve(
    addr: SocketAddr,
    answer: Answer,
    keeper: Option<Keeper>,
) -> io::Result<std::convert::Infallible> {
    let listener = TcpListener::bind(addr).await?;
    say::listening(&listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A client that goes away has no one to tell.
        let keeper = keeper.clone();
        tokio::spawn(async move { connection(stream, answer, keeper).await.ok() });
    }
}

async fn connection(
    mut stream: TcpStream,
    answer: Answer,
    keeper: Option<Keeper>,
) -> io::Result<()> {
    let mut decoder = LineDecoder::new(LINE_LEN_MAX_DEFAULT);
    let mut out = Vec::new();
    loop {
        let buffer = decoder.buffer_mut();
        buffer.reserve(READ_LEN);
        if stream.read_buf(buffer).await? == 0 {
            return Ok(());
        }
        let mut lines = Vec::new();
        while let Some(line) = decoder.next_line().map_err(io::Error::other)? {
            answer(&line, &mut out);
            if keeper.is_some() {
                lines.push(line);
            }
        }
        if let Some(keeper) = &keeper {
            keeper.keep(lines).await?;
        }
        stream.write_all(&out).await?;
        out.clear();
    }
}
