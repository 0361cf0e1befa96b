//! Files that travel with a message, and pictures that its HTML shows: parts, encoded once for however many messages.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use lettre::message::header::ContentType;

use super::{
    Error, LINE_LEN_MAX,
    header::{fold, old_parameter, parameter},
};

/// Encoders disagree on the padding, and no mail should fail for it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// A line of base64 has 76 signs (RFC 2045, 6.8).
const BASE64_LINE_BYTES: usize = 57;
/// Longest id of a part, in bytes.
const ID_LEN_MAX: usize = 200;

/// What an attachment is made of, as a client gives it.
pub(crate) struct Source<'a> {
    /// As the recipient sees it.
    pub(crate) name: &'a str,
    pub(crate) media_type: Option<&'a str>,
    /// By which the HTML shows it, as `cid:…`.
    pub(crate) content_id: Option<&'a str>,
    /// In base64, which may be broken into lines.
    pub(crate) data: &'a str,
}

/// A file, encoded as a part of a message.
#[derive(Clone)]
pub(crate) struct Attachment {
    part: Vec<u8>,
    content_id: Option<String>,
    needs_8bit: bool,
}

/// How the bytes of a part travel.
enum Transfer {
    Base64,
    /// Lines of ASCII.
    SevenBit,
    /// Lines of bytes, for servers that take them.
    EightBit,
}

impl Attachment {
    /// `field` names the attachment in the error.
    pub(crate) fn new(field: &str, source: &Source<'_>) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Attachment {
            field: field.to_owned(),
            reason,
        };
        super::check_value(&format!("{field}.name"), source.name)?;
        if source.name.is_empty() {
            return Err(refuse("its `name` is empty".to_owned()));
        }
        let media_type = source.media_type.unwrap_or("application/octet-stream");
        super::check_value(&format!("{field}.media_type"), media_type)?;
        let media_type = media_type.trim();
        if !media_type.is_ascii() || ContentType::parse(media_type).is_err() {
            return Err(refuse(format!(
                "{} is not a media type; write one like `application/pdf`",
                super::shown(media_type)
            )));
        }
        let content_id = source
            .content_id
            .map(|id| content_id(field, id))
            .transpose()?;
        let compact: Vec<u8> = source
            .data
            .bytes()
            .filter(|b| !b.is_ascii_whitespace())
            .collect();
        let data = BASE64
            .decode(compact)
            .map_err(|error| refuse(format!("its `data` is not base64: {error}")))?;
        let (data, transfer) =
            transfer(media_type, data).map_err(|reason| refuse(reason.to_owned()))?;
        Ok(Self {
            part: part(
                source.name,
                media_type,
                content_id.as_deref(),
                &data,
                &transfer,
            ),
            content_id,
            needs_8bit: matches!(transfer, Transfer::EightBit),
        })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.part
    }

    /// By which the HTML shows it; other attachments have none.
    pub(crate) fn content_id(&self) -> Option<&str> {
        self.content_id.as_deref()
    }

    pub(crate) fn needs_8bit(&self) -> bool {
        self.needs_8bit
    }

    /// Length in bytes, encoded.
    pub(crate) fn len(&self) -> usize {
        self.part.len()
    }
}

/// As HTML has it after `cid:`; angle brackets around it are dropped.
fn content_id(field: &str, id: &str) -> Result<String, Error> {
    let id = id
        .strip_prefix('<')
        .and_then(|id| id.strip_suffix('>'))
        .unwrap_or(id);
    let is_id = (1..=ID_LEN_MAX).contains(&id.len())
        && id.bytes().all(|b| {
            b.is_ascii_alphanumeric()
                || matches!(
                    b,
                    b'.' | b'-' | b'_' | b'@' | b'+' | b'$' | b'!' | b'=' | b'~'
                )
        });
    if is_id {
        Ok(id.to_owned())
    } else {
        Err(Error::Attachment {
            field: field.to_owned(),
            reason: format!(
                "{} can't be a `cid`: use up to {ID_LEN_MAX} letters, digits and the signs . - _ @ + $ ! = ~",
                super::shown(id)
            ),
        })
    }
}

/// How data of this type travels, and as what. A message within a message is never encoded (RFC 2046, 5.2): readers show
/// one that is as empty. Everything else is base64, so that it arrives to the byte, line ends included.
fn transfer(media_type: &str, data: Vec<u8>) -> Result<(Vec<u8>, Transfer), &'static str> {
    let lower = media_type.to_ascii_lowercase();
    if lower.starts_with("multipart/") {
        return Err("a multipart can't be attached");
    }
    // RFC 6532, 3.7: those may be encoded.
    if !lower.starts_with("message/") || lower.starts_with("message/global") {
        return Ok((data, Transfer::Base64));
    }
    let data = with_crlf(&data);
    if data.contains(&0)
        || data
            .split(|b| *b == b'\n')
            .any(|line| line.len() > LINE_LEN_MAX + 1)
    {
        return Err(
            "a message within a message travels as it is, and this one has lines of more than 998 bytes, or zero bytes; attach it as `application/octet-stream`",
        );
    }
    let transfer = if data.is_ascii() {
        Transfer::SevenBit
    } else {
        Transfer::EightBit
    };
    Ok((data, transfer))
}

/// Every line end, whatever it was, as CRLF; the last line has one too.
fn with_crlf(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + data.len() / 16 + 2);
    let mut bytes = data.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' => {
                bytes.next_if_eq(&b'\n');
                out.extend_from_slice(b"\r\n");
            }
            b'\n' => out.extend_from_slice(b"\r\n"),
            byte => out.push(byte),
        }
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The part with its headers, ended by CRLF.
fn part(
    name: &str,
    media_type: &str,
    content_id: Option<&str>,
    data: &[u8],
    transfer: &Transfer,
) -> Vec<u8> {
    let mut part = Vec::with_capacity(512 + data.len() * 4 / 3 + data.len() / 30);
    let mut header = |name: &str, pieces: Vec<String>| {
        part.extend_from_slice(format!("{name}: {}\r\n", fold(name.len(), pieces)).as_bytes());
    };
    let mut of_type = vec![media_type.to_owned()];
    // A type's own `name` stays what it is.
    if !media_type.to_ascii_lowercase().contains("name") {
        of_type = vec![format!("{};", media_type.trim_end_matches(';'))];
        of_type.extend(old_parameter("name", name));
    }
    header("Content-Type", of_type);
    let disposition = if content_id.is_some() {
        "inline;"
    } else {
        "attachment;"
    };
    let mut of_disposition = vec![disposition.to_owned()];
    of_disposition.extend(parameter("filename", name));
    header("Content-Disposition", of_disposition);
    if let Some(id) = content_id {
        header("Content-ID", vec![format!("<{id}>")]);
    }
    let encoding = match transfer {
        Transfer::Base64 => "base64",
        Transfer::SevenBit => "7bit",
        Transfer::EightBit => "8bit",
    };
    header("Content-Transfer-Encoding", vec![encoding.to_owned()]);
    part.extend_from_slice(b"\r\n");
    match transfer {
        Transfer::SevenBit | Transfer::EightBit => part.extend_from_slice(data),
        Transfer::Base64 => {
            let mut line = String::new();
            for bytes in data.chunks(BASE64_LINE_BYTES) {
                line.clear();
                STANDARD.encode_string(bytes, &mut line);
                part.extend_from_slice(line.as_bytes());
                part.extend_from_slice(b"\r\n");
            }
            if data.is_empty() {
                part.extend_from_slice(b"\r\n");
            }
        }
    }
    part
}
