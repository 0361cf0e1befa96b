//! What the functions take alike, from arguments to what messages are built of.

use std::collections::BTreeMap;

use crate::{
    address::{self, Mailbox, Reason},
    args::{Address, Addresses, AttachmentArgs},
    message::{Attachment, AttachmentSource, Error, check_name},
};

/// The most further headers of a message.
const HEADERS_MAX: usize = 100;

/// Exactly one mailbox; `field` names it in the error.
pub(crate) fn mailbox(field: &str, value: &Address) -> Result<Mailbox, Error> {
    let (text, result) = match value {
        Address::Text(text) => (text, address::parse_one(text)),
        Address::Named(named) => (
            &named.address,
            address::named(named.name.as_deref(), &named.address),
        ),
    };
    result.map_err(|reason| Error::address(field, text, reason))
}

/// The sender: the one given, or the default.
pub(crate) fn sender(from: Option<&Address>, default: Option<&Mailbox>) -> Result<Mailbox, Error> {
    match from {
        Some(from) => mailbox("from", from),
        None => default.cloned().ok_or(Error::NoSender),
    }
}

/// The envelope's sender, where it was given: an address, or none for an empty text.
pub(crate) fn envelope_from(
    value: Option<&Address>,
) -> Result<Option<Option<address::Address>>, Error> {
    match value {
        None => Ok(None),
        Some(Address::Text(text)) if matches!(text.trim(), "" | "<>") => Ok(Some(None)),
        Some(value) => mailbox("envelope_from", value).map(|mailbox| Some(Some(mailbox.address))),
    }
}

/// All mailboxes of a field. A single blank text stands for no address; in a list it is a mistake.
pub(crate) fn mailboxes(field: &str, Addresses(list): &Addresses) -> Result<Vec<Mailbox>, Error> {
    let mut mailboxes = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let is_listed = list.len() > 1;
        let field = if is_listed {
            format!("{field}[{index}]")
        } else {
            field.to_owned()
        };
        let Address::Text(text) = value else {
            mailboxes.push(mailbox(&field, value)?);
            continue;
        };
        let refuse = |reason| Error::address(&field, text, reason);
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

/// The files of a field, which `field` names in the error.
pub(crate) fn attachments(field: &str, list: &[AttachmentArgs]) -> Result<Vec<Attachment>, Error> {
    let attachment = |(index, args): (usize, &AttachmentArgs)| {
        let source = AttachmentSource {
            name: &args.name,
            media_type: args.media_type.as_deref(),
            content_id: args.cid.as_deref(),
            data: &args.data,
        };
        Attachment::new(&format!("{field}[{index}]"), &source)
    };
    list.iter().enumerate().map(attachment).collect()
}
