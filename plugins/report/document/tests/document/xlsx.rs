//! XLSX, read back with openpyxl and opened by `LibreOffice`.

use report_document::{ColumnKind, Locale, Value};
use serde_json::{Value as Json, json};

use crate::harness::{
    To, document, feed_all, feed_orders, feed_table, inspect, office, options, text, try_write,
    write,
};

/// All sheets: cells with values, types and formats; what is frozen and filtered.
const READ: &str = r#"
import json, sys, openpyxl
def plain(value):
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        return int(value)
    return value if isinstance(value, (int, float, str, bool, type(None))) else value.isoformat()
def sheets(data_only):
    book = openpyxl.load_workbook(sys.argv[1], data_only=data_only)
    return book, {sheet.title: [[plain(cell.value) for cell in row] for row in sheet.iter_rows()] for sheet in book}
book, formulas = sheets(False)
_, values = sheets(True)
info = {sheet.title: {"freeze": sheet.freeze_panes, "filter": sheet.auto_filter.ref, "charts": len(sheet._charts),
  "formats": [cell.number_format for cell in list(sheet.iter_rows())[1]] if sheet.max_row > 1 else [],
  "types": [cell.data_type for cell in list(sheet.iter_rows())[1]] if sheet.max_row > 1 else [],
  "widths": [sheet.column_dimensions[c].width for c in "ABC"], "repeat": sheet.print_title_rows, "footer": sheet.oddFooter.right.text} for sheet in book}
print(json.dumps({"formulas": formulas, "values": values, "info": info, "names": book.sheetnames, "title": book.properties.title, "creator": book.properties.creator}))
"#;

#[test]
fn a_whole_report() {
    let bytes = write(To::Xlsx, feed_all);
    let book = inspect(READ, &bytes, "report.xlsx");
    assert_eq!(
        (&book["title"], &book["creator"]),
        (&json!("Quarter & <review>"), &json!("Finance"))
    );
    assert_eq!(book["names"], json!(["Overview", "Orders", "Chart data"]));
    assert_eq!(book["info"]["Overview"]["charts"], 4);
    assert_eq!(book["values"]["Overview"][0][0], "Quarter & <review>");
    let data = book["values"]["Chart data"].as_array().unwrap();
    assert_eq!(data[1], json!(["month", "North <N>", "south"]));
    assert_eq!(data[3], json!(["Feb", 800, null]));
}

#[test]
fn tables_are_ready_to_work_with() {
    let book = inspect(READ, &write(To::Xlsx, feed_orders), "orders.xlsx");
    let info = &book["info"]["Orders"];
    assert_eq!(
        (&info["freeze"], &info["filter"]),
        (&json!("A2"), &json!("A1:F7"))
    );
    assert_eq!(info["repeat"], "$1:$1");
    assert_eq!(info["footer"], "&P / &N");
    let formats = info["formats"].as_array().unwrap();
    assert_eq!(formats[1], "m\\/d\\/yyyy");
    assert_eq!(formats[4], "[$€-409]#,##0.00");
    assert!(
        info["widths"]
            .as_array()
            .unwrap()
            .iter()
            .all(|width| width.as_f64().unwrap() > 6.0)
    );
    let values = &book["values"]["Orders"];
    assert_eq!(
        values[1],
        json!([
            "North",
            "2026-11-21T00:00:00",
            "Müller, \"Söhne\"",
            3,
            1234.56,
            true
        ])
    );
    assert_eq!(
        values[2],
        json!(["North", "2026-11-22T00:00:00", "=1+1", null, -0.5, false])
    );
    // Spreadsheets know no days before 1900.
    assert_eq!(values[5][1], "1887-11-12");
    assert_eq!(
        values[3],
        json!(["Total North", null, null, 3, 1234.06, null])
    );
    assert_eq!(values[7], json!(["Total", null, null, 50, 11234.07, null]));
    let formulas = &book["formulas"]["Orders"];
    assert_eq!(formulas[3][4], "=SUBTOTAL(9,E2:E3)");
    assert_eq!(formulas[6][3], "=SUBTOTAL(9,D5:D6)");
    assert_eq!(formulas[7][4], "=SUBTOTAL(9,E2:E7)");
}

#[test]
fn what_a_spreadsheet_cannot_hold_is_text_or_cut() {
    let long = "x".repeat(40_000);
    let rows = [
        vec![
            Value::Int(999_999_999_999_999),
            Value::text("=cmd|' /C calc'!A0"),
            Value::Float(f64::INFINITY),
            Value::Time(45_000_000_000),
        ],
        vec![
            Value::Int(1_000_000_000_000_000),
            Value::text("a\u{1}b"),
            Value::Float(1e300),
            Value::Null,
        ],
        vec![
            Value::UInt(u64::MAX),
            Value::text(&long),
            Value::Float(-0.5),
            Value::Null,
        ],
        vec![
            Value::Decimal {
                unscaled: 12_345_678_901_234_567,
                scale: 2,
            },
            Value::text("_x0041_"),
            Value::Null,
            Value::Null,
        ],
        vec![
            Value::Decimal {
                unscaled: 1_000_000_000_000_000_000,
                scale: 18,
            },
            Value::text("http://example.com"),
            Value::Null,
            Value::Null,
        ],
    ];
    let columns = [
        ("n", ColumnKind::Int),
        ("t", ColumnKind::Text),
        ("f", ColumnKind::Float),
        ("c", ColumnKind::Time),
    ];
    let wanted = json!({"title": "a/b", "columns": {"n": {"total": "sum"}}});
    let (bytes, warnings) = try_write(To::Xlsx, document(Locale::En), |outputs| {
        feed_table(outputs, wanted, &columns, &rows)
    })
    .unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].kind == "text_cut" && warnings[0].message.contains("32,767"),
        "{warnings:?}"
    );
    let book = inspect(READ, &bytes, "odd.xlsx");
    let values = &book["values"]["a b"];
    assert_eq!(
        values[1],
        json!([
            999_999_999_999_999_i64,
            "=cmd|' /C calc'!A0",
            null,
            "12:30:00"
        ])
    );
    assert_eq!(book["info"]["a b"]["types"][1], "s");
    assert_eq!(
        values[2],
        json!(["1000000000000000", "a\u{fffd}b", 1e300, null])
    );
    assert_eq!(values[3][0], "18446744073709551615");
    assert_eq!(values[3][1].as_str().unwrap().len(), 32_767);
    assert_eq!(values[4][0], "123456789012345.67");
    assert_eq!(values[5][0], 1);
    // SUBTOTAL would leave out the texts: the total is a value.
    assert_eq!(book["formulas"]["a b"][6][0], "18448867530498563960.67");
}

#[test]
fn libreoffice_opens_it_and_computes_the_same() {
    let (bytes, _) = try_write(To::Xlsx, document(Locale::Ja), feed_all).unwrap();
    // All sheets, as shown, one file each; the second is the table.
    let csv = text(office(
        &bytes,
        "report.xlsx",
        "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,true,false,false,2",
    ));
    assert!(csv.contains("株式会社山田"), "{csv}");
    assert!(csv.contains("2026/11/21"), "{csv}");
    assert!(
        csv.contains("\"€11,234.07\"") || csv.contains("€11,234.07"),
        "{csv}"
    );
    assert!(csv.contains("North 小計") && csv.contains("合計"), "{csv}");
    let pdf = office(&bytes, "report.xlsx", "pdf");
    let shown = crate::harness::pdf_text(&pdf);
    assert!(
        shown.contains("=1+1") && shown.contains("A bar & more"),
        "{shown}"
    );
}

#[test]
fn long_tables_go_on_in_further_sheets() {
    let rows = 1_048_576 + 10;
    let (bytes, _) = try_write(To::Xlsx, document(Locale::En), |outputs| {
        let columns = [report_document::Column::new("n", ColumnKind::Int)];
        let wanted = options(json!({"title": "Long", "columns": {"n": {"total": "sum"}}}));
        let table = report_document::Table::new(&wanted, &columns)?;
        let mut feed = outputs.table(&table)?;
        (0..rows).try_for_each(|_| feed.row(&[Value::Int(1)]))?;
        assert_eq!(feed.finish()?, 1_048_586);
        Ok(())
    })
    .unwrap();
    let program = "import json, sys, openpyxl\nbook = openpyxl.load_workbook(sys.argv[1], read_only=True)\nprint(json.dumps([[sheet.title, sheet.max_row, [[c.value if isinstance(c.value, str) else int(c.value) for c in row] for row in sheet.iter_rows(min_row=1, max_row=2)]] for sheet in book] + [int([row[0].value for row in book.worksheets[1].iter_rows()][-1])]))";
    let read = inspect(program, &bytes, "long.xlsx");
    assert_eq!(read[0], json!(["Long", 1_048_574, [["n"], [1]]]));
    assert_eq!(read[1], json!(["Long (2)", 15, [["n"], [1]]]));
    assert_eq!(read[2], 1_048_586);
}

#[test]
fn an_empty_report_is_a_workbook() {
    let book = inspect(READ, &write(To::Xlsx, |_| Ok(())), "empty.xlsx");
    assert_eq!(
        book["values"]["Overview"][0][0],
        Json::from("Quarter & <review>")
    );
    let columns = [("a", ColumnKind::Text)];
    let book = inspect(
        READ,
        &write(To::Xlsx, |outputs| {
            feed_table(outputs, json!({}), &columns, &[])
        }),
        "none.xlsx",
    );
    assert_eq!(book["values"]["Table"], json!([["a"]]));
}
