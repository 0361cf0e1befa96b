//! What separates the values of a CSV file whose request doesn't say it: found from many rows, or not at all.

use std::sync::Arc;

use serde_json::json;

use crate::{
    error::{Result, Trouble},
    source::{
        bytes::Bytes,
        chunks::{Chunk, Chunks},
        dialect::Dialect,
        fields::Fields,
    },
};

/// In the order in which they are told of.
const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];
/// So many rows are looked at, if the first megabyte has them.
const ROWS_MAX: u64 = 1000;

/// The delimiter with which every row has as many values as the first one, at least two of them.
pub(super) fn find(name: &Arc<str>, bytes: &Bytes, dialect: &Dialect) -> Result<u8> {
    let splits: Vec<Split> = CANDIDATES
        .iter()
        .map(|delimiter| split(name, bytes, *delimiter, dialect))
        .collect();
    let parting: Vec<&Split> = splits.iter().filter(|split| split.columns > 1).collect();
    match parting.as_slice() {
        // A file of one column, unless all of its rows but the first one are parted.
        [] => match splits.iter().find(|split| split.parts_the_rest()) {
            Some(split) => Err(doubt(
                name,
                &format!(
                    "the first line has no {}, but all others have",
                    shown(split.delimiter)
                ),
            )),
            None => Ok(CANDIDATES[0]),
        },
        [one] => Ok(one.delimiter),
        several => {
            let whole: Vec<&Split> = several
                .iter()
                .copied()
                .filter(|split| split.is_whole())
                .collect();
            match whole.as_slice() {
                [one] => Ok(one.delimiter),
                // None fits all of the file, which is told of where it doesn't.
                [] => Ok(several
                    .iter()
                    .max_by(|a, b| a.likeness().total_cmp(&b.likeness()))
                    .map_or(CANDIDATES[0], |split| split.delimiter)),
                whole => choose(name, whole),
            }
        }
    }
}

/// Of those that all fit. A comma within numbers separates nothing: then the other one does.
fn choose(name: &Arc<str>, whole: &[&Split]) -> Result<u8> {
    let is_comma = |split: &&&Split| split.delimiter == b',';
    let others: Vec<&&Split> = whole.iter().filter(|split| !is_comma(split)).collect();
    if let [one] = others.as_slice()
        && one.has_numbers_with_commas
    {
        return Ok(one.delimiter);
    }
    let found: Vec<&str> = whole.iter().map(|split| shown(split.delimiter)).collect();
    Err(doubt(
        name,
        &format!("its rows can be parted at each {}", found.join(" or ")),
    ))
}

fn shown(delimiter: u8) -> &'static str {
    match delimiter {
        b';' => "`;`",
        b'\t' => "tab",
        b'|' => "`|`",
        _ => "`,`",
    }
}

fn doubt(name: &Arc<str>, what: &str) -> Trouble {
    let message = format!(
        "source `{name}`: what separates its values is in doubt: {what}; say it in `delimiter`"
    );
    Trouble::new("invalid_csv", message).data(json!({"source": &**name, "option": "delimiter"}))
}

/// What comes of a file with one of the delimiters.
struct Split {
    delimiter: u8,
    /// Of the first row.
    columns: usize,
    rows: u64,
    /// How many rows have as many values as the first one.
    alike: u64,
    /// The columns of all rows but the first one, if they have equally many.
    rest: Option<usize>,
    is_broken: bool,
    /// There are commas in the rows, and all of them are within numbers.
    has_numbers_with_commas: bool,
}

impl Split {
    fn is_whole(&self) -> bool {
        !self.is_broken && self.alike == self.rows
    }

    fn likeness(&self) -> f64 {
        if self.is_broken || self.rows == 0 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most a thousand rows")]
        let likeness = self.alike as f64 / self.rows as f64;
        likeness
    }

    fn parts_the_rest(&self) -> bool {
        !self.is_broken && self.rows > 2 && self.rest.is_some_and(|columns| columns > 1)
    }
}

fn split(name: &Arc<str>, bytes: &Bytes, delimiter: u8, dialect: &Dialect) -> Split {
    let mut split = Split {
        delimiter,
        columns: 0,
        rows: 0,
        alike: 0,
        rest: None,
        is_broken: false,
        has_numbers_with_commas: false,
    };
    let mut chunk = Chunk::default();
    // What can't be read is told of by those who read it.
    if Chunks::new(Arc::clone(name), bytes, dialect.lines(delimiter), None)
        .next(&mut chunk)
        .is_err()
    {
        split.is_broken = true;
        return split;
    }
    let mut fields = Fields::new(Arc::clone(name), delimiter, dialect.quote);
    let (mut at, mut numbers, mut others) = (0, 0_u64, 0_u64);
    let mut rest_differs = false;
    while split.rows < ROWS_MAX && fields.begin_row(&chunk, &mut at) {
        let mut columns = 0;
        let is_first = split.rows == 0;
        let done = fields.row(&chunk, &mut at, |field| {
            columns += 1;
            if delimiter != b',' && !is_first && !field.is_quoted && field.bytes.contains(&b',') {
                match is_number_with_comma(&field.bytes) {
                    true => numbers += 1,
                    false => others += 1,
                }
            }
            Ok(())
        });
        split.is_broken |= done.is_err();
        if done.is_err() {
            break;
        }
        if is_first {
            split.columns = columns;
        } else {
            rest_differs |= split.rest.is_some_and(|rest| rest != columns);
            split.rest = Some(columns);
        }
        split.rows += 1;
        split.alike += u64::from(columns == split.columns);
    }
    split.rest = split.rest.filter(|_| !rest_differs);
    split.has_numbers_with_commas = numbers > 0 && others == 0;
    split
}

/// `12,50`, `-1.234,5`, `1,234.50`: digits and marks between them, and what may stand beside an amount.
fn is_number_with_comma(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    digits > 0
        && bytes.iter().all(|byte| {
            byte.is_ascii_digit() || matches!(byte, b',' | b'.' | b'-' | b'+' | b' ' | b'%')
        })
}
