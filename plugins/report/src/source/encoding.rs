//! What a file's bytes mean: whatever its encoding, those who read it get UTF-8.

use std::{fmt, io, io::Read};

/// How a file's text is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Or UTF-16, where the byte order mark says so.
    #[default]
    Utf8,
    Windows1252,
    Utf16 {
        order: Option<ByteOrder>,
    },
}

/// Which byte of a unit of UTF-16 comes first. A byte order mark says it, where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Little,
    Big,
}

/// What isn't text in the encoding that a file has.
#[derive(Debug)]
pub(crate) struct WrongEncoding(&'static str);

impl WrongEncoding {
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }

    fn error(what: &'static str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, Self(what))
    }
}

impl fmt::Display for WrongEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for WrongEncoding {}

/// Reads a file as UTF-8. Bytes that aren't, in a file that is UTF-8, are left to those who know their place.
pub(crate) struct Decoded<R> {
    reader: R,
    asked: Encoding,
    state: State,
    /// What was read and not decoded yet.
    raw: Vec<u8>,
    /// What was decoded and not handed over yet, from `at` on.
    text: Vec<u8>,
    at: usize,
    is_at_end: bool,
    /// What is to be told behind what was decoded.
    wrong: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first bytes were not seen yet.
    Begin,
    /// Handed over as it is.
    AsItIs,
    Windows1252,
    Utf16(ByteOrder),
}

/// So many bytes are decoded at once.
const STEP: usize = 1 << 16;

impl<R: Read> Decoded<R> {
    pub(crate) fn new(reader: R, asked: Encoding) -> Self {
        Self {
            reader,
            asked,
            state: State::Begin,
            raw: Vec::new(),
            text: Vec::new(),
            at: 0,
            is_at_end: false,
            wrong: None,
        }
    }

    /// Looks for a byte order mark, which is a mark in each encoding that the file may have.
    fn begin(&mut self) -> io::Result<()> {
        let mut begin = [0; 4];
        let mut len = 0;
        while len < begin.len() {
            match self.reader.read(&mut begin[len..])? {
                0 => break,
                read => len += read,
            }
        }
        let begin = &begin[..len];
        let order = match begin {
            [0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff] => {
                return Err(WrongEncoding::error("the file is UTF-32; save it as UTF-8"));
            }
            [0xff, 0xfe, ..] => Some(ByteOrder::Little),
            [0xfe, 0xff, ..] => Some(ByteOrder::Big),
            _ => None,
        };
        let is_utf8 = begin.starts_with(&[0xef, 0xbb, 0xbf]);
        let contradicts = match self.asked {
            Encoding::Utf8 => false,
            Encoding::Windows1252 => is_utf8 || order.is_some(),
            Encoding::Utf16 { order: asked } => {
                is_utf8 || (asked.is_some() && order.is_some() && asked != order)
            }
        };
        if contradicts {
            return Err(WrongEncoding::error(
                "the file begins with the byte order mark of another encoding than `encoding` says; leave `encoding` out",
            ));
        }
        self.state = match (self.asked, order) {
            (Encoding::Windows1252, _) => State::Windows1252,
            (_, Some(order)) | (Encoding::Utf16 { order: Some(order) }, None) => {
                State::Utf16(order)
            }
            (Encoding::Utf16 { order: None }, None) => State::Utf16(ByteOrder::Little),
            (Encoding::Utf8, None) => State::AsItIs,
        };
        match self.state {
            State::AsItIs => self.text.extend_from_slice(begin),
            _ => self.raw.extend_from_slice(begin),
        }
        Ok(())
    }

    /// Decodes what comes next.
    fn step(&mut self) -> io::Result<()> {
        self.text.clear();
        self.at = 0;
        let begin = self.raw.len();
        self.raw.resize(begin + STEP, 0);
        let read = self.reader.read(&mut self.raw[begin..]);
        self.raw
            .truncate(begin + read.as_ref().copied().unwrap_or(0));
        self.is_at_end = read? == 0;
        let done = match self.state {
            State::Utf16(order) => self.decode_utf16(order),
            _ => {
                let text: String = self.raw.iter().map(|byte| windows_1252(*byte)).collect();
                self.text.extend_from_slice(text.as_bytes());
                self.raw.len()
            }
        };
        self.raw.drain(..done);
        if self.is_at_end && !self.raw.is_empty() {
            self.wrong = Some("the file is UTF-16, and ends within a character");
        }
        Ok(())
    }

    /// How many bytes were decoded. What may go on behind them is left.
    fn decode_utf16(&mut self, order: ByteOrder) -> usize {
        let unit = |bytes: &[u8]| match (bytes, order) {
            ([a, b], ByteOrder::Little) => u16::from_le_bytes([*a, *b]),
            ([a, b], ByteOrder::Big) => u16::from_be_bytes([*a, *b]),
            _ => 0,
        };
        let units: Vec<u16> = self.raw.chunks_exact(2).map(unit).collect();
        let mut done = 0;
        let mut text = String::new();
        for char in char::decode_utf16(units.iter().copied()) {
            match char {
                Ok(char) => {
                    text.push(char);
                    done += char.len_utf16() * 2;
                }
                // Its other half is still to come.
                Err(half) if done + 2 == units.len() * 2 && half.unpaired_surrogate() < 0xdc00 => {
                    break;
                }
                Err(_) => {
                    self.wrong = Some("this is not UTF-16: half of a character stands alone");
                    break;
                }
            }
        }
        self.text.extend_from_slice(text.as_bytes());
        done
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.state == State::Begin {
            self.begin()?;
        }
        loop {
            let left = self.text.get(self.at..).unwrap_or_default();
            if !left.is_empty() {
                let len = left.len().min(buffer.len());
                buffer[..len].copy_from_slice(&left[..len]);
                self.at += len;
                return Ok(len);
            }
            if let Some(wrong) = self.wrong {
                return Err(WrongEncoding::error(wrong));
            }
            if self.state == State::AsItIs {
                return self.reader.read(buffer);
            }
            if self.is_at_end {
                return Ok(0);
            }
            self.step()?;
        }
    }
}

fn windows_1252(byte: u8) -> char {
    const FROM_128: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => FROM_128[usize::from(byte - 0x80)],
        byte => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives so many bytes at a time.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.0.len().min(self.1).min(buffer.len());
            buffer[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    fn decoded(bytes: &[u8], asked: Encoding, step: usize) -> io::Result<String> {
        let mut text = Vec::new();
        Decoded::new(Drops(bytes, step), asked).read_to_end(&mut text)?;
        Ok(String::from_utf8(text).unwrap())
    }

    /// The bytes are those that Python's `str.encode` makes.
    #[test]
    fn texts_are_decoded_wherever_the_reading_stops() {
        let little = b"\xff\xfea\0\xac \x3d\xd8\0\xde\n\0";
        let big = b"\xfe\xff\0a \xac\xd8\x3d\xde\0\0\n";
        for step in 1..8 {
            for (bytes, asked) in [
                (&little[..], Encoding::Utf8),
                (&little[..], Encoding::Utf16 { order: None }),
                (
                    &little[..],
                    Encoding::Utf16 {
                        order: Some(ByteOrder::Little),
                    },
                ),
                (&big[..], Encoding::Utf8),
                (&big[..], Encoding::Utf16 { order: None }),
            ] {
                let text = decoded(bytes, asked, step).unwrap();
                assert_eq!(text, "\u{feff}a€😀\n", "{asked:?} {step}");
            }
            let big = Encoding::Utf16 {
                order: Some(ByteOrder::Big),
            };
            assert_eq!(decoded(b"\0a", big, step).unwrap(), "a");
            let text = decoded(b"\x80 \xfc", Encoding::Windows1252, step).unwrap();
            assert_eq!(text, "€ ü");
            assert_eq!(decoded("ü".as_bytes(), Encoding::Utf8, step).unwrap(), "ü");
            assert_eq!(decoded(b"", Encoding::Utf8, step).unwrap(), "");
        }
    }

    #[test]
    fn what_is_not_in_its_encoding_is_refused() {
        let utf16 = Encoding::Utf16 { order: None };
        for (bytes, asked) in [
            (&b"\xff\xfea"[..], Encoding::Utf8),
            (b"\xff\xfea\0\0\xdcb\0", Encoding::Utf8),
            (b"\xff\xfea\0\x3d\xd8b\0", Encoding::Utf8),
            (b"\xff\xfea\0\x3d\xd8", Encoding::Utf8),
            (b"\xff\xfe\0\0a\0\0\0", Encoding::Utf8),
            (b"\xef\xbb\xbfa", utf16),
            (b"\xef\xbb\xbfa", Encoding::Windows1252),
            (b"\xff\xfea\0", Encoding::Windows1252),
        ] {
            let error = decoded(bytes, asked, 3).unwrap_err();
            assert!(WrongEncoding::of(&error).is_some(), "{bytes:?}");
        }
    }
}
