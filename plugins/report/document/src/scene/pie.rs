//! A pie, with a legend beside it that has names, values and shares.

use super::{
    Anchor, Label, Paint, Scene, Shape, Slice, count, number,
    shape::{SIZE, point_at},
    tip, value_text,
};
use crate::{
    chart::{Chart, Series},
    format::Formatter,
    model::{Format, Locale},
    value::Value,
};

/// Smaller slices have no room for their share.
const LABELLED_SHARE_MIN: f64 = 0.045;

pub(super) struct Pie<'c> {
    chart: &'c Chart,
    series: &'c Series,
    sum: f64,
    center: (f32, f32),
    radius: f32,
    legend: Legend,
    formatter: Formatter,
    /// Shares with one decimal.
    percent: Formatter,
    /// Shares without.
    rounded: Formatter,
}

/// Sheets narrower than this have the legend below the pie.
const NARROW: f32 = 480.0;

/// The height of a sheet of this width that has room for a pie of so many slices and its legend.
pub(crate) fn narrow_height(width: f32, slices: usize) -> f32 {
    width * 0.54 + 26.0 + SIZE * 1.9 * count(slices)
}

/// How wide a legend is that has all names whole.
fn legend_width(chart: &Chart, series: &Series, formatter: &Formatter, scene: &Scene) -> f32 {
    let widest = |texts: &mut dyn Iterator<Item = f32>| texts.fold(0.0, f32::max);
    let names = widest(&mut chart.categories.iter().map(|name| scene.width_of(name)));
    let values = (0..chart.categories.len()).map(|index| value_text(series, index, formatter));
    let values = widest(&mut values.map(|text| scene.width_of(&text)));
    (names + values + 110.0).max(330.0)
}

/// Where the lines of the legend stand.
struct Legend {
    left: f32,
    right: f32,
    top: f32,
    line: f32,
    size: f32,
}

/// A category on its way round the pie.
struct Part {
    index: usize,
    share: f64,
    /// Where its slice begins and ends, in turns.
    from: f32,
    to: f32,
}

impl<'c> Pie<'c> {
    pub(super) fn new(chart: &'c Chart, series: &'c Series, scene: &Scene, locale: Locale) -> Self {
        let lines = count(chart.categories.len());
        let is_narrow = scene.width < NARROW;
        let radius = if is_narrow {
            scene.width * 0.27
        } else {
            (scene.height / 2.0 - 6.0).min(scene.width * 0.24).max(20.0)
        };
        let center = if is_narrow {
            (scene.width / 2.0, radius + 6.0)
        } else {
            (radius + 10.0, scene.height / 2.0)
        };
        let formatter = Formatter::new(&chart.format, locale);
        let line = (scene.height / lines).min(SIZE * 1.9);
        let (left, top) = if is_narrow {
            (2.0, center.1 + radius + 14.0)
        } else {
            (center.0 + radius + 36.0, center.1 - line * lines / 2.0)
        };
        let percent = |decimals| Formatter::new(&Format::Percent { decimals }, locale);
        Self {
            chart,
            series,
            sum: series.values.iter().filter_map(Value::as_f64).sum(),
            center,
            radius,
            legend: Legend {
                left,
                right: (left + legend_width(chart, series, &formatter, scene))
                    .min(scene.width - 4.0),
                top,
                line,
                size: SIZE.min(line * 0.85),
            },
            formatter,
            percent: percent(Some(1)),
            rounded: percent(Some(0)),
        }
    }

    pub(super) fn draw(&self, scene: &mut Scene) {
        let parts = self.parts();
        for part in &parts {
            self.slice(part, scene);
            self.legend_line(part, scene);
        }
        // Upon the slices, the neighbours' too.
        for part in &parts {
            self.share_label(part, scene);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a position on paper")]
    fn parts(&self) -> Vec<Part> {
        let mut from = 0.0_f64;
        let part = |index| {
            let share = number(self.series, index).unwrap_or(0.0) / self.sum;
            let to = from + share;
            let part = Part {
                index,
                share,
                from: from as f32,
                to: to.min(1.0) as f32,
            };
            from = to;
            part
        };
        (0..self.chart.categories.len()).map(part).collect()
    }

    fn slice(&self, part: &Part, scene: &mut Scene) {
        if part.share <= 0.0 {
            return;
        }
        let tip = tip(self.chart, self.series, part.index, &self.formatter);
        scene.shapes.push(Shape::Slice(Slice {
            x: self.center.0,
            y: self.center.1,
            radius: self.radius,
            from: part.from,
            to: part.to,
            paint: Paint::Series(part.index),
            tip: format!("{tip}, {}", self.percent(part.share)),
        }));
    }

    fn share_label(&self, part: &Part, scene: &mut Scene) {
        if part.share < LABELLED_SHARE_MIN {
            return;
        }
        let middle = f32::midpoint(part.from, part.to);
        let (x, y) = point_at(self.center, self.radius * 0.7, middle);
        let text = self.rounded.text(&Value::Float(part.share));
        scene.shapes.push(Shape::Label(Label {
            bold: true,
            ..Label::new(x, y + SIZE * 0.35, text, Anchor::Middle, Paint::Paper)
        }));
    }

    fn legend_line(&self, part: &Part, scene: &mut Scene) {
        let Legend {
            left,
            right,
            top,
            line,
            size,
        } = self.legend;
        let y = top + line * (count(part.index) + 0.5) + size * 0.35;
        let value = value_text(self.series, part.index, &self.formatter);
        let value_x = right - scene.width_of(&self.percent(0.999)) - 14.0;
        let name_space = value_x - scene.width_of(&value) - left - 26.0;
        let name = scene.fit(
            &self.chart.categories[part.index],
            size,
            name_space.max(30.0),
        );
        scene.swatch(left, y, part.index);
        let share = self.percent(part.share);
        for (text, x, anchor, paint) in [
            (name, left + 16.0, Anchor::Start, Paint::Text),
            (value, value_x, Anchor::End, Paint::Text),
            (share, right, Anchor::End, Paint::Muted),
        ] {
            scene.shapes.push(Shape::Label(Label {
                size,
                ..Label::new(x, y, text, anchor, paint)
            }));
        }
    }

    fn percent(&self, share: f64) -> String {
        self.percent.text(&Value::Float(share))
    }
}
