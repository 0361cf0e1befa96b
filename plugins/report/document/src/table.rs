//! What a table and key figures consist of once their options have met the data.

use crate::{
    direction,
    error::{Error, ErrorKind},
    format::{AMOUNT_SCALE_MAX, Formatter},
    model::{Align, ColumnOptions, Format, KeyFiguresOptions, Locale, TableOptions, Total},
    value::{Column, ColumnKind, Value},
};

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
    /// Whether that was asked for. Else what isn't a number stands where its readers begin.
    pub(crate) is_aligned: bool,
    /// The width in characters, where one was asked for.
    pub width: Option<f32>,
    /// What stands below it.
    pub total: Option<Total>,
    /// The fewest decimals of its numbers, where their number is free: as many as the first rows have, so that points
    /// stand below each other.
    pub(crate) decimals_min: u8,
}

impl TableColumn {
    /// What shows its values.
    pub(crate) fn formatter(&self, locale: Locale) -> Formatter {
        Formatter::new(&self.format, locale).with_decimals_min(self.decimals_min)
    }

    /// Whether each of its numbers has as many decimals as it takes.
    pub(crate) fn has_free_decimals(&self) -> bool {
        let is_free = match self.kind {
            ColumnKind::Float => true,
            ColumnKind::Decimal { scale } => scale > AMOUNT_SCALE_MAX,
            _ => false,
        };
        is_free
            && matches!(
                self.format,
                Format::Auto | Format::Number { decimals: None, .. }
            )
    }
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

    /// Its columns, aligned for readers of this direction. All of a column stands on one side, whatever language its
    /// values have: where all readers begin, or those of its heading.
    pub(crate) fn columns_towards(&self, is_rtl: bool) -> Vec<TableColumn> {
        let mut columns = self.columns.clone();
        for column in &mut columns {
            let begins_right = is_rtl || direction::is_rtl(&column.title);
            if begins_right && !column.is_aligned && column.align == Align::Left {
                column.align = Align::Right;
            }
        }
        columns
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
        let number = column.kind.is_number() || column.kind == ColumnKind::Nothing;
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
        is_aligned: options.align.is_some(),
        width: options.width,
        total: options.total,
        decimals_min: 0,
    })
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
                // A figure is a measure, and no year.
                format: match (column.format, column.kind) {
                    (Format::Auto, ColumnKind::Int) => Format::Number {
                        decimals: None,
                        grouping: true,
                    },
                    (format, _) => format,
                },
            })
            .collect();
        Ok(Self {
            title: table.title,
            figures,
        })
    }
}
