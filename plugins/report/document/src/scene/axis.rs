//! The axis of a chart: its limits, its ticks, and how these are written.

use crate::{
    chart::Chart,
    format::Formatter,
    model::{Format, Locale},
    value::Value,
};

/// An axis: from, to, and the distance of its ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    min: f64,
    max: f64,
    pub(super) step: f64,
}

/// Round limits and steps of 1, 2, 2.5 or 5 × 10^n around the values.
pub(super) fn nice_axis(mut min: f64, mut max: f64, ticks: f64) -> Axis {
    if !(min.is_finite() && max.is_finite()) || min > max {
        return Axis {
            min: 0.0,
            max: 1.0,
            step: 0.25,
        };
    }
    // Beyond that, steps would be infinite.
    (min, max) = (min.clamp(-1e300, 1e300), max.clamp(-1e300, 1e300));
    if min == max {
        if max == 0.0 {
            max = 1.0;
        } else if max > 0.0 {
            min = 0.0;
        } else {
            max = 0.0;
        }
    }
    // Halves first: the difference of two huge numbers would be infinite.
    let rough = (max / ticks - min / ticks).abs();
    if !(rough.is_finite() && rough > f64::MIN_POSITIVE * 1e10) {
        return Axis {
            min: 0.0,
            max: 1.0,
            step: 0.25,
        };
    }
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(power * 10.0);
    let (low, high) = (
        (min / step + 1e-9).floor() * step,
        (max / step - 1e-9).ceil() * step,
    );
    Axis {
        min: low,
        max: if high > low { high } else { low + step },
        step,
    }
}

impl Axis {
    /// Where the value lies between the limits, 0 to 1.
    #[expect(clippy::cast_possible_truncation, reason = "a position on paper")]
    pub(super) fn share(self, value: f64) -> f32 {
        let span = self.max / 2.0 - self.min / 2.0;
        if span > 0.0 {
            (((value / 2.0 - self.min / 2.0) / span).clamp(0.0, 1.0)) as f32
        } else {
            0.0
        }
    }

    pub(super) fn ticks(self) -> Vec<f64> {
        let mut ticks = Vec::new();
        for index in 0..60_u32 {
            let tick = self.min + self.step * f64::from(index);
            if tick > self.max + self.step / 1e3 {
                break;
            }
            ticks.push(if tick.abs() < self.step / 1e6 {
                0.0
            } else {
                tick
            });
        }
        ticks
    }
}

/// How the ticks of an axis are written: as the values are, with as many decimals as the step needs.
pub(super) fn tick_formatter(chart: &Chart, step: f64, locale: Locale) -> Formatter {
    let shown = if matches!(chart.format, Format::Percent { .. }) {
        step * 100.0
    } else {
        step
    };
    let decimals = (0..=6_u8)
        .find(|decimals| {
            let scaled = shown * 10_f64.powi(i32::from(*decimals));
            (scaled - scaled.round()).abs() < 1e-6 * scaled.abs().max(1e-9)
        })
        .unwrap_or(6);
    let format = match &chart.format {
        Format::Currency { code, .. } => Format::Currency {
            code: code.clone(),
            decimals: Some(decimals),
        },
        Format::Percent { .. } => Format::Percent {
            decimals: Some(decimals),
        },
        Format::Number { grouping, .. } => Format::Number {
            decimals: Some(decimals),
            grouping: *grouping,
        },
        _ => Format::Number {
            decimals: Some(decimals),
            grouping: true,
        },
    };
    Formatter::new(&format, locale)
}

/// A tick as people write it; in powers of ten where there were more zeros than anyone counts.
pub(super) fn tick_label(formatter: &Formatter, tick: f64, axis: Axis) -> String {
    let is_odd = axis.step < 1e-5 || axis.max.abs().max(axis.min.abs()) >= 1e15;
    if !is_odd {
        return formatter.text(&Value::Float(tick));
    }
    if tick == 0.0 {
        return "0".to_owned();
    }
    let text = format!("{tick:.2e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => {
            format!(
                "{}e{exponent}",
                mantissa.trim_end_matches('0').trim_end_matches('.')
            )
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_steps() {
        for (min, max, expected) in [
            (0.0, 100.0, (0.0, 100.0, 20.0)),
            (0.0, 97.0, (0.0, 100.0, 20.0)),
            (-12.0, 31.0, (-20.0, 40.0, 10.0)),
            (0.0, 0.0, (0.0, 1.0, 0.2)),
            (5.0, 5.0, (0.0, 5.0, 1.0)),
            (-5.0, -5.0, (-5.0, 0.0, 1.0)),
        ] {
            let axis = nice_axis(min, max, 5.0);
            let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
            assert!(
                near(axis.min, expected.0)
                    && near(axis.max, expected.1)
                    && near(axis.step, expected.2),
                "{min}..{max}: {axis:?}"
            );
        }
    }

    #[test]
    fn axes_of_any_numbers_have_few_ticks_that_enclose_them() {
        let numbers = [
            0.0,
            1e-300,
            -1e-300,
            1e300,
            -1e300,
            f64::MAX,
            f64::MIN,
            1.0,
            1e15 + 1.0,
            0.1,
            123_456.789,
        ];
        for a in numbers {
            for b in numbers {
                let axis = nice_axis(a.min(b), a.max(b), 5.0);
                let ticks = axis.ticks();
                assert!(
                    (2..=14).contains(&ticks.len()),
                    "{a} {b}: {axis:?} has {} ticks",
                    ticks.len()
                );
                assert!(
                    axis.share(a).is_finite() && axis.share(b).is_finite(),
                    "{a} {b}"
                );
            }
        }
    }
}
