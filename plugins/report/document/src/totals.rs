//! Totals and subtotals, computed while rows stream through.

use std::cmp::Ordering;

use crate::{
    error::{Error, ErrorKind},
    model::Total,
    table::Table,
    value::{ColumnKind, Value},
};

/// The totals of a table and of its current group.
pub(crate) struct Totals {
    columns: Vec<Option<(Total, String, ColumnKind)>>,
    all: Accumulators,
    group: Accumulators,
    group_by: Option<usize>,
    group_value: Option<Value<'static>>,
}

/// A group's value, how many rows it has, and what they come to.
pub(crate) type Group = (Value<'static>, u64, Vec<Value<'static>>);

#[derive(Clone)]
struct Accumulators {
    rows: u64,
    columns: Vec<Accumulator>,
}

#[derive(Clone, Default)]
struct Accumulator {
    count: u64,
    // Exact, in units of 10^-scale.
    exact: i128,
    scale: i8,
    float: f64,
    // What was lost to rounding so far (Neumaier).
    lost: f64,
    has_float: bool,
    extreme: Option<Value<'static>>,
}

impl Totals {
    pub(crate) fn new(table: &Table) -> Self {
        let columns: Vec<_> = table
            .columns
            .iter()
            .map(|column| {
                column
                    .total
                    .map(|total| (total, column.name.clone(), column.kind))
            })
            .collect();
        let empty = Accumulators {
            rows: 0,
            columns: vec![Accumulator::default(); columns.len()],
        };
        Self {
            columns,
            all: empty.clone(),
            group: empty,
            group_by: table.group_by,
            group_value: None,
        }
    }

    pub(crate) fn rows(&self) -> u64 {
        self.all.rows
    }

    /// Whether this row belongs to another group than the one before.
    pub(crate) fn ends_group(&self, values: &[Value<'_>]) -> bool {
        let Some(value) = self.group_by.and_then(|index| values.get(index)) else {
            return false;
        };
        self.group_value
            .as_ref()
            .is_some_and(|current| !same(current, value))
    }

    pub(crate) fn add(&mut self, values: &[Value<'_>]) -> Result<(), Error> {
        if let Some(index) = self.group_by {
            if self.group_value.is_none() {
                self.group_value = values.get(index).cloned().map(Value::into_owned);
            }
            add_row(&self.columns, &mut self.group, values)?;
        }
        add_row(&self.columns, &mut self.all, values)
    }

    /// Ends the current group, if there is one.
    pub(crate) fn take_group(&mut self) -> Result<Option<Group>, Error> {
        let Some(value) = self.group_value.take() else {
            return Ok(None);
        };
        let values = results(&self.columns, &self.group)?;
        let rows = self.group.rows;
        self.group = Accumulators {
            rows: 0,
            columns: vec![Accumulator::default(); self.columns.len()],
        };
        Ok(Some((value, rows, values)))
    }

    pub(crate) fn values(&self) -> Result<Vec<Value<'static>>, Error> {
        results(&self.columns, &self.all)
    }
}

fn same(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        // All values that are not numbers are one group.
        (Value::Float(a), Value::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
        _ => a == b,
    }
}

fn add_row(
    columns: &[Option<(Total, String, ColumnKind)>],
    to: &mut Accumulators,
    values: &[Value<'_>],
) -> Result<(), Error> {
    to.rows += 1;
    for ((column, accumulator), value) in columns.iter().zip(&mut to.columns).zip(values) {
        let Some((total, name, _)) = column else {
            continue;
        };
        accumulator.add(*total, value).ok_or_else(|| {
            Error::new(
                ErrorKind::TotalOverflow,
                format!(
                    "the {} of column {name:?} has more than 38 digits",
                    word(*total)
                ),
            )
        })?;
    }
    Ok(())
}

fn results(
    columns: &[Option<(Total, String, ColumnKind)>],
    from: &Accumulators,
) -> Result<Vec<Value<'static>>, Error> {
    columns
        .iter()
        .zip(&from.columns)
        .map(|(column, accumulator)| match column {
            Some((total, name, kind)) => accumulator.result(*total, *kind).ok_or_else(|| {
                Error::new(
                    ErrorKind::TotalOverflow,
                    format!(
                        "the {} of column {name:?} has more than 38 digits",
                        word(*total)
                    ),
                )
            }),
            None => Ok(Value::Null),
        })
        .collect()
}

fn word(total: Total) -> &'static str {
    match total {
        Total::Sum => "sum",
        Total::Average => "average",
        Total::Min => "least value",
        Total::Max => "greatest value",
        Total::Count => "count",
    }
}

impl Accumulator {
    /// `None` when the digits don't suffice.
    fn add(&mut self, total: Total, value: &Value<'_>) -> Option<()> {
        if value.is_null() || matches!(value, Value::Float(number) if number.is_nan()) {
            return Some(());
        }
        self.count += 1;
        match total {
            Total::Count => {}
            Total::Sum | Total::Average => match value {
                Value::Int(number) => self.add_exact(i128::from(*number), 0)?,
                Value::UInt(number) => self.add_exact(i128::from(*number), 0)?,
                Value::Decimal { unscaled, scale } => self.add_exact(*unscaled, *scale)?,
                Value::Float(number) => self.add_float(*number),
                _ => {}
            },
            Total::Min | Total::Max => {
                let better = if total == Total::Min {
                    Ordering::Less
                } else {
                    Ordering::Greater
                };
                if self
                    .extreme
                    .as_ref()
                    .is_none_or(|extreme| compare(value, extreme) == better)
                {
                    self.extreme = Some(value.clone().into_owned());
                }
            }
        }
        Some(())
    }

    fn add_exact(&mut self, unscaled: i128, scale: i8) -> Option<()> {
        if scale == self.scale {
            self.exact = self.exact.checked_add(unscaled)?;
            return Some(());
        }
        let common = self.scale.max(scale);
        self.exact = rescale(self.exact, self.scale, common)?
            .checked_add(rescale(unscaled, scale, common)?)?;
        self.scale = common;
        Some(())
    }

    fn add_float(&mut self, number: f64) {
        self.has_float = true;
        let sum = self.float + number;
        if sum.is_finite() {
            self.lost += if self.float.abs() >= number.abs() {
                (self.float - sum) + number
            } else {
                (number - sum) + self.float
            };
        }
        self.float = sum;
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "floating-point numbers have no exact average"
    )]
    fn result(&self, total: Total, kind: ColumnKind) -> Option<Value<'static>> {
        Some(match total {
            Total::Count => Value::UInt(self.count),
            Total::Min | Total::Max => self.extreme.clone().unwrap_or(Value::Null),
            Total::Sum | Total::Average if self.count == 0 => Value::Null,
            Total::Sum | Total::Average if self.has_float => {
                let mut sum = self.float + self.lost;
                sum += self.exact as f64 / 10_f64.powi(i32::from(self.scale));
                Value::Float(if total == Total::Sum {
                    sum
                } else {
                    sum / self.count as f64
                })
            }
            Total::Sum => match (kind, i64::try_from(self.exact)) {
                (ColumnKind::Int, Ok(sum)) if self.scale == 0 => Value::Int(sum),
                _ => Value::Decimal {
                    unscaled: self.exact,
                    scale: self.scale,
                },
            },
            Total::Average => {
                // Four digits more than the values have, half away from zero; zeros at the end beyond theirs are cut.
                let more = self.scale.checked_add(4)?;
                let scaled = rescale(self.exact, self.scale, more)?;
                let count = i128::from(self.count);
                let half = if scaled < 0 { -(count / 2) } else { count / 2 };
                let mut unscaled = scaled.checked_add(half)? / count;
                let mut scale = more;
                while scale > self.scale && unscaled % 10 == 0 {
                    unscaled /= 10;
                    scale -= 1;
                }
                Value::Decimal { unscaled, scale }
            }
        })
    }
}

fn rescale(unscaled: i128, from: i8, to: i8) -> Option<i128> {
    let digits = u32::try_from(i16::from(to) - i16::from(from)).ok()?;
    if unscaled == 0 {
        return Some(0);
    }
    unscaled.checked_mul(10_i128.checked_pow(digits)?)
}

/// Compares values of one column.
fn compare(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Timestamp { micros: a, .. }, Value::Timestamp { micros: b, .. }) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::UInt(a), Value::UInt(b)) => a.cmp(b),
        (
            Value::Decimal {
                unscaled: a,
                scale: x,
            },
            Value::Decimal {
                unscaled: b,
                scale: y,
            },
        ) if x == y => a.cmp(b),
        (a, b) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => Ordering::Equal,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, TableOptions};

    fn table(kind: ColumnKind, total: Total) -> Table {
        let columns = [
            Column::new("group", ColumnKind::Text),
            Column::new("value", kind),
        ];
        let mut options = TableOptions {
            group_by: Some("group".into()),
            ..TableOptions::default()
        };
        options.columns.entry("value".into()).or_default().total = Some(total);
        Table::new(&options, &columns).unwrap()
    }

    fn total(
        kind: ColumnKind,
        total: Total,
        values: &[Value<'_>],
    ) -> Result<Value<'static>, Error> {
        let mut totals = Totals::new(&table(kind, total));
        for value in values {
            totals.add(&[Value::text("a"), value.clone()])?;
        }
        Ok(totals.values()?.swap_remove(1))
    }

    #[test]
    fn sums_of_integers_and_decimals_are_exact() {
        let max = Value::Int(i64::MAX);
        assert_eq!(
            total(
                ColumnKind::Int,
                Total::Sum,
                &[max.clone(), max.clone(), Value::Int(-1)]
            )
            .unwrap(),
            Value::Decimal {
                unscaled: 2 * i128::from(i64::MAX) - 1,
                scale: 0
            }
        );
        assert_eq!(
            total(
                ColumnKind::Int,
                Total::Sum,
                &[Value::Int(2), Value::Null, Value::Int(3)]
            )
            .unwrap(),
            Value::Int(5)
        );
        let cents = |unscaled, scale| Value::Decimal { unscaled, scale };
        assert_eq!(
            total(
                ColumnKind::Decimal { scale: 2 },
                Total::Sum,
                &[cents(10, 2), cents(20, 2), cents(5, 3)]
            )
            .unwrap(),
            cents(305, 3)
        );
        let huge = cents(i128::MAX, 2);
        let overflow = total(
            ColumnKind::Decimal { scale: 2 },
            Total::Sum,
            &[huge.clone(), huge],
        )
        .unwrap_err();
        assert_eq!(overflow.kind(), "total_overflow");
    }

    #[test]
    fn sums_of_floats_lose_nothing_that_matters() {
        let values: Vec<Value<'_>> = [1e16, 1.0, -1e16, 0.1, 0.2].map(Value::Float).into();
        let Value::Float(sum) = total(ColumnKind::Float, Total::Sum, &values).unwrap() else {
            panic!("a number")
        };
        assert!((sum - 1.3).abs() < 1e-12, "{sum}");
        let infinite = [Value::Float(f64::INFINITY), Value::Float(1.0)];
        assert_eq!(
            total(ColumnKind::Float, Total::Sum, &infinite).unwrap(),
            Value::Float(f64::INFINITY)
        );
    }

    #[test]
    fn averages_extremes_and_counts_leave_out_nulls() {
        let values = [Value::Int(1), Value::Null, Value::Int(2), Value::Int(2)];
        let of = |wanted| total(ColumnKind::Int, wanted, &values).unwrap();
        assert_eq!(
            of(Total::Average),
            Value::Decimal {
                unscaled: 16_667,
                scale: 4
            }
        );
        assert_eq!(of(Total::Min), Value::Int(1));
        assert_eq!(of(Total::Max), Value::Int(2));
        assert_eq!(of(Total::Count), Value::UInt(3));
        assert_eq!(
            total(
                ColumnKind::Int,
                Total::Average,
                &[Value::Int(2), Value::Int(4)]
            )
            .unwrap(),
            Value::Decimal {
                unscaled: 3,
                scale: 0
            }
        );
        assert_eq!(
            total(ColumnKind::Int, Total::Sum, &[Value::Null]).unwrap(),
            Value::Null
        );
        assert_eq!(
            total(
                ColumnKind::Date,
                Total::Max,
                &[Value::Date(3), Value::Date(9)]
            )
            .unwrap(),
            Value::Date(9)
        );
    }

    #[test]
    fn groups_end_where_their_value_changes() {
        let mut totals = Totals::new(&table(ColumnKind::Int, Total::Sum));
        let mut groups = Vec::new();
        for (group, value) in [("a", 1), ("a", 2), ("b", 3), ("a", 4)] {
            let row = [Value::text(group), Value::Int(value)];
            if totals.ends_group(&row) {
                groups.extend(totals.take_group().unwrap());
            }
            totals.add(&row).unwrap();
        }
        groups.extend(totals.take_group().unwrap());
        let seen: Vec<_> = groups
            .into_iter()
            .map(|(group, rows, mut values)| (group, rows, values.swap_remove(1)))
            .collect();
        assert_eq!(
            seen,
            [
                (Value::text("a"), 2, Value::Int(3)),
                (Value::text("b"), 1, Value::Int(3)),
                (Value::text("a"), 1, Value::Int(4))
            ]
        );
        assert_eq!(totals.take_group().unwrap(), None);
    }
}
