//! How a file is written, as a request says it: all of it is decided here, before anything is read.

use std::sync::Arc;

use crate::{
    args::SourceArgs,
    columns::{DayFormat, Given, Kind, Writing},
    error::{Result, invalid_report},
    source::lines::{Lines, Quoting},
};

/// More lines than that are no introduction.
const SKIP_MAX: u64 = 1_000_000;
/// More rows than that are no footer: they are kept in memory until it is known whether others come.
const FOOTER_MAX: u64 = 1000;
/// The longest comment sign, marker or currency, in bytes.
const WORD_LEN_MAX: usize = 100;

/// How a CSV file is written.
#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    /// Found in the first rows if there is none.
    pub(crate) delimiter: Option<u8>,
    pub(crate) quote: Option<u8>,
    pub(crate) has_header: bool,
    /// So many lines before the header are left out.
    pub(crate) skipped: u64,
    /// What lines begin with that are left out.
    pub(crate) comment: Option<Arc<str>>,
    /// So many rows at the end are left out.
    pub(crate) footer_rows: usize,
    pub(crate) values: Values,
}

impl Dialect {
    pub(crate) fn check(args: &SourceArgs) -> Result<Self> {
        let dialect = Self {
            delimiter: byte("delimiter", args.delimiter.as_deref())?,
            quote: match args.quote.as_deref() {
                None => Some(b'"'),
                Some("") => None,
                quote => byte("quote", quote)?,
            },
            has_header: args.header.unwrap_or(true),
            skipped: args.skip_rows.unwrap_or(0),
            comment: word("comment", args.comment.as_deref())?.map(Arc::from),
            footer_rows: footer_rows(args.skip_last_rows)?,
            values: Values::check(args)?,
        };
        if dialect.delimiter.is_some() && dialect.delimiter == dialect.quote {
            return Err(invalid_report("`delimiter` and `quote` are the same"));
        }
        if dialect.skipped > SKIP_MAX {
            return Err(invalid_report(format!("`skip_rows` is at most {SKIP_MAX}")));
        }
        let begins = |byte: Option<u8>| {
            let comment = dialect.comment.as_deref().map(str::as_bytes);
            byte.is_some() && comment.and_then(|comment| comment.first().copied()) == byte
        };
        if begins(dialect.quote) || begins(dialect.delimiter) {
            return Err(invalid_report(
                "`comment` begins with the quote or the delimiter, as rows may",
            ));
        }
        Ok(dialect)
    }

    /// Which lines are rows, if this separates their values.
    pub(super) fn lines(&self, delimiter: u8) -> Lines {
        Lines {
            quoting: self.quote.map(|quote| Quoting { quote, delimiter }),
            skipped: self.skipped,
            comment: self.comment.clone(),
            footer_rows: self.footer_rows,
        }
    }
}

fn footer_rows(asked: Option<u64>) -> Result<usize> {
    let rows = asked.unwrap_or(0);
    match usize::try_from(rows) {
        Ok(fitting) if rows <= FOOTER_MAX => Ok(fitting),
        _ => Err(invalid_report(format!(
            "`skip_last_rows` is at most {FOOTER_MAX}"
        ))),
    }
}

/// How the values of a file are written, or of rows in a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    /// Texts that stand for no value.
    pub(crate) nulls: Vec<String>,
    pub(crate) writing: Writing,
}

impl Values {
    pub(crate) fn check(args: &SourceArgs) -> Result<Self> {
        let decimal = match args.decimal_comma {
            Some(true) => ',',
            _ => '.',
        };
        let group = match args.thousands.as_deref() {
            None if decimal == ',' => Some('.'),
            None => None,
            Some(text) => {
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(char), None) if is_mark(char) && char != decimal => Some(char),
                    (Some(char), None) if char == decimal => {
                        return Err(invalid_report(
                            "`thousands` and the decimal mark are the same; say in `decimal_comma` which that is",
                        ));
                    }
                    _ => {
                        return Err(invalid_report(
                            "`thousands` has to be one character that is no digit, letter or sign",
                        ));
                    }
                }
            }
        };
        let currency = word("currency", args.currency.as_deref())?;
        if currency.is_some_and(|it| {
            it.trim() != it
                || it.contains(|char: char| char.is_ascii_digit() || "+-.,".contains(char))
        }) {
            return Err(invalid_report(
                "`currency` is a sign or a code, such as € or EUR, without digits, spaces around it, and marks of numbers",
            ));
        }
        let nulls = args.null_values.clone().unwrap_or_default();
        if nulls.len() > 100 || nulls.iter().any(|null| null.len() > WORD_LEN_MAX) {
            return Err(invalid_report(format!(
                "`null_values` has at most 100 texts of at most {WORD_LEN_MAX} bytes"
            )));
        }
        Ok(Self {
            nulls,
            writing: Writing::asked(decimal, group, currency.map(str::to_owned)),
        })
    }

    /// Whether a text stands for no value.
    pub(crate) fn is_null(&self, text: &str) -> bool {
        !self.nulls.is_empty() && self.nulls.iter().any(|null| null == text.trim_ascii())
    }
}

/// A digit, a letter or a sign between thousands would be a part of the number.
fn is_mark(char: char) -> bool {
    !char.is_alphanumeric() && !matches!(char, '-' | '+') && (char == ' ' || !char.is_control())
}

fn word<'t>(key: &str, text: Option<&'t str>) -> Result<Option<&'t str>> {
    match text {
        Some(text)
            if text.is_empty() || text.len() > WORD_LEN_MAX || text.contains(['\n', '\r']) =>
        {
            Err(invalid_report(format!(
                "`{key}` has to have 1 to {WORD_LEN_MAX} bytes, and no line breaks"
            )))
        }
        text => Ok(text),
    }
}

fn byte(key: &str, text: Option<&str>) -> Result<Option<u8>> {
    match text.map(str::as_bytes) {
        None => Ok(None),
        Some([byte]) if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Ok(Some(*byte)),
        Some(_) => Err(invalid_report(format!(
            "`{key}` has to be one ASCII character"
        ))),
    }
}

/// What the request says of columns. A type beside a pattern of days has to be one of what the pattern reads.
pub(crate) fn given(args: &SourceArgs) -> Result<Given> {
    let kinds = args.types.iter().map(|(column, text)| match Kind::parse(text) {
        Some(kind) => Ok((column.clone(), kind)),
        None => Err(invalid_report(format!(
            "`types`: column `{column}`: there is no type {text:?}, but text, integer, number, decimal(12,2), boolean, date, timestamp and timestamptz"
        ))),
    });
    let formats = args.date_formats.iter().map(|(column, pattern)| {
        let format = DayFormat::new(pattern).map_err(|wrong| {
            invalid_report(format!(
                "`date_formats`: column `{column}`: {pattern:?}: {wrong}"
            ))
        })?;
        Ok((column.clone(), format))
    });
    let given = Given {
        kinds: kinds.collect::<Result<_>>()?,
        formats: formats.collect::<Result<_>>()?,
    };
    for (column, kind) in &given.kinds {
        let format = given.formats.iter().find(|(name, _)| name == column);
        let read = format.map(|(_, format)| format.kind());
        let fits = match read {
            None => true,
            Some(Kind::Date) => matches!(kind, Kind::Date | Kind::Timestamp),
            Some(_) => matches!(kind, Kind::Timestamp | Kind::Instant),
        };
        if !fits {
            return Err(invalid_report(format!(
                "column `{column}` has the type {kind} in `types`, but a pattern in `date_formats`"
            )));
        }
    }
    Ok(given)
}
