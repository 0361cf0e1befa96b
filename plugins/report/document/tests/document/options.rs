//! Options that don't fit the data, and limits.

use report_document::{
    BARS_MAX, Buffer, ChartFeed, Column, ColumnKind, CsvOptions, CsvWriter, Document, Error,
    Format, JsonOptions, JsonWriter, KeyFigures, Locale, Outputs, Page, SERIES_MAX, Table,
    TableOptions, Value,
};
use serde_json::{Value as Json, json};

use crate::harness::{ORDERS, To, document, feed_all, feed_orders, options, try_write};

fn columns() -> Vec<Column> {
    ORDERS
        .iter()
        .map(|(name, kind)| Column::new(*name, *kind))
        .collect()
}

fn refused(wanted: Json) -> (String, String) {
    let error = Table::new(&options::<TableOptions>(wanted), &columns()).unwrap_err();
    (error.kind().to_owned(), error.to_string())
}

#[test]
fn unknown_columns_are_named_with_near_misses() {
    let (kind, message) = refused(json!({"columns": {"amuont": {}}}));
    assert_eq!(kind, "unknown_column");
    assert!(message.contains("did you mean \"amount\"?"), "{message}");
    let (kind, message) = refused(json!({"group_by": "xyzzy"}));
    assert_eq!(kind, "unknown_column");
    assert!(message.contains("region, day, customer"), "{message}");
}

#[test]
fn formats_and_totals_suit_their_columns() {
    for wanted in [
        json!({"columns": {"region": {"total": "sum"}}}),
        json!({"columns": {"paid": {"total": "max"}}}),
        json!({"columns": {"region": {"format": "number"}}}),
        json!({"columns": {"pieces": {"format": "date"}}}),
        json!({"columns": {"pieces": {"width": 1}}}),
    ] {
        let (kind, message) = refused(wanted.clone());
        assert_eq!(kind, "invalid_option", "{wanted}");
        assert!(message.starts_with("column "), "{message}");
    }
}

#[test]
fn formats_are_names_or_objects() {
    let read =
        |wanted: Json| serde_json::from_value::<Format>(wanted).map_err(|error| error.to_string());
    assert_eq!(
        read(json!("integer")),
        Ok(Format::Number {
            decimals: Some(0),
            grouping: true
        })
    );
    assert_eq!(
        read(json!({"kind": "currency", "code": "JPY"})),
        Ok(Format::Currency {
            code: "JPY".into(),
            decimals: None
        })
    );
    for (wanted, expected) in [
        (json!("currency"), "EUR"),
        (json!("money"), "there is no format"),
        (json!({"kind": "currency", "code": "euro"}), "ISO 4217"),
        (json!({"kind": "number", "decimals": 16}), "15"),
        (json!({"kind": "number", "digits": 1}), "digits"),
        (json!({"kind": "date", "pattern": "YYYY"}), "yyyy"),
    ] {
        let message = read(wanted.clone()).unwrap_err();
        assert!(message.contains(expected), "{wanted}: {message}");
    }
    let schema = serde_json::to_string(&schemars::schema_for!(TableOptions)).unwrap();
    assert!(
        schema.contains("ISO 4217") && schema.contains("integer"),
        "{schema}"
    );
}

fn chart(wanted: Json) -> Result<ChartFeed, Error> {
    ChartFeed::new(&options(wanted), &columns(), Locale::En)
}

fn order(region: &str, day: i32, pieces: i64) -> Vec<Value<'_>> {
    vec![
        Value::text(region),
        Value::Date(day),
        Value::text("c"),
        Value::Int(pieces),
        Value::Decimal {
            unscaled: pieces.into(),
            scale: 0,
        },
        Value::Bool(true),
    ]
}

#[test]
fn charts_refuse_what_they_cannot_draw() {
    for (wanted, kind) in [
        (
            json!({"kind": "bar", "x": "month", "series": ["pieces"]}),
            "unknown_column",
        ),
        (
            json!({"kind": "bar", "x": "day", "series": []}),
            "invalid_chart",
        ),
        (
            json!({"kind": "bar", "x": "day", "series": ["customer"]}),
            "invalid_chart",
        ),
        (
            json!({"kind": "pie", "x": "day", "series": ["pieces", "amount"]}),
            "invalid_chart",
        ),
        (
            json!({"kind": "bar", "x": "day", "series": ["pieces", "amount"], "series_by": "region"}),
            "invalid_chart",
        ),
        (
            json!({"kind": "bar", "x": "day", "series": ["pieces"], "format": "date"}),
            "invalid_option",
        ),
    ] {
        assert_eq!(chart(wanted.clone()).unwrap_err().kind(), kind, "{wanted}");
    }
    let bar = || chart(json!({"kind": "bar", "x": "region", "series": ["pieces"]})).unwrap();
    let mut twice = bar();
    twice.row(&order("North", 1, 1)).unwrap();
    let error = twice.row(&order("North", 2, 1)).unwrap_err();
    assert!(error.to_string().contains("GROUP BY region"), "{error}");
    let mut many = bar();
    let names: Vec<String> = (0..=BARS_MAX).map(|index| index.to_string()).collect();
    let error = names
        .iter()
        .try_for_each(|name| many.row(&order(name, 1, 1)))
        .unwrap_err();
    assert_eq!(error.kind(), "chart_too_large");
    let mut series =
        chart(json!({"kind": "line", "x": "day", "series": ["pieces"], "series_by": "region"}))
            .unwrap();
    let names: Vec<String> = (0..=SERIES_MAX).map(|index| index.to_string()).collect();
    let error = names
        .iter()
        .try_for_each(|name| series.row(&order(name, 1, 1)))
        .unwrap_err();
    assert_eq!(error.kind(), "chart_too_large");
    let pie = || chart(json!({"kind": "pie", "x": "region", "series": ["pieces"]})).unwrap();
    assert_eq!(
        pie().row(&order("North", 1, -1)).unwrap_err().kind(),
        "invalid_chart"
    );
    let mut zero = pie();
    zero.row(&order("North", 1, 0)).unwrap();
    assert_eq!(zero.finish().unwrap_err().kind(), "invalid_chart");
}

#[test]
fn one_column_is_divided_into_series() {
    let wanted = json!({"kind": "line", "x": "day", "series": ["pieces"], "series_by": "region", "titles": {"North": "N"}});
    let mut feed = chart(wanted).unwrap();
    for (region, day, pieces) in [("North", 0, 1), ("South", 0, 2), ("North", 1, 3)] {
        feed.row(&order(region, day, pieces)).unwrap();
    }
    let chart = feed.finish().unwrap();
    assert_eq!(chart.categories, ["1/1/1970", "1/2/1970"]);
    let series: Vec<_> = chart
        .series
        .iter()
        .map(|series| (series.title.as_str(), series.values.clone()))
        .collect();
    assert_eq!(
        series,
        [
            ("N", vec![Value::Int(1), Value::Int(3)]),
            ("South", vec![Value::Int(2), Value::Null])
        ]
    );
}

#[test]
fn documents_need_a_title_and_room() {
    let refused = |document| Outputs::new(document, Vec::new()).err().unwrap().kind();
    assert_eq!(refused(Document::default()), "invalid_option");
    let page = Page {
        margin_mm: Some(90.0),
        ..Page::default()
    };
    assert_eq!(
        refused(Document {
            page,
            ..document(Locale::En)
        }),
        "invalid_option"
    );
    let columns: Vec<Column> = (0..25)
        .map(|index| Column::new(format!("c{index}"), ColumnKind::Int))
        .collect();
    assert_eq!(
        KeyFigures::new(&Default::default(), &columns, None)
            .unwrap_err()
            .kind(),
        "too_many_columns"
    );
}

#[test]
fn outputs_stop_at_their_limit() {
    for limit in [0, 10, 1_000] {
        let mut buffer = Buffer::new(limit);
        let writer = Box::new(JsonWriter::new(&mut buffer, JsonOptions::default()));
        let mut outputs = Outputs::new(document(Locale::En), vec![writer]).unwrap();
        let error = feed_all(&mut outputs)
            .and_then(|()| outputs.finish(&mut || Ok(())).map(drop))
            .unwrap_err();
        assert_eq!(error.kind(), "output_too_large");
    }
}

#[test]
fn a_check_stops_every_long_end() {
    for to in [To::Xlsx, To::Pdf(Default::default())] {
        let mut buffer = Buffer::new(1 << 24);
        let writer: Box<dyn report_document::Writer + '_> = match to {
            To::Xlsx => Box::new(report_document::XlsxWriter::new(&mut buffer)),
            _ => {
                let fonts = std::sync::Arc::new(report_document::Fonts::without_system(Vec::new()));
                Box::new(report_document::PdfWriter::new(
                    &mut buffer,
                    fonts,
                    Default::default(),
                ))
            }
        };
        let mut outputs = Outputs::new(document(Locale::En), vec![writer]).unwrap();
        feed_orders(&mut outputs).unwrap();
        let mut calls = 0;
        let error = outputs
            .finish(&mut || {
                calls += 1;
                if calls > 1 {
                    Err(Error::stopped())
                } else {
                    Ok(())
                }
            })
            .unwrap_err();
        assert_eq!(error.kind(), "stopped");
    }
}

#[test]
fn several_writers_get_the_same_rows() {
    let (mut first, mut second) = (Buffer::new(1 << 20), Buffer::new(1 << 20));
    let writers: Vec<Box<dyn report_document::Writer + '_>> = vec![
        Box::new(CsvWriter::new(&mut first, CsvOptions::default()).unwrap()),
        Box::new(JsonWriter::new(&mut second, JsonOptions::default())),
    ];
    let mut outputs = Outputs::new(document(Locale::En), writers).unwrap();
    feed_orders(&mut outputs).unwrap();
    outputs.finish(&mut || Ok(())).unwrap();
    assert_eq!(
        first
            .into_bytes()
            .iter()
            .filter(|byte| **byte == b'\n')
            .count(),
        5
    );
    let report: Json = serde_json::from_slice(&second.into_bytes()).unwrap();
    assert_eq!(report["sections"][0]["row_count"], 4);
    assert!(
        try_write(To::Html, document(Locale::Ja), feed_all)
            .unwrap()
            .1
            .is_empty()
    );
}

/// Numbers that look random and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// Characters of all planes: letters, marks, joiners, controls, emoji.
    fn text(&mut self) -> String {
        let ranges = [
            0x20..0x7f,
            0..0x20,
            0x300..0x370,
            0x590..0x700,
            0x900..0xa00,
            0xe00..0xe80,
            0x2000..0x2070,
            0x2600..0x2800,
            0x3000..0x3100,
            0x4e00..0x4f00,
            0xac00..0xad00,
            0xfe00..0xfe10,
            0xfff0..0x10000,
            0x1_f1e6..0x1_f200,
            0x1_f3fb..0x1_f400,
            0x1_f600..0x1_f650,
            0xe_0020..0xe_0080,
            0x1_0000..0x11_0000,
        ];
        let len = self.below(24);
        (0..len)
            .filter_map(|_| {
                let range = ranges[usize::try_from(self.below(18)).unwrap()].clone();
                let code = range.start
                    + u32::try_from(self.below(u64::from(range.end - range.start))).unwrap();
                char::from_u32(code)
            })
            .collect()
    }

    fn value(&mut self) -> Value<'static> {
        match self.below(12) {
            0 => Value::Null,
            1 => Value::Bool(true),
            2 => Value::Int(i64::MIN),
            3 => Value::UInt(u64::MAX),
            4 => Value::Float(
                [f64::NAN, f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, -0.0]
                    [usize::try_from(self.below(5)).unwrap()],
            ),
            5 => Value::Decimal {
                unscaled: i128::MIN,
                scale: 38,
            },
            6 => Value::Decimal {
                unscaled: i128::MAX,
                scale: -128,
            },
            7 => Value::Date([i32::MIN, i32::MAX, 0][usize::try_from(self.below(3)).unwrap()]),
            8 => Value::Time([i64::MIN, i64::MAX, -1][usize::try_from(self.below(3)).unwrap()]),
            9 => Value::Timestamp {
                micros: [i64::MIN, i64::MAX, -1][usize::try_from(self.below(3)).unwrap()],
                offset: Some(7_200),
            },
            _ => Value::Text(self.text().into()),
        }
    }
}

#[test]
fn no_value_and_no_text_breaks_a_writer() {
    let fonts = std::sync::Arc::new(report_document::Fonts::new(Vec::new()));
    let mut chance = Chance(42);
    let kinds = [
        ColumnKind::Text,
        ColumnKind::Int,
        ColumnKind::Float,
        ColumnKind::Decimal { scale: 38 },
        ColumnKind::Date,
        ColumnKind::Time,
        ColumnKind::Timestamp { zoned: true },
        ColumnKind::Bool,
    ];
    for round in 0..6_u32 {
        let mut buffers: Vec<Buffer> = (0..5).map(|_| Buffer::new(1 << 26)).collect();
        let [csv, json, html, xlsx, pdf] = buffers.as_mut_slice() else {
            unreachable!()
        };
        let csv_options = CsvOptions {
            localized: true,
            totals: true,
            ..CsvOptions::default()
        };
        let writers: Vec<Box<dyn report_document::Writer + '_>> = vec![
            Box::new(CsvWriter::new(csv, csv_options).unwrap()),
            Box::new(JsonWriter::new(json, JsonOptions::default())),
            Box::new(report_document::HtmlWriter::new(html)),
            Box::new(report_document::XlsxWriter::new(xlsx)),
            Box::new(report_document::PdfWriter::new(
                pdf,
                fonts.clone(),
                Default::default(),
            )),
        ];
        let title = format!("t{}", chance.text());
        let locale =
            [Locale::En, Locale::De, Locale::Fr, Locale::Ja][usize::try_from(round % 4).unwrap()];
        let mut outputs = Outputs::new(
            Document {
                title: title.clone(),
                ..document(locale)
            },
            writers,
        )
        .unwrap();
        let text = (0..30)
            .map(|_| chance.text())
            .collect::<Vec<_>>()
            .join("\n");
        outputs
            .text(&report_document::Text {
                title: Some(chance.text()),
                text,
            })
            .unwrap();
        let names: Vec<String> = (0..8)
            .map(|index| format!("{index}{}", chance.text()))
            .collect();
        let columns: Vec<Column> = names
            .iter()
            .zip(kinds)
            .map(|(name, kind)| Column::new(name.as_str(), kind))
            .collect();
        let figures: Vec<Value<'_>> = columns.iter().map(|_| chance.value()).collect();
        outputs
            .key_figures(&KeyFigures::new(&Default::default(), &columns, Some(&figures)).unwrap())
            .unwrap();
        for kind in ["bar", "stacked_bar", "line"] {
            let wanted = options(
                json!({"kind": kind, "x": names[0], "series": [names[1], names[2], names[3]]}),
            );
            let mut feed = ChartFeed::new(&wanted, &columns, locale).unwrap();
            for index in 0..chance.below(40) {
                let mut row: Vec<Value<'_>> = columns.iter().map(|_| chance.value()).collect();
                row[0] = Value::Text(format!("{index}{}", chance.text()).into());
                feed.row(&row).unwrap();
            }
            outputs.chart(&feed.finish().unwrap()).unwrap();
        }
        let mut wanted = TableOptions {
            title: Some(title),
            group_by: Some(names[0].clone()),
            ..TableOptions::default()
        };
        wanted.columns.entry(names[4].clone()).or_default().total =
            Some(report_document::Total::Max);
        wanted.columns.entry(names[1].clone()).or_default().total =
            Some(report_document::Total::Count);
        let table = Table::new(&wanted, &columns).unwrap();
        let mut feed = outputs.table(&table).unwrap();
        for _ in 0..60 {
            let row: Vec<Value<'_>> = columns.iter().map(|_| chance.value()).collect();
            feed.row(&row).unwrap();
        }
        feed.finish().unwrap();
        outputs.finish(&mut || Ok(())).unwrap();
        let mut written: Vec<Vec<u8>> = buffers.into_iter().map(Buffer::into_bytes).collect();
        let pdf = written.pop().unwrap();
        let xlsx = written.pop().unwrap();
        let _: Json = serde_json::from_slice(&written[1]).unwrap();
        assert!(crate::harness::pdf_text(&pdf).len() > 1_000);
        let count = "import json, sys, openpyxl\nprint(json.dumps(len(openpyxl.load_workbook(sys.argv[1]).sheetnames)))";
        assert_eq!(crate::harness::inspect(count, &xlsx, "any.xlsx"), 3);
    }
}

#[test]
fn a_full_disk_is_told_as_such() {
    let full = || {
        std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let fonts = std::sync::Arc::new(report_document::Fonts::without_system(Vec::new()));
    let writers: [Box<dyn report_document::Writer>; 5] = [
        Box::new(CsvWriter::new(full(), CsvOptions::default()).unwrap()),
        Box::new(JsonWriter::new(full(), JsonOptions::default())),
        Box::new(report_document::HtmlWriter::new(full())),
        Box::new(report_document::XlsxWriter::new(full())),
        Box::new(report_document::PdfWriter::new(
            full(),
            fonts,
            Default::default(),
        )),
    ];
    for writer in writers {
        let mut outputs = Outputs::new(document(Locale::En), vec![writer]).unwrap();
        let error = feed_orders(&mut outputs)
            .and_then(|()| outputs.finish(&mut || Ok(())).map(drop))
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.is_retryable()),
            ("storage_full", true),
            "{error}"
        );
    }
}
