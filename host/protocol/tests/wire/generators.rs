//! Arbitrary values of the protocol's types.

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use protocol::{
    ASKED_MS_MAX, Background, ErrorCode, HOST_PREFIX, Progress, Reply, Request, RequestId, Retry,
    RetryOn, TaskFailure, TraceParent,
};

pub(crate) fn id() -> impl Strategy<Value = RequestId> {
    prop_oneof![
        any::<i64>().prop_map(RequestId::from),
        any::<u64>().prop_map(RequestId::from),
        ".{1,16}"
            .prop_map(|text| RequestId::try_from(text.as_str())
                .expect("16 characters take 64 bytes at most")),
    ]
}

/// JSON without white space, on one line.
pub(crate) fn json() -> impl Strategy<Value = Bytes> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        "-?[1-9][0-9]{0,30}(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,9})?",
        any::<String>().prop_map(|text| quoted(&text)),
    ];
    let nested = leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            vec((any::<String>(), inner), 0..4).prop_map(|fields| {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| format!("{}:{value}", quoted(name)))
                    .collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    });
    nested.prop_map(Bytes::from)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn background() -> impl Strategy<Value = Background> {
    let time = || 0..=ASKED_MS_MAX;
    let name = || option::of("[^\\x00]{1,30}");
    let on = prop_oneof![Just(RetryOn::Any), Just(RetryOn::Retryable)];
    let retry = (any::<u32>(), time(), time(), on);
    let retry = retry.prop_map(|(max, base_ms, cap_ms, on)| Retry {
        max,
        base_ms,
        cap_ms,
        on,
    });
    let times = (
        time(),
        time(),
        option::of(1..=ASKED_MS_MAX),
        option::of(time()),
    );
    (name(), times, 1..=9_u8, retry, name(), name()).prop_map(
        |(
            key,
            (unique_ms, delay_ms, deadline_ms, result_ttl_ms),
            priority,
            retry,
            limit_key,
            version,
        )| {
            Background {
                unique_ms: if key.is_some() { unique_ms } else { 0 },
                key,
                delay_ms,
                priority,
                retry,
                deadline_ms,
                result_ttl_ms,
                limit_key,
                version,
            }
        },
    )
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    (
        option::of(id()),
        any::<String>(),
        json(),
        option::of(1..=u64::MAX),
        any::<bool>(),
        option::of("[^\\x00]{1,30}"),
        option::of(background().prop_map(Box::new)),
    )
        .prop_map(
            |(id, function, args, timeout_ms, progress, subject, background)| Request {
                progress: progress && id.is_some() && background.is_none(),
                background: background.filter(|_| !function.starts_with(HOST_PREFIX)),
                traceparent: TraceParent::parse(&format!("00-{:032x}-{:016x}-01", 7, 9))
                    .filter(|_| progress),
                id,
                function,
                args,
                timeout: timeout_ms.map(Duration::from_millis),
                subject: subject.map(Into::into),
            },
        )
}

pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    let failure = (
        proptest::sample::select(ErrorCode::ALL.to_vec()),
        any::<String>(),
        any::<bool>(),
        any::<bool>(),
        option::of(json()),
    )
        .prop_map(|(code, message, retryable, started, data)| TaskFailure {
            code,
            message,
            retryable,
            started,
            data,
        });
    let outcome = prop_oneof![json().prop_map(Ok), failure.prop_map(Err)];
    (option::of(id()), outcome).prop_map(|(id, outcome)| Reply { id, outcome })
}

pub(crate) fn progress() -> impl Strategy<Value = Progress> {
    (id(), any::<u64>(), any::<u64>(), any::<String>()).prop_map(|(id, done, total, message)| {
        Progress {
            id,
            done,
            total,
            message,
        }
    })
}

/// A line, broken in a few places: what a careless client might send.
pub(crate) fn mutated(line: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Bytes> {
    let edits = vec(
        (any::<proptest::sample::Index>(), any::<u8>(), 0..4_u8),
        0..6,
    );
    (line, edits).prop_map(|(mut line, edits)| {
        for (at, byte, kind) in edits {
            if line.is_empty() {
                break;
            }
            let at = at.index(line.len());
            match kind {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                2 => drop(line.remove(at)),
                _ => line.truncate(at),
            }
        }
        line.into()
    })
}
