//! Functions of days and times that do what those who know `PostgreSQL` expect.

use datafusion::{
    arrow::datatypes::{DataType, TimeUnit},
    common::{DFSchema, ScalarValue},
    error::Result,
    logical_expr::{Expr, ExprSchemable as _, cast, expr::ScalarFunction},
};

use crate::error::{Passing, Trouble};

/// `date_trunc` of a day is a day; `to_char` takes the patterns of `PostgreSQL` beside those with percent signs.
pub(super) fn rewrite(mut function: ScalarFunction, schema: &DFSchema) -> Result<(Expr, bool)> {
    let is_cast = cast_nothing(&mut function, schema);
    let (expr, is_changed) = rewrite_one(function, schema)?;
    Ok((expr, is_changed || is_cast))
}

/// A column that never had a value has no type, and these functions want a time.
fn cast_nothing(function: &mut ScalarFunction, schema: &DFSchema) -> bool {
    let place = match function.func.name() {
        "date_trunc" | "date_part" | "date_bin" => 1,
        "to_char" => 0,
        _ => return false,
    };
    let Some(arg) = function.args.get_mut(place) else {
        return false;
    };
    let is_nothing = matches!(arg.get_type(schema), Ok(DataType::Null));
    if is_nothing {
        *arg = cast(
            arg.clone(),
            DataType::Timestamp(TimeUnit::Microsecond, None),
        );
    }
    is_nothing
}

fn rewrite_one(mut function: ScalarFunction, schema: &DFSchema) -> Result<(Expr, bool)> {
    match function.func.name() {
        "date_trunc" => {
            let is_day = function
                .args
                .get(1)
                .and_then(|arg| arg.get_type(schema).ok())
                .is_some_and(|data_type| data_type == DataType::Date32);
            let gives_day = function.args.first().and_then(text).is_some_and(|unit| {
                ["day", "week", "month", "quarter", "year"]
                    .iter()
                    .any(|known| unit.eq_ignore_ascii_case(known))
            });
            let call = Expr::ScalarFunction(function);
            match is_day && gives_day {
                true => Ok((cast(call, DataType::Date32), true)),
                false => Ok((call, false)),
            }
        }
        "to_char" => {
            let pattern = function.args.get(1).and_then(text);
            let translated = pattern.filter(|pattern| !pattern.contains('%'));
            let translated = translated.map(|pattern| translate(&pattern)).transpose()?;
            let is_changed = translated.is_some();
            if let (Some(pattern), Some(arg)) = (translated, function.args.get_mut(1)) {
                *arg = Expr::Literal(ScalarValue::Utf8(Some(pattern)), None);
            }
            Ok((Expr::ScalarFunction(function), is_changed))
        }
        _ => Ok((Expr::ScalarFunction(function), false)),
    }
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(
            ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text),
            _,
        ) => text.clone(),
        _ => None,
    }
}

/// The longest first, where one begins with another.
const PATTERNS: [(&str, &str); 41] = [
    ("FMHH24", "%-H"),
    ("FMHH12", "%-I"),
    ("FMMonth", "%B"),
    ("FMDay", "%A"),
    ("FMMM", "%-m"),
    ("FMDD", "%-d"),
    ("FMHH", "%-I"),
    ("AM", "%p"),
    ("PM", "%p"),
    ("am", "%P"),
    ("pm", "%P"),
    ("YYYY", "%Y"),
    ("yyyy", "%Y"),
    ("IYYY", "%G"),
    ("YY", "%y"),
    ("yy", "%y"),
    ("IW", "%V"),
    ("MONTH", "%B"),
    ("Month", "%B"),
    ("month", "%B"),
    ("MON", "%b"),
    ("Mon", "%b"),
    ("mon", "%b"),
    ("MM", "%m"),
    ("mm", "%m"),
    ("MI", "%M"),
    ("mi", "%M"),
    ("MS", "%3f"),
    ("DDD", "%j"),
    ("DD", "%d"),
    ("dd", "%d"),
    ("Day", "%A"),
    ("DY", "%a"),
    ("Dy", "%a"),
    ("HH24", "%H"),
    ("hh24", "%H"),
    ("HH12", "%I"),
    ("HH", "%I"),
    ("SS", "%S"),
    ("ss", "%S"),
    ("Q", "%q"),
];

fn translate(pattern: &str) -> Result<String> {
    let mut translated = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if let Some((ours, theirs)) = PATTERNS.iter().find(|(ours, _)| rest.starts_with(ours)) {
            translated.push_str(theirs);
            rest = rest.get(ours.len()..).unwrap_or_default();
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let (words, behind) = quoted.split_once('"').unwrap_or((quoted, ""));
            translated.push_str(words);
            rest = behind;
        } else if first.is_ascii_alphabetic() {
            let message = format!(
                "`to_char`: there is no pattern for {rest:?} in {pattern:?}; there are YYYY, MM, DD, HH24, MI, SS, Mon, Month, Dy, Day, AM, Q, IW, before numbers FM for no zeros, and those with percent signs, such as %Y-%m-%d; words stand in double quotes"
            );
            return Err(Passing::engine_error(Trouble::new(
                "invalid_query",
                message,
            )));
        } else {
            translated.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(translated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_postgres() {
        for (pattern, expected) in [
            ("YYYY-MM", "%Y-%m"),
            ("DD.MM.YYYY HH24:MI:SS", "%d.%m.%Y %H:%M:%S"),
            ("Mon YY", "%b %y"),
            ("FMMonth FMDD, YYYY FMHH12:MI AM", "%B %-d, %Y %-I:%M %p"),
            ("IYYY-\"W\"IW", "%G-W%V"),
            ("YYYY-\"Q\"Q", "%Y-Q%q"),
            ("", ""),
        ] {
            assert_eq!(translate(pattern).unwrap(), expected, "{pattern}");
        }
        assert!(translate("YYYY of MM").is_err());
    }
}
