//! Which way a text reads.

/// Whether the text reads from left to right: its first letter with a direction does.
pub(crate) fn is_ltr(text: &str) -> bool {
    matches!(
        unicode_bidi::get_base_direction(text),
        unicode_bidi::Direction::Ltr
    )
}

/// Whether the text reads from right to left: its first letter with a direction does.
pub(crate) fn is_rtl(text: &str) -> bool {
    !text.is_ascii()
        && matches!(
            unicode_bidi::get_base_direction(text),
            unicode_bidi::Direction::Rtl
        )
}
