//! CSV, read back with Python's csv module.

use report_document::{ColumnKind, CsvOptions, Locale, Value};
use serde_json::{Value as Json, json};

use crate::harness::{
    To, document, feed_all, feed_orders, feed_table, inspect, options, text, try_write, write,
};

const READ: &str = "import csv, json, sys\nprint(json.dumps(list(csv.reader(open(sys.argv[1], newline='', encoding='utf-8')))))";

fn csv(wanted: Json) -> To {
    To::Csv(options::<CsvOptions>(wanted))
}

#[test]
fn values_are_raw_and_come_back() {
    let bytes = write(csv(json!({})), feed_all);
    let rows = inspect(READ, &bytes, "report.csv");
    assert_eq!(
        rows,
        json!([
            ["region", "day", "customer", "Pieces", "Amount", "paid"],
            [
                "North",
                "2026-11-21",
                "Müller, \"Söhne\"",
                "3",
                "1234.56",
                "true"
            ],
            ["North", "2026-11-22", "=1+1", "", "-0.50", "false"],
            [
                "South",
                "2026-11-23",
                "株式会社山田",
                "40",
                "10000.00",
                "true"
            ],
            [
                "South",
                "1887-11-12",
                "شركة النور 🚀 <b>",
                "7",
                "0.01",
                "false"
            ],
        ])
    );
    assert!(
        text(bytes).contains("\r\nNorth,2026-11-21,\"Müller, \"\"Söhne\"\"\",3,1234.56,true\r\n")
    );
}

#[test]
fn options_change_what_they_say() {
    let wanted = json!({"delimiter": ";", "bom": true, "totals": true, "localized": true, "escape_formulas": true});
    let (bytes, _) = try_write(csv(wanted), document(Locale::De), feed_orders).unwrap();
    let written = text(bytes);
    assert!(
        written.starts_with("\u{feff}region;day;customer;Pieces;Amount;paid\r\n"),
        "{written}"
    );
    for line in [
        "North;21.11.2026;\"Müller, \"\"Söhne\"\"\";3;1.234,56\u{a0}€;Ja",
        "North;22.11.2026;'=1+1;;-0,50\u{a0}€;Nein",
        "Summe North;;;3;1.234,06\u{a0}€;",
        "Summe;;;50;11.234,07\u{a0}€;",
    ] {
        assert!(
            written.contains(&format!("\r\n{line}\r\n")),
            "{line} is missing in {written}"
        );
    }
}

/// As Excel writes CSV where numbers have a decimal comma.
#[test]
fn a_decimal_comma_is_no_delimiter() {
    for (locale, delimiter) in [
        (Locale::De, ';'),
        (Locale::Fr, ';'),
        (Locale::En, ','),
        (Locale::Ja, ','),
    ] {
        let of = |options| {
            let (bytes, _) = try_write(csv(options), document(locale), feed_orders).unwrap();
            text(bytes)
        };
        let head = format!("region{delimiter}day{delimiter}customer");
        assert!(
            of(json!({"localized": true})).starts_with(&head),
            "{locale:?}"
        );
        assert!(of(json!({})).starts_with("region,day,"), "{locale:?}");
        let given = of(json!({"localized": true, "delimiter": "|"}));
        assert!(given.starts_with("region|day|"), "{locale:?}");
    }
}

#[test]
fn odd_texts_come_back() {
    let odd = [
        "",
        " a",
        "a ",
        "a\nb",
        "a\r\nb",
        "\"",
        "\"\"",
        ",",
        "\u{feff}x",
        "tab\t",
        "-5",
        "'",
    ];
    let rows: Vec<Vec<Value<'_>>> = odd.iter().map(|text| vec![Value::text(text)]).collect();
    let bytes = write(csv(json!({"header": false})), |outputs| {
        feed_table(outputs, json!({}), &[("t", ColumnKind::Text)], &rows)
    });
    let expected: Vec<[&str; 1]> = odd.iter().map(|text| [*text]).collect();
    assert_eq!(inspect(READ, &bytes, "odd.csv"), json!(expected));
}

#[test]
fn one_table_is_written_and_no_other() {
    let two = |outputs: &mut report_document::Outputs<'_>| {
        for title in ["first", "second"] {
            let rows = [vec![Value::text(title)]];
            feed_table(
                outputs,
                json!({"title": title}),
                &[("t", ColumnKind::Text)],
                &rows,
            )?;
        }
        Ok(())
    };
    assert_eq!(
        text(write(csv(json!({"table": "second"})), two)),
        "t\r\nsecond\r\n"
    );
    let refused = |wanted,
                   feed: fn(
        &mut report_document::Outputs<'_>,
    ) -> Result<(), report_document::Error>| {
        try_write(csv(wanted), document(Locale::En), feed).unwrap_err()
    };
    assert_eq!(
        try_write(csv(json!({})), document(Locale::En), two)
            .unwrap_err()
            .kind(),
        "not_one_table"
    );
    assert_eq!(refused(json!({}), |_| Ok(())).kind(), "not_one_table");
    let unknown = refused(json!({"table": "third"}), feed_orders);
    assert!(unknown.to_string().contains("Orders"), "{unknown}");
    assert_eq!(
        refused(json!({"delimiter": "a"}), feed_orders).kind(),
        "invalid_option"
    );
}
