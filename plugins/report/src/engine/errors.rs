//! What goes wrong in the engine, in our words: nobody gets to see those of its own developers.

use std::{error::Error as StdError, io};

use datafusion::{arrow::error::ArrowError, common::SchemaError, error::DataFusionError};

use super::Engine;
use crate::{
    error::{Passing, Trouble, unknown},
    sql,
    sums::AVERAGE_OUTGROWN,
    watch::CANCELLED,
};

/// When it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Planning,
    Running,
}

impl Engine<'_> {
    /// What went wrong in the engine, in our words.
    pub(super) fn trouble(&self, error: &DataFusionError, text: &str, phase: Phase) -> Trouble {
        let mut place = None;
        let trouble = self.translate(error, phase, &mut place);
        match place {
            Some((line, column)) => sql::at(trouble, text, line, column),
            None => trouble,
        }
    }

    fn translate(
        &self,
        error: &DataFusionError,
        phase: Phase,
        place: &mut Option<(u64, u64)>,
    ) -> Trouble {
        if let Some(trouble) = ours(error) {
            return trouble;
        }
        match error {
            DataFusionError::Context(_, inner) => self.translate(inner, phase, place),
            DataFusionError::Shared(inner) => self.translate(inner, phase, place),
            DataFusionError::Diagnostic(diagnostic, inner) => {
                if let Some(span) = diagnostic.span {
                    *place = Some((span.start.line, span.start.column));
                }
                self.translate(inner, phase, place)
            }
            DataFusionError::Collection(errors) => match errors.first() {
                Some(first) => self.translate(first, phase, place),
                None => Trouble::internal("an error without a reason"),
            },
            DataFusionError::SchemaError(error, _) => schema_trouble(error),
            DataFusionError::Plan(message) => self.plan_trouble(message, phase),
            DataFusionError::NotImplemented(message) => Trouble::new(
                "invalid_query",
                format!("the engine can't do this: {}", clean(message)),
            ),
            DataFusionError::SQL(error, _) => Trouble::new("sql_syntax", clean(&error.to_string())),
            DataFusionError::Execution(message)
                if message.starts_with("Arithmetic Overflow in Avg") =>
            {
                Trouble::new("query_failed", AVERAGE_OUTGROWN)
            }
            DataFusionError::Execution(message) => computing(message),
            DataFusionError::ArrowError(error, _) => arrow_trouble(error),
            DataFusionError::ResourcesExhausted(_) => self
                .spill
                .trouble()
                .unwrap_or_else(|| self.memory_trouble()),
            DataFusionError::IoError(error) => {
                Trouble::io("rows can't be written to the spill folder", error)
            }
            DataFusionError::ExecutionJoin(error) if error.is_cancelled() => {
                Trouble::new(CANCELLED, "the query was stopped")
            }
            // A plan that the engine finds no way for, as a rule for types that don't go together.
            DataFusionError::Internal(message) => self.plan_trouble(message, phase),
            other => self.plan_trouble(&other.to_string(), phase),
        }
    }

    fn memory_trouble(&self) -> Trouble {
        let message = format!(
            "the query needs more than the {} MB of memory that `memory_max` allows, and can't do with disk; group or join less at once",
            self.limits.memory_max >> 20
        );
        Trouble::new("memory_limit", message)
    }

    fn plan_trouble(&self, message: &str, phase: Phase) -> Trouble {
        let between = |begin: &str, end: &str| {
            let rest = message.split_once(begin)?.1;
            Some(rest.split_once(end)?.0.to_owned())
        };
        if let Some(name) = between("Invalid function '", "'") {
            let state = self.context.state();
            let scalar = state.scalar_functions().keys();
            let names: Vec<&String> = scalar
                .chain(state.aggregate_functions().keys())
                .chain(state.window_functions().keys())
                .collect();
            if state.window_functions().contains_key(&name) {
                let message = format!(
                    "`{name}` looks at other rows, and needs to be told which: `{name}(…) OVER (ORDER BY …)`"
                );
                return Trouble::new("invalid_query", message);
            }
            let known = names.iter().map(|name| name.as_str());
            return unknown("unknown_function", "function", &name, known);
        }
        if let Some(name) = between("table function '", "' not found") {
            let state = self.context.state();
            let names: Vec<&String> = state.table_functions().keys().collect();
            let known = names.iter().map(|name| name.as_str());
            return unknown("unknown_function", "table function", &name, known);
        }
        let kind = match phase {
            Phase::Planning => "invalid_query",
            Phase::Running => "query_failed",
        };
        let message = wrong_arguments(message)
            .or_else(|| not_grouped(message))
            .or_else(|| outgrown(message))
            .unwrap_or_else(|| clean(message));
        Trouble::new(kind, message)
    }
}

/// Columns that a query can't give: "… column "a" must appear in the GROUP BY clause …".
fn not_grouped(message: &str) -> Option<String> {
    if message.contains("Projections require unique expression names") {
        return Some(String::from(
            "the query gives a column twice; name them apart with AS",
        ));
    }
    let before = message.split_once(" must appear in the GROUP BY clause")?.0;
    let column = before.strip_suffix('"').and_then(|it| it.rsplit_once('"'));
    let what = match column {
        Some((_, column)) => format!("`{column}`"),
        None => String::from("what HAVING looks at"),
    };
    Some(format!(
        "{what} stands neither in GROUP BY nor within an aggregate such as max(…) or sum(…)"
    ))
}

/// A function that doesn't take what it is given: "… matches the given name and argument types 'sum(Utf8View)'. …".
fn wrong_arguments(message: &str) -> Option<String> {
    let quoted = |begin: &str| {
        let rest = message.split_once(begin)?.1;
        Some(rest.split_once('\'')?.0)
    };
    if let Some(call) = quoted("given name and argument types '") {
        let (name, types) = call.split_once('(')?;
        let types = types.strip_suffix(')').unwrap_or(types);
        return Some(not_taken(name, types));
    }
    let name = quoted("Function '").or_else(|| quoted("function '"))?;
    let is_type_trouble = [
        "failed to match any signature",
        "argument type",
        "requires ",
    ]
    .iter()
    .any(|part| message.contains(part));
    if !is_type_trouble {
        return None;
    }
    let given = message
        .split_once("but received ")
        .or_else(|| message.split_once("does not support type "))
        .map(|(_, rest)| rest.split(['.', '\n', ';']).next().unwrap_or_default());
    Some(match given {
        Some(types) => not_taken(name, types.split(" (DataType: ").next().unwrap_or(types)),
        None => not_taken(name, ""),
    })
}

fn not_taken(name: &str, types: &str) -> String {
    let types = in_words(types);
    let given = if types.is_empty() {
        String::from("what it is given")
    } else {
        types
    };
    let hint = match given.as_str() {
        "text" => {
            "; cast it (`CAST(… AS double)`), or say in `types` of the source what the column holds"
        }
        _ => "",
    };
    format!("`{name}` doesn't take {given}{hint}")
}

/// The engine's names of types, as those that requests write.
fn in_words(text: &str) -> String {
    let mut words = text.to_owned();
    for (engine, ours) in [
        ("LargeUtf8", "text"),
        ("Utf8View", "text"),
        ("Utf8", "text"),
        ("String", "text"),
        ("UInt64", "integer"),
        ("UInt32", "integer"),
        ("Int64", "integer"),
        ("Int32", "integer"),
        ("Float64", "number"),
        ("Float32", "number"),
        ("Decimal128", "decimal"),
        ("Decimal256", "decimal"),
        ("Boolean", "boolean"),
        ("Date32", "date"),
        ("Timestamp(µs)", "timestamp"),
        ("Timestamp(ns)", "timestamp"),
        ("Interval(MonthDayNano)", "interval"),
        ("Null", "null"),
    ] {
        words = words.replace(engine, ours);
    }
    words
}

/// The trouble that a part of ours has sent through the engine.
fn ours(error: &(dyn StdError + 'static)) -> Option<Trouble> {
    let mut error = Some(error);
    while let Some(current) = error {
        if let Some(Passing(trouble)) = current.downcast_ref::<Passing>() {
            return Some(trouble.clone());
        }
        let inner: Option<&(dyn StdError + 'static)> =
            match current.downcast_ref::<DataFusionError>() {
                Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
                Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
                Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
                Some(DataFusionError::IoError(inner)) => Some(inner),
                Some(
                    DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner),
                ) => Some(inner.as_ref()),
                _ => match current.downcast_ref::<ArrowError>() {
                    Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                    Some(ArrowError::IoError(_, inner)) => Some(inner),
                    _ => match current
                        .downcast_ref::<io::Error>()
                        .and_then(io::Error::get_ref)
                    {
                        Some(inner) => Some(inner),
                        None => current.source(),
                    },
                },
            };
        error = inner;
    }
    None
}

fn schema_trouble(error: &SchemaError) -> Trouble {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let known: Vec<&str> = valid_fields
                .iter()
                .map(|field| field.name.as_str())
                .collect();
            unknown("unknown_column", "column", &field.name, known)
        }
        SchemaError::AmbiguousReference { field } => Trouble::new(
            "ambiguous_column",
            format!(
                "`{}` is a column of several tables; write the table's name before it",
                field.name
            ),
        ),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => Trouble::new(
            "invalid_query",
            format!("there are two columns `{name}`; name them apart with AS"),
        ),
    }
}

fn arrow_trouble(error: &ArrowError) -> Trouble {
    match error {
        ArrowError::DivideByZero => Trouble::new(
            "query_failed",
            "the query divides by zero; NULLIF(x, 0) makes such a quotient null",
        ),
        // "Overflow happened on: 9223372036854775807 + 1"
        ArrowError::ArithmeticOverflow(message) => Trouble::new(
            "query_failed",
            outgrown(message).unwrap_or_else(|| number_outgrown(message)),
        ),
        ArrowError::IoError(message, error) => match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::new(
                "storage_full",
                format!("the spill folder is full: {message}"),
            )
            .retryable(),
            _ => Trouble::new("io_error", format!("the spill folder: {message}")).retryable(),
        },
        ArrowError::CastError(message)
        | ArrowError::ParseError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::InvalidArgumentError(message) => computing(message),
        other => Trouble::new("query_failed", clean(&other.to_string())),
    }
}

/// What goes wrong with the values.
fn computing(message: &str) -> Trouble {
    let message = outgrown(message).unwrap_or_else(|| clean(message));
    Trouble::new("query_failed", message)
}

/// What has grown too large: "Overflow happened on: 9223372036854775807 + 1", "`Int64Array` overflow on abs(-…)".
fn outgrown(message: &str) -> Option<String> {
    if message.contains("Date arithmetic overflow") {
        return Some(String::from("a day or a time is too far away for its type"));
    }
    let after = |begin: &str| Some(message.split_once(begin)?.1);
    let what = after("Overflow happened on").or_else(|| after("Array overflow on"))?;
    Some(number_outgrown(what.trim_start_matches([':', ' '])))
}

fn number_outgrown(what: &str) -> String {
    format!(
        "a number outgrows its type: {}; compute in a wider one, such as CAST(… AS decimal(38,0))",
        clean(what)
    )
}

/// The engine's sentence, without what is meant for its own developers.
fn clean(message: &str) -> String {
    let mut message = message.trim();
    for end in [
        "\n\nbacktrace:",
        "\nThis issue was likely caused by",
        "\nThis was likely caused by",
        " Candidate functions:",
        "\n\tCandidate functions:",
    ] {
        message = message.split(end).next().unwrap_or(message);
    }
    // What wraps what, the outermost first.
    let prefixes = [
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "Internal error: ",
        "External error: ",
        "Schema error: ",
        "This feature is not implemented: ",
        "Optimizer rule ",
        "Compute error: ",
        "Invalid argument error: ",
        "type_coercion\ncaused by\n",
    ];
    while let Some(rest) = prefixes
        .iter()
        .find_map(|prefix| message.strip_prefix(prefix))
    {
        message = rest;
    }
    crate::error::excerpt(&in_words(without_tree(message.trim()).as_str()), 1000)
}

/// A sentence up to the syntax tree that it shows, if it does.
fn without_tree(message: &str) -> String {
    let marks = ["quote_style:", "span: Span", "Span(", "Ident {", "Box {"];
    let Some(mark) = marks.iter().filter_map(|mark| message.find(mark)).min() else {
        return message.to_owned();
    };
    let before = message.get(..mark).unwrap_or_default();
    let opening = before.find(['{', '(', '[']).unwrap_or(mark);
    let sentence = message.get(..opening).unwrap_or_default();
    // The word that the tree begins with.
    let sentence = sentence
        .trim_end()
        .trim_end_matches(|char: char| char.is_alphanumeric())
        .trim_end()
        .trim_end_matches([':', ',']);
    format!("{sentence}: a part of the query is written in a way that the engine doesn't know")
}
