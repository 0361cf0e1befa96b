//! Writes one report in all formats, to look at: `cargo run -p report-document --example show -- FOLDER [LOCALE]`.

use std::{error::Error, fs, path::PathBuf, sync::Arc};

use report_document::{
    ChartFeed, Column, ColumnKind, CsvOptions, CsvWriter, Document, Fonts, HtmlWriter, JsonOptions,
    JsonWriter, KeyFigures, Locale, Outputs, PdfLimits, PdfWriter, Table, Text, Value, Writer,
    XlsxWriter,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "target/show".into()));
    let locale: Locale =
        serde_json::from_value(arguments.next().unwrap_or_else(|| "en".into()).into())?;
    fs::create_dir_all(&folder)?;
    let file = |name: &str| fs::File::create(folder.join(name));
    let fonts = Arc::new(Fonts::new(Vec::new()));
    let csv = CsvOptions {
        table: Some("Orders by region".into()),
        ..CsvOptions::default()
    };
    let writers: Vec<Box<dyn Writer>> = vec![
        Box::new(JsonWriter::new(
            file("report.json")?,
            JsonOptions::default(),
        )),
        Box::new(CsvWriter::new(file("report.csv")?, csv)?),
        Box::new(XlsxWriter::new(file("report.xlsx")?)),
        Box::new(HtmlWriter::new(file("report.html")?)),
        Box::new(PdfWriter::new(
            file("report.pdf")?,
            fonts,
            PdfLimits::default(),
        )),
    ];
    let document = Document {
        title: "Sales report, third quarter".into(),
        subtitle: Some("All regions · revenue, margin and returns".into()),
        author: Some("Finance".into()),
        date: Some("2026-11-21".parse()?),
        locale,
        ..Document::default()
    };
    let mut outputs = Outputs::new(document, writers)?;
    sections(&mut outputs, locale)?;
    for warning in outputs.finish(&mut || Ok(()))? {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            format!("{}: {}\n", warning.kind, warning.message).as_bytes(),
        );
    }
    Ok(())
}

fn sections(outputs: &mut Outputs<'_>, locale: Locale) -> Result<(), Box<dyn Error>> {
    let text: Text = serde_json::from_value(serde_json::json!({
        "title": "Summary",
        "text": "Revenue grew in **three** of four regions, while returns stayed flat. The quarter closed 4.2% above plan; the fourth quarter begins with a well-filled order book and a new warehouse in Osaka, which should shorten delivery times in Japan from nine days to four.\n\n- North leads with new customers in Scandinavia\n- South lost one large account: Müller & Söhne\n- 日本の売上は前年比で二割増えました。配送センターの移転が完了し、在庫回転率も改善しています。\n\n## Other languages\n\nمرحبا بالعالم، هذا تقرير المبيعات للربع الثالث (2026).\n\nEmoji: 🚀 ✅ 👩‍💻 🇯🇵 ❤️ 1️⃣ — עברית, हिन्दी, ไทย, 한국어, Ελληνικά, Русский"
    }))?;
    outputs.text(&text)?;
    let columns = [
        Column::new("revenue", ColumnKind::Decimal { scale: 2 }),
        Column::new("orders", ColumnKind::Int),
        Column::new("margin", ColumnKind::Float),
        Column::new("returns", ColumnKind::Float),
    ];
    let options = serde_json::from_value(serde_json::json!({
        "title": "Key figures",
        "columns": {
            "revenue": {"title": "Revenue", "format": {"kind": "currency", "code": "EUR", "decimals": 0}},
            "orders": {"title": "Orders", "format": "integer"},
            "margin": {"title": "Margin", "format": "percent"},
            "returns": {"title": "Returns", "format": {"kind": "percent", "decimals": 2}}}
    }))?;
    let row = [
        Value::Decimal {
            unscaled: 1_284_593_087,
            scale: 2,
        },
        Value::Int(48_211),
        Value::Float(0.3141),
        Value::Float(0.0273),
    ];
    outputs.key_figures(&KeyFigures::new(&options, &columns, Some(&row))?)?;
    charts(outputs, locale)?;
    table(outputs)?;
    wide_table(outputs)
}

fn charts(outputs: &mut Outputs<'_>, locale: Locale) -> Result<(), Box<dyn Error>> {
    let columns = [
        Column::new("month", ColumnKind::Text),
        Column::new("north", ColumnKind::Float),
        Column::new("south", ColumnKind::Float),
        Column::new("east", ColumnKind::Float),
    ];
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
    ];
    let data = [
        [120.0, 80.0, 40.0],
        [132.0, -14.0, 45.0],
        [101.0, 77.5, f64::NAN],
        [134.0, 69.0, 51.0],
        [90.0, 74.0, -22.0],
        [230.0, 91.0, 61.0],
        [210.0, 98.0, 73.0],
        [182.0, 110.0, 70.0],
        [191.0, 104.0, 78.0],
    ];
    for (kind, series) in [("bar", 3), ("stacked_bar", 3), ("line", 3), ("bar", 1)] {
        let series: Vec<&str> = ["north", "south", "east"]
            .into_iter()
            .take(series)
            .collect();
        let options = serde_json::from_value(serde_json::json!({
            "kind": kind, "title": format!("Revenue by month ({kind}, thousands)"), "x": "month", "series": series,
            "titles": {"north": "North", "south": "South & Isles", "east": "East <Orient>"},
            "format": {"kind": "currency", "code": "EUR", "decimals": 0}}))?;
        let mut feed = ChartFeed::new(&options, &columns, locale)?;
        for (month, row) in months.iter().zip(data) {
            let values = row.map(|value| {
                if value.is_nan() {
                    Value::Null
                } else {
                    Value::Float(value)
                }
            });
            let [a, b, c] = values;
            feed.row(&[Value::text(month), a, b, c])?;
        }
        outputs.chart(&feed.finish()?)?;
    }
    let columns = [
        Column::new("product", ColumnKind::Text),
        Column::new("revenue", ColumnKind::Float),
    ];
    let options = serde_json::from_value(serde_json::json!({
        "kind": "pie", "title": "Revenue by product", "x": "product", "series": ["revenue"],
        "format": {"kind": "currency", "code": "EUR", "decimals": 0}}))?;
    let mut feed = ChartFeed::new(&options, &columns, locale)?;
    for (product, value) in [
        ("Screws", 420_000.0),
        ("Nails, galvanised, 100 mm, box of 250", 310_000.0),
        ("工具セット", 180_000.0),
        ("Glue", 95_000.0),
        ("Other", 12_000.0),
    ] {
        feed.row(&[Value::text(product), Value::Float(value)])?;
    }
    outputs.chart(&feed.finish()?)?;
    let columns = [
        Column::new("customer", ColumnKind::Text),
        Column::new("revenue", ColumnKind::Int),
    ];
    let options = serde_json::from_value(serde_json::json!({
        "kind": "bar", "title": "Revenue by customer", "x": "customer", "series": ["revenue"]}))?;
    let mut feed = ChartFeed::new(&options, &columns, locale)?;
    for index in 0..26_i64 {
        let name = format!("Customer with a rather long name {index}");
        feed.row(&[
            Value::text(&name),
            Value::Int(5_000_000 - index * index * 6_100),
        ])?;
    }
    outputs.chart(&feed.finish()?)?;
    Ok(())
}

fn table(outputs: &mut Outputs<'_>) -> Result<(), Box<dyn Error>> {
    let columns = [
        Column::new("region", ColumnKind::Text),
        Column::new("day", ColumnKind::Date),
        Column::new("customer", ColumnKind::Text),
        Column::new("pieces", ColumnKind::Int),
        Column::new("amount", ColumnKind::Decimal { scale: 2 }),
        Column::new("discount", ColumnKind::Float),
        Column::new("paid", ColumnKind::Bool),
    ];
    let options = serde_json::from_value(serde_json::json!({
        "title": "Orders by region", "group_by": "region",
        "columns": {
            "region": {"title": "Region"}, "day": {"title": "Day"}, "customer": {"title": "Customer and what was agreed"},
            "pieces": {"title": "Pieces", "total": "sum"},
            "amount": {"title": "Amount", "format": {"kind": "currency", "code": "EUR"}, "total": "sum"},
            "discount": {"title": "Discount", "format": "percent", "total": "average"},
            "paid": {"title": "Paid"}}}))?;
    let table = Table::new(&options, &columns)?;
    let mut feed = outputs.table(&table)?;
    let customers = [
        "Müller & Söhne",
        "Ærø Shipping",
        "株式会社山田商店",
        "شركة النور للتجارة",
        "=SUM(A1:A9)",
        "O'Neill <sons> 🚀",
        "A customer whose note is long enough that it needs more than one line, and then some more words to be sure of it",
    ];
    for region in ["East", "North", "South", "West"] {
        for index in 0..23_i32 {
            let name = customers[usize::try_from(index).unwrap_or(0) % customers.len()];
            let amount = i128::from(index) * 173_317 % 9_000_000 - 40_000;
            feed.row(&[
                Value::text(region),
                Value::Date(20_700 + index),
                Value::text(name),
                Value::Int(i64::from(index) * 37 % 1_200),
                Value::Decimal {
                    unscaled: amount,
                    scale: 2,
                },
                if index % 5 == 0 {
                    Value::Null
                } else {
                    Value::Float(f64::from(index) / 400.0)
                },
                Value::Bool(index % 3 != 0),
            ])?;
        }
    }
    feed.finish()?;
    Ok(())
}

fn wide_table(outputs: &mut Outputs<'_>) -> Result<(), Box<dyn Error>> {
    let columns: Vec<Column> = (0..14)
        .map(|index| {
            Column::new(
                format!("measure_{index}"),
                if index == 0 {
                    ColumnKind::Timestamp { zoned: true }
                } else {
                    ColumnKind::Float
                },
            )
        })
        .collect();
    let options = serde_json::from_value(serde_json::json!({"title": "Measurements"}))?;
    let table = Table::new(&options, &columns)?;
    let mut feed = outputs.table(&table)?;
    for row in 0..12_i32 {
        let values: Vec<Value<'_>> = (0..14)
            .map(|column| match column {
                0 => Value::Timestamp {
                    micros: 1_790_000_000_000_000 + i64::from(row) * 61_000_000,
                    offset: Some(0),
                },
                _ => Value::Float(f64::from(row * 7919 + column * 104_729) / 977.0),
            })
            .collect();
        feed.row(&values)?;
    }
    feed.finish()?;
    Ok(())
}
