//! How lines are put together: by appending, field by field, so that nothing is built up first.

use serde::Serialize;

use crate::id::RequestId;
use crate::json;

/// Appends `value` as JSON.
pub(crate) fn value<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value)
        .expect("strings, integers and ids always serialise, and a Vec takes all of it");
}

/// Appends `"id":…,` if there is an id.
pub(crate) fn id(out: &mut Vec<u8>, id: Option<&RequestId>) {
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        value(out, id);
        out.push(b',');
    }
}

/// Appends JSON that passes through. A newline would end the line in its middle, so none gets out, whatever the
/// caller checked.
pub(crate) fn raw(out: &mut Vec<u8>, json: &[u8]) {
    let start = out.len();
    out.extend_from_slice(json);
    json::flatten_newlines(&mut out[start..]);
}
