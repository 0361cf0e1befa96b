//! Axes of charts: from values to places, and where their marks stand.

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From zero on, evenly.
    Linear,
    /// Each factor as wide as the same factor elsewhere; for values above zero.
    Log,
}

/// An axis over values, between two places.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

/// More marks than so many would crowd a logarithmic axis; then only powers of ten have one.
const MARKS_MAX: usize = 8;
/// The spaces of a linear axis, about.
const SPACES: f64 = 5.0;

impl Axis {
    /// Over all of these values, with round numbers at its ends.
    pub(crate) fn over(scale: Scale, values: impl IntoIterator<Item = f64>) -> Self {
        let (least, most) = values
            .into_iter()
            .filter(|value| value.is_finite() && (scale == Scale::Linear || *value > 0.0))
            .fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
                (least.min(value), most.max(value))
            });
        let (low, high) = match scale {
            Scale::Linear if most > 0.0 => (0.0, (most / step(most)).ceil() * step(most)),
            Scale::Log if most > 0.0 => {
                let low = round_down(least);
                let high = round_up(most);
                // One value would have no width.
                (
                    low,
                    if high > low {
                        high
                    } else {
                        round_up(low * 1.5)
                    },
                )
            }
            Scale::Linear => (0.0, 1.0),
            Scale::Log => (1.0, 10.0),
        };
        Self {
            scale,
            low,
            high,
            start: 0.0,
            end: 1.0,
        }
    }

    /// From one place to another.
    pub(crate) fn between(self, start: f64, end: f64) -> Self {
        Self { start, end, ..self }
    }

    /// Where a value stands; what is outside, at the nearer end.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        let share = if share.is_nan() { 0.0 } else { share };
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Values that have a mark, and where.
    pub(crate) fn ticks(&self) -> Vec<(f64, f64)> {
        let values = match self.scale {
            Scale::Linear => {
                let step = step(self.high);
                let spaces = (self.high / step).round();
                let mut values = Vec::new();
                let mut count = 0.0;
                while count <= spaces {
                    values.push(count * step);
                    count += 1.0;
                }
                values
            }
            Scale::Log => {
                let all = self.round_numbers(&[1.0, 2.0, 5.0]);
                if all.len() <= MARKS_MAX {
                    all
                } else {
                    self.round_numbers(&[1.0])
                }
            }
        };
        let place = |value| (value, self.place(value));
        values.into_iter().map(place).collect()
    }

    /// These times powers of ten, as far as they lie on the axis.
    fn round_numbers(&self, digits: &[f64]) -> Vec<f64> {
        let mut values = Vec::new();
        let mut power = power_below(self.low);
        while power <= self.high * 1.001 {
            let round = digits.iter().map(|digit| digit * power);
            // A little more room, for what was rounded on the way.
            values.extend(
                round.filter(|value| *value >= self.low * 0.999 && *value <= self.high * 1.001),
            );
            power *= 10.0;
        }
        values
    }
}

/// The power of ten that is not above a value.
fn power_below(value: f64) -> f64 {
    // What should be exact may be a little less.
    10_f64.powf((value.log10() + 1e-9).floor())
}

fn round_down(value: f64) -> f64 {
    let power = power_below(value);
    let digits = [5.0, 2.0, 1.0].map(|digit| digit * power);
    let fits = |round: &&f64| **round <= value * 1.000_001;
    digits.iter().find(fits).copied().unwrap_or(power)
}

fn round_up(value: f64) -> f64 {
    let power = power_below(value);
    let digits = [1.0, 2.0, 5.0].map(|digit| digit * power);
    let fits = |round: &&f64| **round >= value * 0.999_999;
    digits.iter().find(fits).copied().unwrap_or(power * 10.0)
}

/// A round number of which a few make up a value.
fn step(value: f64) -> f64 {
    round_up(value / SPACES * 0.8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(scale: Scale, values: &[f64]) -> Vec<f64> {
        let axis = Axis::over(scale, values.iter().copied());
        let round = |value: f64| (value * 1e6).round() / 1e6;
        axis.ticks()
            .into_iter()
            .map(|(value, _)| round(value))
            .collect()
    }

    #[test]
    fn a_linear_axis_begins_at_zero_and_ends_above_all() {
        assert_eq!(
            marks(Scale::Linear, &[30.0, 97.0]),
            [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
        );
        assert_eq!(
            marks(Scale::Linear, &[143_000.0]),
            [0.0, 50_000.0, 100_000.0, 150_000.0]
        );
        for most in [0.003, 1.0, 7.0, 12.0, 99.9, 100.0, 1_234_567.0] {
            let marks = marks(Scale::Linear, &[most]);
            assert!((3..=7).contains(&marks.len()), "{most}: {marks:?}");
            assert!(marks[marks.len() - 1] >= most, "{most}: {marks:?}");
        }
    }

    #[test]
    fn a_logarithmic_axis_has_round_ends() {
        assert_eq!(
            marks(Scale::Log, &[1.0, 10_000.0]),
            [1.0, 10.0, 100.0, 1000.0, 10_000.0]
        );
        assert_eq!(marks(Scale::Log, &[0.03, 0.4]), [0.02, 0.05, 0.1, 0.2, 0.5]);
        assert_eq!(marks(Scale::Log, &[5.0]), [5.0, 10.0]);
        assert_eq!(marks(Scale::Log, &[]), [1.0, 2.0, 5.0, 10.0]);
    }

    #[test]
    fn values_have_their_places() {
        let axis = Axis::over(Scale::Log, [1.0, 100.0]).between(50.0, 250.0);
        let places = [1.0, 10.0, 100.0, 0.0, 1e9].map(|value| axis.place(value).round());
        assert_eq!(places, [50.0, 150.0, 250.0, 50.0, 250.0]);
        // Upwards, as a page's coordinates have it.
        let axis = Axis::over(Scale::Linear, [10.0]).between(200.0, 0.0);
        assert_eq!(
            [0.0, 5.0, 10.0].map(|value| axis.place(value)),
            [200.0, 100.0, 0.0]
        );
    }
}
