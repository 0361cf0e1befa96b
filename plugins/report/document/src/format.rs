//! Numbers, money and dates as readers of a language expect them.
//!
//! The tables here serve five locales. The Unicode library with the data of all of them would add megabytes to the plugin
//! and be slower in the cell of a table, for which this module is called once each.

use crate::{
    calendar::{self, Clock, Date},
    error::Error,
    model::{DateStyle, Format, Locale},
    value::{ColumnKind, Value},
};

/// What a language writes in which way.
pub(crate) struct Language {
    pub(crate) tag: &'static str,
    group: &'static str,
    decimal: &'static str,
    percent: &'static str,
    currency_first: bool,
    months: [&'static str; 12],
    months_short: [&'static str; 12],
    days: [&'static str; 7],
    days_short: [&'static str; 7],
    // short, medium, long, full
    dates: [&'static str; 4],
    time: &'static str,
    time_seconds: &'static str,
    date_time: &'static str,
    half_days: [&'static str; 2],
    yes_no: [&'static str; 2],
    pub(crate) total: &'static str,
    pub(crate) subtotal: &'static str,
    pub(crate) no_rows: &'static str,
    pub(crate) no_data: &'static str,
    pub(crate) chart_data: &'static str,
    pub(crate) data_of_chart: &'static str,
    pub(crate) overview: &'static str,
    pub(crate) table: &'static str,
    pub(crate) chart: &'static str,
}

const EN_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const EN_MONTHS_SHORT: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const EN_DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const EN_DAYS_SHORT: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const JA_MONTHS: [&str; 12] = [
    "1月", "2月", "3月", "4月", "5月", "6月", "7月", "8月", "9月", "10月", "11月", "12月",
];

static EN: Language = Language {
    tag: "en",
    group: ",",
    decimal: ".",
    percent: "%",
    currency_first: true,
    months: EN_MONTHS,
    months_short: EN_MONTHS_SHORT,
    days: EN_DAYS,
    days_short: EN_DAYS_SHORT,
    dates: [
        "M/d/yyyy",
        "MMM d, yyyy",
        "MMMM d, yyyy",
        "EEEE, MMMM d, yyyy",
    ],
    time: "h:mm a",
    time_seconds: "h:mm:ss a",
    date_time: ", ",
    half_days: ["AM", "PM"],
    yes_no: ["Yes", "No"],
    total: "Total",
    subtotal: "Total {group}",
    no_rows: "No rows",
    no_data: "No data",
    chart_data: "Chart data",
    data_of_chart: "Data of this chart",
    overview: "Overview",
    table: "Table",
    chart: "Chart",
};

static EN_GB: Language = Language {
    tag: "en-GB",
    dates: [
        "dd/MM/yyyy",
        "d MMM yyyy",
        "d MMMM yyyy",
        "EEEE, d MMMM yyyy",
    ],
    time: "HH:mm",
    time_seconds: "HH:mm:ss",
    half_days: ["am", "pm"],
    ..EN
};

static DE: Language = Language {
    tag: "de",
    group: ".",
    decimal: ",",
    percent: "\u{a0}%",
    currency_first: false,
    months: [
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ],
    months_short: [
        "Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sept.", "Okt.", "Nov.",
        "Dez.",
    ],
    days: [
        "Montag",
        "Dienstag",
        "Mittwoch",
        "Donnerstag",
        "Freitag",
        "Samstag",
        "Sonntag",
    ],
    days_short: ["Mo", "Di", "Mi", "Do", "Fr", "Sa", "So"],
    dates: [
        "dd.MM.yyyy",
        "d. MMM yyyy",
        "d. MMMM yyyy",
        "EEEE, d. MMMM yyyy",
    ],
    time: "HH:mm",
    time_seconds: "HH:mm:ss",
    date_time: ", ",
    half_days: ["AM", "PM"],
    yes_no: ["Ja", "Nein"],
    total: "Summe",
    subtotal: "Summe {group}",
    no_rows: "Keine Zeilen",
    no_data: "Keine Daten",
    chart_data: "Diagrammdaten",
    data_of_chart: "Daten dieses Diagramms",
    overview: "Überblick",
    table: "Tabelle",
    chart: "Diagramm",
};

static FR: Language = Language {
    tag: "fr",
    group: "\u{202f}",
    decimal: ",",
    percent: "\u{202f}%",
    currency_first: false,
    months: [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ],
    months_short: [
        "janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.",
        "déc.",
    ],
    days: [
        "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche",
    ],
    days_short: ["lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."],
    dates: [
        "dd/MM/yyyy",
        "d MMM yyyy",
        "d MMMM yyyy",
        "EEEE d MMMM yyyy",
    ],
    time: "HH:mm",
    time_seconds: "HH:mm:ss",
    date_time: " ",
    half_days: ["AM", "PM"],
    yes_no: ["Oui", "Non"],
    total: "Total",
    subtotal: "Total {group}",
    no_rows: "Aucune ligne",
    no_data: "Aucune donnée",
    chart_data: "Données des graphiques",
    data_of_chart: "Données de ce graphique",
    overview: "Aperçu",
    table: "Tableau",
    chart: "Graphique",
};

static JA: Language = Language {
    tag: "ja",
    group: ",",
    decimal: ".",
    percent: "%",
    currency_first: true,
    months: JA_MONTHS,
    months_short: JA_MONTHS,
    days: [
        "月曜日",
        "火曜日",
        "水曜日",
        "木曜日",
        "金曜日",
        "土曜日",
        "日曜日",
    ],
    days_short: ["月", "火", "水", "木", "金", "土", "日"],
    dates: [
        "yyyy/MM/dd",
        "yyyy年M月d日",
        "yyyy年M月d日",
        "yyyy年M月d日EEEE",
    ],
    time: "H:mm",
    time_seconds: "H:mm:ss",
    date_time: " ",
    half_days: ["午前", "午後"],
    yes_no: ["はい", "いいえ"],
    total: "合計",
    subtotal: "{group} 小計",
    no_rows: "該当する行はありません",
    no_data: "データなし",
    chart_data: "グラフデータ",
    data_of_chart: "このグラフのデータ",
    overview: "概要",
    table: "表",
    chart: "グラフ",
};

impl Locale {
    pub(crate) fn language(self) -> &'static Language {
        match self {
            Self::En => &EN,
            Self::EnGb => &EN_GB,
            Self::De => &DE,
            Self::Fr => &FR,
            Self::Ja => &JA,
        }
    }

    /// The language tag, such as `en-GB`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        self.language().tag
    }
}

impl Language {
    pub(crate) fn subtotal_of(&self, group: &str) -> String {
        self.subtotal.replace("{group}", group)
    }
}

impl Format {
    /// Whether the format's own details are possible.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Number {
                decimals: Some(decimals),
                ..
            }
            | Self::Currency {
                decimals: Some(decimals),
                ..
            }
            | Self::Percent {
                decimals: Some(decimals),
            } if *decimals > 15 => {
                return Err(Error::invalid_option(format!(
                    "{decimals} decimals are more than 15"
                )));
            }
            _ => {}
        }
        match self {
            Self::Currency { code, .. }
                if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) =>
            {
                Err(Error::invalid_option(format!(
                    "{code:?} is no currency: write the three capital letters of ISO 4217, such as \"EUR\""
                )))
            }
            Self::Date {
                pattern: Some(pattern),
                ..
            } => Pattern::parse(pattern, false).map(drop),
            Self::Timestamp {
                pattern: Some(pattern),
                ..
            } => Pattern::parse(pattern, true).map(drop),
            _ => Ok(()),
        }
    }

    /// Whether values of this kind can be shown so.
    pub(crate) fn suits(&self, kind: ColumnKind) -> bool {
        match self {
            Self::Auto | Self::Text => true,
            Self::Number { .. } | Self::Currency { .. } | Self::Percent { .. } => kind.is_number(),
            Self::Date { .. } | Self::Timestamp { .. } => {
                matches!(kind, ColumnKind::Date | ColumnKind::Timestamp { .. })
            }
        }
    }

    /// The format's name, for messages.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Number { .. } => "number",
            Self::Currency { .. } => "currency",
            Self::Percent { .. } => "percent",
            Self::Date { .. } => "date",
            Self::Timestamp { .. } => "timestamp",
        }
    }
}

/// Digits after the decimal point of a currency.
pub(crate) fn currency_decimals(code: &str) -> u8 {
    match code {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "UYI" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// The sign of a currency; its code where it has none that everybody knows.
pub(crate) fn currency_sign(code: &str, locale: Locale) -> &str {
    match (code, locale) {
        ("EUR", _) => "€",
        ("USD", Locale::EnGb) => "US$",
        ("USD", Locale::Fr) => "$US",
        ("USD", _) => "$",
        ("GBP", Locale::Fr) => "£GB",
        ("GBP", _) => "£",
        ("JPY", Locale::En | Locale::EnGb | Locale::De | Locale::Ja) => "¥",
        ("JPY", Locale::Fr) => "¥",
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
pub(crate) fn currency_affixes(code: &str, locale: Locale) -> (String, String) {
    let sign = currency_sign(code, locale);
    if !locale.language().currency_first {
        return (String::new(), format!("\u{a0}{sign}"));
    }
    if sign.ends_with(|c: char| c.is_ascii_alphabetic()) {
        (format!("{sign}\u{a0}"), String::new())
    } else {
        (sign.to_owned(), String::new())
    }
}

/// Writes the values of one column.
#[derive(Debug)]
pub(crate) struct Formatter {
    locale: Locale,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Auto,
    Text,
    Number {
        decimals: Option<u8>,
        group_from: u8,
        prefix: String,
        suffix: String,
        power: i32,
    },
    Date(Pattern),
    Timestamp {
        pattern: Pattern,
        with_zone: bool,
    },
}

impl Formatter {
    pub(crate) fn new(format: &Format, _column: ColumnKind, locale: Locale) -> Self {
        let language = locale.language();
        let number = |decimals, grouping| Kind::Number {
            decimals,
            group_from: if grouping { 4 } else { u8::MAX },
            prefix: String::new(),
            suffix: String::new(),
            power: 0,
        };
        let kind = match format {
            Format::Auto => Kind::Auto,
            Format::Text => Kind::Text,
            Format::Number { decimals, grouping } => number(*decimals, *grouping),
            Format::Currency { code, decimals } => {
                let (prefix, suffix) = currency_affixes(code, locale);
                let decimals = Some(decimals.unwrap_or_else(|| currency_decimals(code)));
                Kind::Number {
                    decimals,
                    group_from: 4,
                    prefix,
                    suffix,
                    power: 0,
                }
            }
            Format::Percent { decimals } => Kind::Number {
                decimals: Some(decimals.unwrap_or(1)),
                group_from: 4,
                prefix: String::new(),
                suffix: language.percent.to_owned(),
                power: 2,
            },
            Format::Date { style, pattern } => Kind::Date(match pattern {
                Some(pattern) => Pattern::parse(pattern, false).unwrap_or_default(),
                None => date_pattern(*style, language),
            }),
            Format::Timestamp {
                pattern: Some(pattern),
                ..
            } => Kind::Timestamp {
                pattern: Pattern::parse(pattern, true).unwrap_or_default(),
                with_zone: false,
            },
            Format::Timestamp {
                style,
                pattern: None,
                seconds,
            } => Kind::Timestamp {
                pattern: timestamp_pattern(*style, *seconds, language),
                with_zone: true,
            },
        };
        Self { locale, kind }
    }

    /// The value as text.
    pub(crate) fn text(&self, value: &Value<'_>) -> String {
        let mut text = String::new();
        self.write(value, &mut text);
        text
    }

    /// Appends the value; nothing for null.
    pub(crate) fn write(&self, value: &Value<'_>, to: &mut String) {
        let language = self.locale.language();
        match (&self.kind, value) {
            (_, Value::Null) => {}
            (_, Value::Text(text)) => to.push_str(text),
            (_, Value::Bool(value)) => to.push_str(language.yes_no[usize::from(!value)]),
            (Kind::Text, value) => write_raw(value, to),
            (Kind::Date(pattern), Value::Date(days)) => {
                pattern.write(calendar::date_from_days(*days), None, language, to);
            }
            (Kind::Date(pattern), Value::Timestamp { micros, .. }) => {
                let (days, _) = calendar::split_timestamp(*micros);
                pattern.write(calendar::date_from_days(days), None, language, to);
            }
            (Kind::Timestamp { pattern, with_zone }, Value::Timestamp { micros, utc }) => {
                let (days, clock) = calendar::split_timestamp(*micros);
                pattern.write(calendar::date_from_days(days), Some(clock), language, to);
                if *with_zone && *utc {
                    to.push_str(" UTC");
                }
            }
            (_, Value::Date(days)) => {
                date_pattern(DateStyle::Short, language).write(
                    calendar::date_from_days(*days),
                    None,
                    language,
                    to,
                );
            }
            (_, Value::Timestamp { micros, utc }) => {
                let (days, clock) = calendar::split_timestamp(*micros);
                let pattern = timestamp_pattern(DateStyle::Short, clock.second != 0, language);
                pattern.write(calendar::date_from_days(days), Some(clock), language, to);
                if *utc {
                    to.push_str(" UTC");
                }
            }
            (_, Value::Time(micros)) => {
                let clock = calendar::clock(*micros);
                let pattern = if clock.second == 0 {
                    language.time
                } else {
                    language.time_seconds
                };
                let day = Date {
                    year: 1970,
                    month: 1,
                    day: 1,
                    weekday: 3,
                };
                Pattern::parse(pattern, true).unwrap_or_default().write(
                    day,
                    Some(clock),
                    language,
                    to,
                );
            }
            (
                Kind::Number {
                    decimals,
                    group_from,
                    prefix,
                    suffix,
                    power,
                },
                value,
            ) => {
                let Some(number) = Digits::of(value) else {
                    return;
                };
                number.write(
                    language,
                    (*decimals, *group_from, *power),
                    (prefix, suffix),
                    to,
                );
            }
            (Kind::Auto | Kind::Date(_) | Kind::Timestamp { .. }, value) => {
                let Some(number) = Digits::of(value) else {
                    return;
                };
                let (decimals, group_from) = match value {
                    // Four digits stay together: they may be a year.
                    Value::Int(_) | Value::UInt(_) => (Some(0), 5),
                    Value::Decimal { scale, .. } => (u8::try_from((*scale).max(0)).ok(), 4),
                    _ => (None, 4),
                };
                number.write(language, (decimals, group_from, 0), ("", ""), to);
            }
        }
    }
}

/// Appends a value as programs read it: `1234.5`, `2026-11-21`, `true`.
pub(crate) fn write_raw(value: &Value<'_>, to: &mut String) {
    use std::fmt::Write as _;
    // Writing into a string can't fail.
    let _ = match value {
        Value::Null => Ok(()),
        Value::Bool(value) => write!(to, "{value}"),
        Value::Int(value) => write!(to, "{value}"),
        Value::UInt(value) => write!(to, "{value}"),
        Value::Float(value) => {
            if value.is_finite() {
                if *value != 0.0 && !(1e-7..1e21).contains(&value.abs()) {
                    write!(to, "{value:e}")
                } else {
                    write!(to, "{value}")
                }
            } else {
                Ok(())
            }
        }
        Value::Decimal { unscaled, scale } => {
            write_decimal(*unscaled, *scale, to);
            Ok(())
        }
        Value::Date(days) => {
            write!(to, "{}", calendar::date_from_days(*days))
        }
        Value::Time(micros) => {
            write!(to, "{}", calendar::clock(*micros))
        }
        Value::Timestamp { micros, utc } => {
            let (days, clock) = calendar::split_timestamp(*micros);
            let zone = if *utc { "Z" } else { "" };
            write!(to, "{}T{clock}{zone}", calendar::date_from_days(days))
        }
        Value::Text(text) => {
            to.push_str(text);
            Ok(())
        }
    };
}

pub(crate) fn write_decimal(unscaled: i128, scale: i8, to: &mut String) {
    use std::fmt::Write as _;
    if unscaled < 0 {
        to.push('-');
    }
    let digits = unscaled.unsigned_abs().to_string();
    if scale <= 0 {
        to.push_str(&digits);
        if unscaled != 0 {
            (scale..0).for_each(|_| to.push('0'));
        }
        return;
    }
    let scale = usize::from(scale.unsigned_abs());
    if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let _ = write!(to, "{whole}.{fraction}");
    } else {
        let _ = write!(to, "0.{digits:0>scale$}");
    }
}

/// A number as decimal digits: `unscaled` × 10^-`scale`.
struct Digits {
    negative: bool,
    unscaled: u128,
    scale: i32,
}

impl Digits {
    fn of(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Int(value) => Self {
                negative: *value < 0,
                unscaled: value.unsigned_abs().into(),
                scale: 0,
            },
            Value::UInt(value) => Self {
                negative: false,
                unscaled: (*value).into(),
                scale: 0,
            },
            Value::Decimal { unscaled, scale } => Self {
                negative: *unscaled < 0,
                unscaled: unscaled.unsigned_abs(),
                scale: (*scale).into(),
            },
            Value::Float(value) if value.is_finite() => {
                // The shortest digits that mean this number, so that 1.005 is rounded as a person would.
                let text = format!("{:e}", value.abs());
                let (mantissa, exponent) = text.split_once('e')?;
                let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
                let unscaled = format!("{whole}{fraction}").parse().ok()?;
                let exponent: i32 = exponent.parse().ok()?;
                let scale = i32::try_from(fraction.len()).ok()? - exponent;
                Self {
                    negative: value.is_sign_negative(),
                    unscaled,
                    scale,
                }
            }
            _ => return None,
        })
    }

    /// Appends the number × 10^`power` with so many decimals, half away from zero.
    fn write(
        &self,
        language: &Language,
        (decimals, group_from, power): (Option<u8>, u8, i32),
        (prefix, suffix): (&str, &str),
        to: &mut String,
    ) {
        let (mut unscaled, mut scale) = (self.unscaled, self.scale - power);
        let wanted = i32::from(decimals.unwrap_or(6));
        if scale > wanted {
            let cut = u32::try_from(scale - wanted).unwrap_or(u32::MAX);
            unscaled = match 10_u128.checked_pow(cut) {
                Some(divisor) => {
                    unscaled / divisor + u128::from(unscaled % divisor >= divisor.div_ceil(2))
                }
                None => 0,
            };
            scale = wanted;
        }
        if decimals.is_none() {
            while scale > 0 && unscaled.is_multiple_of(10) {
                unscaled /= 10;
                scale -= 1;
            }
        }
        if self.negative && unscaled != 0 {
            to.push('-');
        }
        to.push_str(prefix);
        let mut digits = unscaled.to_string();
        if scale < 0 {
            if unscaled != 0 {
                digits.extend(std::iter::repeat_n(
                    '0',
                    usize::try_from(-scale).unwrap_or(0).min(400),
                ));
            }
            scale = 0;
        }
        let fraction_len = usize::try_from(scale).unwrap_or(0);
        if digits.len() <= fraction_len {
            digits.insert_str(0, &"0".repeat(fraction_len + 1 - digits.len()));
        }
        let (whole, fraction) = digits.split_at(digits.len() - fraction_len);
        if whole.len() >= usize::from(group_from) {
            for (index, digit) in whole.chars().enumerate() {
                if index > 0 && (whole.len() - index).is_multiple_of(3) {
                    to.push_str(language.group);
                }
                to.push(digit);
            }
        } else {
            to.push_str(whole);
        }
        let fraction_wanted = usize::from(decimals.unwrap_or(0)).max(fraction_len);
        if fraction_wanted > 0 {
            to.push_str(language.decimal);
            to.push_str(fraction);
            to.extend(std::iter::repeat_n('0', fraction_wanted - fraction_len));
        }
        to.push_str(suffix);
    }
}

fn date_pattern(style: DateStyle, language: &Language) -> Pattern {
    let text = match style {
        DateStyle::Short => language.dates[0],
        DateStyle::Medium => language.dates[1],
        DateStyle::Long => language.dates[2],
        DateStyle::Full => language.dates[3],
        DateStyle::Iso => "yyyy-MM-dd",
    };
    Pattern::parse(text, false).unwrap_or_default()
}

fn timestamp_pattern(style: DateStyle, seconds: bool, language: &Language) -> Pattern {
    let mut pattern = date_pattern(style, language);
    let (between, time) = match (style, seconds) {
        (DateStyle::Iso, false) => (" ", "HH:mm"),
        (DateStyle::Iso, true) => (" ", "HH:mm:ss"),
        (_, false) => (language.date_time, language.time),
        (_, true) => (language.date_time, language.time_seconds),
    };
    pattern.0.push(Field::Literal(between.to_owned()));
    pattern
        .0
        .extend(Pattern::parse(time, true).unwrap_or_default().0);
    pattern
}

/// The fields of a date pattern of this style, for spreadsheets.
pub(crate) fn date_fields(format: &Format, locale: Locale) -> Option<Pattern> {
    let language = locale.language();
    match format {
        Format::Date {
            pattern: Some(pattern),
            ..
        } => Pattern::parse(pattern, false).ok(),
        Format::Date {
            style,
            pattern: None,
        } => Some(date_pattern(*style, language)),
        Format::Timestamp {
            pattern: Some(pattern),
            ..
        } => Pattern::parse(pattern, true).ok(),
        Format::Timestamp { style, seconds, .. } => {
            Some(timestamp_pattern(*style, *seconds, language))
        }
        _ => None,
    }
}

/// A date pattern such as `d. MMMM yyyy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pattern(pub(crate) Vec<Field>);

/// A part of a date pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Literal(String),
    Year,
    YearShort,
    Month,
    MonthPadded,
    MonthShort,
    MonthName,
    Day,
    DayPadded,
    WeekdayShort,
    WeekdayName,
    Hour,
    HourPadded,
    Hour12,
    Hour12Padded,
    Minute,
    Second,
    HalfDay,
}

impl Pattern {
    /// Letters are fields, `'words'` and all else stand for themselves.
    pub(crate) fn parse(text: &str, with_time: bool) -> Result<Self, Error> {
        let mut fields: Vec<Field> = Vec::new();
        let mut rest = text;
        let mut literal = String::new();
        while let Some(first) = rest.chars().next() {
            if first == '\'' {
                let inner = rest.get(1..).unwrap_or_default();
                let Some(end) = inner.find('\'') else {
                    return Err(Error::invalid_option(format!(
                        "the pattern {text:?} has a ' without its partner"
                    )));
                };
                literal.push_str(if end == 0 {
                    "'"
                } else {
                    inner.get(..end).unwrap_or_default()
                });
                rest = inner.get(end + 1..).unwrap_or_default();
                continue;
            }
            let len = rest.len() - rest.trim_start_matches(first).len();
            let (run, after) = rest.split_at(len);
            rest = after;
            if !first.is_ascii_alphabetic() {
                literal.push_str(run);
                continue;
            }
            let field = match run {
                "yyyy" => Field::Year,
                "yy" => Field::YearShort,
                "M" => Field::Month,
                "MM" => Field::MonthPadded,
                "MMM" => Field::MonthShort,
                "MMMM" => Field::MonthName,
                "d" => Field::Day,
                "dd" => Field::DayPadded,
                "EEE" => Field::WeekdayShort,
                "EEEE" => Field::WeekdayName,
                "H" if with_time => Field::Hour,
                "HH" if with_time => Field::HourPadded,
                "h" if with_time => Field::Hour12,
                "hh" if with_time => Field::Hour12Padded,
                "mm" if with_time => Field::Minute,
                "ss" if with_time => Field::Second,
                "a" if with_time => Field::HalfDay,
                _ => {
                    let times = if with_time { " HH H hh h mm ss a" } else { "" };
                    return Err(Error::invalid_option(format!(
                        "the pattern {text:?} has {run:?}: there are yyyy yy MMMM MMM MM M dd d EEEE EEE{times}, and 'words'"
                    )));
                }
            };
            if !literal.is_empty() {
                fields.push(Field::Literal(std::mem::take(&mut literal)));
            }
            fields.push(field);
        }
        if !literal.is_empty() {
            fields.push(Field::Literal(literal));
        }
        if fields.is_empty() {
            return Err(Error::invalid_option("the pattern is empty"));
        }
        Ok(Self(fields))
    }

    fn write(
        &self,
        date: Date,
        clock: Option<Clock>,
        language: &'static Language,
        to: &mut String,
    ) {
        use std::fmt::Write as _;
        let clock = clock.unwrap_or(Clock {
            hour: 0,
            minute: 0,
            second: 0,
            micros: 0,
        });
        let hour12 = (clock.hour + 11) % 12 + 1;
        let name = |names: &'static [&'static str], index: u8| {
            names.get(usize::from(index)).copied().unwrap_or("")
        };
        let month = date.month.saturating_sub(1);
        for field in &self.0 {
            // Writing into a string can't fail.
            let _ = match field {
                Field::Literal(text) => to.write_str(text),
                Field::Year => write!(to, "{:04}", date.year),
                Field::YearShort => write!(to, "{:02}", date.year.rem_euclid(100)),
                Field::Month => write!(to, "{}", date.month),
                Field::MonthPadded => write!(to, "{:02}", date.month),
                Field::MonthShort => to.write_str(name(&language.months_short, month)),
                Field::MonthName => to.write_str(name(&language.months, month)),
                Field::Day => write!(to, "{}", date.day),
                Field::DayPadded => write!(to, "{:02}", date.day),
                Field::WeekdayShort => to.write_str(name(&language.days_short, date.weekday)),
                Field::WeekdayName => to.write_str(name(&language.days, date.weekday)),
                Field::Hour => write!(to, "{}", clock.hour),
                Field::HourPadded => write!(to, "{:02}", clock.hour),
                Field::Hour12 => write!(to, "{hour12}"),
                Field::Hour12Padded => write!(to, "{hour12:02}"),
                Field::Minute => write!(to, "{:02}", clock.minute),
                Field::Second => write!(to, "{:02}", clock.second),
                Field::HalfDay => to.write_str(language.half_days[usize::from(clock.hour >= 12)]),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(format: &Format, locale: Locale, value: &Value<'_>) -> String {
        Formatter::new(format, ColumnKind::Float, locale).text(value)
    }

    fn currency(code: &str) -> Format {
        Format::Currency {
            code: code.into(),
            decimals: None,
        }
    }

    #[test]
    fn numbers_by_locale() {
        let format = Format::Number {
            decimals: Some(2),
            grouping: true,
        };
        let value = Value::Decimal {
            unscaled: -123_456_789,
            scale: 2,
        };
        for (locale, expected) in [
            (Locale::En, "-1,234,567.89"),
            (Locale::EnGb, "-1,234,567.89"),
            (Locale::De, "-1.234.567,89"),
            (Locale::Fr, "-1\u{202f}234\u{202f}567,89"),
            (Locale::Ja, "-1,234,567.89"),
        ] {
            assert_eq!(show(&format, locale, &value), expected);
        }
        let plain = Format::Number {
            decimals: None,
            grouping: false,
        };
        assert_eq!(show(&plain, Locale::De, &Value::Float(1234.5)), "1234,5");
    }

    #[test]
    fn money_by_locale_and_currency() {
        let value = Value::Float(1234.5);
        for (locale, code, expected) in [
            (Locale::En, "EUR", "€1,234.50"),
            (Locale::De, "EUR", "1.234,50\u{a0}€"),
            (Locale::Fr, "EUR", "1\u{202f}234,50\u{a0}€"),
            (Locale::Ja, "JPY", "¥1,235"),
            (Locale::De, "JPY", "1.235\u{a0}¥"),
            (Locale::En, "KWD", "KWD\u{a0}1,234.500"),
            (Locale::En, "USD", "$1,234.50"),
            (Locale::EnGb, "USD", "US$1,234.50"),
        ] {
            assert_eq!(show(&currency(code), locale, &value), expected);
        }
        assert_eq!(
            show(&currency("EUR"), Locale::En, &Value::Float(-0.001)),
            "€0.00"
        );
        assert_eq!(
            show(&currency("EUR"), Locale::En, &Value::Int(-5)),
            "-€5.00"
        );
    }

    #[test]
    fn rounding_is_half_away_from_zero_in_decimal() {
        let two = Format::Number {
            decimals: Some(2),
            grouping: true,
        };
        for (number, expected) in [
            (1.005, "1.01"),
            (2.675, "2.68"),
            (-1.005, "-1.01"),
            (0.004_999, "0.00"),
            (999.995, "1,000.00"),
            (1e-320, "0.00"),
        ] {
            assert_eq!(
                show(&two, Locale::En, &Value::Float(number)),
                expected,
                "{number}"
            );
        }
        assert_eq!(
            show(
                &two,
                Locale::En,
                &Value::Decimal {
                    unscaled: i128::MIN,
                    scale: 38
                }
            ),
            "-1.70"
        );
        assert_eq!(
            show(
                &two,
                Locale::En,
                &Value::Decimal {
                    unscaled: 5,
                    scale: -3
                }
            ),
            "5,000.00"
        );
        assert_eq!(
            show(&two, Locale::En, &Value::Float(f64::MAX)).len(),
            309 + 102 + 3
        );
        assert_eq!(show(&two, Locale::En, &Value::Float(f64::NAN)), "");
    }

    #[test]
    fn shares() {
        let one = Format::Percent { decimals: None };
        assert_eq!(show(&one, Locale::En, &Value::Float(0.125)), "12.5%");
        assert_eq!(
            show(&one, Locale::De, &Value::Float(-0.125)),
            "-12,5\u{a0}%"
        );
        assert_eq!(show(&one, Locale::Ja, &Value::Int(1)), "100.0%");
    }

    #[test]
    fn years_keep_together_and_large_integers_do_not() {
        assert_eq!(show(&Format::Auto, Locale::En, &Value::Int(2026)), "2026");
        assert_eq!(
            show(&Format::Auto, Locale::En, &Value::Int(12_026)),
            "12,026"
        );
        assert_eq!(
            show(&Format::Auto, Locale::De, &Value::Float(1234.5)),
            "1.234,5"
        );
    }

    #[test]
    fn dates_by_locale() {
        let show = |style, locale| {
            let format = Format::Date {
                style,
                pattern: None,
            };
            Formatter::new(&format, ColumnKind::Date, locale).text(&Value::Date(20_778))
        };
        for (locale, expected) in [
            (
                Locale::En,
                [
                    "11/21/2026",
                    "Nov 21, 2026",
                    "November 21, 2026",
                    "Saturday, November 21, 2026",
                ],
            ),
            (
                Locale::EnGb,
                [
                    "21/11/2026",
                    "21 Nov 2026",
                    "21 November 2026",
                    "Saturday, 21 November 2026",
                ],
            ),
            (
                Locale::De,
                [
                    "21.11.2026",
                    "21. Nov. 2026",
                    "21. November 2026",
                    "Samstag, 21. November 2026",
                ],
            ),
            (
                Locale::Fr,
                [
                    "21/11/2026",
                    "21 nov. 2026",
                    "21 novembre 2026",
                    "samedi 21 novembre 2026",
                ],
            ),
            (
                Locale::Ja,
                [
                    "2026/11/21",
                    "2026年11月21日",
                    "2026年11月21日",
                    "2026年11月21日土曜日",
                ],
            ),
        ] {
            let shown = [
                DateStyle::Short,
                DateStyle::Medium,
                DateStyle::Long,
                DateStyle::Full,
            ]
            .map(|style| show(style, locale));
            assert_eq!(shown, expected);
            assert_eq!(show(DateStyle::Iso, locale), "2026-11-21");
        }
    }

    #[test]
    fn timestamps_have_seconds_where_they_matter() {
        let at = |micros, utc| Value::Timestamp { micros, utc };
        let show = |locale, value: &Value<'_>| {
            Formatter::new(&Format::Auto, ColumnKind::Text, locale).text(value)
        };
        assert_eq!(
            show(Locale::En, &at(1_795_273_440_000_000, false)),
            "11/21/2026, 3:04 PM"
        );
        assert_eq!(
            show(Locale::De, &at(1_795_273_441_000_000, true)),
            "21.11.2026, 15:04:01 UTC"
        );
        assert_eq!(
            show(Locale::Ja, &at(1_795_273_440_000_000, false)),
            "2026/11/21 15:04"
        );
        assert_eq!(show(Locale::En, &Value::Time(0)), "12:00 AM");
        show(Locale::En, &at(i64::MIN, true));
        show(Locale::En, &at(i64::MAX, true));
    }

    #[test]
    fn patterns() {
        let show = |pattern: &str| {
            let format = Format::Timestamp {
                style: DateStyle::Short,
                pattern: Some(pattern.into()),
                seconds: false,
            };
            format.check().map(|()| {
                let value = Value::Timestamp {
                    micros: 1_795_273_440_000_000,
                    utc: false,
                };
                Formatter::new(&format, ColumnKind::Text, Locale::De).text(&value)
            })
        };
        assert_eq!(show("yyyy-MM-dd HH:mm:ss").unwrap(), "2026-11-21 15:04:00");
        assert_eq!(
            show("EEE, d. MMM yy 'um' h 'Uhr' ''a''").unwrap(),
            "Sa, 21. Nov. 26 um 3 Uhr 'PM'"
        );
        for wrong in ["", "YYYY", "d 'open", "yyy", "Q"] {
            assert_eq!(show(wrong).unwrap_err().kind(), "invalid_option", "{wrong}");
        }
    }

    #[test]
    fn raw_values_are_exact() {
        let raw = |value: Value<'_>| {
            let mut text = String::new();
            write_raw(&value, &mut text);
            text
        };
        assert_eq!(
            raw(Value::Decimal {
                unscaled: -5,
                scale: 3
            }),
            "-0.005"
        );
        assert_eq!(
            raw(Value::Decimal {
                unscaled: 12_345,
                scale: 0
            }),
            "12345"
        );
        assert_eq!(
            raw(Value::Decimal {
                unscaled: 12,
                scale: -2
            }),
            "1200"
        );
        assert_eq!(
            raw(Value::Decimal {
                unscaled: i128::MIN,
                scale: 10
            }),
            "-17014118346046923173168730371.5884105728"
        );
        assert_eq!(raw(Value::Float(0.1)), "0.1");
        assert_eq!(raw(Value::Float(1e300)), "1e300");
        assert_eq!(raw(Value::Float(-0.0)), "-0");
        assert_eq!(
            raw(Value::Timestamp {
                micros: -1,
                utc: true
            }),
            "1969-12-31T23:59:59.999999Z"
        );
        assert_eq!(raw(Value::Time(3_600_500_000)), "01:00:00.5");
        assert_eq!(raw(Value::Date(-719_529)), "-001-12-31");
    }
}
