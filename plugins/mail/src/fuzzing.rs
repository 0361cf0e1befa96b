//! What must hold of a server's replies and of the addresses and headers of clients, whatever they are. The fuzzers in
//! `tests/fuzz` run it.

use std::collections::HashSet;

use crate::{address, message};

pub use crate::smtp::fuzzing::smtp_replies;

/// Reads addresses, and headers with a structure: what is read is written in lines that end and fold as they should, and
/// is read again from there.
///
/// # Panics
/// Where one of these doesn't hold.
pub fn addresses(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (header, text) = text.split_once('\0').unwrap_or(("X-Text", &text));
    if let Ok(list) = address::parse_list(text)
        && !list.is_empty()
    {
        let written = message::fuzzing::folded("To", &list);
        expect_lines(&written);
        let again = address::parse_list(&written.replace("\r\n", "")).expect("it is read again");
        assert_eq!(again.len(), list.len(), "{written}");
        for (again, one) in again.iter().zip(&list) {
            assert_eq!(again.address, one.address, "{written}");
            let is_encoded = |name: &String| name.contains("=?");
            if !again.name.as_ref().is_some_and(is_encoded) {
                assert_eq!(again.name, one.name, "{written}");
            }
        }
        let keys: HashSet<_> = list.iter().map(|one| one.address.key()).collect();
        assert!(keys.len() <= list.len());
        let named = address::named(Some(text), list[0].address.as_str());
        assert_eq!(named.map(|one| one.address), Ok(list[0].address.clone()));
    }
    if message::check_name(header).is_ok()
        && message::check_value(header, text).is_ok()
        && let Ok(Some(written)) = message::fuzzing::written(header, text)
    {
        expect_lines(&written);
        // Written once more, it stays as it is.
        let flat = written.replace("\r\n", "");
        if !flat.contains("=?") {
            let again = message::fuzzing::written(header, &flat).expect("it is read again");
            assert_eq!(again.unwrap_or_default().replace("\r\n", ""), flat);
        }
    }
}

fn expect_lines(written: &str) {
    for (index, line) in written.split("\r\n").enumerate() {
        assert!(!line.contains(['\r', '\n']), "{written:?}");
        assert!(!line.trim().is_empty(), "{written:?}");
        assert!(index == 0 || line.starts_with(' '), "{written:?}");
    }
}
