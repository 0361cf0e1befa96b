//! One report for all tests, and the tools that read it back.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

pub(crate) use crate::gallery::{options, table as feed_table};
use report_document::{
    Buffer, ChartFeed, Column, ColumnKind, CsvOptions, CsvWriter, Document, Error, Fonts,
    HtmlWriter, JsonOptions, JsonWriter, KeyFigures, Locale, Outputs, PdfLimits, PdfWriter, Text,
    Value, Warning, Writer, XlsxWriter,
};
use serde_json::{Value as Json, json};

pub(crate) const LEN_MAX: u64 = 100 << 20;

/// A format with its options.
pub(crate) enum To {
    Csv(CsvOptions),
    Json(JsonOptions),
    Html,
    Xlsx,
    Pdf(PdfLimits),
}

pub(crate) fn document(locale: Locale) -> Document {
    Document {
        title: "Quarter & <review>".into(),
        subtitle: Some("All regions".into()),
        author: Some("Finance".into()),
        date: Some("2026-11-21".parse().unwrap()),
        locale,
        ..Document::default()
    }
}

/// Writes what the closure feeds, into one format.
pub(crate) fn try_write(
    to: To,
    document: Document,
    feed: impl FnOnce(&mut Outputs<'_>) -> Result<(), Error>,
) -> Result<(Vec<u8>, Vec<Warning>), Error> {
    let mut buffer = Buffer::new(LEN_MAX);
    let writer: Box<dyn Writer + '_> = match to {
        To::Csv(options) => Box::new(CsvWriter::new(&mut buffer, options)?),
        To::Json(options) => Box::new(JsonWriter::new(&mut buffer, options)),
        To::Html => Box::new(HtmlWriter::new(&mut buffer)),
        To::Xlsx => Box::new(XlsxWriter::new(&mut buffer)),
        To::Pdf(limits) => Box::new(PdfWriter::new(
            &mut buffer,
            Arc::new(Fonts::new(Vec::new())),
            limits,
        )),
    };
    let mut outputs = Outputs::new(document, vec![writer])?;
    feed(&mut outputs)?;
    let warnings = outputs.finish(&mut || Ok(()))?;
    Ok((buffer.into_bytes(), warnings))
}

pub(crate) fn write(to: To, feed: impl FnOnce(&mut Outputs<'_>) -> Result<(), Error>) -> Vec<u8> {
    try_write(to, document(Locale::En), feed).unwrap().0
}

pub(crate) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// The columns of [`feed_orders`].
pub(crate) const ORDERS: [(&str, ColumnKind); 6] = [
    ("region", ColumnKind::Text),
    ("day", ColumnKind::Date),
    ("customer", ColumnKind::Text),
    ("pieces", ColumnKind::Int),
    ("amount", ColumnKind::Decimal { scale: 2 }),
    ("paid", ColumnKind::Bool),
];

/// Two groups of two orders.
pub(crate) fn orders() -> Vec<Vec<Value<'static>>> {
    let row = |region, day, customer, pieces, amount, paid| {
        vec![
            Value::text(region),
            Value::Date(day),
            Value::text(customer),
            pieces,
            Value::Decimal {
                unscaled: amount,
                scale: 2,
            },
            Value::Bool(paid),
        ]
    };
    vec![
        row(
            "North",
            20_778,
            "Müller, \"Söhne\"",
            Value::Int(3),
            123_456,
            true,
        ),
        row("North", 20_779, "=1+1", Value::Null, -50, false),
        row(
            "South",
            20_780,
            "株式会社山田",
            Value::Int(40),
            1_000_000,
            true,
        ),
        row(
            "South",
            -30_000,
            "شركة النور 🚀 <b>",
            Value::Int(7),
            1,
            false,
        ),
    ]
}

pub(crate) fn orders_options() -> Json {
    json!({"title": "Orders", "group_by": "region", "columns": {
        "pieces": {"title": "Pieces", "total": "sum"},
        "amount": {"title": "Amount", "format": {"kind": "currency", "code": "EUR"}, "total": "sum"}}})
}

pub(crate) fn feed_orders(outputs: &mut Outputs<'_>) -> Result<(), Error> {
    feed_table(outputs, orders_options(), &ORDERS, &orders())
}

/// A chart of this kind; the second value of the second series is null.
pub(crate) fn feed_chart(outputs: &mut Outputs<'_>, kind: &str) -> Result<(), Error> {
    let series = if kind == "pie" {
        json!(["north"])
    } else {
        json!(["north", "south"])
    };
    let wanted = options(
        json!({"kind": kind, "title": format!("A {kind} & more"), "x": "month", "series": series,
        "format": {"kind": "currency", "code": "EUR", "decimals": 0}, "titles": {"north": "North <N>"}}),
    );
    let columns = [
        Column::new("month", ColumnKind::Text),
        Column::new("north", ColumnKind::Float),
        Column::new("south", ColumnKind::Int),
    ];
    let mut feed = ChartFeed::new(&wanted, &columns, Locale::En)?;
    feed.row(&[Value::text("Jan"), Value::Float(1200.5), Value::Int(-300)])?;
    feed.row(&[Value::text("Feb"), Value::Float(800.0), Value::Null])?;
    feed.row(&[Value::text("三月"), Value::Float(950.0), Value::Int(410)])?;
    outputs.chart(&feed.finish()?)
}

/// A report with a section of each kind.
pub(crate) fn feed_all(outputs: &mut Outputs<'_>) -> Result<(), Error> {
    outputs.text(&options::<Text>(
        json!({"title": "Summary", "text": "First <i>paragraph</i>.\n\n# Heading\n\n- a point"}),
    ))?;
    let columns = [
        Column::new("revenue", ColumnKind::Float),
        Column::new("orders", ColumnKind::Int),
    ];
    let wanted = options(
        json!({"title": "Figures", "columns": {"revenue": {"title": "Revenue", "format": "percent"}}}),
    );
    outputs.key_figures(&KeyFigures::new(
        &wanted,
        &columns,
        Some(&[Value::Float(0.25), Value::Int(12_345)]),
    )?)?;
    for kind in ["bar", "stacked_bar", "line", "pie"] {
        feed_chart(outputs, kind)?;
    }
    feed_orders(outputs)
}

/// Runs a tool, and returns what it says.
pub(crate) fn run(tool: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{tool} can't be run ({error}): install {package}"));
    assert!(
        output.status.success(),
        "{tool} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The Python with the packages of `tests/requirements.txt`.
fn python() -> PathBuf {
    let tools = std::env::var_os("TASK_SERVER_TOOLS").expect("`cargo test` sets it");
    let path = Path::new(&tools).join("venv/bin/python");
    assert!(
        path.exists(),
        "{} is missing: run tests/setup.sh",
        path.display()
    );
    path
}

/// Runs a Python program that prints JSON about a file.
pub(crate) fn inspect(program: &str, bytes: &[u8], name: &str) -> Json {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let python = python();
    let said = run(
        python.to_str().unwrap(),
        "python3 and run tests/setup.sh",
        &["-c", program, path.to_str().unwrap()],
    );
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Converts a file with `LibreOffice`, which refuses or repairs what is broken; returns the result.
pub(crate) fn office(bytes: &[u8], name: &str, to: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    // A profile of its own: two of these can't share one.
    let profile = format!(
        "-env:UserInstallation=file://{}/profile",
        folder.path().display()
    );
    let out = folder.path().join("out");
    let arguments = [
        &profile,
        "--headless",
        "--convert-to",
        to,
        "--outdir",
        out.to_str().unwrap(),
        path.to_str().unwrap(),
    ];
    run("soffice", "libreoffice-calc-nogui", &arguments);
    // The name may have that of a sheet in it.
    let made: Vec<PathBuf> = std::fs::read_dir(&out)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    let [result] = made.as_slice() else {
        panic!("LibreOffice made {made:?} of {name}")
    };
    std::fs::read(result).unwrap()
}

/// The text of a PDF, laid out as on its pages.
pub(crate) fn pdf_text(bytes: &[u8]) -> String {
    with_pdf(bytes, |path| {
        run("pdftotext", "poppler-utils", &["-layout", path, "-"])
    })
}

pub(crate) fn with_pdf(bytes: &[u8], read: impl FnOnce(&str) -> String) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.pdf");
    std::fs::write(&path, bytes).unwrap();
    read(path.to_str().unwrap())
}
