//! The frame of our scalar functions: they compute with arrays, whatever of columns and single values they are given.

use datafusion::{
    arrow::array::ArrayRef, common::ScalarValue, error::Result, logical_expr::ColumnarValue,
};

/// Whether all arguments are single values, so that the result is one, too.
pub(crate) fn are_scalars(args: &[ColumnarValue]) -> bool {
    args.iter()
        .all(|arg| matches!(arg, ColumnarValue::Scalar(_)))
}

/// What is computed of the arguments as arrays, all of one length.
///
/// # Errors
/// Those of `compute`, and arrays of different lengths.
pub(crate) fn of_arrays(
    args: &[ColumnarValue],
    compute: impl FnOnce(&[ArrayRef]) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let computed = compute(&ColumnarValue::values_to_arrays(args)?)?;
    Ok(match are_scalars(args) {
        true => ColumnarValue::Scalar(ScalarValue::try_from_array(&computed, 0)?),
        false => ColumnarValue::Array(computed),
    })
}
