//! Reports of every shape, to be measured by the tests and looked at with the example `gallery`.

use report_document::{
    ChartFeed, Column, ColumnKind, Document, Error, KeyFigures, Locale, Outputs, Table,
    TableOptions, Text, Value,
};
use serde_json::{Value as Json, json};

/// One report: its name, its frame, and what feeds it.
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) document: Document,
    pub(crate) feed: fn(&mut Outputs<'_>, Locale) -> Result<(), Error>,
}

fn report(
    name: &'static str,
    (locale, title, subtitle): (Locale, &str, &str),
    feed: fn(&mut Outputs<'_>, Locale) -> Result<(), Error>,
) -> Report {
    let document = Document {
        title: title.into(),
        subtitle: (!subtitle.is_empty()).then(|| subtitle.into()),
        author: Some("Finance".into()),
        date: "2026-11-21".parse().ok(),
        locale,
        ..Document::default()
    };
    Report {
        name,
        document,
        feed,
    }
}

/// All of them.
pub(crate) fn reports() -> Vec<Report> {
    use Locale::{De, En, Ja};
    vec![
        report("empty", (En, "Nothing today", "A day without rows"), empty),
        report("one", (En, "Codes", ""), |outputs, _| columns(outputs, 1)),
        report("ten", (En, "Ten columns", ""), |outputs, _| {
            columns(outputs, 10)
        }),
        report("twenty", (En, "Twenty columns", ""), |outputs, _| {
            columns(outputs, 20)
        }),
        report("sixty", (En, "Sixty columns", ""), |outputs, _| {
            columns(outputs, 60)
        }),
        report("long", (En, "Long texts", "Paragraphs, words, lines"), long),
        report("money", (De, "Umsätze", "Nach Regionen"), money),
        report(
            "japanese",
            (Ja, "売上報告書", "二〇二六年度 第三四半期"),
            japanese,
        ),
        report(
            "arabic",
            (En, "تقرير المبيعات", "الربع الثالث 2026"),
            arabic,
        ),
        report("charts", (En, "Charts", "All kinds"), charts),
    ]
}

/// Options from JSON, as requests have them.
pub(crate) fn options<T: serde::de::DeserializeOwned>(options: Json) -> T {
    serde_json::from_value(options).expect("the options of the gallery are right")
}

/// A table of these columns and rows.
pub(crate) fn table(
    outputs: &mut Outputs<'_>,
    wanted: Json,
    columns: &[(&str, ColumnKind)],
    rows: &[Vec<Value<'_>>],
) -> Result<(), Error> {
    let columns: Vec<Column> = columns
        .iter()
        .map(|(name, kind)| Column::new(*name, *kind))
        .collect();
    let table = Table::new(&options::<TableOptions>(wanted), &columns)?;
    let mut feed = outputs.table(&table)?;
    rows.iter().try_for_each(|row| feed.row(row))?;
    feed.finish().map(drop)
}

fn decimal(unscaled: i128) -> Value<'static> {
    Value::Decimal { unscaled, scale: 2 }
}

const DECIMAL: ColumnKind = ColumnKind::Decimal { scale: 2 };

fn empty(outputs: &mut Outputs<'_>, locale: Locale) -> Result<(), Error> {
    let figures = [
        Column::new("revenue", DECIMAL),
        Column::new("orders", ColumnKind::Int),
    ];
    outputs.key_figures(&KeyFigures::new(
        &options(json!({"title": "Key figures"})),
        &figures,
        None,
    )?)?;
    let chart = options(json!({"kind": "bar", "title": "By day", "x": "day", "series": ["n"]}));
    let data = [
        Column::new("day", ColumnKind::Text),
        Column::new("n", ColumnKind::Int),
    ];
    outputs.chart(&ChartFeed::new(&chart, &data, locale)?.finish()?)?;
    table(
        outputs,
        json!({"title": "Orders"}),
        &[
            ("day", ColumnKind::Date),
            ("customer", ColumnKind::Text),
            ("amount", DECIMAL),
        ],
        &[],
    )?;
    // What a query that chose no columns leaves.
    table(outputs, json!({}), &[], &[])
}

const WORDS: [&str; 6] = ["open", "Müller & Söhne", "shipped", "Ærø", "returned", "—"];

/// A table of so many columns of all types, under the names that databases give.
fn columns(outputs: &mut Outputs<'_>, count: usize) -> Result<(), Error> {
    let kinds = [
        ("order_number", ColumnKind::Text),
        ("ordered_on", ColumnKind::Date),
        ("state", ColumnKind::Text),
        ("quantity", ColumnKind::Int),
        ("amount", DECIMAL),
        ("discount_rate", ColumnKind::Float),
        ("updated_at", ColumnKind::Timestamp { zoned: false }),
        ("is_paid", ColumnKind::Bool),
        ("customer_id", ColumnKind::Int),
        ("warehouse", ColumnKind::Text),
    ];
    let names: Vec<(String, ColumnKind)> = (0..count)
        .map(|index| {
            let (name, kind) = kinds[index % kinds.len()];
            let name = match index / kinds.len() {
                0 => name.to_owned(),
                again => format!("{name}_{}", again + 1),
            };
            (name, kind)
        })
        .collect();
    let names: Vec<(&str, ColumnKind)> = names
        .iter()
        .map(|(name, kind)| (name.as_str(), *kind))
        .collect();
    let rows: Vec<Vec<Value<'_>>> = (0..75_i32)
        .map(|row| {
            (0..count)
                .map(|index| {
                    let seed = i64::from(row) * 7919 + i64::try_from(index).unwrap_or(0) * 104_729;
                    let day = 20_700 + row;
                    match index % kinds.len() {
                        0 => Value::Text(format!("A-{:05}", 10_000 + seed % 90_000).into()),
                        1 => Value::Date(day),
                        2 | 9 => Value::text(WORDS[usize::try_from(seed % 6).unwrap_or(0)]),
                        3 => Value::Int(seed % 9_000),
                        4 => decimal(i128::from(seed % 2_000_000 - 300_000)),
                        5 => Value::Float(f64::from(row % 20) / 40.0),
                        6 => Value::Timestamp {
                            micros: i64::from(day) * 86_400_000_000 + seed * 977_000,
                            offset: None,
                        },
                        7 => Value::Bool(seed % 3 == 0),
                        _ => Value::Int(100_000 + seed % 800_000),
                    }
                })
                .collect()
        })
        .collect();
    table(outputs, json!({}), &names, &rows)
}

const PARAGRAPH: &str = "The customer called again on Tuesday and asked whether the delivery of the second lot can be moved to the week after Easter, since the new hall is not ready before; we agreed, under the condition that the invoice for the first lot is paid by then, and noted both in the contract.";

fn long(outputs: &mut Outputs<'_>, _: Locale) -> Result<(), Error> {
    outputs.text(&options::<Text>(json!({"title": "What this is", "text":
        format!("{PARAGRAPH}\n\n- A short point\n- {PARAGRAPH}\n\n# Heading\n\nhttps://example.com/{}", "a-very-long-path/".repeat(12))})))?;
    let word = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft";
    let url = format!(
        "https://example.com/{}?query=1",
        "path/to/something/".repeat(6)
    );
    let hash = "9f86d081884c7d659a2feaa0c55ad015".repeat(6);
    let twice = format!("{PARAGRAPH}\n{PARAGRAPH}");
    let row = |number, kind, text, who| {
        vec![
            Value::Int(number),
            Value::text(kind),
            Value::Text(text),
            Value::text(who),
        ]
    };
    let rows = [
        row(1, "paragraph", PARAGRAPH.into(), "Ito"),
        row(2, "word", word.into(), "Müller"),
        row(3, "address", url.into(), "Smith"),
        row(4, "hash", hash.into(), "Smith"),
        row(
            5,
            "lines",
            "12 Long Lane\nFlat 3\n\nLondon N1\n".into(),
            "Ito",
        ),
        row(6, "two paragraphs", twice.into(), "Ærø Shipping"),
        row(7, "short", "ok".into(), "Ito"),
    ];
    table(
        outputs,
        json!({"title": "Notes"}),
        &[
            ("number", ColumnKind::Int),
            ("kind", ColumnKind::Text),
            ("note", ColumnKind::Text),
            ("taken_by", ColumnKind::Text),
        ],
        &rows,
    )
}

fn money(outputs: &mut Outputs<'_>, _: Locale) -> Result<(), Error> {
    let figures = [
        Column::new("umsatz", DECIMAL),
        Column::new("verlust", DECIMAL),
        Column::new("marge", ColumnKind::Float),
        Column::new("posten", ColumnKind::Int),
    ];
    let euros = json!({"kind": "currency", "code": "EUR"});
    let wanted = options(json!({"title": "Kennzahlen", "columns": {
        "umsatz": {"title": "Umsatz", "format": euros}, "verlust": {"title": "Verlust", "format": euros},
        "marge": {"title": "Marge", "format": "percent"}, "posten": {"title": "Posten"}}}));
    let row = [
        decimal(1_284_593_087),
        decimal(-4_150_012),
        Value::Float(-0.034),
        Value::Int(84),
    ];
    outputs.key_figures(&KeyFigures::new(&wanted, &figures, Some(&row))?)?;
    let wanted = json!({"title": "Aufträge", "group_by": "region", "columns": {
        "region": {"title": "Region"}, "tag": {"title": "Tag"}, "kunde": {"title": "Kunde"},
        "stück": {"title": "Stück", "total": "sum"},
        "betrag": {"title": "Betrag", "format": euros, "total": "sum"},
        "saldo": {"title": "Saldo", "format": euros, "total": "average"},
        "rabatt": {"title": "Rabatt", "format": "percent", "total": "max"}}});
    let mut rows = Vec::new();
    for region in ["Nord", "Ost", "Süd", "West"] {
        for index in 0..21_i32 {
            let amount = i128::from(index) * 173_317 % 9_000_000 - 140_000;
            rows.push(vec![
                Value::text(region),
                Value::Date(20_700 + index),
                Value::text(WORDS[usize::try_from(index).unwrap_or(0) % WORDS.len()]),
                Value::Int(i64::from(index) * 337 % 12_000),
                decimal(amount * 7),
                decimal(-amount),
                if index % 5 == 0 {
                    Value::Null
                } else {
                    Value::Float(f64::from(index) / 400.0)
                },
            ]);
        }
    }
    table(
        outputs,
        wanted,
        &[
            ("region", ColumnKind::Text),
            ("tag", ColumnKind::Date),
            ("kunde", ColumnKind::Text),
            ("stück", ColumnKind::Int),
            ("betrag", DECIMAL),
            ("saldo", DECIMAL),
            ("rabatt", ColumnKind::Float),
        ],
        &rows,
    )
}

fn japanese(outputs: &mut Outputs<'_>, _: Locale) -> Result<(), Error> {
    let note = "配送センターの移転が完了し、在庫回転率も改善しています。ただし、一部の商品については納期が遅れる可能性があるため、お客様への連絡を早めに行う必要があります。";
    outputs.text(&options::<Text>(
        json!({"title": "概要", "text": format!("{note}\n\n- 北地区が最も伸びた\n- {note}")}),
    ))?;
    let customers = [
        "株式会社山田商店",
        "鈴木工業(有)",
        "サンプル・ホールディングス",
        "ABC商事",
    ];
    let rows: Vec<Vec<Value<'_>>> = (0..24_i32)
        .map(|index| {
            let at = usize::try_from(index).unwrap_or(0);
            vec![
                Value::text(["北海道", "東北", "関東"][at / 8]),
                Value::Date(20_700 + index),
                Value::text(customers[at % 4]),
                decimal(i128::from(index) * 98_765_400 - 200_000_000),
                if at % 6 == 1 {
                    Value::text(note)
                } else {
                    Value::text("なし")
                },
            ]
        })
        .collect();
    let wanted = json!({"title": "地区別売上", "group_by": "地区", "columns": {
        "金額": {"format": {"kind": "currency", "code": "JPY"}, "total": "sum"},
        "日付": {"format": {"kind": "date", "style": "full"}}}});
    table(
        outputs,
        wanted,
        &[
            ("地区", ColumnKind::Text),
            ("日付", ColumnKind::Date),
            ("顧客名", ColumnKind::Text),
            ("金額", DECIMAL),
            ("備考", ColumnKind::Text),
        ],
        &rows,
    )
}

fn arabic(outputs: &mut Outputs<'_>, _: Locale) -> Result<(), Error> {
    let note = "اتصل العميل يوم الثلاثاء وسأل عما إذا كان من الممكن تأجيل تسليم الدفعة الثانية إلى الأسبوع التالي، لأن المستودع الجديد (رقم 12) لن يكون جاهزًا قبل ذلك.";
    outputs.text(&options::<Text>(
        json!({"title": "ملخص", "text": format!("{note}\n\n- الشمال في المقدمة\n- {note}")}),
    ))?;
    let rows: Vec<Vec<Value<'_>>> = (0..18_i32)
        .map(|index| {
            let at = usize::try_from(index).unwrap_or(0);
            vec![
                Value::text(["الشمال", "الجنوب", "الشرق"][at / 6]),
                Value::text(["شركة النور للتجارة", "ABC Trading", "مؤسسة السلام (فرع 3)"][at % 3]),
                Value::Date(20_700 + index),
                decimal(i128::from(index) * 1_234_500 - 2_000_000),
                if at % 5 == 1 {
                    Value::text(note)
                } else {
                    Value::text("لا شيء")
                },
            ]
        })
        .collect();
    let wanted = json!({"title": "المبيعات حسب المنطقة", "group_by": "المنطقة", "columns": {
        "المبلغ": {"format": {"kind": "currency", "code": "USD"}, "total": "sum"}}});
    table(
        outputs,
        wanted,
        &[
            ("المنطقة", ColumnKind::Text),
            ("العميل", ColumnKind::Text),
            ("التاريخ", ColumnKind::Date),
            ("المبلغ", DECIMAL),
            ("ملاحظات", ColumnKind::Text),
        ],
        &rows,
    )
}

fn charts(outputs: &mut Outputs<'_>, locale: Locale) -> Result<(), Error> {
    let columns = [
        Column::new("month", ColumnKind::Text),
        Column::new("north", ColumnKind::Float),
        Column::new("south", ColumnKind::Float),
        Column::new("east", ColumnKind::Float),
    ];
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug"];
    for (kind, series) in [("bar", 3), ("stacked_bar", 3), ("line", 3), ("bar", 1)] {
        let series = &["north", "south", "east"][..series];
        let wanted = options(json!({
            "kind": kind, "title": format!("Revenue by month ({kind})"), "x": "month", "series": series,
            "titles": {"north": "North", "south": "South & Isles"},
            "format": {"kind": "currency", "code": "EUR", "decimals": 0}}));
        let mut feed = ChartFeed::new(&wanted, &columns, locale)?;
        for (index, month) in (0_i32..).zip(months) {
            let value = |by: i32| Value::Float(f64::from((index * by) % 83 * 4_211 - 40_000));
            let gap = if index == 3 { Value::Null } else { value(71) };
            feed.row(&[Value::text(month), value(37), value(53), gap])?;
        }
        outputs.chart(&feed.finish()?)?;
    }
    let columns = [
        Column::new("name", ColumnKind::Text),
        Column::new("revenue", ColumnKind::Int),
    ];
    let wanted = json!({"kind": "pie", "title": "Revenue by product", "x": "name", "series": ["revenue"],
        "format": {"kind": "currency", "code": "EUR"}});
    let mut feed = ChartFeed::new(&options(wanted), &columns, locale)?;
    for (name, value) in [
        ("Screws", 420_000),
        (
            "Nails, galvanised, 100 mm, box of 250 pieces, and a hammer",
            310_000,
        ),
        ("工具セット", 180_000),
        ("مسامير", 95_000),
        ("Other", 12_000),
        ("None", 0),
    ] {
        feed.row(&[Value::text(name), Value::Int(value)])?;
    }
    outputs.chart(&feed.finish()?)?;
    let wanted = json!({"kind": "bar", "title": "By customer", "x": "name", "series": ["revenue"]});
    let mut feed = ChartFeed::new(&options(wanted), &columns, locale)?;
    for index in 0..26_i64 {
        let name = format!("Customer with a rather long name {index}");
        feed.row(&[
            Value::text(&name),
            Value::Int(5_000_000 - index * index * 6_100),
        ])?;
    }
    outputs.chart(&feed.finish()?)
}
