//! Values as texts: what a text looks like, and how one of a known type is read.

use report_document::calendar::{parse_day, parse_timestamp};

use super::Kind;

/// The narrowest kind that all values seen so far have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guess(Option<Kind>);

impl Guess {
    pub(crate) fn see(&mut self, kind: Kind) {
        self.0 = Some(match (self.0, kind) {
            (None, kind) => kind,
            (Some(a), b) if a == b => a,
            (Some(Kind::Integer), Kind::Number) | (Some(Kind::Number), Kind::Integer) => {
                Kind::Number
            }
            (Some(Kind::Date), Kind::Timestamp) | (Some(Kind::Timestamp), Kind::Date) => {
                Kind::Timestamp
            }
            _ => Kind::Text,
        });
    }

    pub(crate) fn see_text(&mut self, text: &str, decimal_comma: bool) {
        if self.0 != Some(Kind::Text) {
            self.see(guess(text, decimal_comma));
        }
    }

    /// Text, where nothing was seen.
    pub(crate) fn kind(self) -> Kind {
        self.0.unwrap_or(Kind::Text)
    }
}

/// What a text looks like. Leading zeros make text: postal codes, telephone numbers and article numbers have them,
/// numbers don't.
fn guess(text: &str, decimal_comma: bool) -> Kind {
    let bytes = text.as_bytes();
    let Some(first) = bytes.first() else {
        return Kind::Text;
    };
    if matches!(first, b'0'..=b'9' | b'-' | b'+' | b'.' | b',') {
        let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
        if digits.first() == Some(&b'0') && digits.get(1).is_some_and(u8::is_ascii_digit) {
            return Kind::Text;
        }
        if *first != b'+' && parse_integer(text).is_some() {
            return Kind::Integer;
        }
        // More digits than an integer or a number can hold: an identifier.
        if digits.iter().all(u8::is_ascii_digit) {
            return Kind::Text;
        }
        if *first != b'+' && parse_number(text, decimal_comma).is_some() {
            return Kind::Number;
        }
        if parse_day(text).is_some() {
            return Kind::Date;
        }
        if parse_timestamp(text).is_some() {
            return Kind::Timestamp;
        }
        return Kind::Text;
    }
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return Kind::Boolean;
    }
    Kind::Text
}

pub(super) fn parse_integer(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.first()? {
        b'-' => (true, &bytes[1..]),
        b'+' => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 18 {
        // The long way, which knows where the end of the range is.
        return text.parse().ok();
    }
    let mut value = 0i64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

pub(super) fn parse_number(text: &str, decimal_comma: bool) -> Option<f64> {
    let is_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let value: f64 = if decimal_comma {
        point_for_comma(text)?.parse().ok()?
    } else if text.bytes().all(|byte| is_number(&byte)) {
        text.parse().ok()?
    } else {
        return None;
    };
    value.is_finite().then_some(value)
}

/// `1.234,5` as `1234.5`. Points have to be where thousands are.
fn point_for_comma(text: &str) -> Option<String> {
    let (whole, fraction) = match text.split_once(',') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let mut groups = whole.split('.');
    let mut result = groups.next()?.to_owned();
    for group in groups {
        if group.len() != 3 || result.trim_start_matches(['-', '+']).is_empty() {
            return None;
        }
        result.push_str(group);
    }
    if let Some(fraction) = fraction {
        if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        result.push('.');
        result.push_str(fraction);
    }
    let digits = result.trim_start_matches(['-', '+']);
    let is_plain = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    (is_plain && !digits.is_empty()).then_some(result)
}

pub(super) fn parse_boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&["true", "t", "yes", "y", "1"]) {
        Some(true)
    } else if is(&["false", "f", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// The value times ten to the power of `scale`. More digits after the point than that are refused, unless they are
/// zeros: nothing is rounded behind anybody's back.
pub(super) fn parse_decimal(
    text: &str,
    precision: u8,
    scale: i8,
    decimal_comma: bool,
) -> Option<i128> {
    let converted;
    let text = if decimal_comma {
        converted = point_for_comma(text)?;
        converted.as_str()
    } else {
        text
    };
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let scale = usize::from(scale.unsigned_abs());
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > scale {
        return None;
    }
    let mut value = 0i128;
    let zeros = std::iter::repeat_n(b'0', scale - fraction.len());
    for byte in whole.bytes().chain(fraction.bytes()).chain(zeros) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    (value < 10i128.pow(u32::from(precision))).then_some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_for_what_they_look_like() {
        let kind = |texts: &[&str]| {
            let mut seen = Guess::default();
            texts.iter().for_each(|text| seen.see_text(text, false));
            seen.kind()
        };
        assert_eq!(kind(&[]), Kind::Text);
        assert_eq!(kind(&["1", "-7", "0"]), Kind::Integer);
        assert_eq!(kind(&["1", "0.5", "1e3"]), Kind::Number);
        assert_eq!(kind(&["01234", "99999"]), Kind::Text);
        assert_eq!(kind(&["9223372036854775807"]), Kind::Integer);
        assert_eq!(kind(&["9223372036854775808"]), Kind::Text);
        assert_eq!(kind(&["+49 30 1"]), Kind::Text);
        assert_eq!(kind(&["+491234"]), Kind::Text);
        assert_eq!(kind(&["true", "FALSE"]), Kind::Boolean);
        assert_eq!(kind(&["2024-02-29", "2023-12-31"]), Kind::Date);
        assert_eq!(kind(&["2024-02-29", "2023-12-31 10:00"]), Kind::Timestamp);
        assert_eq!(kind(&["2023-02-29"]), Kind::Text);
        assert_eq!(kind(&["nan", "inf", "infinity"]), Kind::Text);
        assert_eq!(kind(&["1", "x"]), Kind::Text);
        assert_eq!(kind(&["1.234,50"]), Kind::Text);
    }

    #[test]
    fn decimal_commas() {
        assert_eq!(parse_number("1.234,5", true), Some(1234.5));
        assert_eq!(parse_number("-1.234.567", true), Some(-1_234_567.0));
        assert_eq!(parse_number("0,5", true), Some(0.5));
        for wrong in ["1.2345", "1,2,3", ".123", "1.23", "a", "", "-", "1,5e3"] {
            assert_eq!(parse_number(wrong, true), None, "{wrong}");
        }
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(parse_decimal("12.5", 5, 2, false), Some(1250));
        assert_eq!(parse_decimal("-0.01", 5, 2, false), Some(-1));
        assert_eq!(parse_decimal("1.500", 5, 1, false), Some(15));
        assert_eq!(parse_decimal("999.99", 5, 2, false), Some(99_999));
        assert_eq!(parse_decimal("1.234,56", 12, 2, true), Some(123_456));
        for wrong in ["1000", "0.001", "", ".", "-", "1e2", "1.2.3", "٣"] {
            assert_eq!(parse_decimal(wrong, 5, 2, false), None, "{wrong}");
        }
    }
}
