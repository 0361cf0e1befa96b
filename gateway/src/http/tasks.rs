//! `POST /tasks`: one request and its answer, with its progress as server-sent events if the client wants them.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use protocol::{ErrorCode, Outcome, Progress, Reply, RequestId, TaskFailure};
use service::sync::lock;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::body::RequestBody;
use super::credentials::{Credentials, TOKEN_NEEDED, credentials};
use super::peer::Peer;
use super::{Body, Site, reply};
use crate::access::Identity;
use crate::gateway::Gateway;
use crate::limits::TaskPermit;
use crate::message;
use crate::upstream::Sink;

/// How often something is sent, so that nobody on the way takes the connection for dead.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const EVENT_STREAM: &str = "text/event-stream";

pub(super) async fn run(
    site: &Site,
    peer: &Peer,
    head: &Parts,
    body: &mut RequestBody,
) -> Response<Body> {
    match credentials(site, &head.headers).await {
        Credentials::Identity(identity) => answer(site, peer, &identity, head, body).await,
        Credentials::Missing => reply::unauthorized(&site.gateway, TOKEN_NEEDED),
        Credentials::Denied(denied) => reply::denied(&site.gateway, &denied),
    }
}

async fn answer(
    site: &Site,
    peer: &Peer,
    identity: &Identity,
    head: &Parts,
    body: &mut RequestBody,
) -> Response<Body> {
    let gateway = &*site.gateway;
    let wants_stream = wants_stream(head);
    let asks_for = peer.asks_for(&site.settings.trusted_proxies, &head.headers);
    if let Err(refusal) = check_media(&head.headers) {
        return refusal;
    }
    let read = match peer.with_permit(|permit| Ok(permit.incoming())) {
        Ok(held) => body.read(gateway.limits.message_len_max, held).await,
        Err(failure) => Err(failure),
    };
    let body = match read {
        Ok(body) => body,
        Err(failure) => return refuse(gateway, None, failure),
    };
    // RFC 8259 lets a reader pass over it, and some editors and PowerShell write it.
    let body = match body.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => body.slice_ref(rest),
        None => body,
    };
    let request = match protocol::Request::parse_without_background(&body) {
        Ok(request) => request,
        Err(bad) => {
            let failure = TaskFailure::new(ErrorCode::BadRequest, bad.message);
            return refuse(gateway, bad.id, failure);
        }
    };
    let admit =
        || peer.with_permit(|permit| permit.task_as(identity.user.as_ref(), asks_for, body.len()));
    let begun = begin(gateway, identity, request, wants_stream, admit);
    match begun {
        Err((id, failure)) => refuse(gateway, id, failure),
        Ok(task) if wants_stream => events(task),
        Ok(task) => {
            let outcome = task.outcome().await;
            reply::task(&Reply {
                id: task.id.clone(),
                outcome,
            })
        }
    }
}

/// # Errors
/// The body is none that can be read: the response.
fn check_media(headers: &HeaderMap) -> Result<(), Response<Body>> {
    let unsupported =
        |message: &str| reply::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("{message}\n"));
    if !is_json(headers) {
        return Err(unsupported("send `Content-Type: application/json`"));
    }
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().all(is_plain) {
        return Ok(());
    }
    let mut refusal = unsupported("send the request as it is, without `Content-Encoding`");
    // As RFC 9110, section 12.5.3, has it.
    let identity = HeaderValue::from_static("identity");
    refusal.headers_mut().insert(ACCEPT_ENCODING, identity);
    Err(refusal)
}

fn refuse(gateway: &Gateway, id: Option<RequestId>, failure: TaskFailure) -> Response<Body> {
    gateway.metrics.refused();
    reply::failed(id, failure)
}

fn begin(
    gateway: &Gateway,
    identity: &Identity,
    request: protocol::Request,
    wants_stream: bool,
    admit: impl FnOnce() -> Result<TaskPermit, TaskFailure>,
) -> Result<Arc<HttpTask>, (Option<RequestId>, TaskFailure)> {
    let prepare = || {
        gateway.check_call(identity, &request.function)?;
        let args = gateway.access.fill(identity, &request.args)?;
        Ok((args, admit()?))
    };
    let (args, permit) = match prepare() {
        Ok(prepared) => prepared,
        Err(failure) => return Err((request.id, failure)),
    };
    let task = Arc::new(HttpTask {
        id: request.id.clone(),
        state: Mutex::new(State {
            permit: Some(permit),
            ..State::default()
        }),
        changed: Notify::new(),
    });
    let request = protocol::Request {
        args,
        progress: wants_stream,
        ..request
    };
    gateway.submit(request, identity, Arc::clone(&task) as Arc<dyn Sink>);
    Ok(task)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"))
}

fn wants_stream(head: &Parts) -> bool {
    let by_query = head
        .uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair == "stream=1"));
    let by_header = head
        .headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains(EVENT_STREAM));
    by_query || by_header
}

/// A task whose answer goes out as the answer to its request.
#[derive(Debug)]
struct HttpTask {
    id: Option<RequestId>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The newest, if it has not been told.
    progress: Option<Progress>,
    outcome: Option<Outcome>,
    /// Given back at the end.
    permit: Option<TaskPermit>,
}

impl HttpTask {
    async fn outcome(&self) -> Outcome {
        loop {
            let outcome = self.lock().outcome.take();
            match outcome {
                Some(outcome) => return outcome,
                None => self.changed.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Sink for HttpTask {
    fn progress(&self, progress: Progress) {
        self.lock().progress = Some(progress);
        self.changed.notify_one();
    }

    fn done(&self, outcome: Outcome) {
        let mut state = self.lock();
        state.outcome = Some(outcome);
        state.permit = None;
        drop(state);
        self.changed.notify_one();
    }
}

/// The task as server-sent events: `progress` any number of times, then `result` or `error`.
fn events(task: Arc<HttpTask>) -> Response<Body> {
    let frames = stream::unfold(Some(task), |task| async move {
        let task = task?;
        loop {
            let (progress, outcome) = {
                let mut state = task.lock();
                match state.progress.take() {
                    None => (None, state.outcome.take()),
                    progress => (progress, None),
                }
            };
            if let Some(progress) = progress {
                let text = message::event_progress(task.id.as_ref(), progress);
                let frame = event("progress", |out| {
                    out.extend_from_slice(text.as_bytes());
                    out.push(b'\n');
                });
                return Some((frame, Some(task)));
            }
            if let Some(outcome) = outcome {
                let name = if outcome.is_ok() { "result" } else { "error" };
                let reply = Reply {
                    id: task.id.clone(),
                    outcome,
                };
                let frame = event(name, |out| reply.encode(out));
                return Some((frame, None));
            }
            if timeout(KEEP_ALIVE_INTERVAL, task.changed.notified())
                .await
                .is_err()
            {
                let frame = Ok(Frame::data(Bytes::from_static(b":\n\n")));
                return Some((frame, Some(task)));
            }
        }
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    // Proxies that collect answers must not collect these.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn event(name: &str, encode: impl FnOnce(&mut Vec<u8>)) -> Result<Frame<Bytes>, Infallible> {
    let mut text = format!("event: {name}\ndata: ").into_bytes();
    // One line, with its newline.
    encode(&mut text);
    text.push(b'\n');
    Ok(Frame::data(text.into()))
}
