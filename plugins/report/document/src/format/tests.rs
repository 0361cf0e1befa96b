//! What is shown of values, in every language.

use super::*;
use crate::model::Locale;

fn show(format: &Format, locale: Locale, value: &Value<'_>) -> String {
    Formatter::new(format, locale).text(value)
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
        (Locale::Ja, "JPY", "￥1,235"),
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
fn integers_may_be_years_or_numbers_of_articles_and_keep_together() {
    // One rule for all of a column: 9000 doesn't stand above 10,000.
    for (value, shown) in [(2026, "2026"), (12_026, "12026"), (-100_200, "-100200")] {
        let value = Value::Int(value);
        assert_eq!(show(&Format::Auto, Locale::En, &value), shown);
    }
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
        Formatter::new(&format, locale).text(&Value::Date(20_778))
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
                "21.11.2026",
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
                "2026/11/21",
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
    let at = |micros, offset| Value::Timestamp { micros, offset };
    let show = |locale, value: &Value<'_>| Formatter::new(&Format::Auto, locale).text(value);
    assert_eq!(
        show(Locale::En, &at(1_795_273_440_000_000, None)),
        "11/21/2026, 3:04\u{202f}PM"
    );
    assert_eq!(
        show(Locale::De, &at(1_795_273_441_000_000, Some(0))),
        "21.11.2026, 15:04:01 UTC"
    );
    assert_eq!(
        show(Locale::Ja, &at(1_795_273_440_000_000, None)),
        "2026/11/21 15:04"
    );
    assert_eq!(show(Locale::En, &Value::Time(0)), "12:00\u{202f}AM");
    // In New York it is another day.
    assert_eq!(
        show(
            Locale::De,
            &at(1_795_273_441_000_000 - 43_200_000_000, Some(-18_000))
        ),
        "20.11.2026, 22:04:01 -05:00"
    );
    for micros in [i64::MIN, i64::MAX] {
        for offset in [Some(0), Some(i32::MAX), Some(i32::MIN), None] {
            show(Locale::En, &at(micros, offset));
        }
    }
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
                offset: None,
            };
            Formatter::new(&format, Locale::De).text(&value)
        })
    };
    assert_eq!(show("yyyy-MM-dd HH:mm:ss").unwrap(), "2026-11-21 15:04:00");
    assert_eq!(
        show("EEE, d. MMM yy 'um' h 'Uhr' ''a''").unwrap(),
        "Sa., 21. Nov. 26 um 3 Uhr 'PM'"
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
            offset: Some(0)
        }),
        "1969-12-31T23:59:59.999999Z"
    );
    assert_eq!(
        raw(Value::Timestamp {
            micros: 0,
            offset: Some(-34_200)
        }),
        "1969-12-31T14:30:00-09:30"
    );
    assert_eq!(raw(Value::Time(3_600_500_000)), "01:00:00.5");
    assert_eq!(raw(Value::Date(-719_529)), "-001-12-31");
}
