//! Writes one table of ten columns: `bench FORMAT ROWS FILE`, measured by `bench/compare.py`.

use std::{error::Error, fs::File, sync::Arc};

use report_document::{
    Column, ColumnKind, CsvOptions, CsvWriter, Document, Fonts, HtmlWriter, JsonOptions,
    JsonWriter, Outputs, PdfLimits, PdfWriter, Table, Value, Writer, XlsxWriter,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [format, rows, path] = arguments.as_slice() else {
        return Err("usage: bench FORMAT ROWS FILE".into());
    };
    let rows: i64 = rows.parse()?;
    let file = File::create(path)?;
    let writer: Box<dyn Writer> = match format.as_str() {
        "json" => Box::new(JsonWriter::new(file, JsonOptions::default())),
        "csv" => Box::new(CsvWriter::new(file, CsvOptions::default())?),
        "html" => Box::new(HtmlWriter::new(file)),
        "xlsx" => Box::new(XlsxWriter::new(file)),
        "pdf" | "pdf-ja" | "pdf-ar" => Box::new(PdfWriter::new(
            file,
            Arc::new(Fonts::new(Vec::new())),
            PdfLimits { pages_max: 100_000 },
        )),
        other => return Err(format!("there is no format {other:?}").into()),
    };
    let document = Document {
        title: "Orders".into(),
        date: Some("2026-11-21".parse()?),
        ..Document::default()
    };
    let mut outputs = Outputs::new(document, vec![writer])?;
    let columns = [
        Column::new("id", ColumnKind::Int),
        Column::new("region", ColumnKind::Text),
        Column::new("customer", ColumnKind::Text),
        Column::new("day", ColumnKind::Date),
        Column::new("pieces", ColumnKind::Int),
        Column::new("price", ColumnKind::Decimal { scale: 2 }),
        Column::new("amount", ColumnKind::Decimal { scale: 2 }),
        Column::new("discount", ColumnKind::Float),
        Column::new("paid", ColumnKind::Bool),
        Column::new("note", ColumnKind::Text),
    ];
    let options = serde_json::from_value(serde_json::json!({
        "title": "Orders", "columns": {"pieces": {"total": "sum"}, "amount": {"total": "sum"}}}))?;
    let table = Table::new(&options, &columns)?;
    let mut feed = outputs.table(&table)?;
    let regions = ["North", "South", "East", "West"];
    for row in 0..rows {
        let pieces = row * 7 % 100;
        let price = row * 37 % 100_000;
        let customer = format!("Customer {}", row % 5_000);
        let note = match format.as_str() {
            // Glyphs of another font, and of another script.
            "pdf-ja" => format!("注文番号{row}の備考です"),
            "pdf-ar" => format!("الطلب رقم {row} لهذا اليوم"),
            _ => format!("order {row} of the day"),
        };
        feed.row(&[
            Value::Int(row),
            Value::text(regions[usize::try_from(row % 4)?]),
            Value::text(&customer),
            Value::Date(i32::try_from(20_000 + row % 1_000)?),
            Value::Int(pieces),
            Value::Decimal {
                unscaled: price.into(),
                scale: 2,
            },
            Value::Decimal {
                unscaled: (pieces * price).into(),
                scale: 2,
            },
            Value::Float(f64::from(i32::try_from(row % 1_000)?) / 1_000.0),
            Value::Bool(row % 3 == 0),
            Value::text(&note),
        ])?;
    }
    feed.finish()?;
    outputs.finish(&mut || Ok(()))?;
    Ok(())
}
