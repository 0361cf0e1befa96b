//! What must hold of a request's line, whatever it is.

use bytes::Bytes;
use protocol::{Request, RequestId};
use serde_json::Value;

/// Longest message to a client about its line, in bytes.
const MESSAGE_LEN_MAX: usize = 1000;

/// Reads a line without its newline: what is a request says the same when it is sent on, what is none gets a short
/// message, and either keeps its id.
///
/// # Panics
/// Where one of these doesn't hold.
pub fn request(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n');
    let line = Bytes::copy_from_slice(&data[..end.unwrap_or(data.len())]);
    expect_id(&line, id_of(&line));
    if let Ok(request) = Request::parse(&line) {
        let mut sent = Vec::new();
        request.encode(&mut sent);
        assert_eq!(sent.pop(), Some(b'\n'));
        assert!(!sent.contains(&b'\n'), "one line");
        let mut again = Request::parse(&sent.into()).expect("what was a request is one");
        assert_eq!(
            without_line_ends(&again.args),
            without_line_ends(&request.args)
        );
        again.args = request.args.clone();
        assert_eq!(again, request);
    }

    // An id that stands before what is wrong.
    let mut line = br#"{"id":7,"function":"#.to_vec();
    line.extend_from_slice(&data[..end.unwrap_or(data.len())]);
    let may_be_twice = data.windows(2).any(|pair| pair == b"id") || data.contains(&b'\\');
    if !may_be_twice {
        expect_id(&line.into(), Some(RequestId::from(7_u64)));
    }
}

fn expect_id(line: &Bytes, expected: Option<RequestId>) {
    let id = match Request::parse(line) {
        Ok(request) => request.id,
        Err(bad) => {
            assert!(
                bad.message.len() <= MESSAGE_LEN_MAX,
                "{} bytes",
                bad.message.len()
            );
            bad.id
        }
    };
    if let Some(expected) = expected {
        assert_eq!(id, Some(expected), "{}", String::from_utf8_lossy(line));
    }
}

/// The id of a line that is an object with one, read by another reader.
fn id_of(line: &[u8]) -> Option<RequestId> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let id = value.as_object()?.get("id")?;
    // That reader takes the last of several, and knows no integers beyond 64 bits.
    let names = line.windows(2).filter(|pair| *pair == b"id").count();
    if names > 1 || line.contains(&b'\\') {
        return None;
    }
    match id {
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(id), _) => Some(id.into()),
            (None, Some(id)) => Some(id.into()),
            (None, None) => None,
        },
        Value::String(id) => RequestId::try_from(id.as_str()).ok(),
        _ => None,
    }
}

/// Raw line ends within JSON become spaces on the way.
fn without_line_ends(json: &[u8]) -> Vec<u8> {
    let flat = json.iter().map(|byte| match byte {
        b'\r' | b'\n' => b' ',
        byte => *byte,
    });
    flat.collect()
}
