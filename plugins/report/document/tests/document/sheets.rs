//! Workbooks, measured with openpyxl and by what `LibreOffice` shows.

use serde_json::json;

use crate::{
    browser::{named, sheets, write},
    harness::{inspect, office},
};

/// How each sheet is printed and shown, and where its charts and page breaks are.
const LAYOUT: &str = r#"
import json, openpyxl, sys
book = openpyxl.load_workbook(sys.argv[1])
told = []
for sheet in book.worksheets:
    charts = [[chart.anchor._from.row + 1, chart.anchor.to.row + 1] for chart in sheet._charts]
    told.append({
        "name": sheet.title, "fits": bool(sheet.sheet_properties.pageSetUpPr and sheet.sheet_properties.pageSetUpPr.fitToPage),
        "pages": sheet.page_setup.fitToWidth, "lies": sheet.page_setup.orientation == "landscape",
        "repeated": sheet.print_title_cols, "frozen": sheet.freeze_panes, "rtl": bool(sheet.sheet_view.rightToLeft),
        "charts": charts, "breaks": [each.id for each in sheet.row_breaks.brk], "rows": sheet.max_row,
        "heights": [sheet.row_dimensions[row + 1].height or 15 for row in range((max([to for _, to in charts] or [0])))]})
print(json.dumps(told))
"#;

#[test]
fn wide_tables_are_printed_on_several_pages_and_keep_their_first_column() {
    let told = inspect(LAYOUT, &write(&named("sixty"), "xlsx"), "sixty.xlsx");
    let sheet = &told[0];
    let pages = sheet["pages"].as_u64().unwrap();
    assert!((3..=6).contains(&pages), "{sheet}");
    assert_eq!(sheet["lies"], json!(true));
    assert_eq!(sheet["repeated"], json!("$A:$A"));
    assert_eq!(sheet["frozen"], json!("B2"));
    // LibreOffice's letters are large enough to be read.
    let pdf = office(&write(&named("sixty"), "xlsx"), "sixty.xlsx", "pdf");
    for (index, page) in sheets(&pdf).iter().enumerate() {
        let word = page.word("A-10000");
        let height = word.bottom - word.top;
        assert!(height > 5.0, "{height} points on page {}", index + 1);
    }
    let told = inspect(LAYOUT, &write(&named("money"), "xlsx"), "money.xlsx");
    let table = &told[1];
    assert_eq!(
        (&table["pages"], &table["lies"], &table["frozen"]),
        (&json!(null), &json!(false), &json!("A2")),
        "{table}"
    );
}

/// Texts that are wider than their columns and not broken into lines, and rows too low for theirs.
const TEXTS: &str = r#"
import json, math, openpyxl, sys
book = openpyxl.load_workbook(sys.argv[1])
hidden, low = [], []
for row in book.worksheets[-1].iter_rows(min_row=2):
    for cell in row:
        # Labels of totals reach into the empty cells beside them.
        if not isinstance(cell.value, str) or cell.font.bold:
            continue
        width = cell.parent.column_dimensions[cell.column_letter].width
        em = lambda text: sum(1.75 if ord(c) > 0x2e80 else 0.9 for c in text)
        lines = sum(max(1, math.ceil(em(line) / width - .05)) for line in cell.value.rstrip().split("\n"))
        height = cell.parent.row_dimensions[cell.row].height or 15
        if lines > 1 and not cell.alignment.wrap_text:
            hidden.append(cell.value[:20])
        if height < min(lines, 27) * 14:
            low.append([cell.value[:20], lines, height])
print(json.dumps([hidden, low]))
"#;

#[test]
fn long_texts_are_broken_into_lines_that_their_rows_show() {
    for name in ["long", "japanese", "arabic", "ten"] {
        let told = inspect(TEXTS, &write(&named(name), "xlsx"), "texts.xlsx");
        assert_eq!(told, json!([[], []]), "{name}");
    }
}

#[test]
fn charts_are_not_parted_by_the_ends_of_pages() {
    let told = inspect(LAYOUT, &write(&named("charts"), "xlsx"), "charts.xlsx");
    let front = &told[0];
    let number = |value: &serde_json::Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let breaks: Vec<usize> = front["breaks"]
        .as_array()
        .unwrap()
        .iter()
        .map(number)
        .collect();
    let heights: Vec<f64> = front["heights"]
        .as_array()
        .unwrap()
        .iter()
        .map(|height| height.as_f64().unwrap())
        .collect();
    let mut from = 0;
    for to in breaks.iter().copied().chain([heights.len()]) {
        let page: f64 = heights[from..to].iter().sum();
        // A4 with the margins of spreadsheets, as small as five columns of 24 characters need it.
        assert!(page < 734.0 / 0.755, "rows {from} to {to}: {page}");
        from = to;
    }
    for chart in front["charts"].as_array().unwrap() {
        let (from, to) = (number(&chart[0]), number(&chart[1]));
        assert!(
            !breaks.iter().any(|at| (from..to).contains(at)),
            "{chart} and {breaks:?}"
        );
    }
    // The data of all series stand beside each other.
    let pdf = sheets(&office(
        &write(&named("charts"), "xlsx"),
        "charts.xlsx",
        "pdf",
    ));
    let data = pdf
        .iter()
        .find(|page| page.words.iter().any(|word| word.text == "€115,807"));
    let data = data.unwrap();
    assert!(data.word("east").left > data.word("North").right);
    assert!((data.word("North").right - data.word("€115,807").right).abs() < 1.0);
}

#[test]
fn reports_in_arabic_begin_on_the_right_side() {
    let bytes = write(&named("arabic"), "xlsx");
    let told = inspect(LAYOUT, &bytes, "arabic.xlsx");
    for sheet in told.as_array().unwrap() {
        assert_eq!(sheet["rtl"], json!(true), "{sheet}");
    }
    let pdf = sheets(&office(&bytes, "arabic.xlsx", "pdf"));
    let table = pdf.last().unwrap();
    let (date, amount) = (table.word("9/6/2026"), table.word("$4,690.00"));
    let name = table.word("ABC");
    assert!(amount.right < date.left && date.right < name.left);
}

#[test]
fn truth_values_are_words() {
    let pdf = sheets(&office(&write(&named("ten"), "xlsx"), "ten.xlsx", "pdf"));
    let (first, cell) = (&pdf[0], pdf[0].word("A-25838"));
    let line = first
        .words
        .iter()
        .filter(|word| (word.top - cell.top).abs() < 1.0);
    let line: Vec<&str> = line.map(|word| word.text.as_str()).collect();
    assert!(line.contains(&"Yes"), "{line:?}");
}
