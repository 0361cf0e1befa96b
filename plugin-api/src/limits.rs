//! The bounds of a worker, and what becomes of what exceeds them: the same for the host and for the testing kit.

use std::{borrow::Cow, time::Duration};

use serde_json::value::RawValue;

use crate::{
    abi::{Failure, status},
    verdict,
};

/// The most tasks that one worker runs at once.
pub const SLOTS_MAX: u32 = 256;
/// Time limit of a handler whose author gives none, where the operator doesn't say otherwise.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// How long a handler may go on after it was told to stop, where the operator doesn't say otherwise. Then its worker is
/// killed.
pub const CANCEL_GRACE: Duration = Duration::from_secs(2);
/// Longest line of a client or a reply, in bytes, where the operator doesn't say otherwise.
pub const LINE_LEN_MAX_DEFAULT: usize = 10 * 1024 * 1024;
/// How much of a reply's line is kept for what stands around the result, in bytes.
pub const REPLY_LEN_EXTRA: usize = 512;
/// Longest text for people, in bytes: of an error, a log event, a progress report; more is cut. Fields of a log event that
/// are longer are left out.
pub const TEXT_LEN_MAX: usize = 8 * 1024;
/// An error's text is at most this part of the longest result: as JSON it may be several times as long.
const TEXT_PART: usize = 8;
/// Longest kind of an error, in bytes; more is cut.
const KIND_LEN_MAX: usize = 256;
/// Stack of the thread that a handler runs on, in bytes: as much as a program's main thread has.
pub const STACK_LEN: usize = 8 * 1024 * 1024;

/// How many tasks a worker runs at once: what the operator says, else the author, else 1.
#[must_use]
pub fn slots(operators: Option<u32>, authors: Option<u32>) -> u32 {
    operators.or(authors).unwrap_or(1).clamp(1, SLOTS_MAX)
}

/// How long a handler may run: what the operator says of it, else its author, else what holds for all.
#[must_use]
pub fn timeout(
    operators: Option<Duration>,
    authors_ms: Option<u64>,
    default: Duration,
) -> Duration {
    operators
        .or(authors_ms.map(Duration::from_millis))
        .unwrap_or(default)
}

/// Longest result where a line may have `line_len_max` bytes.
#[must_use]
pub fn result_len_max(line_len_max: usize) -> usize {
    line_len_max.saturating_sub(REPLY_LEN_EXTRA)
}

/// The longest beginning of `text` that has [`TEXT_LEN_MAX`] bytes at most, whole characters only.
#[must_use]
pub fn cut(text: &str) -> &str {
    beginning(text, TEXT_LEN_MAX)
}

/// `text`, or where it is longer than [`TEXT_LEN_MAX`] its beginning, and how long it was.
#[must_use]
pub fn shorten(text: &str) -> Cow<'_, str> {
    shorten_to(text, TEXT_LEN_MAX)
}

/// Makes an answer of the [`status`] fit into a reply. A result that is too long is none; of what went wrong, texts are
/// cut, data that has no room is left out, and the kind stays.
#[must_use]
pub fn fit(status: u32, payload: Vec<u8>, result_len_max: usize) -> (u32, Vec<u8>) {
    if status == status::OK {
        if payload.len() <= result_len_max {
            return (status, payload);
        }
        let lens = format!("{} bytes, and {result_len_max} are the most", payload.len());
        return (verdict::RESULT_TOO_LARGE, lens.into_bytes());
    }
    let text_len_max = TEXT_LEN_MAX.min(result_len_max / TEXT_PART);
    if payload.len() <= text_len_max {
        return (status, payload);
    }
    let fitting = if status == status::FAILED {
        fit_failure(&payload, text_len_max, result_len_max / 2)
    } else {
        let text = String::from_utf8_lossy(&payload);
        shorten_to(&text, text_len_max).into_owned().into_bytes()
    };
    (status, fitting)
}

fn fit_failure(payload: &[u8], text_len_max: usize, data_len_max: usize) -> Vec<u8> {
    let Ok(failure) = serde_json::from_slice::<Failure>(payload) else {
        // Nobody could read it, however much of it there was.
        return Vec::new();
    };
    let mut failure = Failure {
        kind: beginning(&failure.kind, KIND_LEN_MAX).to_owned(),
        message: shorten_to(&failure.message, text_len_max).into_owned(),
        ..failure
    };
    let has_no_room = |data: &mut Box<RawValue>| data.get().len() > data_len_max;
    if let Some(data) = failure.data.take_if(has_no_room) {
        let len = data.get().len();
        failure.message += &format!(" (its data of {len} bytes had no room in the reply)");
    }
    serde_json::to_vec(&failure).unwrap_or_default()
}

fn beginning(text: &str, len_max: usize) -> &str {
    &text[..text.floor_char_boundary(len_max)]
}

fn shorten_to(text: &str, len_max: usize) -> Cow<'_, str> {
    if text.len() <= len_max {
        return Cow::Borrowed(text);
    }
    let beginning = beginning(text, len_max);
    Cow::Owned(format!("{beginning}… (cut, it has {} bytes)", text.len()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn failed(failure: &Value, len_max: usize) -> Value {
        let (status, payload) = fit(status::FAILED, failure.to_string().into_bytes(), len_max);
        assert_eq!(status, status::FAILED);
        assert!(
            payload.len() <= len_max + 2 * REPLY_LEN_EXTRA,
            "{}",
            payload.len()
        );
        serde_json::from_slice(&payload).unwrap()
    }

    #[test]
    fn a_result_of_the_most_bytes_fits_and_one_more_does_not() {
        assert_eq!(fit(status::OK, vec![b'1'; 9], 9).0, status::OK);
        let (status, payload) = fit(status::OK, vec![b'1'; 10], 9);
        assert_eq!(status, verdict::RESULT_TOO_LARGE);
        assert_eq!(payload, b"10 bytes, and 9 are the most");
        assert_eq!(result_len_max(LINE_LEN_MAX_DEFAULT), 10_485_248);
    }

    #[test]
    fn a_long_message_is_cut_and_its_kind_and_data_stay() {
        let long = "ä".repeat(6 * 1024 * 1024);
        let failure = json!({"kind": "k", "message": long, "retryable": true, "data": [1]});
        let fitted = failed(&failure, 1024 * 1024);
        assert_eq!(fitted["kind"], "k");
        assert_eq!(fitted["retryable"], true);
        assert_eq!(fitted["data"], json!([1]));
        let message = fitted["message"].as_str().unwrap();
        assert!(
            message.ends_with("ä… (cut, it has 12582912 bytes)"),
            "{}",
            message.len()
        );
        assert!(message.len() < TEXT_LEN_MAX + 64);
    }

    #[test]
    fn data_without_room_is_left_out_and_that_is_said() {
        let failure = json!({"kind": "k", "message": "m", "data": "x".repeat(200_000)});
        assert_eq!(failed(&failure, 500_000)["data"], failure["data"]);
        let fitted = failed(&failure, 100_000);
        assert_eq!(fitted["data"], Value::Null);
        assert_eq!(
            fitted["message"],
            "m (its data of 200002 bytes had no room in the reply)"
        );
    }

    #[test]
    fn other_texts_keep_their_status() {
        for status in [status::INVALID_ARGS, status::PANICKED, status::CANCELLED] {
            let (kept, text) = fit(status, vec![b'x'; 12 * 1024 * 1024], 10 * 1024 * 1024);
            assert_eq!(kept, status);
            assert!(text.ends_with("… (cut, it has 12582912 bytes)".as_bytes()));
        }
    }

    #[test]
    fn operators_have_the_last_word() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        assert_eq!(timeout(Some(second), Some(5), minute), second);
        assert_eq!(timeout(None, Some(5), minute), Duration::from_millis(5));
        assert_eq!(timeout(None, None, minute), minute);
        assert_eq!(
            [
                slots(Some(3), Some(4)),
                slots(None, Some(4)),
                slots(None, None)
            ],
            [3, 4, 1]
        );
        assert_eq!(
            [slots(Some(0), None), slots(None, Some(1000))],
            [1, SLOTS_MAX]
        );
    }
}
