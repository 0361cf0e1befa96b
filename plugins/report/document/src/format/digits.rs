//! Numbers in decimal digits: rounded, grouped, and with what stands around them.

use std::iter::repeat_n;

use crate::{locale::Language, value::Value};

/// So many zeros are written at most; more than the largest floating-point number has.
const ZEROS_MAX: usize = 400;
/// How many decimals there are at most where none are asked for.
const DECIMALS_FREE_MAX: u8 = 6;

/// How a number is written.
#[derive(Clone, Debug, Default)]
pub(super) struct NumberStyle {
    /// How many decimals; without, as many as the number has, up to six.
    pub(super) decimals: Option<u8>,
    /// How many at least, where their number is free.
    pub(super) decimals_min: u8,
    /// The fewest digits before the point that are grouped.
    pub(super) group_from: u8,
    /// The number is written × 10^`power`.
    pub(super) power: i32,
    pub(super) prefix: String,
    pub(super) suffix: String,
}

/// A number as decimal digits: `unscaled` × 10^-`scale`.
pub(super) struct Digits {
    negative: bool,
    unscaled: u128,
    scale: i32,
}

impl Digits {
    /// `None` for what isn't a finite number.
    pub(super) fn of(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Int(value) => Self {
                negative: *value < 0,
                unscaled: value.unsigned_abs().into(),
                scale: 0,
            },
            Value::UInt(value) => Self {
                negative: false,
                unscaled: (*value).into(),
                scale: 0,
            },
            Value::Decimal { unscaled, scale } => Self {
                negative: *unscaled < 0,
                unscaled: unscaled.unsigned_abs(),
                scale: (*scale).into(),
            },
            Value::Float(value) if value.is_finite() => {
                // The shortest digits that mean this number, so that 1.005 is rounded as a person would.
                let text = format!("{:e}", value.abs());
                let (mantissa, exponent) = text.split_once('e')?;
                let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
                let unscaled = format!("{whole}{fraction}").parse().ok()?;
                let exponent: i32 = exponent.parse().ok()?;
                let scale = i32::try_from(fraction.len()).ok()? - exponent;
                Self {
                    negative: value.is_sign_negative(),
                    unscaled,
                    scale,
                }
            }
            _ => return None,
        })
    }

    /// How many decimals are written where their number is free.
    pub(super) fn free_decimals(self) -> u8 {
        let rounded = self.rounded(&NumberStyle::default());
        u8::try_from(rounded.scale.max(0)).unwrap_or(0)
    }

    /// Appends the number, rounded half away from zero.
    pub(super) fn write(self, style: &NumberStyle, language: &Language, to: &mut String) {
        let rounded = self.rounded(style);
        if rounded.negative && rounded.unscaled != 0 {
            to.push('-');
        }
        to.push_str(&style.prefix);
        let fraction_len = usize::try_from(rounded.scale).unwrap_or(0);
        let digits = rounded.digits(fraction_len);
        let (whole, fraction) = digits.split_at(digits.len() - fraction_len);
        if whole.len() >= usize::from(style.group_from) {
            for (index, digit) in whole.chars().enumerate() {
                if index > 0 && (whole.len() - index).is_multiple_of(3) {
                    to.push_str(language.group);
                }
                to.push(digit);
            }
        } else {
            to.push_str(whole);
        }
        let fraction_wanted =
            usize::from(style.decimals.unwrap_or(style.decimals_min)).max(fraction_len);
        if fraction_wanted > 0 {
            to.push_str(language.decimal);
            to.push_str(fraction);
            to.extend(repeat_n('0', fraction_wanted - fraction_len));
        }
        to.push_str(&style.suffix);
    }

    /// The number × 10^`power` with no more decimals than it may have; without zeros at the end where their number is
    /// free.
    fn rounded(self, style: &NumberStyle) -> Self {
        let (mut unscaled, mut scale) = (self.unscaled, self.scale - style.power);
        let decimals_max = i32::from(style.decimals.unwrap_or(DECIMALS_FREE_MAX));
        if scale > decimals_max {
            let cut = u32::try_from(scale - decimals_max).unwrap_or(u32::MAX);
            unscaled = match 10_u128.checked_pow(cut) {
                Some(divisor) => {
                    unscaled / divisor + u128::from(unscaled % divisor >= divisor.div_ceil(2))
                }
                None => 0,
            };
            scale = decimals_max;
        }
        if style.decimals.is_none() {
            while scale > 0 && unscaled.is_multiple_of(10) {
                unscaled /= 10;
                scale -= 1;
            }
        }
        Self {
            negative: self.negative,
            unscaled,
            scale,
        }
    }

    /// All digits, at least one of them before the last `fraction_len`.
    fn digits(&self, fraction_len: usize) -> String {
        let mut digits = self.unscaled.to_string();
        if self.scale < 0 && self.unscaled != 0 {
            let zeros = usize::try_from(-self.scale).unwrap_or(0);
            digits.extend(repeat_n('0', zeros.min(ZEROS_MAX)));
        }
        if digits.len() <= fraction_len {
            digits.insert_str(0, &"0".repeat(fraction_len + 1 - digits.len()));
        }
        digits
    }
}
