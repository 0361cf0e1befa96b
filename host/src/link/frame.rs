//! What crosses the link, as bytes: `length: u32, kind: u8, payload`, little-endian, length without itself.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// What a frame may be longer than the longest payload it carries: fixed fields and text beside it.
pub(crate) const FRAME_LEN_MAX_EXTRA: usize = 64 * 1024;

/// Status codes of a [`Return`] that the worker itself gives; the plugin's own are `plugin_api::abi::status`.
pub(crate) mod link_status {
    /// The host had taken the task back before it started.
    pub(crate) const SKIPPED: u32 = u32::MAX;
    /// The system has no thread for the task, which has not started; the payload says why.
    pub(crate) const NO_THREAD: u32 = u32::MAX - 3;
    pub(crate) use plugin_api::verdict::INVALID_RESULT;
}

/// The first frame a worker gets, as JSON: everything it needs to open its plugin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Open {
    /// Where the library came from, for messages.
    pub(crate) file: String,
    /// The plugin's configuration as JSON text.
    pub(crate) config: String,
    /// Tasks that may run at once; `None`: what the manifest asks for, or 1.
    pub(crate) slots: Option<u32>,
    /// Longest result, in bytes.
    pub(crate) result_len_max: usize,
    /// Hard limit of the worker's private writable memory, in bytes.
    pub(crate) memory_max: Option<u64>,
    /// Soft limit of the files that a worker may have open; `None`: any number.
    pub(crate) open_files_max: Option<u64>,
    /// Least severe level that is worth sending: 0 off, 1 error … 5 trace.
    pub(crate) log_level: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) task: u64,
    /// The task's place on the board.
    pub(crate) cell: u8,
    pub(crate) function: u32,
    /// When the whole task must have ended.
    pub(crate) deadline: Moment,
    /// How long the handler may run, in nanoseconds.
    pub(crate) limit_ns: u64,
    pub(crate) progress: bool,
    pub(crate) args: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToWorker {
    Open(Bytes),
    Call(Call),
    Cancel {
        task: u64,
    },
    /// Least severe level that is worth sending from now on, as in [`Open`].
    LogLevel(u32),
    Close,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Return {
    pub(crate) task: u64,
    pub(crate) cell: u8,
    pub(crate) status: u32,
    /// How long the handler ran.
    pub(crate) ran_ns: u64,
    pub(crate) payload: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProgressReport {
    pub(crate) task: u64,
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogRecord {
    /// 0: not within a task.
    pub(crate) task: u64,
    pub(crate) level: u32,
    pub(crate) target: String,
    pub(crate) message: String,
    /// A JSON object, or empty.
    pub(crate) fields: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToHost {
    Hello {
        link_version: u32,
    },
    Opened {
        /// Tasks that the worker runs at once.
        slots: u32,
        manifest: Bytes,
    },
    OpenFailed {
        reason: String,
    },
    /// The system has no room for this worker now. It ends, and is no worse for it.
    Short {
        why: String,
    },
    Return(Return),
    Progress(ProgressReport),
    Log(LogRecord),
}

/// The bytes on the link are not a frame. The peer is broken: there is no way to find the next one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    TooLong { len: usize, len_max: usize },
    UnknownKind { kind: u8 },
    Malformed { kind: u8 },
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong { len, len_max } => {
                write!(f, "a frame of {len} bytes, {len_max} are allowed")
            }
            Self::UnknownKind { kind } => write!(f, "a frame of unknown kind {kind}"),
            Self::Malformed { kind } => write!(f, "a malformed frame of kind {kind}"),
        }
    }
}

impl std::error::Error for FrameError {}

mod kind {
    pub(super) const OPEN: u8 = 1;
    pub(super) const CALL: u8 = 2;
    pub(super) const CANCEL: u8 = 3;
    pub(super) const CLOSE: u8 = 4;
    pub(super) const LOG_LEVEL: u8 = 5;
    pub(super) const HELLO: u8 = 16;
    pub(super) const OPENED: u8 = 17;
    pub(super) const OPEN_FAILED: u8 = 18;
    pub(super) const RETURN: u8 = 19;
    pub(super) const PROGRESS: u8 = 20;
    pub(super) const LOG: u8 = 21;
    pub(super) const SHORT: u8 = 22;
}

const HEADER_LEN: usize = 4;

impl ToWorker {
    #[cfg(any(test, fuzzing))]
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let rest = self.encode_head(out);
        out.put_slice(rest);
    }

    /// Encodes all but what ends the frame as it is, which is given back.
    pub(crate) fn encode_head(&self, out: &mut BytesMut) -> &[u8] {
        match self {
            Self::Open(json) => frame(out, kind::OPEN, json, |_| ()),
            Self::Call(call) => frame(out, kind::CALL, &call.args, |out| {
                out.put_u64_le(call.task);
                out.put_u8(call.cell);
                out.put_u32_le(call.function);
                out.put_u64_le(call.deadline.as_nanos());
                out.put_u64_le(call.limit_ns);
                out.put_u8(u8::from(call.progress));
            }),
            Self::Cancel { task } => frame(out, kind::CANCEL, &[], |out| out.put_u64_le(*task)),
            Self::LogLevel(level) => frame(out, kind::LOG_LEVEL, &[], |out| out.put_u32_le(*level)),
            Self::Close => frame(out, kind::CLOSE, &[], |_| ()),
        }
    }
}

impl ToHost {
    #[cfg(any(test, fuzzing))]
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let rest = self.encode_head(out);
        out.put_slice(rest);
    }

    /// Encodes all but what ends the frame as it is, which is given back.
    pub(crate) fn encode_head(&self, out: &mut BytesMut) -> &[u8] {
        match self {
            Self::Hello { link_version } => {
                frame(out, kind::HELLO, &[], |out| out.put_u32_le(*link_version))
            }
            Self::Opened { slots, manifest } => {
                frame(out, kind::OPENED, manifest, |out| out.put_u32_le(*slots))
            }
            Self::OpenFailed { reason } => frame(out, kind::OPEN_FAILED, reason.as_bytes(), |_| ()),
            Self::Short { why } => frame(out, kind::SHORT, why.as_bytes(), |_| ()),
            Self::Return(r) => frame(out, kind::RETURN, &r.payload, |out| {
                out.put_u64_le(r.task);
                out.put_u8(r.cell);
                out.put_u32_le(r.status);
                out.put_u64_le(r.ran_ns);
            }),
            Self::Progress(p) => frame(out, kind::PROGRESS, p.message.as_bytes(), |out| {
                out.put_u64_le(p.task);
                out.put_u64_le(p.done);
                out.put_u64_le(p.total);
            }),
            Self::Log(log) => frame(out, kind::LOG, log.fields.as_bytes(), |out| {
                out.put_u64_le(log.task);
                out.put_u32_le(log.level);
                put_text(out, &log.target);
                put_text(out, &log.message);
            }),
        }
    }
}

/// A frame that ends with `rest`, which is still to be added.
fn frame<'r>(
    out: &mut BytesMut,
    kind: u8,
    rest: &'r [u8],
    payload: impl FnOnce(&mut BytesMut),
) -> &'r [u8] {
    let start = out.len();
    out.put_u32_le(0);
    out.put_u8(kind);
    payload(out);
    let len = out.len() - start - HEADER_LEN + rest.len();
    let len = u32::try_from(len).expect("payloads are bounded far below 4 GiB");
    out[start..start + HEADER_LEN].copy_from_slice(&len.to_le_bytes());
    rest
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u32_le(u32::try_from(text.len()).expect("log texts are cut long before 4 GiB"));
    out.put_slice(text.as_bytes());
}

/// Splits what came over the link into frames.
#[derive(Debug)]
pub(crate) struct WorkerFrames {
    buffer: BytesMut,
    len_max: usize,
}

impl WorkerFrames {
    pub(crate) fn new(len_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            len_max,
        }
    }

    /// Bytes read from the link are appended here.
    pub(crate) fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    pub(crate) fn next_to_host(&mut self) -> Result<Option<ToHost>, FrameError> {
        let Some((kind, payload)) = self.next_raw()? else {
            return Ok(None);
        };
        decode_to_host(kind, payload).map(Some)
    }

    pub(crate) fn next_to_worker(&mut self) -> Result<Option<ToWorker>, FrameError> {
        let Some((kind, payload)) = self.next_raw()? else {
            return Ok(None);
        };
        decode_to_worker(kind, payload).map(Some)
    }

    fn next_raw(&mut self) -> Result<Option<(u8, Bytes)>, FrameError> {
        let Some(header) = self.buffer.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*header) as usize;
        if len > self.len_max {
            return Err(FrameError::TooLong {
                len,
                len_max: self.len_max,
            });
        }
        if len == 0 {
            return Err(FrameError::Malformed { kind: 0 });
        }
        if self.buffer.len() < HEADER_LEN + len {
            self.buffer.reserve(HEADER_LEN + len - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(HEADER_LEN);
        let mut payload = self.buffer.split_to(len).freeze();
        let kind = payload.get_u8();
        Ok(Some((kind, payload)))
    }
}

fn decode_to_worker(kind: u8, mut payload: Bytes) -> Result<ToWorker, FrameError> {
    let malformed = |_| FrameError::Malformed { kind };
    Ok(match kind {
        kind::OPEN => ToWorker::Open(payload),
        kind::CALL => ToWorker::Call(Call {
            task: payload.try_get_u64_le().map_err(malformed)?,
            cell: payload.try_get_u8().map_err(malformed)?,
            function: payload.try_get_u32_le().map_err(malformed)?,
            deadline: Moment::from_nanos(payload.try_get_u64_le().map_err(malformed)?),
            limit_ns: payload.try_get_u64_le().map_err(malformed)?,
            progress: payload.try_get_u8().map_err(malformed)? != 0,
            args: payload,
        }),
        kind::CANCEL => ToWorker::Cancel {
            task: payload.try_get_u64_le().map_err(malformed)?,
        },
        kind::LOG_LEVEL => ToWorker::LogLevel(payload.try_get_u32_le().map_err(malformed)?),
        kind::CLOSE => ToWorker::Close,
        kind => return Err(FrameError::UnknownKind { kind }),
    })
}

fn decode_to_host(kind: u8, mut payload: Bytes) -> Result<ToHost, FrameError> {
    let malformed = |_| FrameError::Malformed { kind };
    Ok(match kind {
        kind::HELLO => ToHost::Hello {
            link_version: payload.try_get_u32_le().map_err(malformed)?,
        },
        kind::OPENED => ToHost::Opened {
            slots: payload.try_get_u32_le().map_err(malformed)?,
            manifest: payload,
        },
        kind::OPEN_FAILED => ToHost::OpenFailed {
            reason: text(&payload),
        },
        kind::SHORT => ToHost::Short {
            why: text(&payload),
        },
        kind::RETURN => ToHost::Return(Return {
            task: payload.try_get_u64_le().map_err(malformed)?,
            cell: payload.try_get_u8().map_err(malformed)?,
            status: payload.try_get_u32_le().map_err(malformed)?,
            ran_ns: payload.try_get_u64_le().map_err(malformed)?,
            payload,
        }),
        kind::PROGRESS => ToHost::Progress(ProgressReport {
            task: payload.try_get_u64_le().map_err(malformed)?,
            done: payload.try_get_u64_le().map_err(malformed)?,
            total: payload.try_get_u64_le().map_err(malformed)?,
            message: text(&payload),
        }),
        kind::LOG => ToHost::Log(LogRecord {
            task: payload.try_get_u64_le().map_err(malformed)?,
            level: payload.try_get_u32_le().map_err(malformed)?,
            target: take_text(&mut payload).ok_or(FrameError::Malformed { kind })?,
            message: take_text(&mut payload).ok_or(FrameError::Malformed { kind })?,
            fields: text(&payload),
        }),
        kind => return Err(FrameError::UnknownKind { kind }),
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn take_text(payload: &mut Bytes) -> Option<String> {
    let len = payload.try_get_u32_le().ok()? as usize;
    (len <= payload.len()).then(|| text(&payload.split_to(len)))
}

#[cfg(test)]
mod tests {
    use super::super::fuzzing::{samples_to_host, samples_to_worker};
    use super::*;

    #[test]
    fn frames_survive_any_split() {
        let mut bytes = BytesMut::new();
        samples_to_host()
            .iter()
            .for_each(|frame| frame.encode(&mut bytes));
        for chunk_len in 1..=bytes.len() {
            let mut frames = WorkerFrames::new(1024);
            let mut seen = Vec::new();
            for chunk in bytes.chunks(chunk_len) {
                frames.buffer_mut().extend_from_slice(chunk);
                while let Some(frame) = frames.next_to_host().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, samples_to_host(), "chunks of {chunk_len}");
        }
    }

    #[test]
    fn calls_arrive_as_they_were_sent() {
        let mut frames = WorkerFrames::new(1024);
        samples_to_worker()
            .iter()
            .for_each(|frame| frame.encode(frames.buffer_mut()));
        let mut seen = Vec::new();
        while let Some(frame) = frames.next_to_worker().unwrap() {
            seen.push(frame);
        }
        assert_eq!(seen, samples_to_worker());
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_it_is_buffered() {
        let mut frames = WorkerFrames::new(100);
        frames.buffer_mut().put_u32_le(101);
        assert_eq!(
            frames.next_to_host(),
            Err(FrameError::TooLong {
                len: 101,
                len_max: 100
            })
        );
    }
}
