//! Values, and the columns that they come in.

use std::borrow::Cow;

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer that may be beyond the reach of `Int`.
    UInt(u64),
    /// A floating-point number. What isn't finite is shown as an empty cell.
    Float(f64),
    /// `unscaled` × 10^-`scale`.
    Decimal {
        /// All digits.
        unscaled: i128,
        /// How many of them are after the point.
        scale: i8,
    },
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// A point in time.
    Timestamp {
        /// Microseconds since 1970-01-01, 00:00, in UTC, or of a clock on the wall.
        micros: i64,
        /// How many seconds east of UTC those are who read it; without, it is what a clock on the wall showed.
        offset: Option<i32>,
    },
    /// Text.
    Text(Cow<'a, str>),
}

impl<'a> Value<'a> {
    /// Text that somebody else holds.
    #[must_use]
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The same value, holding its own text.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::UInt(value) => Value::UInt(value),
            Self::Float(value) => Value::Float(value),
            Self::Decimal { unscaled, scale } => Value::Decimal { unscaled, scale },
            Self::Date(days) => Value::Date(days),
            Self::Time(micros) => Value::Time(micros),
            Self::Timestamp { micros, offset } => Value::Timestamp { micros, offset },
        }
    }

    /// The value as a floating-point number, if it is a finite one.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "for drawing only")]
    pub fn as_f64(&self) -> Option<f64> {
        let number = match self {
            Self::Int(value) => *value as f64,
            Self::UInt(value) => *value as f64,
            Self::Float(value) => *value,
            Self::Decimal { unscaled, scale } => *unscaled as f64 / 10_f64.powi(i32::from(*scale)),
            _ => return None,
        };
        number.is_finite().then_some(number)
    }
}

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// True and false.
    Bool,
    /// Integers.
    Int,
    /// Floating-point numbers.
    Float,
    /// Decimals.
    Decimal {
        /// Digits after the point.
        scale: i8,
    },
    /// Days.
    Date,
    /// Times of the day.
    Time,
    /// Points in time.
    Timestamp {
        /// Whether they have a time zone; otherwise they are what a clock on the wall showed.
        zoned: bool,
    },
    /// Texts, and whatever else.
    Text,
    /// Nothing but nulls, of which nobody knows what they would be: it suits every format and total.
    Nothing,
}

impl ColumnKind {
    /// Whether the values are numbers.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Decimal { .. })
    }

    /// The values in words, for messages.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int => "integers",
            Self::Float => "numbers",
            Self::Decimal { .. } => "decimals",
            Self::Date => "dates",
            Self::Time => "times",
            Self::Timestamp { .. } => "timestamps",
            Self::Text => "texts",
            Self::Nothing => "nothing",
        }
    }
}

/// A column as the data has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub kind: ColumnKind,
}

impl Column {
    /// A column.
    pub fn new(name: impl Into<String>, kind: ColumnKind) -> Self {
        Self {
            name: name.into(),
            kind,
        }
    }
}
