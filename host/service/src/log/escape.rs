//! Control characters that others have put into a line.

use std::borrow::Cow;
use std::fmt::Write;

use super::Format;

/// The line as it is written: nothing in it but its end can end it, or speak to a terminal. `colours`: escape sequences in
/// it are our own, since tracing has escaped those of others.
pub(super) fn escape(line: &[u8], format: Format, colours: bool) -> Cow<'_, [u8]> {
    let (body, end) = match line.strip_suffix(b"\n") {
        Some(body) => (body, "\n"),
        None => (line, ""),
    };
    let text = String::from_utf8_lossy(body);
    let is_meant = |c: char| !c.is_control() || (colours && c == '\x1b');
    if text.chars().all(is_meant) {
        return Cow::Borrowed(line);
    }
    let mut escaped = String::with_capacity(line.len() + 16);
    for c in text.chars() {
        // A String takes whatever is written to it.
        let _ = match (c, format) {
            _ if is_meant(c) => {
                escaped.push(c);
                Ok(())
            }
            (_, Format::Json) => write!(escaped, "\\u{:04x}", u32::from(c)),
            ('\n', Format::Text) => write!(escaped, "\\n"),
            ('\r', Format::Text) => write!(escaped, "\\r"),
            ('\t', Format::Text) => write!(escaped, "\\t"),
            (_, Format::Text) => write!(escaped, "\\x{:02x}", u32::from(c)),
        };
    }
    escaped.push_str(end);
    Cow::Owned(escaped.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(line: &str, format: Format, colours: bool) -> String {
        String::from_utf8(escape(line.as_bytes(), format, colours).into_owned()).unwrap()
    }

    #[test]
    fn nothing_but_the_end_ends_a_line() {
        assert_eq!(
            escaped("one\r\ntwo\t\x07\u{85}é\n", Format::Text, false),
            "one\\r\\ntwo\\t\\x07\\x85é\n"
        );
        assert_eq!(
            escaped("{\"message\":\"\u{7f}\u{85}é\"}\n", Format::Json, false),
            "{\"message\":\"\\u007f\\u0085é\"}\n"
        );
        assert_eq!(escaped("as it is é\n", Format::Text, false), "as it is é\n");
    }

    #[test]
    fn colours_are_for_terminals() {
        assert_eq!(
            escaped("\x1b[31mred\n", Format::Text, true),
            "\x1b[31mred\n"
        );
        assert_eq!(
            escaped("\x1b[31mred\n", Format::Text, false),
            "\\x1b[31mred\n"
        );
    }
}
