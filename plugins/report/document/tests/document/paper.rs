//! PDF pages, measured by where poppler finds their words.

use report_document::ColumnKind;
use serde_json::json;

use crate::{
    browser::{Sheet, named, sheets, write, write_as},
    harness::{To, document, feed_table, try_write},
};

/// The margin of the paper, in points.
const MARGIN: f64 = 51.02;

fn pages(name: &str) -> Vec<Sheet> {
    sheets(&write(&named(name), "pdf"))
}

/// The words of a table's first line of headings.
fn headings(sheet: &Sheet) -> Vec<&str> {
    let top = sheet.word("order_number").top;
    let words = sheet
        .words
        .iter()
        .filter(|word| (word.top - top).abs() < 1.0);
    words.map(|word| word.text.as_str()).collect()
}

#[test]
fn texts_keep_away_from_numbers() {
    let ten = pages("ten");
    for sheet in &ten {
        for (number, text) in [
            ("discount_rate", "updated_at"),
            ("customer_id", "warehouse"),
        ] {
            let gap = sheet.word(text).left - sheet.word(number).right;
            assert!(gap >= 12.0, "{gap} points between {number} and {text}");
        }
    }
    let gap = pages("long")[0].word("kind").left - pages("long")[0].word("number").right;
    assert!(gap >= 12.0, "{gap}");
}

#[test]
fn pages_side_by_side_are_filled_alike() {
    for name in ["twenty", "sixty"] {
        let mut counts = Vec::new();
        for sheet in pages(name) {
            let words = headings(&sheet);
            let is_body = |top: f64| top > MARGIN && top < sheet.height - MARGIN;
            let ends = sheet.words.iter().filter(|word| is_body(word.top));
            let end = ends.map(|word| word.right).fold(0.0, f64::max);
            // What is left aligned ends before its column does.
            let room = sheet.width - MARGIN - end;
            assert!(
                (0.0..50.0).contains(&room),
                "{name}: {room} left beside {words:?}"
            );
            counts.push(words.len());
        }
        let (least, most) = (counts.iter().min(), counts.iter().max());
        assert!(
            most.unwrap() - least.unwrap() <= 3,
            "{name}: {counts:?} columns on the pages"
        );
    }
}

#[test]
fn a_wide_table_without_rows_has_one_page() {
    let names: Vec<String> = (0..60).map(|index| format!("measure_{index}")).collect();
    let columns: Vec<(&str, ColumnKind)> = names
        .iter()
        .map(|name| (name.as_str(), ColumnKind::Timestamp { zoned: false }))
        .collect();
    let to = To::Pdf(report_document::PdfLimits::default());
    let (pdf, _) = try_write(to, document(report_document::Locale::En), |outputs| {
        feed_table(outputs, json!({}), &columns, &[])
    })
    .unwrap();
    let found = sheets(&pdf);
    assert_eq!(found.len(), 1);
    found[0].word("measure_59");
    let empty = pages("empty");
    assert_eq!(empty.len(), 1);
    // A chart without data takes no chart's room.
    assert!(empty[0].word("Orders").top < 330.0, "{:?}", empty[0].words);
}

#[test]
fn figures_of_a_row_have_letters_of_one_size() {
    let sheet = &pages("money")[0];
    let heights = ["12.845.930,87", "-41.500,12", "-3,4", "84"].map(|text| {
        let word = sheet.word(text);
        word.bottom - word.top
    });
    assert!(
        heights
            .iter()
            .all(|height| (height - heights[0]).abs() < 0.1),
        "{heights:?}"
    );
    assert!(heights[0] > 13.0, "{heights:?}");
}

#[test]
fn reports_in_arabic_begin_on_the_right_side() {
    let sheet = &pages("arabic")[0];
    let end = sheet.width - MARGIN;
    // The first columns stand right of the last ones, and their values end alike.
    let (date, amount) = (sheet.word("9/6/2026"), sheet.word("$4,690.00"));
    let (name, other) = (sheet.word("Trading"), sheet.word("ABC"));
    assert!(amount.right < date.left && date.right < other.left);
    assert!(name.right < end && name.right > date.right + 20.0);
    // Below the title, and in the header: at its side.
    let is_meta = |top: f64| (85.0..110.0).contains(&top);
    let meta = sheet
        .words
        .iter()
        .find(|word| word.text == "2026" && is_meta(word.top));
    assert!((meta.unwrap().right - end).abs() < 1.0, "{meta:?}");
    for bullet in sheet.words.iter().filter(|word| word.text == "•") {
        assert!(bullet.right > end - 12.0, "{bullet:?}");
    }
    let numbers: Vec<_> = sheet
        .words
        .iter()
        .filter(|word| word.bottom > sheet.height - MARGIN)
        .collect();
    assert!(
        numbers
            .iter()
            .any(|word| word.text.starts_with('1') && word.left < MARGIN + 2.0),
        "{numbers:?}"
    );
}

#[test]
fn a_title_stands_on_its_side_of_a_page_that_is_laid_down() {
    let ten = named("ten");
    let wanted = report_document::Document {
        title: "تقرير".into(),
        ..ten.document.clone()
    };
    let found = sheets(&write_as(&ten, "pdf", wanted));
    let first = &found[0];
    assert!(first.width > first.height);
    let year = first.words.iter().find(|word| word.text == "2026");
    let end = first.width - MARGIN;
    assert!((year.unwrap().right - end).abs() < 1.0, "{year:?} of {end}");
    assert!((first.word("order_number").right + 4.5 - end).abs() < 1.0);
}

#[test]
fn names_below_a_chart_can_be_told_apart() {
    let charts = pages("charts");
    let last = charts.last().unwrap();
    // What is written upwards has its numbers at the ends of names.
    for number in [7, 19, 25] {
        last.word(&number.to_string());
    }
    // The legend of a pie has the room that a long name needs.
    let share = charts
        .iter()
        .flat_map(|sheet| &sheet.words)
        .find(|word| word.text == "41.3%");
    let room = charts[0].width - MARGIN - share.unwrap().right;
    assert!((0.0..8.0).contains(&room), "{room} points left");
}
