//! A port for operators: pages by HTTP/1.1, one a connection. For programs that speak no HTTP otherwise.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::listen::Listener;

/// Longest head of a request, in bytes.
const HEAD_LEN_MAX: usize = 8 * 1024;
/// Most header fields of a request.
const FIELDS_MAX: usize = 64;
/// How long a client may take for its request, and again for the answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Clients at a time; more wait to be accepted.
const CLIENTS_MAX: usize = 64;

/// A page, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code and its phrase.
    pub status: Status,
    /// `Content-Type`.
    pub media_type: &'static str,
    /// Content.
    pub text: String,
}

/// Status of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Here it is.
    Ok,
    /// The request can't be read.
    BadRequest,
    /// There is no such page.
    NotFound,
    /// Pages are only read.
    MethodNotAllowed,
    /// Not now.
    Unavailable,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}

impl Answer {
    /// Plain text.
    pub fn text(status: Status, text: impl Into<String>) -> Self {
        Self {
            status,
            media_type: "text/plain; charset=utf-8",
            text: text.into(),
        }
    }
}

/// Answers `GET` and `HEAD` for each path that `page` has (`None`: there is no such page), for as long as it runs.
pub async fn serve<F>(listener: Arc<Listener>, page: impl Fn(String) -> F + Clone + Send + 'static)
where
    F: Future<Output = Option<Answer>> + Send,
{
    let clients = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(client) = Arc::clone(&clients).acquire_owned().await else {
            return;
        };
        let (stream, _) = listener.accept().await;
        let page = page.clone();
        tokio::spawn(async move {
            answer(stream, page).await;
            drop(client);
        });
    }
}

async fn answer<F>(mut stream: TcpStream, page: impl Fn(String) -> F)
where
    F: Future<Output = Option<Answer>>,
{
    let request = match timeout(CLIENT_TIMEOUT, read(&mut stream)).await {
        Ok(Some(request)) => request,
        // It has gone, or says nothing.
        Ok(None) | Err(_) => return,
    };
    let (answer, has_body) = match request {
        Request::Get(path) => (page(path).await, true),
        Request::Head(path) => (page(path).await, false),
        Request::Other => {
            let answer = Answer::text(
                Status::MethodNotAllowed,
                "pages are only read: GET or HEAD\n",
            );
            (Some(answer), true)
        }
        Request::Unreadable => {
            let answer = Answer::text(Status::BadRequest, "this is not a request of HTTP/1.1\n");
            (Some(answer), true)
        }
    };
    let answer =
        answer.unwrap_or_else(|| Answer::text(Status::NotFound, "there is no such page\n"));
    drop(timeout(CLIENT_TIMEOUT, write(stream, &answer, has_body)).await);
}

enum Request {
    Get(String),
    Head(String),
    Other,
    Unreadable,
}

/// `None`: the client has gone.
async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    loop {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(&head) {
            Ok(httparse::Status::Partial) if head.len() < HEAD_LEN_MAX => {}
            Ok(httparse::Status::Partial) | Err(_) => return Some(Request::Unreadable),
            Ok(httparse::Status::Complete(_)) => {
                let path = request.path.unwrap_or_default();
                let path = path.split('?').next().unwrap_or_default().to_owned();
                return Some(match request.method {
                    Some("GET") => Request::Get(path),
                    Some("HEAD") => Request::Head(path),
                    _ => Request::Other,
                });
            }
        }
    }
}

async fn write(mut stream: TcpStream, answer: &Answer, has_body: bool) -> std::io::Result<()> {
    let Answer {
        status,
        media_type,
        text,
    } = answer;
    let mut head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n",
        status.line(),
        text.len()
    );
    if *status == Status::MethodNotAllowed {
        head.push_str("Allow: GET, HEAD\r\n");
    }
    head.push_str("\r\n");
    if has_body {
        head.push_str(text);
    }
    stream.write_all(head.as_bytes()).await?;
    stream.shutdown().await?;
    // What the client still sends is read, or the kernel would take the answer back.
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::Listen;

    async fn ask(request: &str) -> String {
        let listen = Listen::parse("http", "127.0.0.1:0", "127.0.0.1:9100").unwrap();
        let listener = listen.bind().unwrap();
        let address = listener.address().unwrap();
        let serving = tokio::spawn(serve(Arc::new(listener), |path| async move {
            (path == "/healthz").then(|| Answer::text(Status::Ok, "alive\n"))
        }));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        serving.abort();
        answer
    }

    #[tokio::test]
    async fn pages_are_read_by_get_and_head() {
        let answer = ask("GET /healthz?x HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nalive\n"), "{answer}");
        let answer = ask("HEAD /healthz HTTP/1.0\r\n\r\n").await;
        assert!(answer.contains("Content-Length: 6\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn whatever_else_is_asked_is_answered_too() {
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(HEAD_LEN_MAX));
        for (request, status) in [
            ("GET /none HTTP/1.1\r\n\r\n", "404"),
            ("POST /healthz HTTP/1.1\r\n\r\n", "405"),
            ("{\"function\":\"host.ping\"}\n\r\n\r\n", "400"),
            (&long, "400"),
        ] {
            let answer = ask(request).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
        }
    }
}
