//! What a text looks like. It is taken for something else only if nothing is lost: what is read, written again, has to be
//! what it was. Everything else stays text.

use std::borrow::Cow;

use report_document::calendar::{parse_day, parse_timestamp};

use super::{
    Kind,
    text::{is_address, parse_integer, parse_number},
    writing::{Finder, Writing},
};

/// The narrowest kind that all values seen so far have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guess {
    kind: Option<Kind>,
    /// Integers that a floating-point number can't hold are among them.
    has_long: bool,
    has_empty: bool,
    /// How its numbers are written, if they aren't written plainly.
    finder: Finder,
}

impl Guess {
    pub(crate) fn see(&mut self, kind: Kind) {
        self.kind = Some(match (self.kind, kind) {
            (None, kind) => kind,
            (Some(a), b) if a == b => a,
            (Some(Kind::Integer), Kind::Number) | (Some(Kind::Number), Kind::Integer) => {
                Kind::Number
            }
            (Some(Kind::Date), Kind::Timestamp) | (Some(Kind::Timestamp), Kind::Date) => {
                Kind::Timestamp
            }
            (Some(Kind::Date | Kind::Timestamp | Kind::Instant), Kind::Instant)
            | (Some(Kind::Instant), Kind::Date | Kind::Timestamp) => Kind::Instant,
            _ => Kind::Text,
        });
    }

    pub(crate) fn see_integer(&mut self, value: i64) {
        self.has_long |= !fits_number(value);
        self.see(Kind::Integer);
    }

    /// A text, of a file whose numbers are written in this way, if the request says so.
    pub(crate) fn see_text(&mut self, text: &str, asked: &Writing) {
        // Spaces around it are no part of a number or a day.
        let trimmed = text.trim_ascii();
        if asked.is_plain() {
            self.finder.see(trimmed);
        }
        if self.kind == Some(Kind::Text) {
            return;
        }
        let plain = plain(trimmed, asked);
        match plain.as_deref().and_then(integer) {
            Some(value) => self.see_integer(value),
            None => self.see(match plain.as_deref().and_then(number) {
                Some(_) => Kind::Number,
                None => no_number(trimmed),
            }),
        }
    }

    /// A number of JSON, which can't be anything else.
    pub(crate) fn see_json(&mut self, text: &str) {
        match integer(text) {
            Some(value) => self.see_integer(value),
            None => self.see(match json_number(text) {
                Some(_) => Kind::Number,
                None => Kind::Text,
            }),
        }
    }

    /// A value, but one without a character: of a text it is a value, of everything else none.
    pub(crate) fn see_empty(&mut self) {
        self.has_empty = true;
    }

    /// What it is where nothing was seen: nothing at all if these are all values that there are, else text.
    pub(crate) fn kind(&self, is_all: bool) -> Kind {
        match self.kind {
            Some(Kind::Text) => match self.finder.found() {
                Some(writing) if self.finder.has_decimals(&writing) => Kind::Number,
                Some(_) => Kind::Integer,
                None => Kind::Text,
            },
            Some(Kind::Number) if self.has_long => Kind::Text,
            Some(kind) => kind,
            None if is_all && !self.has_empty => Kind::Nothing,
            None => Kind::Text,
        }
    }

    /// How the numbers of all values are written, if that was found.
    pub(crate) fn writing(&self) -> Option<Writing> {
        self.finder.found()
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.kind.is_none()
    }
}

/// Whether a floating-point number holds this integer.
pub(super) fn fits_number(value: i64) -> bool {
    const EXACT_MAX: u64 = 1 << 53;
    let magnitude = value.unsigned_abs();
    magnitude <= EXACT_MAX || magnitude.trailing_zeros() + 53 >= 64 - magnitude.leading_zeros()
}

/// The number that a text is in this writing, as programs write it.
pub(super) fn plain<'t>(text: &'t str, writing: &Writing) -> Option<Cow<'t, str>> {
    if writing.has_points_between_thousands() && is_address(text) {
        return None;
    }
    writing.plain(text)
}

/// What a text is that is no number.
fn no_number(text: &str) -> Kind {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return match boolean(text) {
            Some(_) => Kind::Boolean,
            None => Kind::Text,
        };
    }
    if parse_day(text).is_some() {
        return Kind::Date;
    }
    match parse_timestamp(text).map(|moment| moment.offset) {
        Some(Some(_)) => Kind::Instant,
        Some(None) => Kind::Timestamp,
        None => Kind::Text,
    }
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Postal codes, telephone numbers and article numbers have leading zeros or a plus, integers don't.
pub(super) fn integer(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    match digits {
        [b'1'..=b'9', ..] => parse_integer(text),
        b"0" if digits.len() == bytes.len() => Some(0),
        _ => None,
    }
}

/// A number that a text is nothing but the writing of. Programs write `1e+05` or `1.0E5`; `1E5` is an article's number.
pub(super) fn number(plain: &str) -> Option<f64> {
    let (mantissa, exponent) = parts(plain);
    let is_code = exponent.is_some_and(|it| !it.starts_with(['+', '-']) && !mantissa.contains('.'));
    match is_code {
        true => None,
        false => lossless(plain, mantissa, exponent.is_some()),
    }
}

/// A number that loses nothing.
pub(super) fn json_number(plain: &str) -> Option<f64> {
    let (mantissa, exponent) = parts(plain);
    lossless(plain, mantissa, exponent.is_some())
}

/// What stands before an exponent, and the exponent.
fn parts(plain: &str) -> (&str, Option<&str>) {
    let at = plain.bytes().position(|byte| matches!(byte, b'e' | b'E'));
    match at.and_then(|at| Some((plain.get(..at)?, plain.get(at + 1..)?))) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (plain, None),
    }
}

fn lossless(plain: &str, mantissa: &str, has_exponent: bool) -> Option<f64> {
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let has_leading_zero = unsigned.len() > 1
        && unsigned.starts_with('0')
        && unsigned.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if unsigned.starts_with('+') || unsigned.ends_with('.') || has_leading_zero {
        return None;
    }
    // Integers that are too long for their type are what identifies something.
    if !has_exponent && unsigned.len() > 18 && !unsigned.contains('.') {
        return None;
    }
    let value = parse_number(plain)?;
    holds(value, unsigned).then_some(value)
}

/// Whether the value, rounded to as many digits as the text has, has the digits of the text.
fn holds(value: f64, mantissa: &str) -> bool {
    // So many digits every number holds, if it isn't next to nothing.
    const DIGITS: usize = 15;
    if mantissa.len() <= DIGITS && value.is_normal() {
        return true;
    }
    let digits = || {
        mantissa
            .bytes()
            .filter(|byte| *byte != b'.')
            .skip_while(|byte| *byte == b'0')
    };
    let count = digits().count();
    if count == 0 {
        return true;
    }
    if count <= DIGITS && value.is_normal() {
        return true;
    }
    let shown = format!("{:.*e}", count - 1, value.abs());
    let shown = shown.split('e').next().unwrap_or_default();
    shown.bytes().filter(|byte| *byte != b'.').eq(digits())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(texts: &[&str]) -> Kind {
        let mut seen = Guess::default();
        texts
            .iter()
            .for_each(|text| seen.see_text(text, &Writing::default()));
        seen.kind(false)
    }

    #[test]
    fn texts_are_taken_for_what_they_look_like() {
        assert_eq!(kind(&[]), Kind::Text);
        assert_eq!(Guess::default().kind(true), Kind::Nothing);
        assert_eq!(kind(&["1", "-7", "0"]), Kind::Integer);
        assert_eq!(kind(&["1", "0.5", "1e-3"]), Kind::Number);
        assert_eq!(kind(&[" 1", "2 "]), Kind::Integer);
        assert_eq!(kind(&["01234", "99999"]), Kind::Text);
        assert_eq!(kind(&["9223372036854775807"]), Kind::Integer);
        assert_eq!(kind(&["9223372036854775808"]), Kind::Text);
        assert_eq!(kind(&["+49 30 1"]), Kind::Text);
        assert_eq!(kind(&["+491234"]), Kind::Text);
        assert_eq!(kind(&["true", "FALSE"]), Kind::Boolean);
        assert_eq!(kind(&["2024-02-29", "2023-12-31"]), Kind::Date);
        assert_eq!(kind(&["2024-02-29", "2023-12-31 10:00"]), Kind::Timestamp);
        assert_eq!(kind(&["2024-02-29", "2023-12-31 10:00Z"]), Kind::Instant);
        assert_eq!(
            kind(&["2024-02-29T10:00+02:00", "2023-12-31 10:00"]),
            Kind::Instant
        );
        assert_eq!(kind(&["2023-02-29"]), Kind::Text);
        assert_eq!(kind(&["nan", "inf", "infinity"]), Kind::Text);
        assert_eq!(kind(&["1", "x"]), Kind::Text);
        assert_eq!(kind(&["1.234,50"]), Kind::Number);
        assert_eq!(kind(&["$1,234.50", "x"]), Kind::Text);
        assert_eq!(kind(&["$1,234,567", "$5"]), Kind::Integer);
    }

    /// What a number holds was found by Python: `Decimal(text) == Decimal(f"{float(text):.{digits}e}")`.
    #[test]
    fn numbers_are_those_that_hold_what_is_written() {
        for text in [
            "0.1",
            "0.10",
            "-0",
            "-12.50",
            ".5",
            "0",
            "123456789012.345",
            "0.30000000000000004",
            "0.10000000000000001",
            "1.000000000000000056e-01",
            "1e+05",
            "1E-05",
            "1.0E5",
            "1.7976931348623157e+308",
            "2.2250738585072014e-308",
            "0.000",
        ] {
            assert_eq!(kind(&[text, "0.5"]), Kind::Number, "{text}");
        }
        for text in [
            "12345678901234567.89",
            "9007199254740993.0",
            "0.12345678901234567890",
            "1E5",
            "2e3",
            "1e5",
            "1e-400",
            "1e+999",
            "5.",
            "00.5",
            "-01.5",
            "+1.5",
            "1.2.3",
            "1e",
            "--1",
            "-",
            ".",
        ] {
            assert_eq!(kind(&[text]), Kind::Text, "{text}");
        }
    }

    #[test]
    fn integers_among_numbers_are_held_too() {
        assert_eq!(kind(&["9007199254740992", "0.5"]), Kind::Number);
        assert_eq!(kind(&["9007199254740993", "0.5"]), Kind::Text);
        assert_eq!(kind(&["0.5", "-9007199254740993"]), Kind::Text);
        assert!(fits_number(i64::MIN) && fits_number(1 << 62) && fits_number(3 << 60));
        assert!(!fits_number(i64::MAX) && !fits_number((1 << 62) + 1));
    }

    #[test]
    fn numbers_with_commas() {
        let commas = Writing::asked(',', Some('.'), None);
        let is_number = |text| {
            let plain = plain(text, &commas);
            plain.is_some_and(|plain| number(&plain).is_some())
        };
        for text in [
            "1.234,5",
            "1.234",
            "192.168",
            "100.000.000.000",
            "999.999.999.999",
            "0,5",
        ] {
            assert!(is_number(text), "{text}");
        }
        for text in [
            "192.168.100.200",
            "10.0.0.1",
            "1234.567",
            "12345678901234567,89",
            "5,",
        ] {
            assert!(!is_number(text), "{text}");
        }
    }
}
