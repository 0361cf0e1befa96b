//! Signs of currencies, and how many decimals they have.

use crate::model::Locale;

/// Digits after the decimal point of a currency.
pub(crate) fn decimals(code: &str) -> u8 {
    match code {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// The sign of a currency; its code where it has none that everybody knows.
pub(crate) fn sign(code: &str, locale: Locale) -> &str {
    match (code, locale) {
        ("EUR", _) => "€",
        ("USD", Locale::EnGb) => "US$",
        ("USD", Locale::Fr) => "$US",
        ("USD", _) => "$",
        ("GBP", Locale::Fr) => "£GB",
        ("GBP", _) => "£",
        ("JPY", _) => "¥",
        ("CNY", _) => "CN¥",
        ("INR", _) => "₹",
        ("KRW", _) => "₩",
        ("ILS", _) => "₪",
        ("VND", _) => "₫",
        ("PHP", _) => "₱",
        ("BRL", _) => "R$",
        ("CAD", _) => "CA$",
        ("AUD", _) => "A$",
        ("NZD", _) => "NZ$",
        ("MXN", _) => "MX$",
        ("HKD", _) => "HK$",
        ("TWD", _) => "NT$",
        (code, _) => code,
    }
}

/// Where a currency's sign stands: before or after the number, and with a space or without.
pub(crate) fn affixes(code: &str, locale: Locale) -> (String, String) {
    let sign = sign(code, locale);
    if !locale.language().currency_first {
        return (String::new(), format!("\u{a0}{sign}"));
    }
    if sign.ends_with(|c: char| c.is_ascii_alphabetic()) {
        (format!("{sign}\u{a0}"), String::new())
    } else {
        (sign.to_owned(), String::new())
    }
}
