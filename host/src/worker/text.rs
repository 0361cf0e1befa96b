//! Texts of a plugin on their way to the host: as long as people read, and no longer.

use bytes::Bytes;
use plugin_api::abi::Failure;

/// Longest text that is passed on, in bytes.
pub(super) const TEXT_LEN_MAX: usize = 8 * 1024;
/// Longest kind of a failure, in bytes.
const KIND_LEN_MAX: usize = 256;
/// A text is at most this part of the longest result: as JSON it may be several times as long.
const PART: usize = 8;

/// The longest beginning of `text` that fits, whole characters only.
pub(super) fn cut(text: &str, len_max: usize) -> &str {
    &text[..text.floor_char_boundary(len_max)]
}

/// The text, or its beginning and how long it was.
pub(super) fn cut_text(text: String, len_max: usize) -> String {
    if text.len() <= len_max {
        return text;
    }
    let len = text.len();
    format!("{}… (cut, it has {len} bytes)", cut(&text, len_max))
}

fn text_len_max(result_len_max: usize) -> usize {
    TEXT_LEN_MAX.min(result_len_max / PART)
}

/// As [`cut_text`], for a payload that is a text.
pub(super) fn cut_bytes(payload: Vec<u8>, result_len_max: usize) -> Bytes {
    let len_max = text_len_max(result_len_max);
    if payload.len() <= len_max {
        return payload.into();
    }
    cut_text(String::from_utf8_lossy(&payload).into_owned(), len_max).into()
}

/// The failure with its texts cut, and without data that don't fit.
pub(super) fn cut_failure(payload: Vec<u8>, result_len_max: usize) -> Bytes {
    let len_max = text_len_max(result_len_max);
    if payload.len() <= len_max {
        return payload.into();
    }
    let Ok(mut failure) = serde_json::from_slice::<Failure>(&payload) else {
        // The host says that it can't be read.
        return Bytes::new();
    };
    failure.kind = cut(&failure.kind, KIND_LEN_MAX).to_owned();
    failure.message = cut_text(failure.message, len_max);
    // Half of the line is for the texts.
    let too_long = failure
        .data
        .take_if(|data| data.get().len() > result_len_max / 2);
    if let Some(data) = too_long {
        let len = data.get().len();
        failure.message += &format!(" (its data are left out, they have {len} bytes)");
    }
    serde_json::to_vec(&failure).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut_text("short".to_owned(), 5), "short");
        assert_eq!(cut_text("äää".to_owned(), 5), "ää… (cut, it has 6 bytes)");
        let payload = cut_bytes(vec![b'x'; 20_000_000], 1 << 20);
        assert!(payload.len() < TEXT_LEN_MAX + 100);
        assert_eq!(cut_bytes(b"as it is".to_vec(), 1 << 20), "as it is");
    }

    #[test]
    fn of_a_failure_what_programs_read_stays_whole_or_goes() {
        let failure = |message: usize, data: usize| {
            let failure = serde_json::json!({
                "kind": "k", "message": "m".repeat(message), "retryable": true, "data": "d".repeat(data),
            });
            let cut = cut_failure(failure.to_string().into(), 1 << 20);
            serde_json::from_slice::<Failure>(&cut).unwrap()
        };
        let whole = failure(10, 10_000);
        assert_eq!((whole.kind.as_str(), whole.message.len()), ("k", 10));
        assert!(whole.retryable && whole.data.unwrap().get().len() == 10_002);
        let cut = failure(1 << 20, 1 << 20);
        assert!(cut.data.is_none() && cut.message.len() < TEXT_LEN_MAX + 200);
        assert!(cut.message.contains("left out"), "{}", cut.message);
        assert_eq!(cut_failure(vec![b'x'; 1 << 20], 1 << 20), "");
    }
}
