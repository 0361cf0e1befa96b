//! PDF, read back with poppler.

use std::sync::Arc;

use report_document::{
    Band, Buffer, ColumnKind, Fonts, Locale, Orientation, Outputs, Page, PdfLimits, PdfWriter,
    Text, Value, Warning,
};
use serde_json::json;

use crate::harness::{
    To, document, feed_all, feed_orders, feed_table, options, pdf_text, run, try_write, with_pdf,
};

fn pdf() -> To {
    To::Pdf(PdfLimits::default())
}

fn many_rows(outputs: &mut Outputs<'_>, rows: i64) -> Result<(), report_document::Error> {
    let rows: Vec<Vec<Value<'_>>> = (0..rows)
        .map(|row| vec![Value::Int(row), Value::text("text")])
        .collect();
    feed_table(
        outputs,
        json!({"title": "Rows"}),
        &[("number", ColumnKind::Int), ("words", ColumnKind::Text)],
        &rows,
    )
}

#[test]
fn a_whole_report() {
    let (bytes, warnings) = try_write(pdf(), document(Locale::En), feed_all).unwrap();
    assert_eq!(warnings, []);
    let shown = pdf_text(&bytes);
    for wanted in [
        "Quarter & <review>",
        "Summary",
        "First <i>paragraph</i>.",
        "25.0%",
        "12,345",
        "A line & more",
        "North <N>",
        "€1,234.56",
        "株式会社山田",
        "Total North",
        "€11,234.07",
        "November 21, 2026",
    ] {
        assert!(shown.contains(wanted), "{wanted} is missing in {shown}");
    }
    let info = with_pdf(&bytes, |path| run("pdfinfo", "poppler-utils", &[path]));
    assert!(
        info.contains("Title:           Quarter & <review>")
            && info.contains("Author:          Finance"),
        "{info}"
    );
    let fonts = with_pdf(&bytes, |path| run("pdffonts", "poppler-utils", &[path]));
    for line in fonts.lines().skip(2) {
        assert!(line.contains(" yes "), "every font is embedded: {line}");
    }
}

#[test]
fn no_script_becomes_boxes() {
    let words =
        "漢字かなカナ 한국어 مرحبا بالعالم שלום हिन्दी ไทย Ελληνικά Русский Tiếng Việt 🚀 👩‍💻 🇯🇵 ❤️";
    let feed = |outputs: &mut Outputs<'_>| outputs.text(&options::<Text>(json!({"text": words})));
    let (bytes, warnings) = try_write(pdf(), document(Locale::Ja), feed).unwrap();
    assert_eq!(warnings, []);
    let shown = pdf_text(&bytes);
    for wanted in [
        "漢字かなカナ",
        "한국어",
        "Ελληνικά",
        "Русский",
        "Tiếng Việt",
        "🚀",
    ] {
        assert!(shown.contains(wanted), "{wanted} is missing in {shown}");
    }
    let fonts = with_pdf(&bytes, |path| {
        run(
            "pdffonts",
            "poppler-utils (and fonts-noto-core, fonts-noto-cjk)",
            &[path],
        )
    });
    for wanted in ["CJK", "Arabic", "Hebrew", "Devanagari", "Thai", "Type 3"] {
        assert!(fonts.contains(wanted), "no font with {wanted}: {fonts}");
    }
}

fn without_system_fonts(feed: impl FnOnce(&mut Outputs<'_>)) -> (Vec<u8>, Vec<Warning>) {
    let mut buffer = Buffer::new(1 << 24);
    let fonts = Arc::new(Fonts::without_system(Vec::new()));
    let writer = Box::new(PdfWriter::new(&mut buffer, fonts, PdfLimits::default()));
    let mut outputs = Outputs::new(document(Locale::De), vec![writer]).unwrap();
    feed(&mut outputs);
    let warnings = outputs.finish(&mut || Ok(())).unwrap();
    (buffer.into_bytes(), warnings)
}

#[test]
fn latin_needs_no_font_of_the_system() {
    let (bytes, warnings) = without_system_fonts(|outputs| {
        outputs
            .text(&options::<Text>(
                json!({"text": "Größe „Zitat“ – 5 € … Łódź Ελλάδα Москва"}),
            ))
            .unwrap();
    });
    assert_eq!(warnings, []);
    assert!(pdf_text(&bytes).contains("Größe „Zitat“ – 5 € … Łódź Ελλάδα Москва"));
}

#[test]
fn missing_glyphs_are_told_with_what_helps() {
    let (bytes, warnings) = without_system_fonts(|outputs| feed_orders(outputs).unwrap());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].kind, "missing_glyphs");
    for wanted in [
        "株",
        "Han",
        "Arabic",
        "fonts-noto-cjk",
        "fonts-noto-core",
        "fonts-noto-color-emoji",
    ] {
        assert!(
            warnings[0].message.contains(wanted),
            "{wanted}: {}",
            warnings[0].message
        );
    }
    assert!(pdf_text(&bytes).contains('\u{fffd}'));
}

/// Poppler takes the number of a page for a fraction, and leaves out its spaces.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn heads_repeat_and_pages_are_numbered() {
    let (bytes, _) = try_write(pdf(), document(Locale::En), |outputs| {
        many_rows(outputs, 200)
    })
    .unwrap();
    let shown = pdf_text(&bytes);
    let pages: Vec<&str> = shown
        .split('\u{c}')
        .filter(|page| !page.trim().is_empty())
        .collect();
    assert!(pages.len() > 3, "{}", pages.len());
    for (index, page) in pages.iter().enumerate() {
        assert!(
            page.contains("number") && page.contains("words"),
            "page {index} has no head: {page}"
        );
        assert!(
            squeezed(page).contains(&format!("{}/{}", index + 1, pages.len())),
            "page {index} has no number: {page}"
        );
    }
    let numbers: Vec<i64> = shown
        .lines()
        .filter(|line| line.trim_end().ends_with("text"))
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    assert_eq!(numbers, (0..200).collect::<Vec<i64>>());
}

#[test]
fn bands_say_what_they_are_told() {
    let band = |text: &str| {
        Some(Band {
            center: text.into(),
            ..Band::default()
        })
    };
    let page = Page {
        header: band("{author} on {title}"),
        footer: band("page {page} of {pages}, {date}"),
        orientation: Orientation::Landscape,
        ..Page::default()
    };
    let (bytes, _) = try_write(
        pdf(),
        report_document::Document {
            page,
            ..document(Locale::De)
        },
        feed_orders,
    )
    .unwrap();
    let shown = pdf_text(&bytes);
    assert!(shown.contains("Finance on Quarter & <review>"), "{shown}");
    assert!(shown.contains("page 1 of 1, 21. November 2026"), "{shown}");
    let info = with_pdf(&bytes, |path| run("pdfinfo", "poppler-utils", &[path]));
    assert!(info.contains("841.89 x 595.276"), "{info}");
}

#[test]
fn wide_tables_lie_and_what_follows_stands_again() {
    let columns: Vec<(String, ColumnKind)> = (0..16)
        .map(|index| (format!("column_{index}"), ColumnKind::Int))
        .collect();
    let columns: Vec<(&str, ColumnKind)> = columns
        .iter()
        .map(|(name, kind)| (name.as_str(), *kind))
        .collect();
    let rows = [columns
        .iter()
        .map(|_| Value::Int(123_456_789))
        .collect::<Vec<_>>()];
    let (bytes, _) = try_write(pdf(), document(Locale::En), |outputs| {
        feed_table(outputs, json!({"title": "Wide"}), &columns, &rows)?;
        many_rows(outputs, 3)
    })
    .unwrap();
    let sizes = with_pdf(&bytes, |path| {
        run("pdfinfo", "poppler-utils", &["-f", "1", "-l", "9", path])
    });
    let sizes: Vec<&str> = sizes
        .lines()
        .filter(|line| line.contains(" size:") && line.starts_with("Page"))
        .collect();
    // No page is left empty before the one that lies.
    assert_eq!(sizes.len(), 2, "{sizes:?}");
    assert!(
        sizes[0].contains("841.89 x 595.276") && sizes[1].contains("595.276 x 841.89"),
        "{sizes:?}"
    );
    assert!(pdf_text(&bytes).matches("123456789").count() == 16);
}

#[test]
fn columns_without_room_go_on_on_further_pages() {
    let names: Vec<String> = (0..40).map(|index| format!("measure_{index}")).collect();
    let columns: Vec<(&str, ColumnKind)> = names
        .iter()
        .map(|name| (name.as_str(), ColumnKind::Int))
        .collect();
    let rows: Vec<Vec<Value<'_>>> = (0..100)
        .map(|row| {
            (0..40)
                .map(|column| Value::Int(100_000 + row * 100 + column))
                .collect()
        })
        .collect();
    let (bytes, warnings) = try_write(pdf(), document(Locale::En), |outputs| {
        feed_table(outputs, json!({"title": "Wide"}), &columns, &rows)
    })
    .unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].kind, "columns_divided");
    let shown = pdf_text(&bytes);
    let count = |wanted: &str| {
        shown
            .split_whitespace()
            .filter(|word| *word == wanted)
            .count()
    };
    for row in 0..100 {
        // By the first column, rows are known again on every page.
        assert!(count(&(100_000 + row * 100).to_string()) > 1, "row {row}");
        for column in 1..40 {
            let value = (100_000 + row * 100 + column).to_string();
            assert_eq!(count(&value), 1, "row {row}, column {column}");
        }
    }
    for name in &names {
        assert!(count(name) > 0, "{name} is broken");
    }
}

#[test]
fn too_much_is_refused() {
    let refused = try_write(
        To::Pdf(PdfLimits { pages_max: 3 }),
        document(Locale::En),
        |outputs| many_rows(outputs, 500),
    );
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), "too_many_rows");
    assert!(error.to_string().contains("3 pages"), "{error}");
    let columns: Vec<(String, ColumnKind)> = (0..401)
        .map(|index| (format!("c{index}"), ColumnKind::Int))
        .collect();
    let columns: Vec<(&str, ColumnKind)> = columns
        .iter()
        .map(|(name, kind)| (name.as_str(), *kind))
        .collect();
    let rows = [columns
        .iter()
        .map(|_| Value::Int(123_456))
        .collect::<Vec<_>>()];
    let refused = try_write(pdf(), document(Locale::En), |outputs| {
        feed_table(outputs, json!({}), &columns, &rows)
    });
    assert_eq!(refused.unwrap_err().kind(), "too_many_columns");
}

#[test]
fn long_cells_wrap_and_endless_ones_are_cut() {
    let long = "word ".repeat(60);
    let endless = "y".repeat(30_000);
    let rows = [
        vec![Value::text(&long), Value::Int(1)],
        vec![Value::text(&endless), Value::Int(2)],
        vec![Value::text("a\nb\n\nc"), Value::Int(3)],
    ];
    let columns = [("text", ColumnKind::Text), ("n", ColumnKind::Int)];
    let feed =
        |outputs: &mut Outputs<'_>| feed_table(outputs, json!({"title": "Long"}), &columns, &rows);
    let (bytes, warnings) = try_write(pdf(), document(Locale::En), feed).unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].kind, "text_cut");
    let shown = pdf_text(&bytes);
    assert_eq!(shown.matches("word").count(), 60);
    assert!(shown.contains('…'));
}

#[test]
fn sections_are_in_the_outline() {
    let (bytes, _) = try_write(pdf(), document(Locale::En), feed_all).unwrap();
    // Titles of the outline are UTF-16 or plain; the file's own words are enough to find them.
    let raw = String::from_utf8_lossy(&bytes);
    assert!(raw.contains("/Outlines"), "there is no outline");
    assert!(raw.contains("/Lang"), "there is no language");
    for title in ["Summary", "Figures", "Orders"] {
        assert!(
            raw.contains(&format!("/Title ({title})")) || raw.contains(&format!("/Title({title})")),
            "{title}"
        );
    }
}
