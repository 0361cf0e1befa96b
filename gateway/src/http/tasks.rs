//! `POST /tasks`: one request and its answer, with its progress as server-sent events if the client wants them.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use protocol::{ErrorCode, Outcome, Progress, Reply, RequestId, TaskFailure};
use service::bytes::HeldBytes;
use service::sync::lock;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::credentials::{Credentials, TOKEN_NEEDED, credentials};
use super::peer::Peer;
use super::{Body, Site, origin, reply};
use crate::access::Identity;
use crate::gateway::Gateway;
use crate::limits::{INCOMING_FREE_LEN, REST_TIMEOUT, TaskPermit, too_many_bytes};
use crate::upstream::Sink;

/// How often something is sent, so that nobody on the way takes the connection for dead.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// How long the whole body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
const EVENT_STREAM: &str = "text/event-stream";

pub(super) async fn run(
    site: Arc<Site>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Response<Body> {
    let headers = request.headers().clone();
    if let Err(refusal) = origin::check(&site, &peer, &headers) {
        return refusal;
    }
    let response = match credentials(&site, &headers) {
        Credentials::Identity(identity) => answer(&site, &peer, &identity, request).await,
        Credentials::Missing => reply::unauthorized(&site.gateway, TOKEN_NEEDED),
        Credentials::Denied(reason) => reply::unauthorized(&site.gateway, &reason),
    };
    origin::allow(&site, &headers, response)
}

async fn answer(
    site: &Site,
    peer: &Peer,
    identity: &Identity,
    request: Request<Incoming>,
) -> Response<Body> {
    let gateway = &*site.gateway;
    let wants_stream = wants_stream(&request);
    let asks_for = peer.asks_for(&site.settings.trusted_proxies, request.headers());
    if !is_json(request.headers()) {
        return reply::text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send `Content-Type: application/json`\n",
        );
    }
    let read = match peer.with_permit(|permit| Ok(permit.incoming())) {
        Ok(held) => read(gateway, held, request).await,
        Err(failure) => Err(failure),
    };
    let body = match read {
        Ok(body) => body,
        Err(failure) => return refuse(gateway, None, failure),
    };
    let request = match protocol::Request::parse(&body) {
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
    gateway.submit(request, Arc::clone(&task) as Arc<dyn Sink>);
    Ok(task)
}

async fn read(
    gateway: &Gateway,
    mut held: HeldBytes,
    request: Request<Incoming>,
) -> Result<Bytes, TaskFailure> {
    let len_max = gateway.limits.message_len_max;
    let bad = |message: &str| TaskFailure::new(ErrorCode::BadRequest, message);
    let mut body = request.into_body();
    let mut read = Vec::new();
    let all = async {
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| bad("the request broke off"))?.into_data() else {
                continue;
            };
            let len = read.len() + data.len();
            if len > len_max {
                let message =
                    format!("the request is longer than {len_max} bytes (limits.message_len_max)");
                return Err(TaskFailure::new(ErrorCode::TooLarge, message));
            }
            if !held.try_set(len.saturating_sub(INCOMING_FREE_LEN)) {
                return Err(too_many_bytes());
            }
            read.extend_from_slice(&data);
        }
        // A task may keep a part of it for as long as it runs.
        read.shrink_to_fit();
        Ok(())
    };
    let all = timeout(BODY_TIMEOUT, all)
        .await
        .unwrap_or_else(|_| Err(bad("the request was not complete in time")));
    if let Err(failure) = all {
        drop((read, held));
        // Or the kernel would take the answer back.
        let rest = async { while let Some(Ok(_)) = body.frame().await {} };
        drop(timeout(REST_TIMEOUT, rest).await);
        return Err(failure);
    }
    Ok(read.into())
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"))
}

fn wants_stream(request: &Request<Incoming>) -> bool {
    let by_query = request
        .uri()
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair == "stream=1"));
    let by_header = request
        .headers()
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
                (state.progress.take(), state.outcome.take())
            };
            if let Some(outcome) = outcome {
                let name = if outcome.is_ok() { "result" } else { "error" };
                let reply = Reply {
                    id: task.id.clone(),
                    outcome,
                };
                let frame = event(name, |out| reply.encode(out));
                return Some((frame, None));
            }
            if let Some(mut progress) = progress {
                // A task without an id needs one for its events.
                progress.id = task.id.clone().unwrap_or_else(|| 0_u64.into());
                let frame = event("progress", |out| progress.encode(out));
                return Some((frame, Some(task)));
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
