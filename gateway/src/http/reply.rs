//! Answers to requests.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use protocol::{ErrorCode, Reply, RequestId, TaskFailure};

use super::Body;
use crate::access::{Denied, DeniedKind};
use crate::gateway::Gateway;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

pub(super) fn new(
    status: StatusCode,
    media_type: HeaderValue,
    bytes: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(body(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    response
}

pub(super) fn text(status: StatusCode, text: &str) -> Response<Body> {
    let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
    new(status, media_type, text.to_owned())
}

pub(super) fn json(status: StatusCode, bytes: impl Into<Bytes>) -> Response<Body> {
    new(status, JSON, bytes)
}

/// The request can't be answered now, but may be in a few seconds.
pub(super) fn unavailable(reason: &str) -> Response<Body> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, &format!("{reason}\n"));
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

pub(super) fn not_found() -> Response<Body> {
    text(
        StatusCode::NOT_FOUND,
        "there is no such page; there are /ws, /tasks, /openapi.json, /client.js, /healthz and /readyz\n",
    )
}

pub(super) fn method_not_allowed(path: &str, allowed: &'static str) -> Response<Body> {
    let mut response = text(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("{path} takes {allowed}\n"),
    );
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

/// The request needs a valid token.
pub(super) fn unauthorized(gateway: &Gateway, reason: &str) -> Response<Body> {
    gateway.metrics.denied();
    let mut response = text(StatusCode::UNAUTHORIZED, &format!("{reason}\n"));
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// The request's token is refused.
pub(super) fn denied(gateway: &Gateway, denied: &Denied) -> Response<Body> {
    match denied.kind {
        DeniedKind::Invalid | DeniedKind::Expired => {
            let mut response = unauthorized(gateway, &denied.to_string());
            // RFC 6750, section 3.1.
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            response
        }
        DeniedKind::WithoutKeys => unavailable(&denied.to_string()),
    }
}

/// How a task has ended.
pub(super) fn task(reply: &Reply) -> Response<Body> {
    let mut line = Vec::new();
    reply.encode(&mut line);
    let status = match &reply.outcome {
        Ok(_) => StatusCode::OK,
        Err(failure) => status(failure.code),
    };
    let mut response = json(status, line);
    if let Err(failure) = &reply.outcome
        && let Some(seconds) = retry_after(failure)
    {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

pub(super) fn failed(id: Option<RequestId>, failure: TaskFailure) -> Response<Body> {
    task(&Reply {
        id,
        outcome: Err(failure),
    })
}

/// The protocol's codes as HTTP has them. The table in `docs/GATEWAY.md` is tested against this.
pub(super) fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::UnknownFunction | ErrorCode::UnknownTask => StatusCode::NOT_FOUND,
        ErrorCode::Unavailable | ErrorCode::ShuttingDown | ErrorCode::StorageUnavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorCode::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::InvalidArgs => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::Cancelled | ErrorCode::KeyConflict => StatusCode::CONFLICT,
        // The gateway is who is not let in, not its client.
        ErrorCode::WorkerCrashed | ErrorCode::Unauthorized => StatusCode::BAD_GATEWAY,
        ErrorCode::HandlerFailed
        | ErrorCode::HandlerPanicked
        | ErrorCode::ResultTooLarge
        | ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Seconds after which to try again, where that is known.
fn retry_after(failure: &TaskFailure) -> Option<u64> {
    let said = failure
        .retry_after()
        .map(|wait| wait.as_millis().div_ceil(1000).max(1))
        .and_then(|seconds| u64::try_from(seconds).ok());
    let is_passing = matches!(
        failure.code,
        ErrorCode::Overloaded
            | ErrorCode::Unavailable
            | ErrorCode::ShuttingDown
            | ErrorCode::StorageUnavailable
    );
    said.or_else(|| is_passing.then_some(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/GATEWAY.md");

    #[test]
    fn each_code_has_its_status_on_the_page() {
        for code in ErrorCode::ALL {
            let begin = format!("| `{code}`");
            let end = format!("| {} |", status(code).as_u16());
            let is_there = PAGE
                .lines()
                .any(|line| line.starts_with(&begin) && line.ends_with(&end));
            assert!(is_there, "docs/GATEWAY.md lacks {begin} … {end}");
        }
    }

    #[test]
    fn who_may_come_back_is_told_when() {
        let failure = |data: Option<&'static str>, code| TaskFailure {
            data: data.map(|data| Bytes::from_static(data.as_bytes())),
            ..TaskFailure::new(code, "")
        };
        let after = |data, code| retry_after(&failure(data, code));
        assert_eq!(
            after(Some(r#"{"retry_after_ms":1500}"#), ErrorCode::Overloaded),
            Some(2)
        );
        assert_eq!(after(None, ErrorCode::Unavailable), Some(1));
        assert_eq!(after(None, ErrorCode::StorageUnavailable), Some(1));
        assert_eq!(after(None, ErrorCode::InvalidArgs), None);
        assert_eq!(after(Some("7"), ErrorCode::HandlerFailed), None);
    }
}
