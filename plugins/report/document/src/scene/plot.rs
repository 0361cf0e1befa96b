//! Bars and lines in a rectangle with two axes.

use std::mem;

use super::{
    Anchor, Dot, Label, Line, Paint, Path, Rect, Scene, Shape,
    axis::{Axis, nice_axis, tick_formatter, tick_label},
    count, number,
    shape::SIZE,
    tip,
};
use crate::{
    chart::{Chart, Series},
    format::Formatter,
    model::{ChartKind, Locale},
    value::Value,
};

const GAP: f32 = 8.0;
const LABEL_WIDTH_MAX: f32 = 130.0;

pub(super) fn draw(chart: &Chart, scene: &mut Scene, locale: Locale) {
    let top = legend(chart, scene) + GAP;
    let (min, max) = limits(chart);
    let axis = nice_axis(min, max, 5.0);
    let ticks = axis.ticks();
    let formatter = tick_formatter(chart, axis.step, locale);
    let texts: Vec<String> = ticks
        .iter()
        .map(|tick| {
            let text = tick_label(&formatter, *tick, axis);
            scene.fit(&text, SIZE, scene.width / 4.0)
        })
        .collect();
    let left = texts
        .iter()
        .map(|text| scene.width_of(text))
        .fold(0.0, f32::max)
        + GAP;
    let right = scene.width - 4.0;
    let slot = (right - left) / count(chart.categories.len());
    let labels = CategoryLabels::new(chart, slot, scene);
    let plot = Plot {
        chart,
        formatter: Formatter::new(&chart.format, locale),
        left,
        right,
        top,
        bottom: scene.height - labels.height - 6.0,
        slot,
        axis,
    };
    for (tick, text) in ticks.iter().zip(texts) {
        plot.tick(*tick, text, scene);
    }
    plot.categories(&labels, scene);
    match chart.kind {
        ChartKind::Line => plot.lines(scene),
        ChartKind::StackedBar => plot.stacked_bars(scene),
        ChartKind::Bar | ChartKind::Pie => plot.bars(scene),
    }
    if !ticks.contains(&0.0) {
        plot.horizontal(plot.bottom, (Paint::Axis, 1.0), scene);
    }
}

/// The names of the series with their colours, in lines. Returns the height taken.
fn legend(chart: &Chart, scene: &mut Scene) -> f32 {
    if chart.series.len() < 2 {
        return 0.0;
    }
    let (mut x, mut y) = (0.0_f32, SIZE);
    for (index, series) in chart.series.iter().enumerate() {
        let space = 180.0_f32.min(scene.width - 16.0);
        let text = scene.fit(&series.title, SIZE, space);
        let needed = 16.0 + scene.width_of(&text);
        if x > 0.0 && x + needed > scene.width {
            x = 0.0;
            y += SIZE * 1.6;
        }
        scene.swatch(x, y, index);
        scene.label(x + 15.0, y, text, Anchor::Start, Paint::Text);
        x += needed + 16.0;
    }
    y + SIZE * 1.1
}

/// The least and the greatest value that are to be seen.
fn limits(chart: &Chart) -> (f64, f64) {
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut take = |value: f64| {
        min = min.min(value);
        max = max.max(value);
    };
    if chart.kind == ChartKind::StackedBar {
        for index in 0..chart.categories.len() {
            let values = || {
                chart
                    .series
                    .iter()
                    .filter_map(|series| number(series, index))
            };
            take(values().filter(|value| *value > 0.0).sum());
            take(values().filter(|value| *value < 0.0).sum());
        }
    } else {
        chart
            .series
            .iter()
            .flat_map(|series| &series.values)
            .filter_map(Value::as_f64)
            .for_each(&mut take);
    }
    if min > max {
        return (0.0, 1.0);
    }
    // Bars stand on zero. A line may float, if zero would press it flat.
    if chart.kind != ChartKind::Line
        || (min > 0.0 && min < max * 0.6)
        || (max < 0.0 && max > min * 0.6)
    {
        (min, max) = (min.min(0.0), max.max(0.0));
    }
    (min, max)
}

/// How the categories are written below the plot.
struct CategoryLabels {
    rotated: bool,
    /// Every which of them is written.
    every: usize,
    /// How much height they take.
    height: f32,
}

impl CategoryLabels {
    fn new(chart: &Chart, slot: f32, scene: &Scene) -> Self {
        let height = scene.height;
        let widest = chart
            .categories
            .iter()
            .map(|text| scene.width_of(text).min(LABEL_WIDTH_MAX))
            .fold(0.0, f32::max);
        let level = |every| Self {
            rotated: false,
            every,
            height: SIZE * 1.8,
        };
        if widest + 6.0 <= slot {
            return level(1);
        }
        // Points of a line are neighbours in time, mostly: some of the labels tell the others. So do those of many bars.
        let every = steps(widest + 10.0, slot);
        let rotated_every = steps(SIZE * 1.25, slot);
        let tells = (chart.kind == ChartKind::Line && widest < 90.0)
            || (rotated_every > 1 && widest < 60.0);
        if tells && every < chart.categories.len() {
            return level(every);
        }
        Self {
            rotated: true,
            every: rotated_every,
            height: (widest + 4.0).min(height * 0.4),
        }
    }
}

fn steps(needed: f32, slot: f32) -> usize {
    (1..=4_000_usize)
        .find(|every| count(*every) * slot >= needed)
        .unwrap_or(4_000)
}

/// The rectangle that values are drawn into, and what they are measured by.
struct Plot<'c> {
    chart: &'c Chart,
    formatter: Formatter,
    left: f32,
    right: f32,
    top: f32,
    bottom: f32,
    /// The width of a category.
    slot: f32,
    axis: Axis,
}

impl Plot<'_> {
    fn y(&self, value: f64) -> f32 {
        self.bottom - self.axis.share(value) * (self.bottom - self.top)
    }

    /// The middle of a category.
    fn x(&self, index: usize) -> f32 {
        self.left + self.slot * (count(index) + 0.5)
    }

    fn horizontal(&self, y: f32, (paint, width): (Paint, f32), scene: &mut Scene) {
        scene.shapes.push(Shape::Line(Line {
            from: (self.left, y),
            to: (self.right, y),
            paint,
            width,
        }));
    }

    fn tick(&self, tick: f64, text: String, scene: &mut Scene) {
        let y = self.y(tick);
        let pen = if tick == 0.0 {
            (Paint::Axis, 1.0)
        } else {
            (Paint::Grid, 0.7)
        };
        self.horizontal(y, pen, scene);
        let (x, y) = (self.left - GAP, y + SIZE * 0.35);
        scene.label(x, y, text, Anchor::End, Paint::Muted);
    }

    fn categories(&self, labels: &CategoryLabels, scene: &mut Scene) {
        let space = if labels.rotated {
            labels.height.max(20.0) - 2.0
        } else {
            self.slot * count(labels.every) - 4.0
        };
        let texts = scene.fit_all(&self.chart.categories, SIZE, space);
        for (index, text) in texts.into_iter().enumerate().step_by(labels.every) {
            let x = self.x(index);
            let label = if labels.rotated {
                let (x, y) = (x + SIZE * 0.35, self.bottom + 7.0);
                Label {
                    rotated: true,
                    ..Label::new(x, y, text, Anchor::End, Paint::Muted)
                }
            } else {
                let y = self.bottom + SIZE * 1.4;
                Label::new(x, y, text, Anchor::Middle, Paint::Muted)
            };
            scene.shapes.push(Shape::Label(label));
        }
    }

    fn tip(&self, series: &Series, index: usize) -> String {
        tip(self.chart, series, index, &self.formatter)
    }

    /// A bar from one value to another; `x` and `width` are its own, `tip` is shown when somebody points at it.
    fn bar(
        &self,
        (x, width): (f32, f32),
        (from, to): (f64, f64),
        paint: Paint,
        tip: String,
    ) -> Shape {
        let (a, b) = (self.y(from), self.y(to));
        // A value that is not zero leaves a trace.
        let height = (a - b).abs().max(if from == to { 0.0 } else { 0.6 });
        let y = if to >= from { a - height } else { a };
        Shape::Rect(Rect {
            x,
            y,
            width,
            height,
            paint,
            tip,
        })
    }

    fn bars(&self, scene: &mut Scene) {
        let of_category = count(self.chart.series.len());
        let width = (self.slot * 0.76 / of_category).min(64.0);
        let inner = if width > 4.0 { width - 1.0 } else { width };
        for (series_index, series) in self.chart.series.iter().enumerate() {
            for (index, value) in series.values.iter().enumerate() {
                let Some(value) = value.as_f64() else {
                    continue;
                };
                let x = self.x(index) - width * of_category / 2.0 + width * count(series_index);
                let (paint, tip) = (Paint::Series(series_index), self.tip(series, index));
                let bar = self.bar((x, inner), (0.0, value), paint, tip);
                scene.shapes.push(bar);
            }
        }
        if let [series] = self.chart.series.as_slice() {
            self.value_labels(series, scene);
        }
    }

    /// Writes the values upon the bars of a single series, if all of them have room.
    fn value_labels(&self, series: &Series, scene: &mut Scene) {
        let texts: Vec<String> = series
            .values
            .iter()
            .map(|value| self.formatter.text(value))
            .collect();
        if texts
            .iter()
            .any(|text| scene.width_of(text) + 4.0 > self.slot)
        {
            return;
        }
        let heights: Vec<Option<f32>> = (0..texts.len())
            .map(|index| {
                let value = number(series, index)?;
                Some(if value < 0.0 {
                    self.y(value) + SIZE * 1.1
                } else {
                    self.y(value) - 4.0
                })
            })
            .collect();
        // A bar without its value among others that have theirs looks like a mistake.
        let has_room = |y: &f32| (SIZE..=self.bottom + 2.0).contains(y);
        if !heights.iter().flatten().all(has_room) {
            return;
        }
        for (index, (text, y)) in texts.into_iter().zip(heights).enumerate() {
            if let Some(y) = y {
                scene.label(self.x(index), y, text, Anchor::Middle, Paint::Text);
            }
        }
    }

    fn stacked_bars(&self, scene: &mut Scene) {
        let width = (self.slot * 0.72).min(72.0);
        for index in 0..self.chart.categories.len() {
            let x = self.x(index) - width / 2.0;
            let (mut above, mut below) = (0.0, 0.0);
            for (series_index, series) in self.chart.series.iter().enumerate() {
                let Some(value) = number(series, index) else {
                    continue;
                };
                let end = if value < 0.0 { &mut below } else { &mut above };
                let from = *end;
                *end += value;
                let (paint, tip) = (Paint::Series(series_index), self.tip(series, index));
                let bar = self.bar((x, width), (from, *end), paint, tip);
                scene.shapes.push(bar);
            }
        }
    }

    fn lines(&self, scene: &mut Scene) {
        let with_dots = self.slot >= 9.0;
        for (series_index, series) in self.chart.series.iter().enumerate() {
            let paint = Paint::Series(series_index);
            let mut points: Vec<(f32, f32)> = Vec::new();
            // One more than there are: the last line ends as all others do.
            for index in 0..=self.chart.categories.len() {
                if let Some(value) = number(series, index) {
                    points.push((self.x(index), self.y(value)));
                    continue;
                }
                // A null is a gap in the line; a lone point is a dot.
                let line = mem::take(&mut points);
                if line.len() > 1 {
                    let points = line;
                    scene.shapes.push(Shape::Path(Path { points, paint }));
                } else if let [(x, y)] = line.as_slice()
                    && !with_dots
                {
                    scene.shapes.push(Shape::Dot(Dot {
                        x: *x,
                        y: *y,
                        radius: 2.0,
                        paint,
                        tip: String::new(),
                    }));
                }
            }
            if with_dots {
                self.dots(series, paint, scene);
            }
        }
    }

    fn dots(&self, series: &Series, paint: Paint, scene: &mut Scene) {
        for index in 0..self.chart.categories.len() {
            let Some(value) = number(series, index) else {
                continue;
            };
            scene.shapes.push(Shape::Dot(Dot {
                x: self.x(index),
                y: self.y(value),
                radius: 3.0,
                paint,
                tip: self.tip(series, index),
            }));
        }
    }
}
