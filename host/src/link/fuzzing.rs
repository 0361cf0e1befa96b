//! What must hold of frames whatever the bytes are: for the fuzzers of `tests/fuzz`, and for a few bytes in every test.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};

use super::frame::{
    Call, FrameError, LogRecord, Open, ProgressReport, Return, ToHost, ToWorker, WorkerFrames,
};
use crate::clock::Moment;

/// Longest frame that is taken here, in bytes: short, so that both sides of the limit are tried.
pub(crate) const FRAME_LEN_MAX: usize = 1024;

/// Checks how the host reads a link on which a worker, or a plugin inside of it, may have written anything: the first
/// byte says how the others are cut, see [`check`].
pub(crate) fn frames_to_host(data: &[u8]) {
    check(data, WorkerFrames::next_to_host, ToHost::encode);
}

/// Checks how a worker reads its link, like [`frames_to_host`]; and what it does with the first frame.
pub(crate) fn frames_to_worker(data: &[u8]) {
    let frames = check(data, WorkerFrames::next_to_worker, ToWorker::encode);
    for frame in frames {
        if let ToWorker::Open(json) = frame {
            let _ = serde_json::from_slice::<Open>(&json);
        }
    }
}

/// A frame of each kind that a worker sends.
pub(crate) fn samples_to_host() -> Vec<ToHost> {
    vec![
        ToHost::Hello { link_version: 1 },
        ToHost::Opened {
            slots: 1,
            manifest: Bytes::from_static(b"{}"),
        },
        ToHost::OpenFailed {
            reason: "no ü".to_owned(),
        },
        ToHost::Short {
            why: "of threads".to_owned(),
        },
        ToHost::Return(Return {
            task: u64::MAX,
            cell: 255,
            status: 3,
            ran_ns: 9,
            payload: Bytes::from_static(b"\"x\""),
        }),
        ToHost::Progress(ProgressReport {
            task: 1,
            done: 2,
            total: 3,
            message: "m".to_owned(),
        }),
        ToHost::Log(LogRecord {
            task: 0,
            level: 3,
            target: "t".to_owned(),
            message: String::new(),
            fields: "{}".to_owned(),
        }),
    ]
}

/// A frame of each kind that the host sends.
pub(crate) fn samples_to_worker() -> Vec<ToWorker> {
    vec![
        ToWorker::Open(Bytes::from_static(
            br#"{"file":"libp.so","config":"{}","slots":null,"result_len_max":9,"memory_max":null,"log_level":3}"#,
        )),
        ToWorker::Call(Call {
            task: 7,
            cell: 200,
            function: 3,
            deadline: Moment::NEVER,
            limit_ns: 5,
            progress: true,
            args: Bytes::from_static(b"[1]"),
        }),
        ToWorker::Cancel { task: 7 },
        ToWorker::LogLevel(4),
        ToWorker::Close,
    ]
}

/// The samples as data for [`frames_to_host`]: in one piece, and byte by byte.
pub(crate) fn seeds_to_host() -> Vec<Vec<u8>> {
    seeds(&samples_to_host(), ToHost::encode)
}

/// The samples as data for [`frames_to_worker`].
pub(crate) fn seeds_to_worker() -> Vec<Vec<u8>> {
    seeds(&samples_to_worker(), ToWorker::encode)
}

fn seeds<F>(samples: &[F], encode: impl Fn(&F, &mut BytesMut)) -> Vec<Vec<u8>> {
    let bytes = |frames: &[F], cut: u8| {
        let mut bytes = BytesMut::from(&[cut][..]);
        frames.iter().for_each(|frame| encode(frame, &mut bytes));
        bytes.to_vec()
    };
    let alone = samples.chunks(1).map(|frame| bytes(frame, 0));
    alone
        .chain([bytes(samples, 0), bytes(samples, 1)])
        .collect()
}

/// Reads all but the first byte of `data`, in one piece and in pieces of as many bytes as the first says. Both read the
/// same; no more frames than there are; each survives being sent on; and nothing over the limit is kept.
fn check<F: Debug + PartialEq>(
    data: &[u8],
    next: impl Fn(&mut WorkerFrames) -> Result<Option<F>, FrameError>,
    encode: impl Fn(&F, &mut BytesMut),
) -> Vec<F> {
    let Some((cut, stream)) = data.split_first() else {
        return Vec::new();
    };
    let (frames, error) = read(stream, stream.len(), &next);
    if *cut > 0 {
        let in_pieces = read(stream, usize::from(*cut), &next);
        assert_eq!(in_pieces, (frames, error), "in pieces of {cut} bytes");
        return in_pieces.0;
    }
    let (whole, end) = walk(stream);
    match &error {
        None => assert!(end != End::Broken && frames.len() == whole, "{frames:?}"),
        Some(FrameError::TooLong { .. }) => {
            assert!(end == End::Broken && frames.len() == whole, "{frames:?}");
        }
        Some(_) => assert!(frames.len() <= whole, "{frames:?}"),
    }
    for frame in &frames {
        let mut again = BytesMut::new();
        encode(frame, &mut again);
        match read(&again, again.len(), &next) {
            // What was not UTF-8 is longer once it is.
            (_, Some(FrameError::TooLong { .. })) => {}
            (read, error) => assert!(
                error.is_none() && read.iter().eq([frame]),
                "{read:?} and {error:?} of {frame:?}"
            ),
        }
    }
    frames
}

/// All frames, and why there are no more of them.
fn read<F>(
    stream: &[u8],
    piece_len: usize,
    next: &impl Fn(&mut WorkerFrames) -> Result<Option<F>, FrameError>,
) -> (Vec<F>, Option<FrameError>) {
    let mut reader = WorkerFrames::new(FRAME_LEN_MAX);
    let mut frames = Vec::new();
    for piece in stream.chunks(piece_len.max(1)) {
        reader.buffer_mut().extend_from_slice(piece);
        loop {
            match next(&mut reader) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        let kept = reader.buffer_mut().len();
        assert!(kept < 4 + FRAME_LEN_MAX, "{kept} bytes are kept of a frame");
    }
    (frames, None)
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Within a frame, or after one.
    Open,
    /// At a length that no frame has.
    Broken,
}

/// How many whole frames there are by their lengths alone, and what follows them.
fn walk(mut stream: &[u8]) -> (usize, End) {
    let mut whole = 0;
    while let Some((len, rest)) = stream.split_first_chunk::<4>() {
        let len = u32::from_le_bytes(*len) as usize;
        if len == 0 || len > FRAME_LEN_MAX {
            return (whole, End::Broken);
        }
        let Some(rest) = rest.get(len..) else { break };
        whole += 1;
        stream = rest;
    }
    (whole, End::Open)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_frame_holds() {
        for seed in seeds_to_host() {
            frames_to_host(&seed);
        }
        for seed in seeds_to_worker() {
            frames_to_worker(&seed);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            frames_to_host(&data);
            frames_to_worker(&data);
        }
    }
}
