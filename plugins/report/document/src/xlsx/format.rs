//! Number formats and values as spreadsheets know them.

use rust_xlsxwriter::{Color, Format as CellFormat, FormatAlign, FormatBorder};

use crate::{
    calendar,
    format::{
        AMOUNT_SCALE_MAX, Field, Pattern, currency_decimals, currency_sign, write_decimal,
        write_raw, zone_text,
    },
    model::{Align, DateStyle, Format, Locale, Total},
    table::TableColumn,
    value::{ColumnKind, Value},
};

/// The first day that all spreadsheets agree about: 1900-03-01.
const DAY_MIN: i32 = -25_508;
/// 9999-12-31, the last day that they know.
const DAY_MAX: i32 = 2_932_896;
/// Integers up to here have at most 15 digits, which is what a spreadsheet keeps.
const EXACT_MAX: u128 = 999_999_999_999_999;

/// What is written into a cell.
pub(super) enum Cell {
    Empty,
    Number(f64),
    /// A number or date that a spreadsheet can't hold exactly.
    NumberText(String),
    Bool(bool),
    Text,
}

/// How a spreadsheet holds the value.
#[expect(clippy::cast_precision_loss, reason = "at most 15 digits, checked")]
pub(super) fn cell_of(value: &Value<'_>) -> Cell {
    let number_text = || {
        let mut text = String::new();
        write_raw(value, &mut text);
        Cell::NumberText(text)
    };
    match value {
        Value::Null => Cell::Empty,
        Value::Bool(value) => Cell::Bool(*value),
        Value::Int(number) if u128::from(number.unsigned_abs()) <= EXACT_MAX => {
            Cell::Number(*number as f64)
        }
        Value::UInt(number) if u128::from(*number) <= EXACT_MAX => Cell::Number(*number as f64),
        Value::Float(number) if number.is_finite() => Cell::Number(*number),
        Value::Float(_) => Cell::Empty,
        Value::Decimal { unscaled, scale } => {
            // Zeros at the end can be left out without a loss.
            let (mut digits, mut scale) = (unscaled.unsigned_abs(), i32::from(*scale));
            while digits > EXACT_MAX && digits.is_multiple_of(10) {
                digits /= 10;
                scale -= 1;
            }
            if digits > EXACT_MAX || !(-300..=300).contains(&scale) {
                let (Ok(digits), Ok(scale)) = (i128::try_from(digits), i8::try_from(scale)) else {
                    return number_text();
                };
                let mut text = String::new();
                write_decimal(
                    if *unscaled < 0 { -digits } else { digits },
                    scale,
                    &mut text,
                );
                return Cell::NumberText(text);
            }
            let power = 10_f64.powi(scale.abs());
            let number = if scale >= 0 {
                digits as f64 / power
            } else {
                digits as f64 * power
            };
            Cell::Number(if *unscaled < 0 { -number } else { number })
        }
        Value::Int(_) | Value::UInt(_) => number_text(),
        Value::Date(days) if (DAY_MIN..=DAY_MAX).contains(days) => {
            Cell::Number(f64::from(*days) + 25_569.0)
        }
        Value::Date(_) => number_text(),
        Value::Time(micros) => Cell::Number(*micros as f64 / calendar::MICROS_PER_DAY as f64),
        Value::Timestamp { micros, offset } => {
            let micros = calendar::local(*micros, *offset);
            let (days, _) = calendar::split_timestamp(micros);
            if !(DAY_MIN..=DAY_MAX).contains(&days) {
                return number_text();
            }
            // Milliseconds are what spreadsheets show at most.
            let in_day = micros.rem_euclid(calendar::MICROS_PER_DAY) / 1_000;
            Cell::Number(f64::from(days) + 25_569.0 + in_day as f64 / 86_400_000.0)
        }
        Value::Text(_) => Cell::Text,
    }
}

/// The Windows number of the language, which spreadsheets put into formats.
fn language_code(locale: Locale) -> &'static str {
    match locale {
        Locale::En => "409",
        Locale::EnGb => "809",
        Locale::De => "407",
        Locale::Fr => "40C",
        Locale::Ja => "411",
    }
}

/// The number format of a column; `None` is the spreadsheet's own.
pub(super) fn number_format(format: &Format, kind: ColumnKind, locale: Locale) -> Option<String> {
    let digits = |decimals: u8, grouping: bool| {
        let whole = if grouping { "#,##0" } else { "0" };
        if decimals == 0 {
            whole.to_owned()
        } else {
            format!("{whole}.{}", "0".repeat(decimals.into()))
        }
    };
    let by_kind = match kind {
        ColumnKind::Decimal { scale } => u8::try_from(scale).unwrap_or(0).min(15),
        ColumnKind::Float => 2,
        _ => 0,
    };
    match (format, kind) {
        (Format::Text, _)
        | (
            Format::Auto,
            ColumnKind::Float | ColumnKind::Int | ColumnKind::Text | ColumnKind::Nothing,
        ) => None,
        (Format::Auto, ColumnKind::Decimal { scale }) if scale > AMOUNT_SCALE_MAX => None,
        (Format::Auto, ColumnKind::Decimal { .. }) => Some(digits(by_kind, true)),
        (Format::Number { decimals, grouping }, _) => {
            Some(digits(decimals.unwrap_or(by_kind), *grouping))
        }
        (Format::Currency { code, decimals }, _) => {
            let number = digits(decimals.unwrap_or_else(|| currency_decimals(code)), true);
            let sign = format!(
                "[${}-{}]",
                currency_sign(code, locale),
                language_code(locale)
            );
            Some(match locale {
                Locale::De | Locale::Fr => format!("{number}\\ {sign}"),
                _ if currency_sign(code, locale).len() == 3
                    && code == currency_sign(code, locale) =>
                {
                    format!("{sign}\\ {number}")
                }
                _ => format!("{sign}{number}"),
            })
        }
        (Format::Percent { decimals }, _) => {
            Some(format!("{}%", digits(decimals.unwrap_or(1), false)))
        }
        (Format::Date { .. } | Format::Timestamp { .. }, _) => {
            Pattern::of(format, locale).map(|pattern| date_code(&pattern, locale))
        }
        (Format::Auto, ColumnKind::Date) => {
            let format = Format::Date {
                style: DateStyle::Short,
                pattern: None,
            };
            Pattern::of(&format, locale).map(|pattern| date_code(&pattern, locale))
        }
        (Format::Auto, ColumnKind::Timestamp { .. }) => {
            let format = Format::Timestamp {
                style: DateStyle::Short,
                pattern: None,
                seconds: true,
            };
            Pattern::of(&format, locale).map(|pattern| date_code(&pattern, locale))
        }
        // Some spreadsheets show truth values in their own words, and others by this, as 1 and 0 without it.
        (Format::Auto, ColumnKind::Bool) => {
            let [yes, no] = locale.language().yes_no;
            Some(format!("\"{yes}\";\"{yes}\";\"{no}\""))
        }
        (Format::Auto, ColumnKind::Time) => Some("hh:mm:ss".to_owned()),
    }
}

fn date_code(pattern: &Pattern, locale: Locale) -> String {
    let mut code = String::new();
    let names = |field: &Field| {
        matches!(
            field,
            Field::MonthShort | Field::MonthName | Field::WeekdayShort | Field::WeekdayName
        )
    };
    if pattern.0.iter().any(names) {
        code.push_str(&format!("[$-{}]", language_code(locale)));
    }
    for field in &pattern.0 {
        match field {
            Field::Literal(text)
                if text
                    .chars()
                    .all(|c| matches!(c, '/' | '-' | '.' | ':' | ' ' | ',')) =>
            {
                for c in text.chars() {
                    // A slash would become the separator of the reader's own language.
                    if matches!(c, '/' | '.' | ',' | ' ') {
                        code.push('\\');
                    }
                    code.push(c);
                }
            }
            Field::Literal(text) => code.push_str(&format!("\"{}\"", text.replace('"', ""))),
            Field::Year => code.push_str("yyyy"),
            Field::YearShort => code.push_str("yy"),
            // Japanese names of months are the numbers with a sign, which no code writes without a space.
            Field::MonthShort | Field::MonthName if locale == Locale::Ja => {
                code.push_str("m\"月\"");
            }
            Field::Month => code.push('m'),
            Field::MonthPadded | Field::Minute => code.push_str("mm"),
            Field::MonthShort => code.push_str("mmm"),
            Field::MonthName => code.push_str("mmmm"),
            Field::Day => code.push('d'),
            Field::DayPadded => code.push_str("dd"),
            Field::WeekdayShort => code.push_str("ddd"),
            Field::WeekdayName => code.push_str("dddd"),
            Field::Hour | Field::Hour12 => code.push('h'),
            Field::HourPadded | Field::Hour12Padded => code.push_str("hh"),
            Field::Second => code.push_str("ss"),
            Field::HalfDay => code.push_str("AM/PM"),
        }
    }
    code
}

/// The looks of one column.
#[derive(Clone, Debug)]
pub(super) struct ColumnFormats {
    pub(super) data: CellFormat,
    /// What times in these zones look like, in seconds east of UTC: a spreadsheet's numbers have no zone, so that it
    /// stands in their format.
    zoned: Vec<(i32, CellFormat)>,
    /// The number format behind which a zone may stand.
    zone_behind: Option<String>,
    pub(super) number_text: CellFormat,
    /// Texts of several lines.
    pub(super) lines: CellFormat,
    pub(super) head: CellFormat,
    pub(super) subtotal: CellFormat,
    pub(super) total: CellFormat,
}

impl ColumnFormats {
    /// The format of a value in the rows, if it isn't that of its column.
    pub(super) fn of_value(&mut self, value: &Value<'_>) -> Option<&CellFormat> {
        let offset = zone_of(value)?;
        let code = zone_code(self.zone_behind.as_deref()?, offset);
        let known = self.zoned.iter().position(|(known, _)| *known == offset);
        let index = known.unwrap_or_else(|| {
            let format = self.data.clone().set_num_format(code);
            self.zoned.push((offset, format));
            self.zoned.len() - 1
        });
        self.zoned.get(index).map(|(_, format)| format)
    }

    /// The format of a value among totals.
    pub(super) fn of_total(&self, value: &Value<'_>, is_subtotal: bool) -> CellFormat {
        let format = if is_subtotal {
            &self.subtotal
        } else {
            &self.total
        };
        match (zone_of(value), &self.zone_behind) {
            (Some(offset), Some(code)) => format.clone().set_num_format(zone_code(code, offset)),
            _ => format.clone(),
        }
    }
}

fn zone_of(value: &Value<'_>) -> Option<i32> {
    match value {
        Value::Timestamp { offset, .. } => *offset,
        _ => None,
    }
}

/// The number format of a time, with its zone behind it.
pub(super) fn zone_code(code: &str, offset: i32) -> String {
    format!("{code}\" {}\"", zone_text(offset))
}

/// Whether a time's zone stands behind it: not where the column has a pattern of its own, or shows days.
pub(super) fn shows_zone(format: &Format) -> bool {
    matches!(
        format,
        Format::Auto | Format::Timestamp { pattern: None, .. }
    )
}

const TINT: Color = Color::RGB(0xf2_f5f9);
const HEAD: Color = Color::RGB(0xe6_ecf3);
const STRONG_RULE: Color = Color::RGB(0x8a_96a4);

pub(super) fn column_formats(
    column: &TableColumn,
    is_tight: bool,
    locale: Locale,
) -> ColumnFormats {
    let horizontal = match column.align {
        Align::Left => FormatAlign::Left,
        Align::Center => FormatAlign::Center,
        Align::Right => FormatAlign::Right,
    };
    let number = number_format(&column.format, column.kind, locale).or_else(|| {
        // Points below each other. Without any zero a whole number would have a point behind it.
        let zeros = usize::from(column.decimals_min.min(6));
        let is_free = column.has_free_decimals() && zeros > 0;
        is_free.then(|| format!("#,##0.{}{}", "0".repeat(zeros), "#".repeat(6 - zeros)))
    });
    let mut base = CellFormat::new()
        .set_align(horizontal)
        .set_align(FormatAlign::Top);
    if is_tight {
        base = base.set_indent(1);
    }
    let data = match &number {
        Some(number) => base.clone().set_num_format(number.as_str()),
        None => base.clone(),
    };
    let totals = match (column.total, column.kind, &column.format) {
        // A count has no currency, and the average of integers has decimals.
        (Some(Total::Count), ..) => base.clone().set_num_format("#,##0"),
        (
            Some(Total::Average),
            ColumnKind::Int,
            Format::Auto | Format::Number { decimals: None, .. },
        ) => base.clone().set_num_format("#,##0.00"),
        _ => data.clone(),
    };
    ColumnFormats {
        number_text: base.clone().set_align(FormatAlign::Right),
        lines: base.clone().set_text_wrap(),
        head: base
            .set_bold()
            .set_text_wrap()
            .set_align(FormatAlign::Bottom)
            .set_background_color(HEAD)
            .set_border_bottom(FormatBorder::Thin)
            .set_border_bottom_color(STRONG_RULE),
        subtotal: totals.clone().set_bold().set_background_color(TINT),
        total: totals
            .set_bold()
            .set_background_color(HEAD)
            .set_border_top(FormatBorder::Thin)
            .set_border_top_color(STRONG_RULE),
        zone_behind: number.filter(|_| shows_zone(&column.format)),
        zoned: Vec::new(),
        data,
    }
}
