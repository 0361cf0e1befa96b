//! What must hold of a connection's receiving side whatever comes, and however it is cut: for the fuzzers of `tests/fuzz`,
//! and for a few bytes in every test.

use protocol::TaskFailure;
use service::bytes::ByteBudget;

use super::input::{Input, Received};

/// Longest line that is taken here, in bytes: short, so that both sides of the limit are tried.
const LINE_LEN_MAX: usize = 64;

/// See [`proxy::check`].
#[cfg(fuzzing)]
pub(crate) fn proxy_header(data: &[u8]) {
    super::proxy::check(data);
}

/// What a connection takes from its client.
#[derive(Debug, PartialEq)]
enum Taken {
    Line(Vec<u8>),
    Unusable(TaskFailure),
}

/// Receives all but the first byte of `data`, in one piece and in pieces of as many bytes as the first says: the lines
/// are the same, none is over the limit, nothing comes after what is unusable, and none is lost or made up.
pub(crate) fn lines(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else {
        return;
    };
    let whole = received(stream, stream.len());
    let in_pieces = received(stream, usize::from(*cut));
    assert_eq!(whole, in_pieces, "in pieces of {cut} bytes");

    let mut expected = stream.split(|byte| *byte == b'\n');
    for (at, taken) in whole.iter().enumerate() {
        match taken {
            Taken::Line(line) => {
                assert!(line.len() <= LINE_LEN_MAX, "{} bytes", line.len());
                let sent = expected.next().expect("a line that was never sent");
                assert_eq!(*line, sent.trim_suffix_crs(), "line {at}");
            }
            Taken::Unusable(failure) => {
                assert_eq!(at + 1, whole.len(), "something follows {failure:?}");
                assert!(failure.message.len() < 1000, "{failure:?}");
            }
        }
    }
    let lines = whole.iter().filter(|taken| matches!(taken, Taken::Line(_)));
    let ended = stream.iter().filter(|byte| **byte == b'\n').count();
    let all_usable = whole.iter().all(|taken| matches!(taken, Taken::Line(_)));
    if all_usable {
        assert_eq!(lines.count(), ended, "lines that were sent, and taken");
        assert!(
            stream.is_empty() || stream.ends_with(b"\n"),
            "an unended line is told"
        );
    }
}

/// All that comes of the stream in pieces of this length, with its end.
fn received(stream: &[u8], piece_len: usize) -> Vec<Taken> {
    let budget = ByteBudget::new(LINE_LEN_MAX);
    let mut input = Input::new(LINE_LEN_MAX, budget.clone());
    let mut all = Vec::new();
    let mut take = |input: &mut Input| {
        loop {
            match input.next() {
                Received::Nothing => break,
                Received::Line(line) => all.push(Taken::Line(line.to_vec())),
                Received::Unusable(failure) => all.push(Taken::Unusable(failure)),
            }
        }
    };
    for piece in stream.chunks(piece_len.max(1)) {
        if !input.is_discarding() {
            input.push(piece);
        }
        take(&mut input);
    }
    if !input.is_discarding() {
        input.end();
    }
    take(&mut input);
    drop(input);
    assert_eq!(budget.held(), 0, "bytes that are held for nobody");
    all
}

trait TrimCarriageReturns {
    fn trim_suffix_crs(&self) -> &[u8];
}

impl TrimCarriageReturns for [u8] {
    /// Without the carriage returns at its end.
    fn trim_suffix_crs(&self) -> &[u8] {
        let end = self.iter().rposition(|byte| *byte != b'\r');
        &self[..end.map_or(0, |at| at + 1)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_are_cut(
            cut in any::<u8>(),
            stream in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'{'), any::<u8>()], 0..200),
        ) {
            lines(&[&[cut][..], &stream].concat());
        }
    }
}
