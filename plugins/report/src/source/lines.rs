//! Where lines and rows end, and which lines are none of a file's rows.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use memchr::{memchr, memchr_iter, memchr2, memchr3, memrchr};

/// How rows may hold line breaks: in quotes. A quote counts only where a field begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoting {
    pub(crate) quote: u8,
    pub(crate) delimiter: u8,
}

/// Which lines of a file are its rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    pub(crate) quoting: Option<Quoting>,
    /// So many lines at the beginning are none, whatever is in them.
    pub(crate) skipped: u64,
    /// Lines that begin with it, outside of quotes, are none.
    pub(crate) comment: Option<Arc<str>>,
    /// So many rows at the end are none of the table's.
    pub(crate) footer_rows: usize,
}

impl Lines {
    /// Makes whole comments empty lines, which are no rows, so that lines keep their numbers. `bytes` begin where a row
    /// begins; behind the last of them more may come.
    pub(super) fn blank_comments(&self, bytes: &mut Vec<u8>, is_at_end: bool) {
        let Some(comment) = self.comment.as_deref().map(str::as_bytes) else {
            return;
        };
        let mut kept = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let end = match rest.starts_with(comment) {
                true => match memchr2(b'\n', b'\r', rest) {
                    Some(end) => {
                        at += end;
                        0
                    }
                    None if is_at_end => {
                        at = bytes.len();
                        0
                    }
                    None => rest.len(),
                },
                false => self.row_len(rest),
            };
            // The line's end stays.
            let len = match bytes.get(at + end) {
                Some(b'\n' | b'\r') => end + 1,
                _ => end,
            };
            kept.extend_from_slice(&bytes[at..at + len]);
            at += len;
        }
        *bytes = kept;
    }

    /// Where the last rows of `bytes` begin that may be the file's last ones, too; 0 if there are no others. `bytes` begin
    /// where a row begins, and end where one ends or the file does.
    pub(super) fn footer(&self, bytes: &[u8]) -> usize {
        if self.footer_rows == 0 {
            return bytes.len();
        }
        let mut begins = VecDeque::with_capacity(self.footer_rows + 1);
        let mut begin = 0;
        let mut row = |end: usize| {
            // Empty lines are no rows.
            if !matches!(&bytes[begin..end], [] | [b'\r']) {
                begins.push_back(begin);
                if begins.len() > self.footer_rows {
                    begins.pop_front();
                }
            }
            begin = end + 1;
        };
        let mut outside = Outside::new(self.quoting);
        let mut last = 0;
        while let Some(stretch) = outside.next(bytes) {
            for newline in memchr_iter(b'\n', &bytes[stretch.clone()]) {
                row(stretch.start + newline);
                last = stretch.start + newline + 1;
            }
        }
        if last < bytes.len() {
            row(bytes.len());
        }
        match begins.front() {
            Some(first) if begins.len() == self.footer_rows => *first,
            _ => 0,
        }
    }

    /// How long the row is that `bytes` begin with, without its line's end.
    fn row_len(&self, bytes: &[u8]) -> usize {
        let Some(Quoting { quote, delimiter }) = self.quoting else {
            return memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
        };
        let mut at = 0;
        loop {
            if bytes.get(at) == Some(&quote) {
                match closed(&bytes[at + 1..], quote) {
                    Some(len) => at += 1 + len,
                    None => return bytes.len(),
                }
            }
            match memchr3(delimiter, b'\n', b'\r', &bytes[at..]) {
                Some(found) if bytes[at + found] == delimiter => at += found + 1,
                Some(found) => return at + found,
                None => return bytes.len(),
            }
        }
    }
}

/// How long the first line is, with its end; nothing if more may belong to it.
pub(super) fn first_line(bytes: &[u8], is_at_end: bool) -> Option<usize> {
    let end = memchr2(b'\n', b'\r', bytes)?;
    match bytes.get(end..end + 2) {
        Some(b"\r\n") => Some(end + 2),
        None if bytes[end] == b'\r' && !is_at_end => None,
        _ => Some(end + 1),
    }
}

/// How many lines end here: with a line feed, a carriage return, or both.
pub(super) fn line_ends(bytes: &[u8]) -> u64 {
    let returns = memchr_iter(b'\r', bytes).filter(|at| bytes.get(at + 1) != Some(&b'\n'));
    (memchr_iter(b'\n', bytes).count() + returns.count()) as u64
}

/// Puts a line feed for each carriage return that ends a row on its own, as on classic Mac systems, so that everybody
/// else has to know line feeds alone. `bytes` begin where a row begins; behind the last of them more may come.
pub(super) fn feed_lines(bytes: &mut [u8], quoting: Option<Quoting>, is_at_end: bool) {
    let is_alone = |bytes: &[u8], at: usize| match bytes.get(at + 1) {
        Some(next) => *next != b'\n',
        None => is_at_end,
    };
    if !memchr_iter(b'\r', bytes).any(|at| is_alone(bytes, at)) {
        return;
    }
    let mut outside = Outside::new(quoting);
    while let Some(mut stretch) = outside.next(bytes) {
        while let Some(found) = memchr(b'\r', &bytes[stretch.clone()]) {
            let at = stretch.start + found;
            if is_alone(bytes, at) {
                bytes[at] = b'\n';
            }
            stretch.start = at + 1;
        }
    }
}

/// Where the last whole row ends, if there is one. `bytes` begin where a row begins.
pub(super) fn row_end(bytes: &[u8], quoting: Option<Quoting>) -> Option<usize> {
    let mut end = None;
    let mut outside = Outside::new(quoting);
    while let Some(stretch) = outside.next(bytes) {
        if let Some(newline) = memrchr(b'\n', &bytes[stretch.clone()]) {
            end = Some(stretch.start + newline + 1);
        }
    }
    end
}

/// The stretches of a file outside of quotes, from the beginning of a row on.
struct Outside {
    quoting: Option<Quoting>,
    /// Where the next one begins, if there is one.
    at: Option<usize>,
}

impl Outside {
    fn new(quoting: Option<Quoting>) -> Self {
        Self {
            quoting,
            at: Some(0),
        }
    }

    fn next(&mut self, bytes: &[u8]) -> Option<Range<usize>> {
        let begin = self.at.take()?;
        let opening = self.quoting.and_then(|quoting| {
            let found = memchr(quoting.quote, &bytes[begin..])?;
            Some((begin + found, quoting))
        });
        let Some((opening, Quoting { quote, delimiter })) = opening else {
            return Some(begin..bytes.len());
        };
        let opens = opening == 0 || [delimiter, b'\n', b'\r'].contains(&bytes[opening - 1]);
        self.at = if opens {
            closed(&bytes[opening + 1..], quote).map(|len| opening + 1 + len)
        } else {
            Some(opening + 1)
        };
        Some(begin..opening)
    }
}

/// How long what is in quotes is, with the quote that closes it, which isn't doubled.
fn closed(inside: &[u8], quote: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr(quote, &inside[at..])? + 1;
        if inside.get(at) != Some(&quote) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTING: Quoting = Quoting {
        quote: b'"',
        delimiter: b',',
    };

    fn end(text: &str) -> Option<usize> {
        row_end(text.as_bytes(), Some(QUOTING))
    }

    #[test]
    fn rows_end_outside_of_quotes() {
        assert_eq!(end("a,b\nc,d\ne"), Some(8));
        assert_eq!(end("a"), None);
        assert_eq!(end("\"a\nb\""), None);
        assert_eq!(end("\"a\nb\"\nc"), Some(6));
        assert_eq!(end("x,\"a \"\"\n\"\" b\"\ny,\"\n"), Some(14));
        // A quote within a field is a character as any other.
        assert_eq!(end("5\" pipe\nnext"), Some(8));
    }

    #[test]
    fn a_footer_is_what_the_last_rows_are() {
        for (text, rows, expected) in [
            ("a\n1\n2\n", 1, 4),
            ("a\n1\n2", 1, 4),
            ("a\n1\n2\n\n\r\n\n", 1, 4),
            ("a\n1\n\n2\n3", 2, 5),
            ("a\n1\n\"2\n\n3\"\n", 1, 4),
            ("a\n1\n\"2", 1, 4),
            ("a\n1\n", 2, 0),
            ("a\n1\n", 3, 0),
            ("\n\n", 1, 0),
            ("", 1, 0),
            ("a\n1\n", 0, 4),
        ] {
            let lines = Lines {
                quoting: Some(QUOTING),
                footer_rows: rows,
                ..Lines::default()
            };
            assert_eq!(lines.footer(text.as_bytes()), expected, "{text:?} {rows}");
        }
    }
}
