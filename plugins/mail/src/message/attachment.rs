use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use lettre::message::{
    Attachment as AttachmentBuilder, Body,
    header::{ContentTransferEncoding, ContentType},
};

use super::Error;

/// Encoders disagree on the padding, and no mail should fail for it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A file, encoded once as a part of a message, for however many messages carry it.
#[derive(Clone)]
pub(crate) struct Attachment(Vec<u8>);

impl Attachment {
    /// `index` names the attachment in the error; `data` is base64, which may be broken into lines.
    pub(crate) fn new(
        index: usize,
        name: &str,
        media_type: Option<&str>,
        data: &str,
    ) -> Result<Self, Error> {
        super::check_value(&format!("attachments[{index}].name"), name)?;
        let refuse = |reason: String| Error::Attachment { index, reason };
        if name.is_empty() {
            return Err(refuse("its `name` is empty".to_owned()));
        }
        let media_type = media_type.unwrap_or("application/octet-stream");
        super::check_value(&format!("attachments[{index}].media_type"), media_type)?;
        let content_type = ContentType::parse(media_type).map_err(|_| {
            refuse(format!(
                "{} is not a media type; write one like `application/pdf`",
                super::shown(media_type)
            ))
        })?;
        if media_type
            .trim_start()
            .to_ascii_lowercase()
            .starts_with("multipart/")
        {
            return Err(refuse("a multipart can't be attached".to_owned()));
        }
        let compact: Vec<u8> = data.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let data = BASE64
            .decode(compact)
            .map_err(|error| refuse(format!("its `data` is not base64: {error}")))?;
        // Always base64: whatever the file holds arrives to the byte, line ends included.
        let body = Body::new_with_encoding(data, ContentTransferEncoding::Base64)
            .map_err(|_| refuse("its `data` can't be encoded".to_owned()))?;
        Ok(Self(
            AttachmentBuilder::new(name.to_owned())
                .body(body, content_type)
                .formatted(),
        ))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes, encoded.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
