//! Values as texts: how one of a known type is read.

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

pub(super) fn parse_number(text: &str) -> Option<f64> {
    let is_number = |byte: u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    if !text.bytes().all(is_number) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    value.is_finite().then_some(value)
}

/// `192.168.100.200`, which looks like a number with points between thousands.
pub(super) fn is_address(text: &str) -> bool {
    let parts = || text.split('.');
    let is_part =
        |part: &str| part.len() <= 3 && !part.starts_with('0') && part.parse::<u8>().is_ok();
    parts().count() == 4 && parts().all(is_part)
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
pub(super) fn parse_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
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
    fn decimals_are_exact_or_refused() {
        let decimal = |text, scale| parse_decimal(text, 5, scale);
        assert_eq!(decimal("12.5", 2), Some(1250));
        assert_eq!(decimal("-0.01", 2), Some(-1));
        assert_eq!(decimal("1.500", 1), Some(15));
        assert_eq!(decimal("999.99", 2), Some(99_999));
        for wrong in ["1000", "0.001", "", ".", "-", "1e2", "1.2.3", "٣"] {
            assert_eq!(decimal(wrong, 2), None, "{wrong}");
        }
    }
}
