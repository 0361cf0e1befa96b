//! What a chart shows: its options, and the rows of its query on their way into it.

use std::collections::HashMap;

use crate::{
    error::{Error, ErrorKind},
    format::Formatter,
    model::{ChartKind, ChartOptions, Format, Locale},
    table::find_column,
    value::{Column, ColumnKind, Value},
};

/// The most series of a chart.
pub const SERIES_MAX: usize = 20;
/// The most categories of a bar chart.
pub const BARS_MAX: usize = 200;
/// The most categories of a line chart.
pub const POINTS_MAX: usize = 2_000;
/// The most slices of a pie.
pub const SLICES_MAX: usize = 24;

/// The longest label of a category or series, in bytes.
const LABEL_LEN_MAX: usize = 500;

/// A chart: options that have met their data.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Its kind.
    pub kind: ChartKind,
    /// Its heading.
    pub title: Option<String>,
    /// The name of the column that the categories come from.
    pub x: String,
    /// The labels of the categories, in the order of the data.
    pub categories: Vec<String>,
    /// The series; each has a value for each category.
    pub series: Vec<Series>,
    /// The type of the values.
    pub value_kind: ColumnKind,
    /// How the values are shown.
    pub format: Format,
}

/// One series of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub title: String,
    /// A number or null for each category.
    pub values: Vec<Value<'static>>,
}

/// Collects a chart's data from rows.
#[derive(Debug)]
pub struct ChartFeed {
    options: ChartOptions,
    x: usize,
    x_labels: Formatter,
    series: Vec<usize>,
    series_by: Option<(usize, Formatter)>,
    value_kind: ColumnKind,
    columns: usize,
    collected: Collected,
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
                && !(column.kind.is_number() || column.kind == ColumnKind::Nothing)
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
                Some((index, labels(columns, index, locale)))
            }
            None => None,
        };
        if series_by.is_some() && series.len() != 1 {
            return Err(invalid(
                "\"series_by\" divides one column: leave one in \"series\"".into(),
            ));
        }
        if options.kind == ChartKind::Pie && (series.len() != 1 || series_by.is_some()) {
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
            x_labels: labels(columns, x, locale),
            series,
            series_by,
            value_kind,
            columns: columns.len(),
            collected: Collected::default(),
            options: ChartOptions {
                format: match (&options.format, value_kind) {
                    // What is drawn is a measure, and no year.
                    (Format::Auto, ColumnKind::Int) => Format::Number {
                        decimals: None,
                        grouping: true,
                    },
                    (format, _) => format.clone(),
                },
                ..options.clone()
            },
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
        let label = label(&self.x_labels, row.get(self.x));
        let category = self.collected.category(&self.options, label)?;
        if let Some((by, labels)) = &self.series_by {
            let title = self::label(labels, row.get(*by));
            let title = self.options.titles.get(&title).cloned().unwrap_or(title);
            let series = self.collected.series(title)?;
            let value = self.series.first().and_then(|&index| row.get(index));
            return self.put(series, category, value);
        }
        for index in 0..self.series.len() {
            let name = &self.options.series[index];
            let title = self.options.titles.get(name).unwrap_or(name).clone();
            let series = self.collected.series(title)?;
            self.put(series, category, row.get(self.series[index]))?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        series: usize,
        category: usize,
        value: Option<&Value<'_>>,
    ) -> Result<(), Error> {
        let value = value.unwrap_or(&Value::Null);
        self.collected.put(&self.options, series, category, value)
    }

    /// The chart.
    ///
    /// # Errors
    /// `invalid_chart` when there is nothing to draw in a pie.
    pub fn finish(self) -> Result<Chart, Error> {
        self.collected.finish(&self.options, self.value_kind)
    }
}

/// Rows on their way to a chart.
#[derive(Debug, Default)]
struct Collected {
    categories: Vec<String>,
    category_index: HashMap<String, usize>,
    series: Vec<Series>,
    series_index: HashMap<String, usize>,
    // Which values came already, series × category.
    seen: Vec<Vec<bool>>,
}

pub(crate) fn categories_max(kind: ChartKind) -> usize {
    match kind {
        ChartKind::Bar | ChartKind::StackedBar => BARS_MAX,
        ChartKind::Line => POINTS_MAX,
        ChartKind::Pie => SLICES_MAX,
    }
}

impl Collected {
    fn category(&mut self, options: &ChartOptions, label: String) -> Result<usize, Error> {
        if let Some(&index) = self.category_index.get(&label) {
            return Ok(index);
        }
        let max = categories_max(options.kind);
        if self.categories.len() == max {
            return Err(Error::new(
                ErrorKind::ChartTooLarge,
                format!(
                    "the chart has more than {max} categories: group them in the query, or add a LIMIT"
                ),
            ));
        }
        let index = self.categories.len();
        self.category_index.insert(label.clone(), index);
        self.categories.push(label);
        Ok(index)
    }

    fn series(&mut self, title: String) -> Result<usize, Error> {
        if let Some(&index) = self.series_index.get(&title) {
            return Ok(index);
        }
        if self.series.len() == SERIES_MAX {
            return Err(Error::new(
                ErrorKind::ChartTooLarge,
                format!(
                    "the chart has more than {SERIES_MAX} series: draw the largest ones, sum up the others"
                ),
            ));
        }
        let index = self.series.len();
        self.series_index.insert(title.clone(), index);
        self.series.push(Series {
            title,
            values: Vec::new(),
        });
        self.seen.push(Vec::new());
        Ok(index)
    }

    fn put(
        &mut self,
        options: &ChartOptions,
        series: usize,
        category: usize,
        value: &Value<'_>,
    ) -> Result<(), Error> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidChart, message));
        let (Some(target), Some(seen)) = (self.series.get_mut(series), self.seen.get_mut(series))
        else {
            return invalid("a series is missing".into());
        };
        if target.values.len() <= category {
            target.values.resize(category + 1, Value::Null);
            seen.resize(category + 1, false);
        }
        if std::mem::replace(&mut seen[category], true) {
            let label = self.categories.get(category).map_or("", String::as_str);
            return invalid(format!(
                "the category {label:?} comes twice: GROUP BY {} in the query, or divide it with \"series_by\"",
                options.x
            ));
        }
        let number = value.as_f64();
        if options.kind == ChartKind::Pie && number.is_some_and(|number| number < 0.0) {
            let label = self.categories.get(category).map_or("", String::as_str);
            return invalid(format!(
                "the slice {label:?} is negative, which a pie can't show: take a bar chart"
            ));
        }
        target.values[category] = if number.is_some() {
            value.clone().into_owned()
        } else {
            Value::Null
        };
        Ok(())
    }

    fn finish(mut self, options: &ChartOptions, value_kind: ColumnKind) -> Result<Chart, Error> {
        for series in &mut self.series {
            series.values.resize(self.categories.len(), Value::Null);
        }
        if options.kind == ChartKind::Pie && !self.categories.is_empty() {
            let sum: f64 = self
                .series
                .iter()
                .flat_map(|series| &series.values)
                .filter_map(Value::as_f64)
                .sum();
            if !(sum > 0.0 && sum.is_finite()) {
                return Err(Error::new(
                    ErrorKind::InvalidChart,
                    "a pie needs at least one value above zero: there is nothing to divide",
                ));
            }
        }
        Ok(Chart {
            kind: options.kind,
            title: options.title.clone(),
            x: options.x.clone(),
            categories: self.categories,
            series: self.series,
            value_kind,
            format: options.format.clone(),
        })
    }
}

/// How the values of a column are written where they are labels.
fn labels(columns: &[Column], index: usize, locale: Locale) -> Formatter {
    let format = match columns.get(index).map(|column| column.kind) {
        // Years and numbers of weeks are the usual integers here: no separators.
        Some(ColumnKind::Int) => Format::Number {
            decimals: None,
            grouping: false,
        },
        _ => Format::Auto,
    };
    Formatter::new(&format, locale)
}

fn label(labels: &Formatter, value: Option<&Value<'_>>) -> String {
    let mut text = String::new();
    match value {
        None | Some(Value::Null) => text.push('–'),
        Some(value) => labels.write(value, &mut text),
    }
    // Nobody reads more of a label, and two thousand of them may be long.
    text.truncate(text.floor_char_boundary(LABEL_LEN_MAX));
    text
}
