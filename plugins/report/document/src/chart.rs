//! What a chart shows.

use std::collections::HashMap;

use crate::{
    error::{Error, ErrorKind},
    format::Formatter,
    model::{ChartKind, ChartOptions, Format, Locale},
    value::{ColumnKind, Value},
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

/// Rows on their way to a chart.
#[derive(Debug, Default)]
pub(crate) struct Collected {
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
    pub(crate) fn row(
        &mut self,
        options: &ChartOptions,
        locale: Locale,
        (x, x_kind): (usize, ColumnKind),
        series: &[usize],
        series_by: Option<(usize, ColumnKind)>,
        row: &[Value<'_>],
    ) -> Result<(), Error> {
        let category = self.category(options, label(locale, x_kind, row.get(x)))?;
        if let Some((by, kind)) = series_by {
            let title = label(locale, kind, row.get(by));
            let index = self.series(options.titles.get(&title).cloned().unwrap_or(title))?;
            let value = series
                .first()
                .and_then(|&index| row.get(index))
                .unwrap_or(&Value::Null);
            return self.put(options, index, category, value);
        }
        for (name, &column) in options.series.iter().zip(series) {
            let index = self.series(options.titles.get(name).unwrap_or(name).clone())?;
            self.put(
                options,
                index,
                category,
                row.get(column).unwrap_or(&Value::Null),
            )?;
        }
        Ok(())
    }

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

    pub(crate) fn finish(
        mut self,
        options: &ChartOptions,
        value_kind: ColumnKind,
    ) -> Result<Chart, Error> {
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

fn label(locale: Locale, kind: ColumnKind, value: Option<&Value<'_>>) -> String {
    let mut text = String::new();
    match value {
        None | Some(Value::Null) => text.push('–'),
        // Years and numbers of weeks are the usual integers here: no separators.
        Some(value) => {
            let format = match kind {
                ColumnKind::Int => Format::Number {
                    decimals: None,
                    grouping: false,
                },
                _ => Format::Auto,
            };
            Formatter::new(&format, kind, locale).write(value, &mut text);
        }
    }
    // Nobody reads more of a label, and two thousand of them may be long.
    text.truncate(text.floor_char_boundary(LABEL_LEN_MAX));
    text
}
