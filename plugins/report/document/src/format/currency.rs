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

/// The sign of a currency, as CLDR has it; its code where it has none.
pub(crate) fn sign(code: &str, locale: Locale) -> &str {
    match (code, locale) {
        ("EUR", _) => "€",
        ("BRL", _) => "R$",
        ("ILS", _) => "₪",
        ("INR", _) => "₹",
        ("KRW", _) => "₩",
        ("VND", _) => "₫",
        ("XAF", _) => "FCFA",
        ("XOF", _) => "F\u{202f}CFA",
        ("XCG", Locale::Ja) => "Cg",
        ("XCG", _) => "Cg.",
        ("XPF", Locale::Fr) => "FCFP",
        ("XPF", _) => "CFPF",
        (code, Locale::Fr) => french_sign(code),
        ("USD", Locale::EnGb) => "US$",
        ("USD", _) => "$",
        ("GBP", _) => "£",
        ("JPY", Locale::EnGb) => "JP¥",
        ("JPY", Locale::Ja) => "￥",
        ("JPY", _) => "¥",
        ("CNY", Locale::Ja) => "元",
        ("CNY", _) => "CN¥",
        ("AUD", Locale::De) => "AU$",
        ("AUD", _) => "A$",
        ("CAD", _) => "CA$",
        ("HKD", _) => "HK$",
        ("MXN", _) => "MX$",
        ("NZD", _) => "NZ$",
        ("TWD", _) => "NT$",
        ("XCD", _) => "EC$",
        ("PHP", Locale::En | Locale::EnGb) => "₱",
        ("THB", Locale::De) => "฿",
        (code, _) => code,
    }
}

/// French has the sign before the letters of the country, and no signs for yen and yuan.
fn french_sign(code: &str) -> &str {
    match code {
        "ARS" => "$AR",
        "AUD" => "$AU",
        "BMD" => "$BM",
        "BND" => "$BN",
        "BZD" => "$BZ",
        "CAD" => "$CA",
        "CLP" => "$CL",
        "COP" => "$CO",
        "FJD" => "$FJ",
        "FKP" => "£FK",
        "GBP" => "£GB",
        "GIP" => "£GI",
        "LBP" => "£LB",
        "MXN" => "$MX",
        "NAD" => "$NA",
        "NZD" => "$NZ",
        "SBD" => "$SB",
        "SGD" => "$SG",
        "SRD" => "$SR",
        "TTD" => "$TT",
        "USD" => "$US",
        "UYU" => "$UY",
        "WST" => "$WS",
        code => code,
    }
}

/// Where a currency's sign stands: before or after the number, and with a space or without.
pub(crate) fn affixes(code: &str, locale: Locale) -> (String, String) {
    let sign = sign(code, locale);
    if !locale.language().currency_first {
        return (String::new(), format!("\u{a0}{sign}"));
    }
    // As CLDR has it: digits don't touch what is no symbol.
    if !sign.ends_with(is_symbol) {
        (format!("{sign}\u{a0}"), String::new())
    } else {
        (sign.to_owned(), String::new())
    }
}

/// The signs of currencies that are no letters or other marks.
fn is_symbol(char: char) -> bool {
    matches!(char, '$' | '£' | '¥' | '￥' | '฿' | '\u{20a0}'..='\u{20cf}')
}
