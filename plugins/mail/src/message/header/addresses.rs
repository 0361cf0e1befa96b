//! Headers that carry addresses: lists that are folded between addresses and within names, so that they may be of any
//! length.

use super::fold;
use crate::address::Mailbox;

/// The mailboxes, folded, for the header `name`.
pub(crate) fn folded(name: &str, mailboxes: &[Mailbox]) -> String {
    let mut folded = fold::Folded::new(name.len());
    for (index, mailbox) in mailboxes.iter().enumerate() {
        let mut pieces = pieces(mailbox);
        if index + 1 < mailboxes.len()
            && let Some(last) = pieces.last_mut()
        {
            last.push(',');
        }
        pieces.iter().for_each(|piece| folded.push(piece));
    }
    folded.into_text()
}

/// A mailbox, cut wherever a line may end.
fn pieces(Mailbox { name, address }: &Mailbox) -> Vec<String> {
    let Some(name) = name else {
        return vec![address.to_string()];
    };
    let mut pieces = fold::phrase(name);
    pieces.push(format!("<{address}>"));
    pieces
}
