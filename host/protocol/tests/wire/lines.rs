//! The line decoder.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::{LineDecoder, LineTooLong, Request};

const LINE_LEN_MAX: usize = 8;

/// All lines of a stream that comes in these pieces, the error that ended them, and the rest.
fn decode<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Bytes>, Result<Option<Bytes>, LineTooLong>) {
    let mut decoder = LineDecoder::new(LINE_LEN_MAX);
    let mut lines = Vec::new();
    for piece in pieces {
        decoder.buffer_mut().extend_from_slice(piece);
        loop {
            match decoder.next_line() {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => break,
                Err(error) => return (lines, Err(error)),
            }
        }
    }
    (lines, Ok(decoder.finish()))
}

/// The lines by another way: what the decoder should give.
fn expected(stream: &[u8]) -> (Vec<Bytes>, Result<Option<Bytes>, LineTooLong>) {
    let mut lines = Vec::new();
    let mut rest = stream;
    loop {
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        if line.len() > LINE_LEN_MAX + usize::from(line.ends_with(b"\r")) {
            return (
                lines,
                Err(LineTooLong {
                    line_len_max: LINE_LEN_MAX,
                }),
            );
        }
        let Some(end) = end else {
            return (
                lines,
                Ok(Some(Bytes::copy_from_slice(rest)).filter(|rest| !rest.is_empty())),
            );
        };
        let mut trimmed = line;
        while let Some(shorter) = trimmed.strip_suffix(b"\r") {
            trimmed = shorter;
        }
        lines.push(Bytes::copy_from_slice(trimmed));
        rest = &rest[end + 1..];
    }
}

proptest! {
    #[test]
    fn any_split_gives_the_same_lines(
        pieces in vec(vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..12), 0..12),
    ) {
        let stream = pieces.concat();
        let wanted = expected(&stream);
        prop_assert_eq!(&decode(pieces.iter().map(Vec::as_slice)), &wanted);
        prop_assert_eq!(&decode([stream.as_slice()]), &wanted);
        prop_assert_eq!(&decode(stream.chunks(1)), &wanted);
    }
}

#[test]
fn a_newline_ends_a_line_and_carriage_returns_before_it_go() {
    let (lines, rest) = decode([b"a\nb\r\n\nc\rd\r\r\r\n\r\nrest\r".as_slice()]);
    assert_eq!(lines, ["a", "b", "", "c\rd", ""]);
    assert_eq!(rest, Ok(Some("rest\r".into())));
}

#[test]
fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
    assert_eq!(
        decode([b"12345678\r\n".as_slice()]),
        (vec!["12345678".into()], Ok(None))
    );
    for stream in ["123456789\n", "123456789", "12345678\r\r", "12345678\rx"] {
        assert_eq!(
            decode([stream.as_bytes()]),
            (vec![], Err(LineTooLong { line_len_max: 8 })),
            "{stream:?}"
        );
    }
}

#[test]
fn lines_before_a_long_one_come_out_and_the_error_stays() {
    let mut decoder = LineDecoder::new(LINE_LEN_MAX);
    decoder
        .buffer_mut()
        .extend_from_slice(b"one\n1234567890\ntwo\n");
    assert_eq!(decoder.next_line(), Ok(Some("one".into())));
    for _ in 0..2 {
        let error = decoder.next_line().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the line is longer than 8 bytes, the most that this server takes"
        );
    }
}

#[test]
fn a_line_shares_the_buffers_memory() {
    let mut decoder = LineDecoder::new(LINE_LEN_MAX);
    decoder.buffer_mut().extend_from_slice(b"one\ntwo\n");
    let start = decoder.buffer_mut().as_ptr();
    let line = decoder.next_line().unwrap().unwrap();
    assert_eq!(line.as_ptr(), start);
}

#[test]
fn an_idle_decoder_gives_its_memory_back_and_a_busy_one_keeps_its_bytes() {
    let mut decoder = LineDecoder::new(LINE_LEN_MAX);
    decoder.buffer_mut().reserve(4096);
    decoder.buffer_mut().extend_from_slice(b"one\ntw");
    decoder.next_line().unwrap();
    decoder.release();
    assert_eq!(decoder.buffered_len(), 2);
    decoder.buffer_mut().extend_from_slice(b"o\n");
    assert_eq!(decoder.next_line(), Ok(Some("two".into())));
    decoder.release();
    assert_eq!(
        (decoder.buffered_len(), decoder.buffer_mut().capacity()),
        (0, 0)
    );
}

/// Whether nobody else holds the memory that these bytes are in.
fn is_alone(bytes: Bytes) -> bool {
    bytes.try_into_mut().is_ok()
}

#[test]
fn a_long_line_is_not_kept_by_what_was_read_together_with_it() {
    let mut decoder = LineDecoder::new(1 << 20);
    let long = |len| format!("{{\"function\":\"f\",\"args\":\"{}\"}}\n", "x".repeat(len));
    for before in [20_000, 500_000] {
        for len in [0, 1, 4_000, 6_000, 100_000] {
            let lines = long(before) + &long(len);
            decoder.buffer_mut().extend_from_slice(lines.as_bytes());
            let first = decoder.next_line().unwrap().unwrap();
            let second = decoder.next_line().unwrap().unwrap();
            let request = Request::parse(&second).unwrap();
            drop(second);
            assert_eq!(request.args.len(), len + 2);
            assert!(is_alone(first), "{before} bytes, kept by {len}");
        }
    }
}
