//! `POST /tasks`: one request, its answer, and on demand its progress as server-sent events.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use protocol::{ErrorCode, Outcome, Progress, Reply, RequestId, TaskFailure};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Body, Credentials, Peer, credentials, origin, reply};
use crate::access::Identity;
use crate::app::Gateway;
use crate::limits::{HeldBytes, INCOMING_FREE_LEN, REST_TIMEOUT, TaskPermit};
use crate::upstream::{Sink, Submit};

/// So often something is said, so that nobody on the way takes the connection for dead.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// For the whole of a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
const EVENT_STREAM: &str = "text/event-stream";

pub(super) async fn run(
    gateway: Arc<Gateway>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Response<Body> {
    let headers = request.headers().clone();
    if let Err(refusal) = origin::check(&gateway, &peer, &headers) {
        return refusal;
    }
    let response = match credentials(&gateway, &headers) {
        Credentials::Identity(identity) => answer(&gateway, &peer, &identity, request).await,
        Credentials::Missing => {
            reply::unauthorized(&gateway, "a token is needed: `Authorization: Bearer TOKEN`")
        }
        Credentials::Denied(reason) => reply::unauthorized(&gateway, &reason),
    };
    origin::allow(&gateway, &headers, response)
}

async fn answer(
    gateway: &Arc<Gateway>,
    peer: &Peer,
    identity: &Identity,
    request: Request<Incoming>,
) -> Response<Body> {
    let wants_stream = wants_stream(&request);
    let asks_for = peer.asks_for(gateway, request.headers());
    if !is_json(request.headers()) {
        return reply::text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "say `Content-Type: application/json`\n",
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
    let protocol::Request {
        id,
        function,
        args,
        timeout,
        ..
    } = request;
    let prepare = || {
        gateway.check_call(identity, &function)?;
        let args = gateway.config.access.fill(identity, &args)?;
        Ok((args, admit()?))
    };
    let (args, permit) = match prepare() {
        Ok(prepared) => prepared,
        Err(failure) => return Err((id, failure)),
    };
    let task = Arc::new(HttpTask {
        id,
        state: Mutex::new(State {
            permit: Some(permit),
            ..State::default()
        }),
        changed: Notify::new(),
    });
    let submit = Submit::new(function.into(), args, timeout, wants_stream);
    gateway.submit(submit, Arc::clone(&task) as Arc<dyn Sink>);
    Ok(task)
}

async fn read(
    gateway: &Gateway,
    mut held: HeldBytes,
    request: Request<Incoming>,
) -> Result<Bytes, TaskFailure> {
    let len_max = gateway.config.limits.message_len_max;
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
            held.set(len.saturating_sub(INCOMING_FREE_LEN))?;
            read.extend_from_slice(&data);
        }
        // A task may keep a part of it for as long as it runs.
        read.shrink_to_fit();
        Ok(())
    };
    let all = timeout(BODY_TIMEOUT, all)
        .await
        .unwrap_or_else(|_| Err(bad("the request did not come to its end in time")));
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

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
                // Without a name of its own, the task still has one for its events.
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
    // One line, ended.
    encode(&mut text);
    text.push(b'\n');
    Ok(Frame::data(text.into()))
}
