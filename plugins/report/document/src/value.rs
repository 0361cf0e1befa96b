//! Values, columns, and what a table, a chart and key figures consist of once their options have met the data.

use std::borrow::Cow;

use crate::{
    chart::Chart,
    error::{Error, ErrorKind},
    model::{
        Align, ChartOptions, ColumnOptions, Format, KeyFiguresOptions, Locale, TableOptions, Total,
    },
};

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
        /// Microseconds since 1970-01-01, 00:00.
        micros: i64,
        /// Whether it is in UTC; otherwise it is what a clock on the wall showed.
        utc: bool,
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
            Self::Timestamp { micros, utc } => Value::Timestamp { micros, utc },
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
        /// Whether they are in UTC.
        utc: bool,
    },
    /// Texts, and whatever else: a column that holds nothing but nulls.
    Text,
}

impl ColumnKind {
    /// Whether the values are numbers.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Decimal { .. })
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

/// A column as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct TableColumn {
    /// Its name in the data.
    pub name: String,
    /// Its heading.
    pub title: String,
    /// The type of its values.
    pub kind: ColumnKind,
    /// How they are shown.
    pub format: Format,
    /// On which side they stand.
    pub align: Align,
    /// The width in characters, where one was asked for.
    pub width: Option<f32>,
    /// What stands below it.
    pub total: Option<Total>,
}

/// A table as it is shown: options that fit the data.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its heading.
    pub title: Option<String>,
    /// Its columns, in the order of the data.
    pub columns: Vec<TableColumn>,
    /// The column whose equal values form a group.
    pub group_by: Option<usize>,
}

impl Table {
    /// Checks the options against the columns of the data.
    ///
    /// # Errors
    /// `unknown_column` (with near misses), `invalid_option` when a format or total doesn't suit its column's type.
    pub fn new(options: &TableOptions, columns: &[Column]) -> Result<Self, Error> {
        for name in options.columns.keys() {
            find_column(name, columns, "columns")?;
        }
        if columns.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidOption,
                "a table needs at least one column",
            ));
        }
        let group_by = match &options.group_by {
            Some(name) => Some(find_column(name, columns, "group_by")?),
            None => None,
        };
        let default = ColumnOptions::default();
        let columns = columns
            .iter()
            .map(|column| {
                table_column(
                    column,
                    options.columns.get(&column.name).unwrap_or(&default),
                )
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            title: options.title.clone(),
            columns,
            group_by,
        })
    }

    /// Whether any column has a total.
    #[must_use]
    pub fn has_totals(&self) -> bool {
        self.columns.iter().any(|column| column.total.is_some())
    }
}

fn table_column(column: &Column, options: &ColumnOptions) -> Result<TableColumn, Error> {
    let at =
        |message: String| Error::invalid_option(format!("column {:?}: {message}", column.name));
    options
        .format
        .check()
        .map_err(|error| at(error.to_string()))?;
    if let Some(width) = options.width
        && !(2.0..=200.0).contains(&width)
    {
        return Err(at(format!(
            "the width {width} is not between 2 and 200 characters"
        )));
    }
    if let Some(total) = options.total {
        let number = column.kind.is_number();
        match total {
            Total::Sum | Total::Average if !number => {
                return Err(at(
                    "only numbers have a sum or an average: take \"count\", or leave out the total"
                        .into(),
                ));
            }
            Total::Min | Total::Max
                if matches!(column.kind, ColumnKind::Text | ColumnKind::Bool) =>
            {
                return Err(at(
                    "only numbers and dates have a least and a greatest value".into(),
                ));
            }
            _ => {}
        }
    }
    if !options.format.suits(column.kind) {
        return Err(at(format!(
            "its values are {} and can't be shown as {}",
            column.kind.plural(),
            options.format.word()
        )));
    }
    let align = options.align.unwrap_or(match column.kind {
        ColumnKind::Int | ColumnKind::Float | ColumnKind::Decimal { .. } => Align::Right,
        _ => Align::Left,
    });
    Ok(TableColumn {
        name: column.name.clone(),
        title: options.title.clone().unwrap_or_else(|| column.name.clone()),
        kind: column.kind,
        format: match (&options.format, column.kind, options.total) {
            // What is summed up is a measure, and no year: its thousands are separated, in rows and totals alike.
            (Format::Auto, ColumnKind::Int, Some(Total::Sum | Total::Average)) => Format::Number {
                decimals: None,
                grouping: true,
            },
            (format, ..) => format.clone(),
        },
        align,
        width: options.width,
        total: options.total,
    })
}

impl ColumnKind {
    fn plural(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int => "integers",
            Self::Float => "numbers",
            Self::Decimal { .. } => "decimals",
            Self::Date => "dates",
            Self::Time => "times",
            Self::Timestamp { .. } => "timestamps",
            Self::Text => "texts",
        }
    }
}

/// Where the column of this name is; the error names near misses.
pub(crate) fn find_column(name: &str, columns: &[Column], option: &str) -> Result<usize, Error> {
    if let Some(index) = columns.iter().position(|column| column.name == name) {
        return Ok(index);
    }
    let mut near: Vec<(f64, &str)> = columns
        .iter()
        .map(|column| {
            (
                strsim::jaro_winkler(&column.name.to_lowercase(), &name.to_lowercase()),
                column.name.as_str(),
            )
        })
        .filter(|(similarity, _)| *similarity > 0.75)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let hint = if near.is_empty() {
        let names: Vec<_> = columns
            .iter()
            .take(20)
            .map(|column| column.name.as_str())
            .collect();
        format!(
            "the data has {}{}",
            names.join(", "),
            if columns.len() > names.len() {
                ", …"
            } else {
                ""
            }
        )
    } else {
        let names: Vec<_> = near
            .iter()
            .take(3)
            .map(|(_, name)| format!("{name:?}"))
            .collect();
        format!("did you mean {}?", names.join(" or "))
    };
    Err(Error::new(
        ErrorKind::UnknownColumn,
        format!("{option}: there is no column {name:?}; {hint}"),
    ))
}

/// One figure in large letters.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyFigure {
    /// What it is.
    pub title: String,
    /// Its column's name.
    pub name: String,
    /// Its value.
    pub value: Value<'static>,
    /// The type of the value.
    pub kind: ColumnKind,
    /// How it is shown.
    pub format: Format,
}

/// A row of figures in large letters.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyFigures {
    /// A heading.
    pub title: Option<String>,
    /// The figures.
    pub figures: Vec<KeyFigure>,
}

/// The most figures of one section.
pub const KEY_FIGURES_MAX: usize = 24;

impl KeyFigures {
    /// Makes a figure of each value of the row; without a row all are empty.
    ///
    /// # Errors
    /// `unknown_column`, `invalid_option`, `too_many_columns`.
    pub fn new(
        options: &KeyFiguresOptions,
        columns: &[Column],
        row: Option<&[Value<'_>]>,
    ) -> Result<Self, Error> {
        if columns.len() > KEY_FIGURES_MAX {
            return Err(Error::new(
                ErrorKind::TooManyColumns,
                format!(
                    "{} key figures are more than {KEY_FIGURES_MAX}: select fewer columns",
                    columns.len()
                ),
            ));
        }
        let table = Table::new(
            &TableOptions {
                title: options.title.clone(),
                group_by: None,
                columns: options.columns.clone(),
            },
            columns,
        )?;
        let figures = table
            .columns
            .into_iter()
            .enumerate()
            .map(|(index, column)| KeyFigure {
                title: column.title,
                name: column.name,
                value: row
                    .and_then(|row| row.get(index))
                    .cloned()
                    .map_or(Value::Null, Value::into_owned),
                kind: column.kind,
                format: column.format,
            })
            .collect();
        Ok(Self {
            title: table.title,
            figures,
        })
    }
}

/// Collects a chart's data from rows.
#[derive(Debug)]
pub struct ChartFeed {
    options: ChartOptions,
    x: usize,
    x_kind: ColumnKind,
    series: Vec<usize>,
    series_by: Option<(usize, ColumnKind)>,
    value_kind: ColumnKind,
    locale: Locale,
    columns: usize,
    state: crate::chart::Collected,
}

impl ChartFeed {
    /// Checks the options against the columns of the data.
    ///
    /// # Errors
    /// `unknown_column`, `invalid_chart` when a series isn't made of numbers, `invalid_option`.
    pub fn new(options: &ChartOptions, columns: &[Column], locale: Locale) -> Result<Self, Error> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidChart, message);
        let x = find_column(&options.x, columns, "x")?;
        if options.series.is_empty() {
            return Err(invalid(
                "a chart needs at least one column in \"series\"".into(),
            ));
        }
        let series = options
            .series
            .iter()
            .map(|name| find_column(name, columns, "series"))
            .collect::<Result<Vec<_>, _>>()?;
        for &index in &series {
            if let Some(column) = columns.get(index)
                && !column.kind.is_number()
            {
                return Err(invalid(format!(
                    "series: column {:?} holds {}; a chart draws numbers",
                    column.name,
                    column.kind.plural()
                )));
            }
        }
        let series_by = match &options.series_by {
            Some(name) => {
                let index = find_column(name, columns, "series_by")?;
                Some((
                    index,
                    columns
                        .get(index)
                        .map_or(ColumnKind::Text, |column| column.kind),
                ))
            }
            None => None,
        };
        if series_by.is_some() && series.len() != 1 {
            return Err(invalid(
                "\"series_by\" divides one column: leave one in \"series\"".into(),
            ));
        }
        if options.kind == crate::model::ChartKind::Pie
            && (series.len() != 1 || series_by.is_some())
        {
            return Err(invalid(
                "a pie shows one series: leave one column in \"series\", or take a bar chart"
                    .into(),
            ));
        }
        options.format.check()?;
        let kind_of = |index: usize| {
            columns
                .get(index)
                .map_or(ColumnKind::Text, |column| column.kind)
        };
        let value_kind = series
            .first()
            .map_or(ColumnKind::Float, |&index| kind_of(index));
        if !options.format.suits(value_kind) {
            return Err(Error::invalid_option(format!(
                "a chart's values can't be shown as {}",
                options.format.word()
            )));
        }
        Ok(Self {
            x,
            x_kind: kind_of(x),
            series,
            series_by,
            value_kind,
            locale,
            columns: columns.len(),
            state: crate::chart::Collected::default(),
            options: options.clone(),
        })
    }

    /// Takes a row with a value for each column of the data.
    ///
    /// # Errors
    /// `chart_too_large` when there are more categories or series than can be told apart, `invalid_chart` when a
    /// category comes twice, or a pie has a negative value.
    pub fn row(&mut self, row: &[Value<'_>]) -> Result<(), Error> {
        if row.len() != self.columns {
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "a row has {} values for {} columns",
                    row.len(),
                    self.columns
                ),
            ));
        }
        self.state.row(
            &self.options,
            self.locale,
            (self.x, self.x_kind),
            &self.series,
            self.series_by,
            row,
        )
    }

    /// The chart.
    ///
    /// # Errors
    /// `invalid_chart` when there is nothing to draw in a pie.
    pub fn finish(self) -> Result<Chart, Error> {
        self.state.finish(&self.options, self.value_kind)
    }
}
