//! What a file's bytes mean: whatever its encoding, those who read it get UTF-8.

use std::{borrow::Cow, fmt, io, io::Read};

use encoding_rs::{
    BIG5, Decoder, DecoderResult, EUC_KR, GBK, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

use crate::error::unknown;

/// How a file's text is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// With or without a byte order mark; UTF-16 where its mark says so.
    #[default]
    Utf8,
    /// As the byte order mark says, or else little-endian.
    Utf16,
    /// One of the others that browsers know, which means what it means to them (<https://encoding.spec.whatwg.org>).
    Other(&'static encoding_rs::Encoding),
}

/// What encodings are called, and who writes them. That of UTF-8 comes first.
const NAMES: &[(&str, &str)] = &[
    (
        "utf-8",
        "with or without a byte order mark; UTF-16 where its mark says so",
    ),
    (
        "utf-16",
        "as the byte order mark says, or else little-endian",
    ),
    ("utf-16le", "little-endian, as Windows writes it"),
    ("utf-16be", "big-endian"),
    (
        "windows-1252",
        "Western European, as Excel writes CSV there; ISO 8859-1 as well",
    ),
    (
        "windows-1250",
        "Central European, as Excel writes CSV there",
    ),
    ("windows-1251", "Cyrillic, as Excel writes CSV there"),
    ("windows-1253", "Greek, as Excel writes CSV there"),
    ("windows-1254", "Turkish, as Excel writes CSV there"),
    ("windows-1255", "Hebrew, as Excel writes CSV there"),
    ("windows-1256", "Arabic, as Excel writes CSV there"),
    ("windows-1257", "Baltic, as Excel writes CSV there"),
    ("windows-1258", "Vietnamese, as Excel writes CSV there"),
    ("windows-874", "Thai, as Excel writes CSV there"),
    (
        "shift_jis",
        "Japanese, as Excel writes CSV there (code page 932)",
    ),
    ("euc-jp", "Japanese, of Unix"),
    ("iso-2022-jp", "Japanese, of mail"),
    (
        "gbk",
        "Simplified Chinese, as Excel writes CSV there (code page 936)",
    ),
    ("gb18030", "Chinese, all of it"),
    (
        "big5",
        "Traditional Chinese, as Excel writes CSV there (code page 950), with Hong Kong's characters",
    ),
    (
        "euc-kr",
        "Korean, as Excel writes CSV there (code page 949)",
    ),
    ("iso-8859-2", "Central European"),
    ("iso-8859-3", "Maltese, Esperanto"),
    ("iso-8859-4", "Baltic, older"),
    ("iso-8859-5", "Cyrillic"),
    ("iso-8859-6", "Arabic"),
    ("iso-8859-7", "Greek"),
    ("iso-8859-8", "Hebrew"),
    ("iso-8859-10", "Nordic"),
    ("iso-8859-13", "Baltic"),
    ("iso-8859-14", "Celtic"),
    ("iso-8859-15", "Western European, with €"),
    ("iso-8859-16", "Romanian"),
    ("koi8-r", "Russian, of Unix"),
    ("koi8-u", "Ukrainian, of Unix"),
    ("ibm866", "Cyrillic, of DOS"),
    ("macintosh", "Western European, of Mac OS before X"),
    ("x-mac-cyrillic", "Cyrillic, of Mac OS before X"),
];

impl Encoding {
    /// By one of the labels that browsers know, or the number of a code page, in any case.
    pub(crate) fn of_label(label: &str) -> Option<Self> {
        let known = match label.to_ascii_lowercase().as_str() {
            "utf-16" | "utf16" => return Some(Self::Utf16),
            "cp932" => SHIFT_JIS,
            "cp936" => GBK,
            "cp949" => EUC_KR,
            "cp950" => BIG5,
            // What isn't text of any language.
            "x-user-defined" => return None,
            label => encoding_rs::Encoding::for_label_no_replacement(label.as_bytes())?,
        };
        Some(if known == UTF_8 {
            Self::Utf8
        } else {
            Self::Other(known)
        })
    }
}

impl<'de> Deserialize<'de> for Encoding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let label = Cow::<str>::deserialize(deserializer)?;
        Self::of_label(&label).ok_or_else(|| {
            let known = NAMES.iter().map(|(name, _)| *name);
            de::Error::custom(unknown("invalid_args", "encoding", &label, known))
        })
    }
}

impl JsonSchema for Encoding {
    fn schema_name() -> Cow<'static, str> {
        "Encoding".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<Value> = NAMES
            .iter()
            .map(|(name, whose)| json!({"type": "string", "const": name, "description": whose}))
            .collect();
        json_schema!({"description": "How a file's text is encoded.", "oneOf": names})
    }
}

/// What isn't text in the encoding that a file has.
#[derive(Debug)]
pub(crate) struct WrongEncoding(Cow<'static, str>);

impl WrongEncoding {
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref())
    }

    fn error(what: impl Into<Cow<'static, str>>) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, Self(what.into()))
    }
}

impl fmt::Display for WrongEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
    /// Room for what is decoded. What was not handed over yet lies between `at` and `end`.
    text: Vec<u8>,
    at: usize,
    end: usize,
    is_at_end: bool,
    /// What is to be told behind what was decoded.
    wrong: Option<String>,
}

enum State {
    /// The first bytes were not seen yet.
    Begin,
    /// Handed over as it is.
    AsItIs,
    Decoding(Box<Decoder>),
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
            end: 0,
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
        let marked = match begin {
            [0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff] => {
                return Err(WrongEncoding::error("the file is UTF-32; save it as UTF-8"));
            }
            [0xff, 0xfe, ..] => Some(UTF_16LE),
            [0xfe, 0xff, ..] => Some(UTF_16BE),
            [0xef, 0xbb, 0xbf, ..] => Some(UTF_8),
            _ => None,
        };
        let encoding = match (self.asked, marked) {
            (Encoding::Utf8, marked) => marked.unwrap_or(UTF_8),
            (Encoding::Utf16, None) => UTF_16LE,
            (Encoding::Utf16, Some(marked)) if marked != UTF_8 => marked,
            (Encoding::Other(asked), None) => asked,
            (Encoding::Other(asked), Some(marked)) if marked == asked => asked,
            (Encoding::Utf16 | Encoding::Other(_), Some(_)) => {
                return Err(WrongEncoding::error(
                    "the file begins with the byte order mark of another encoding than `encoding` says; leave `encoding` out",
                ));
            }
        };
        if encoding == UTF_8 {
            self.state = State::AsItIs;
            self.text.extend_from_slice(begin);
            self.end = self.text.len();
        } else {
            self.state = State::Decoding(Box::new(encoding.new_decoder_without_bom_handling()));
            self.raw.extend_from_slice(begin);
        }
        Ok(())
    }

    /// Decodes what comes next.
    fn step(&mut self) -> io::Result<()> {
        let State::Decoding(decoder) = &mut self.state else {
            return Ok(());
        };
        let begin = self.raw.len();
        self.raw.resize(begin + STEP, 0);
        let read = self.reader.read(&mut self.raw[begin..]);
        self.raw
            .truncate(begin + read.as_ref().copied().unwrap_or(0));
        self.is_at_end = read? == 0;
        let room = decoder
            .max_utf8_buffer_length_without_replacement(self.raw.len())
            .expect("a step has few bytes");
        if self.text.len() < room {
            self.text.resize(room, 0);
        }
        let (result, done, written) =
            decoder.decode_to_utf8_without_replacement(&self.raw, &mut self.text, self.is_at_end);
        (self.at, self.end) = (0, written);
        if let DecoderResult::Malformed(..) = result {
            let name = decoder.encoding().name();
            let what = match done == self.raw.len() && self.is_at_end {
                true => format!("the file is {name}, and ends within a character"),
                false if [UTF_16LE, UTF_16BE].contains(&decoder.encoding()) => {
                    String::from("this is not UTF-16: half of a character stands alone")
                }
                false => format!("this is not {name}: there are bytes that are no character in it"),
            };
            self.wrong = Some(what);
        }
        self.raw.drain(..done);
        Ok(())
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(self.state, State::Begin) {
            self.begin()?;
        }
        loop {
            let left = self.text.get(self.at..self.end).unwrap_or_default();
            if !left.is_empty() {
                let len = left.len().min(buffer.len());
                buffer[..len].copy_from_slice(&left[..len]);
                self.at += len;
                return Ok(len);
            }
            if let Some(wrong) = &self.wrong {
                return Err(WrongEncoding::error(wrong.clone()));
            }
            if matches!(self.state, State::AsItIs) {
                return self.reader.read(buffer);
            }
            if self.is_at_end && self.raw.is_empty() {
                return Ok(0);
            }
            self.step()?;
        }
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

    fn decoded(bytes: &[u8], asked: &str, step: usize) -> io::Result<String> {
        let mut text = Vec::new();
        let asked = Encoding::of_label(asked).unwrap();
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
                (&little[..], "utf-8"),
                (little, "utf-16"),
                (little, "utf-16le"),
                (big, "utf-8"),
                (big, "utf-16"),
                (big, "utf-16be"),
            ] {
                let text = decoded(bytes, asked, step).unwrap();
                assert_eq!(text, "\u{feff}a€😀\n", "{asked} {step}");
            }
            for (bytes, asked, expected) in [
                (&b"\0a"[..], "utf-16be", "a"),
                (
                    b"\x80 \xfc\x81\x8d\x8f\x90\x9d",
                    "windows-1252",
                    "€ ü\u{81}\u{8d}\u{8f}\u{90}\u{9d}",
                ),
                ("ü".as_bytes(), "utf-8", "ü"),
                (b"", "utf-8", ""),
                (b"", "shift_jis", ""),
                (b"\x95\\,\x83|\xb6\xc5\x87@", "shift_jis", "表,ポｶﾅ①"),
                (b"\xc9\xbd,\x8e\xb6\x8f\xb0\xa1", "euc-jp", "表,ｶ丂"),
                (b"\x1b$BI=\x1b(B,a", "iso-2022-jp", "表,a"),
                (b"\xb1\xed,\x80", "gbk", "表,€"),
                (b"\xb1\xed,\x81\x30\x81\x30", "gb18030", "表,\u{80}"),
                (b"\xaa\xed,\xa5\x5c", "big5", "表,功"),
                (b"\xc7\xa5,\x8c\x63", "euc-kr", "표,똠"),
                (b"\xdf\xfd,\xb3", "windows-1251", "Яэ,і"),
                (b"\xa4", "iso-8859-15", "€"),
            ] {
                assert_eq!(
                    decoded(bytes, asked, step).unwrap(),
                    expected,
                    "{asked} {step}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_in_its_encoding_is_refused_behind_what_is() {
        for (bytes, asked, before, what) in [
            (&b"\xff\xfea"[..], "utf-8", "\u{feff}", "ends within"),
            (b"\xff\xfea\0\0\xdcb\0", "utf-8", "\u{feff}a", "half of"),
            (b"\xff\xfea\0\x3d\xd8b\0", "utf-8", "\u{feff}a", "half of"),
            (b"\xff\xfea\0\x3d\xd8", "utf-8", "\u{feff}a", "ends within"),
            (b"\xff\xfe\0\0a\0\0\0", "utf-8", "", "UTF-32"),
            (b"\xef\xbb\xbfa", "utf-16", "", "byte order mark"),
            (b"\xef\xbb\xbfa", "windows-1252", "", "byte order mark"),
            (b"\xff\xfea\0", "windows-1252", "", "byte order mark"),
            (b"\xff\xfea\0", "shift_jis", "", "byte order mark"),
            (b"a\x83", "shift_jis", "a", "ends within"),
            (b"a\x83\x20b", "shift_jis", "a", "not Shift_JIS"),
            (b"ab\xff\x83", "gbk", "ab", "not GBK"),
        ] {
            for step in 1..6 {
                let mut text = Vec::new();
                let asked = Encoding::of_label(asked).unwrap();
                let read = Decoded::new(Drops(bytes, step), asked).read_to_end(&mut text);
                let error = read.unwrap_err();
                let wrong = WrongEncoding::of(&error).unwrap().to_string();
                assert!(wrong.contains(what), "{bytes:?} {step}: {wrong}");
                assert_eq!(text, before.as_bytes(), "{bytes:?} {step}");
            }
        }
    }

    #[test]
    fn encodings_have_names() {
        for (name, _) in NAMES {
            let found = Encoding::of_label(name).unwrap_or_else(|| panic!("{name}"));
            if let Encoding::Other(found) = found {
                assert_eq!(found.name().to_ascii_lowercase(), *name);
            }
        }
        for (label, name) in [
            ("UTF8", "utf-8"),
            ("utf16", "utf-16"),
            ("UTF-16LE", "utf-16le"),
            ("latin1", "windows-1252"),
            ("ISO-8859-1", "windows-1252"),
            ("cp1252", "windows-1252"),
            ("Shift-JIS", "shift_jis"),
            ("sjis", "shift_jis"),
            ("windows-31j", "shift_jis"),
            ("cp932", "shift_jis"),
            ("gb2312", "gbk"),
            ("CP936", "gbk"),
            ("cp949", "euc-kr"),
            ("cp950", "big5"),
            ("cp866", "ibm866"),
        ] {
            assert_eq!(
                Encoding::of_label(label),
                Encoding::of_label(name),
                "{label}"
            );
        }
        for label in ["", "x-user-defined", "iso-2022-kr", "utf-32", "ebcdic"] {
            assert_eq!(Encoding::of_label(label), None, "{label}");
        }
        let error = serde_json::from_str::<Encoding>("\"shift_gis\"").unwrap_err();
        assert!(
            error.to_string().contains("did you mean `shift_jis`"),
            "{error}"
        );
    }
}
