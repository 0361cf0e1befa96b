//! JSON.

use report_document::{ColumnKind, JsonOptions, Value};
use serde_json::{Value as Json, json};

use crate::harness::{To, feed_all, feed_orders, feed_table, inspect, options, text, write};

fn to(wanted: Json) -> To {
    To::Json(options::<JsonOptions>(wanted))
}

#[test]
fn a_whole_report() {
    let report: Json = serde_json::from_slice(&write(to(json!({})), feed_all)).unwrap();
    assert_eq!(report["title"], "Quarter & <review>");
    assert_eq!(
        (&report["date"], &report["locale"]),
        (&json!("2026-11-21"), &json!("en"))
    );
    let kinds: Vec<&str> = report["sections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|section| section["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "text",
            "key_figures",
            "chart",
            "chart",
            "chart",
            "chart",
            "table"
        ]
    );
    assert_eq!(
        report["sections"][1]["figures"][0],
        json!({"name": "revenue", "title": "Revenue", "value": 0.25})
    );
    let chart = &report["sections"][2];
    assert_eq!(chart["categories"], json!(["Jan", "Feb", "三月"]));
    assert_eq!(
        chart["series"][1],
        json!({"title": "south", "values": [-300, null, 410]})
    );
    let table = &report["sections"][6];
    assert_eq!(
        table["columns"][4],
        json!({"name": "amount", "title": "Amount", "type": "decimal", "total": "sum"})
    );
    assert_eq!(table["groups"][0]["group"], "North");
    assert_eq!(
        table["groups"][0]["subtotals"],
        json!({"pieces": 3, "amount": 1234.06})
    );
    assert_eq!(table["groups"][1]["rows"][0]["customer"], "株式会社山田");
    assert_eq!(table["groups"][1]["row_count"], 2);
    assert_eq!(table["totals"], json!({"pieces": 50, "amount": 11234.07}));
    assert_eq!(table["row_count"], 4);
}

#[test]
fn numbers_keep_all_of_their_digits() {
    let rows = [vec![
        Value::Decimal {
            unscaled: 12_345_678_901_234_567_890_123,
            scale: 3,
        },
        Value::UInt(u64::MAX),
        Value::Float(f64::NAN),
        Value::Float(1e22),
    ]];
    let columns = [
        ("d", ColumnKind::Decimal { scale: 3 }),
        ("u", ColumnKind::Int),
        ("nan", ColumnKind::Float),
        ("f", ColumnKind::Float),
    ];
    let write = |wanted| {
        text(write(to(wanted), |outputs| {
            feed_table(outputs, json!({}), &columns, &rows)
        }))
    };
    let program = "import decimal, json, sys\nreport = json.load(open(sys.argv[1]), parse_float=decimal.Decimal)\nprint(json.dumps([str(v) for v in report['sections'][0]['rows'][0].values()]))";
    let read = inspect(program, write(json!({})).as_bytes(), "numbers.json");
    assert_eq!(
        read,
        json!([
            "12345678901234567890.123",
            "18446744073709551615",
            "None",
            "1E+22"
        ])
    );
    let written = write(json!({"exact": "string", "rows": "arrays"}));
    assert!(
        written.contains(r#"["12345678901234567890.123","18446744073709551615",null,1e22]"#),
        "{written}"
    );
}

#[test]
fn texts_are_escaped() {
    let odd = "\"\\\n\r\t\u{0}\u{1f}\u{7f}\u{2028}</script>😀";
    let rows = [vec![Value::text(odd)]];
    let bytes = write(to(json!({})), |outputs| {
        feed_table(outputs, json!({}), &[("\"k\"", ColumnKind::Text)], &rows)
    });
    let report: Json = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(report["sections"][0]["rows"][0]["\"k\""], odd);
}

#[test]
fn empty_tables_are_whole() {
    for wanted in [
        json!({}),
        json!({"group_by": "a", "columns": {"a": {"total": "count"}}}),
    ] {
        let bytes = write(to(json!({})), |outputs| {
            feed_table(outputs, wanted, &[("a", ColumnKind::Text)], &[])
        });
        let report: Json = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(report["sections"][0]["row_count"], 0);
    }
    let nothing: Json = serde_json::from_slice(&write(to(json!({})), |_| Ok(()))).unwrap();
    assert_eq!(nothing["sections"], json!([]));
    write(to(json!({})), feed_orders);
}
