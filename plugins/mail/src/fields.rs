//! What `send_mail` and `send_bulk` take alike, from arguments to what messages are built of.

use std::collections::BTreeMap;

use crate::{
    address::{self, Mailbox, Reason},
    args::{Addresses, AttachmentArgs},
    message::{Attachment, Error, check_name},
};

/// The most further headers of a message.
const HEADERS_MAX: usize = 100;

/// The sender: the one given, or the default.
pub(crate) fn sender(from: Option<&str>, default: Option<&Mailbox>) -> Result<Mailbox, Error> {
    match from {
        Some(text) => {
            address::parse_one(text).map_err(|reason| Error::address("from", text, reason))
        }
        None => default.cloned().ok_or(Error::NoSender),
    }
}

/// All mailboxes of a field. A single blank text stands for no address; in a list it is a mistake.
pub(crate) fn mailboxes(field: &str, Addresses(texts): &Addresses) -> Result<Vec<Mailbox>, Error> {
    let mut mailboxes = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let is_listed = texts.len() > 1;
        let refuse = |reason| {
            let field = if is_listed {
                format!("{field}[{index}]")
            } else {
                field.to_owned()
            };
            Error::address(&field, text, reason)
        };
        if is_listed && text.trim().is_empty() {
            return Err(refuse(Reason::Empty));
        }
        mailboxes.extend(address::parse_list(text).map_err(refuse)?);
    }
    Ok(mailboxes)
}

/// Checks the names; the values are checked where they become headers.
pub(crate) fn header_names(headers: &BTreeMap<String, String>) -> Result<(), Error> {
    if headers.len() > HEADERS_MAX {
        return Err(Error::header("headers", "there are more than 100 of them"));
    }
    headers.keys().try_for_each(|name| check_name(name))
}

pub(crate) fn attachments(list: &[AttachmentArgs]) -> Result<Vec<Attachment>, Error> {
    let attachment = |(
        index,
        AttachmentArgs {
            name,
            media_type,
            data,
        },
    ): (usize, &AttachmentArgs)| {
        Attachment::new(index, name, media_type.as_deref(), data)
    };
    list.iter().enumerate().map(attachment).collect()
}
