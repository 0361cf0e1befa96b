//! Accumulators for what the engine's own can't do, or can't do in a wider type.

use std::{collections::HashMap, fmt::Debug};

use datafusion::{
    arrow::{
        array::{ArrayRef, ArrowNativeTypeOp as _, ArrowNumericType, AsArray as _},
        datatypes::{
            DataType, Decimal128Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit,
            IntervalYearMonthType,
        },
    },
    common::ScalarValue,
    error::{DataFusionError, Result},
    logical_expr::{Accumulator, function::AccumulatorArgs},
};

use super::outgrown;
use crate::error::{Passing, Trouble, excerpt};

/// The sum of the different values in a moving frame, which the engine has for one type alone.
#[derive(Debug)]
pub(super) struct MovingDistinct {
    /// How many of each there are.
    counts: HashMap<i128, usize>,
    sum: i128,
    data_type: DataType,
}

impl MovingDistinct {
    pub(super) fn new(data_type: DataType) -> Self {
        Self {
            counts: HashMap::new(),
            sum: 0,
            data_type,
        }
    }
}

impl Accumulator for MovingDistinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Decimal128Type>().iter().flatten() {
            let count = self.counts.entry(value).or_default();
            *count += 1;
            if *count == 1 {
                self.sum += value;
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Decimal128Type>().iter().flatten() {
            if let Some(count) = self.counts.get_mut(&value) {
                *count -= 1;
                if *count == 0 {
                    self.sum -= value;
                    self.counts.remove(&value);
                }
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = (!self.counts.is_empty()).then_some(self.sum);
        ScalarValue::new_primitive::<Decimal128Type>(sum, &self.data_type)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.counts.capacity() * size_of::<(i128, usize)>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Err(never_merged())
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        Err(never_merged())
    }
}

fn never_merged() -> DataFusionError {
    DataFusionError::Internal(String::from("moving frames are never merged"))
}

/// Accumulators for types that have no wider one.
pub(super) fn checked(args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
    if args.is_distinct {
        let message = format!("`{}`: intervals can't be summed DISTINCT", args.name);
        return Err(Passing::engine_error(Trouble::new(
            "invalid_query",
            message,
        )));
    }
    match args.return_type() {
        DataType::Interval(IntervalUnit::YearMonth) => {
            Ok(Box::new(Checked::<IntervalYearMonthType>::new(args)))
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            Ok(Box::new(Checked::<IntervalDayTimeType>::new(args)))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            Ok(Box::new(Checked::<IntervalMonthDayNanoType>::new(args)))
        }
        other => Err(DataFusionError::Internal(format!(
            "{other} is summed in a wider type"
        ))),
    }
}

/// A sum in the type of its values.
#[derive(Debug)]
struct Checked<T: ArrowNumericType> {
    sum: T::Native,
    /// How many values there are; without any, the sum is null.
    count: usize,
    name: String,
    data_type: DataType,
}

impl<T: ArrowNumericType> Checked<T> {
    fn new(args: &AccumulatorArgs<'_>) -> Self {
        Self {
            sum: T::default_value(),
            count: 0,
            name: excerpt(args.name, 200),
            data_type: args.return_type().clone(),
        }
    }
}

impl<T: ArrowNumericType + Debug> Accumulator for Checked<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<T>().iter().flatten() {
            let sum = self.sum.add_checked(value);
            self.sum = sum.map_err(|_| outgrown(&self.name, None, &self.data_type))?;
            self.count += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<T>().iter().flatten() {
            let sum = self.sum.sub_checked(value);
            self.sum = sum.map_err(|_| outgrown(&self.name, None, &self.data_type))?;
            self.count -= 1;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = (self.count > 0).then_some(self.sum);
        ScalarValue::new_primitive::<T>(sum, &self.data_type)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    /// The states are sums; how many values are in them doesn't matter, as long as there are some.
    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}
