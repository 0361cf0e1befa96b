//! Values as texts: how one of a known type is read.

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    /// `1234.5`, in files and whatever else.
    Point,
    /// `1.234,5`.
    Comma,
    /// A number of JSON, which can't be anything else.
    Json,
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

pub(super) fn parse_number(text: &str, notation: Notation) -> Option<f64> {
    let is_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let value: f64 = if notation == Notation::Comma {
        point_for_comma(text)?.parse().ok()?
    } else if text.bytes().all(|byte| is_number(&byte)) {
        text.parse().ok()?
    } else {
        return None;
    };
    value.is_finite().then_some(value)
}

/// `1.234,5` as `1234.5`. Points have to be where thousands are.
pub(super) fn point_for_comma(text: &str) -> Option<String> {
    let (whole, fraction) = match text.split_once(',') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let mut groups = whole.split('.');
    let mut result = groups.next()?.to_owned();
    let is_short = result.trim_start_matches(['-', '+']).len() <= 3;
    for group in groups {
        if group.len() != 3 || !is_short || result.trim_start_matches(['-', '+']).is_empty() {
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
    notation: Notation,
) -> Option<i128> {
    let converted;
    let text = if notation == Notation::Comma {
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
    fn decimal_commas() {
        let number = |text| parse_number(text, Notation::Comma);
        assert_eq!(number("1.234,5"), Some(1234.5));
        assert_eq!(number("-1.234.567"), Some(-1_234_567.0));
        assert_eq!(number("0,5"), Some(0.5));
        for wrong in [
            "1.2345", "1,2,3", ".123", "1.23", "a", "", "-", "1,5e3", "1234.567",
        ] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let decimal = |text, scale| parse_decimal(text, 5, scale, Notation::Point);
        assert_eq!(decimal("12.5", 2), Some(1250));
        assert_eq!(decimal("-0.01", 2), Some(-1));
        assert_eq!(decimal("1.500", 1), Some(15));
        assert_eq!(decimal("999.99", 2), Some(99_999));
        assert_eq!(
            parse_decimal("1.234,56", 12, 2, Notation::Comma),
            Some(123_456)
        );
        for wrong in ["1000", "0.001", "", ".", "-", "1e2", "1.2.3", "٣"] {
            assert_eq!(decimal(wrong, 2), None, "{wrong}");
        }
    }
}
