//! What must hold of every CSV file and every file of JSON Lines, whatever is in it and however it is to be read. The
//! fuzzers in `tests/fuzz` run it.

use std::{
    fmt::Write as _,
    io::{Cursor, Read as _},
    sync::Arc,
};

use crate::{
    args::SourceArgs,
    columns::{self, Builder, Column, Zone},
    encoding::{Decoded, Encoding},
    error::Result,
    source::{
        bytes::Bytes,
        chunks::{Chunk, Chunks},
        csv::Csv,
        dialect::{self, Dialect, Values},
        json_lines::JsonLines,
    },
};

/// Reads a CSV file, whose first bytes say how: it is read or refused, however its rows are cut into batches they are the
/// same, and a type that was found in all of them fits all of them.
///
/// # Panics
/// Where one of these doesn't hold.
pub fn csv(data: &[u8]) {
    let Some((args, file)) = split(data) else {
        return;
    };
    holds(&args, |args, rows_max| {
        let mut csv = Csv::open("t".into(), file(args)?, Dialect::check(args)?, None)?;
        columns::apply("t", &mut csv.columns, &dialect::given(args)?)?;
        let csv = Arc::new(csv);
        let all: Vec<usize> = (0..csv.columns.len()).collect();
        let mut decoder = csv.decoder(&all);
        read(
            csv.chunks(None),
            |chunk, at, builders, rows| decoder.decode(chunk, at, builders, rows),
            &csv.columns,
            rows_max,
        )
    });
}

/// Reads JSON Lines, as [`csv`] does CSV.
///
/// # Panics
/// Where it doesn't hold.
pub fn json_lines(data: &[u8]) {
    let Some((args, file)) = split(data) else {
        return;
    };
    holds(&args, |args, rows_max| {
        let mut lines = JsonLines::file("t".into(), file(args)?, Values::check(args)?)?;
        columns::apply("t", &mut lines.columns, &dialect::given(args)?)?;
        if lines.columns.is_empty() {
            return Ok(String::new());
        }
        let lines = Arc::new(lines);
        let all: Vec<usize> = (0..lines.columns.len()).collect();
        let mut decoder = lines.decoder(&all);
        read(
            lines.chunks(None),
            |chunk, at, builders, rows| decoder.decode(chunk, at, builders, rows),
            &lines.columns,
            rows_max,
        )
    });
}

/// What a request says, by the first bytes, and the file that the others are.
fn split(data: &[u8]) -> Option<(SourceArgs, impl Fn(&SourceArgs) -> Result<Bytes> + '_)> {
    let (head, file) = data.split_at_checked(6)?;
    let one = |at: usize, of: &[&str]| {
        let choice = usize::from(*head.get(at)?) % (of.len() * 2);
        of.get(choice).map(|text| (*text).to_owned())
    };
    let is = |at: usize, bit: u8| head.get(at).is_some_and(|byte| byte & (1 << bit) != 0);
    let types = [
        "text",
        "integer",
        "number",
        "decimal(12,2)",
        "boolean",
        "date",
        "timestamp",
        "timestamptz",
    ];
    let labels = match head[0] >> 7 {
        0 => ["windows-1252", "utf-16", "utf-16be"],
        _ => ["shift_jis", "gb18030", "iso-2022-jp"],
    };
    let named = |text: Option<String>| {
        text.map(|text| ("a".to_owned(), text))
            .into_iter()
            .collect()
    };
    let args = SourceArgs {
        delimiter: one(0, &[",", ";", "\t", "|"]),
        quote: one(1, &["'", ""]),
        header: is(2, 0).then_some(false),
        skip_rows: is(2, 1).then_some(u64::from(head[1] >> 6)),
        skip_last_rows: Some(u64::from((head[3] >> 5) & 3)),
        comment: is(2, 2).then(|| "#".to_owned()),
        null_values: is(2, 3).then(|| vec!["NA".to_owned(), String::new()]),
        decimal_comma: is(2, 4).then_some(true),
        currency: is(2, 5).then(|| "€".to_owned()),
        encoding: labels
            .get(usize::from(head[2] >> 6))
            .and_then(|label| Encoding::of_label(label)),
        thousands: one(3, &[",", ".", " ", "'"]),
        types: named(one(4, &types)),
        date_formats: named(one(5, &["%d.%m.%Y", "%Y-%m-%d %H:%M", "%d.%m.%Y %z", "%s"])),
        ..SourceArgs::default()
    };
    let bytes = move |args: &SourceArgs| {
        let mut text = Vec::new();
        let mut decoded = Decoded::new(Cursor::new(file), args.encoding.unwrap_or_default());
        // What isn't in its encoding ends there.
        let _ = decoded.read_to_end(&mut text);
        Ok(Bytes::Memory(text.into()))
    };
    Some((args, bytes))
}

/// Reads in batches of one row, and of all.
fn holds(args: &SourceArgs, read: impl Fn(&SourceArgs, usize) -> Result<String>) {
    match (read(args, 1), read(args, 1000)) {
        (Ok(one), Ok(all)) => assert_eq!(one, all, "rows differ"),
        (Err(one), Err(all)) => {
            assert_eq!(one.message, all.message, "errors differ");
            assert_ne!(all.kind, "internal", "{all}");
            let is_found = args.types.is_empty() && args.date_formats.is_empty();
            assert!(!(is_found && all.kind == "type_mismatch"), "{all}");
        }
        (one, all) => panic!("read in batches of one: {one:?}; of all: {all:?}"),
    }
}

/// All rows as text.
fn read(
    mut chunks: Chunks,
    mut decode: impl FnMut(&Chunk, &mut usize, &mut [Builder], usize) -> Result<usize>,
    columns: &[Column],
    rows_max: usize,
) -> Result<String> {
    let schema = columns::schema(columns, Zone::default());
    let mut chunk = Chunk::default();
    let mut all = String::new();
    while chunks.next(&mut chunk)? {
        let mut at = 0;
        loop {
            let new = |column| Builder::new(column, Zone::default(), rows_max.min(16));
            let mut builders: Vec<Builder> = columns.iter().map(new).collect();
            let rows = decode(&chunk, &mut at, &mut builders, rows_max)?;
            if rows == 0 {
                break;
            }
            let batch = columns::batch(&schema, &mut builders, rows)?;
            for row in 0..rows {
                for column in batch.columns() {
                    // Writing into a string can't fail.
                    let _ = write!(all, "{:?},", column.slice(row, 1));
                }
                all.push('\n');
            }
        }
    }
    Ok(all)
}
