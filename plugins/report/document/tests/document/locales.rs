//! Numbers, money, dates and times in the five languages, compared with Babel, which writes them by the Unicode
//! consortium's CLDR.

use report_document::{ColumnKind, CsvOptions, Locale, Value};
use serde_json::{Value as Json, json};

use crate::harness::{To, document, feed_table, inspect, options, try_write};

/// Their decimals are the same in CLDR and ISO 4217.
const CURRENCIES: &[&str] = &[
    "EUR", "USD", "GBP", "JPY", "CNY", "INR", "KRW", "ILS", "VND", "PHP", "BRL", "CAD", "AUD",
    "NZD", "MXN", "HKD", "TWD", "THB", "XAF", "XOF", "XPF", "XCD", "CHF", "SEK", "PLN", "KWD",
    "ARS", "SGD", "GIP", "CLP",
];
const STYLES: [&str; 4] = ["short", "medium", "long", "full"];
/// Ten-thousandths.
const NUMBERS: [i64; 10] = [
    0,
    5_000,
    -5_000,
    10_000,
    9_999_000,
    -9_999_900,
    12_345_000,
    -12_345_678,
    10_000_000_000,
    123_456_789_012,
];
/// Days since 1970: one in each month, on each weekday, and of one and two digits.
const DAYS: [i32; 14] = [
    20_454, 20_485, 20_513, 20_544, 20_574, 20_605, 20_636, 20_667, 20_698, 20_729, 20_761, 20_818,
    19_782, -1,
];
/// Seconds since midnight.
const TIMES: [i64; 6] = [0, 59, 3_600, 43_200, 46_861, 86_340];

/// Says what differs, and from what. Signs of currencies that end in letters have a space before digits, by CLDR's own
/// rule (`currencySpacing`), which Babel leaves out; short dates have years of four digits, which is ours.
const COMPARE: &str = r##"
import csv, datetime, decimal, json, sys, unicodedata
from decimal import Decimal
from babel import Locale, dates, numbers
wanted = json.loads(WANTED)
name = {"en": "en_US", "en-GB": "en_GB"}.get(wanted["locale"], wanted["locale"])
locale = Locale.parse(name)
lines = list(csv.reader(open(sys.argv[1], newline="", encoding="utf-8"), delimiter=wanted["delimiter"]))
epoch = datetime.datetime(1970, 1, 1)

def money(number, code):
    shown = numbers.format_currency(number, code, locale=name)
    sign = numbers.get_currency_symbol(code, name)
    if unicodedata.category(sign[-1])[0] not in "SZ":
        for digit in "0123456789":
            shown = shown.replace(sign + digit, sign + "\u00a0" + digit)
    return shown

def date(day, style):
    pattern = locale.date_formats[style].pattern
    if style == "short" and "yyyy" not in pattern:
        pattern = pattern.replace("yy", "y")
    return dates.format_date(day, pattern, locale=name)

def expected(column, number, day, second):
    kind, _, detail = column.partition(" ")
    moment = epoch + datetime.timedelta(days=day, seconds=second)
    time = dates.format_time(moment.time(), "medium" if kind == "seconds" or (kind == "time" and moment.second) else "short", locale=name)
    return {
        "number": lambda: numbers.format_decimal(number, "#,##0.00" if detail == "2" else "#,##0", locale=name),
        "percent": lambda: numbers.format_percent(number, str(locale.percent_formats[None].pattern).replace("#,##0", "#,##0.00"), locale=name),
        "money": lambda: money(number, detail),
        "date": lambda: date(moment.date(), detail),
        "time": lambda: time,
        "moment": lambda: str(locale.datetime_formats[detail]).replace("{0}", time).replace("{1}", date(moment.date(), detail)),
        "seconds": lambda: str(locale.datetime_formats[detail]).replace("{0}", time).replace("{1}", date(moment.date(), detail)),
    }[kind]()

# As reports round: half away from zero.
decimal.getcontext().rounding = decimal.ROUND_HALF_UP
wrong = []
compared = 0
for line, row in zip(lines[1:], wanted["rows"]):
    number, day, second = Decimal(row[0]) / 10000, row[1], row[2]
    for column, found in zip(lines[0], line):
        right = expected(column, number, day, second)
        # A number that rounds to nothing has no sign in a report.
        if right.startswith("-") and not any(digit in right for digit in "123456789"):
            right = right[1:]
        compared += 1
        if found != right:
            wrong.append([column, row, found, right])
print(json.dumps({"wrong": wrong[:20], "compared": compared}))
"##;

fn columns() -> Vec<(String, ColumnKind, Json)> {
    let number = ColumnKind::Decimal { scale: 4 };
    let clock = ColumnKind::Timestamp { zoned: false };
    let mut columns = vec![
        (
            "number 0".into(),
            number,
            json!({"kind": "number", "decimals": 0}),
        ),
        (
            "number 2".into(),
            number,
            json!({"kind": "number", "decimals": 2}),
        ),
        (
            "percent".into(),
            number,
            json!({"kind": "percent", "decimals": 2}),
        ),
        ("time".into(), ColumnKind::Time, json!("auto")),
    ];
    for code in CURRENCIES {
        columns.push((
            format!("money {code}"),
            number,
            json!({"kind": "currency", "code": code}),
        ));
    }
    for style in STYLES {
        let moment = |seconds| json!({"kind": "timestamp", "style": style, "seconds": seconds});
        columns.push((
            format!("date {style}"),
            ColumnKind::Date,
            json!({"kind": "date", "style": style}),
        ));
        columns.push((format!("moment {style}"), clock, moment(false)));
        columns.push((format!("seconds {style}"), clock, moment(true)));
    }
    columns
}

fn compared(locale: Locale, delimiter: &str) -> Json {
    let columns = columns();
    let count = NUMBERS.len().max(DAYS.len()).max(TIMES.len());
    let inputs: Vec<(i64, i32, i64)> = (0..count)
        .map(|row| {
            (
                NUMBERS[row % NUMBERS.len()],
                DAYS[row % DAYS.len()],
                TIMES[row % TIMES.len()],
            )
        })
        .collect();
    let rows: Vec<Vec<Value<'_>>> = inputs
        .iter()
        .map(|(number, day, second)| {
            let value = |kind: &ColumnKind| match kind {
                ColumnKind::Date => Value::Date(*day),
                ColumnKind::Time => Value::Time(second * 1_000_000),
                ColumnKind::Timestamp { .. } => Value::Timestamp {
                    micros: (i64::from(*day) * 86_400 + second) * 1_000_000,
                    offset: None,
                },
                _ => Value::Decimal {
                    unscaled: (*number).into(),
                    scale: 4,
                },
            };
            columns.iter().map(|(_, kind, _)| value(kind)).collect()
        })
        .collect();
    let formats: serde_json::Map<String, Json> = columns
        .iter()
        .map(|(name, _, format)| (name.clone(), json!({"format": format})))
        .collect();
    let names: Vec<(&str, ColumnKind)> = columns
        .iter()
        .map(|(name, kind, _)| (name.as_str(), *kind))
        .collect();
    let csv = To::Csv(options::<CsvOptions>(
        json!({"localized": true, "delimiter": delimiter}),
    ));
    let (bytes, _) = try_write(csv, document(locale), |outputs| {
        feed_table(outputs, json!({"columns": formats}), &names, &rows)
    })
    .unwrap();
    let wanted = json!({"locale": locale.tag(), "delimiter": delimiter, "rows": inputs});
    let program = COMPARE.replace("WANTED", &format!("r'''{wanted}'''"));
    inspect(&program, &bytes, "localized.csv")
}

#[test]
fn numbers_money_dates_and_times_are_written_as_cldr_has_them() {
    for locale in [Locale::En, Locale::EnGb, Locale::De, Locale::Fr, Locale::Ja] {
        let found = compared(locale, "|");
        assert_eq!(found["wrong"], json!([]), "{}", locale.tag());
        assert_eq!(found["compared"], json!(columns().len() * DAYS.len()));
    }
}
