//! Where the parts of a chart stand: one layout, drawn as SVG and as PDF.

use crate::{
    chart::{Chart, Series},
    fonts::{Weight, fit_text, text_width},
    format::Formatter,
    model::{ChartKind, Format, Locale},
    value::Value,
};

/// What a shape is painted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// The colour of a series or slice.
    Series(usize),
    Grid,
    Axis,
    Text,
    Muted,
    /// What lies below: for gaps between slices, and text upon them.
    Paper,
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Line {
        from: (f32, f32),
        to: (f32, f32),
        paint: Paint,
        width: f32,
    },
    Rect {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        paint: Paint,
        tip: String,
    },
    Path {
        points: Vec<(f32, f32)>,
        paint: Paint,
    },
    Dot {
        x: f32,
        y: f32,
        radius: f32,
        paint: Paint,
        tip: String,
    },
    /// A part of a disc; angles in turns, clockwise from the top.
    Slice {
        x: f32,
        y: f32,
        radius: f32,
        from: f32,
        to: f32,
        paint: Paint,
        tip: String,
    },
    Text {
        x: f32,
        y: f32,
        text: String,
        size: f32,
        anchor: Anchor,
        paint: Paint,
        rotated: bool,
        bold: bool,
    },
}

/// A chart's shapes.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Scene {
    pub(crate) width: f32,
    pub(crate) height: f32,
    pub(crate) shapes: Vec<Shape>,
}

const SIZE: f32 = 11.0;
const GAP: f32 = 8.0;
const LABEL_WIDTH_MAX: f32 = 130.0;

/// The colours of series: told apart by most kinds of colour vision, and dark enough upon white.
pub(crate) const PALETTE: [[u8; 3]; 10] = [
    [0x2f, 0x6d, 0xb5],
    [0xe0, 0x7b, 0x2c],
    [0x2e, 0x9b, 0x7b],
    [0xc8, 0x47, 0x5a],
    [0x7a, 0x62, 0xb8],
    [0xb3, 0x8f, 0x1d],
    [0x3d, 0xa3, 0xc9],
    [0xc9, 0x66, 0xa3],
    [0x6f, 0x83, 0x36],
    [0x77, 0x7f, 0x8a],
];

/// The colour of the series with this index: the second ten are lighter.
pub(crate) fn series_color(index: usize) -> [u8; 3] {
    let color = PALETTE
        .get(index % PALETTE.len())
        .copied()
        .unwrap_or_default();
    if (index / PALETTE.len()).is_multiple_of(2) {
        return color;
    }
    color.map(|part| part + (255 - part) / 2)
}

/// An axis: from, to, and the distance of its ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    min: f64,
    max: f64,
    step: f64,
}

/// Round limits and steps of 1, 2, 2.5 or 5 × 10^n around the values.
fn nice_axis(mut min: f64, mut max: f64, ticks: f64) -> Axis {
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
    /// From 0 to 1 between the limits.
    #[expect(clippy::cast_possible_truncation, reason = "a position on paper")]
    fn share(self, value: f64) -> f32 {
        let span = self.max / 2.0 - self.min / 2.0;
        if span > 0.0 {
            (((value / 2.0 - self.min / 2.0) / span).clamp(0.0, 1.0)) as f32
        } else {
            0.0
        }
    }

    fn ticks(self) -> Vec<f64> {
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
fn tick_formatter(chart: &Chart, step: f64, locale: Locale) -> Formatter {
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
fn tick_label(formatter: &Formatter, tick: f64, axis: Axis) -> String {
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

fn count(len: usize) -> f32 {
    f32::from(u16::try_from(len).unwrap_or(u16::MAX))
}

fn width_of(text: &str) -> f32 {
    text_width(text, Weight::Regular, SIZE)
}

/// Lays the chart out on a sheet of this width.
pub(crate) fn lay_out(chart: &Chart, width: f32, height: f32, locale: Locale) -> Scene {
    let mut scene = Scene {
        width,
        height,
        shapes: Vec::new(),
    };
    if chart.categories.is_empty() || chart.series.is_empty() {
        scene.shapes.push(Shape::Text {
            x: width / 2.0,
            y: height / 2.0,
            text: locale.language().no_data.to_owned(),
            size: SIZE,
            anchor: Anchor::Middle,
            paint: Paint::Muted,
            rotated: false,
            bold: false,
        });
        return scene;
    }
    if chart.kind == ChartKind::Pie {
        pie(chart, &mut scene, locale);
    } else {
        plot(chart, &mut scene, locale);
    }
    scene
}

/// The names of the series with their colours, in lines. Returns the height taken.
fn legend(chart: &Chart, scene: &mut Scene) -> f32 {
    if chart.series.len() < 2 {
        return 0.0;
    }
    let (mut x, mut y) = (0.0_f32, SIZE);
    for (index, series) in chart.series.iter().enumerate() {
        let text = fit_text(
            &series.title,
            Weight::Regular,
            SIZE,
            180.0_f32.min(scene.width - 16.0),
        );
        let needed = 16.0 + width_of(&text);
        if x > 0.0 && x + needed > scene.width {
            x = 0.0;
            y += SIZE * 1.6;
        }
        swatch(scene, x, y, index);
        scene
            .shapes
            .push(label(x + 15.0, y, text, Anchor::Start, Paint::Text));
        x += needed + 16.0;
    }
    y + SIZE * 1.1
}

fn swatch(scene: &mut Scene, x: f32, y: f32, index: usize) {
    scene.shapes.push(Shape::Rect {
        x,
        y: y - SIZE * 0.8,
        width: 10.0,
        height: 10.0,
        paint: Paint::Series(index),
        tip: String::new(),
    });
}

fn label(x: f32, y: f32, text: String, anchor: Anchor, paint: Paint) -> Shape {
    Shape::Text {
        x,
        y,
        text,
        size: SIZE,
        anchor,
        paint,
        rotated: false,
        bold: false,
    }
}

/// The rectangle that values are drawn into, and what they are measured by.
struct Plot {
    left: f32,
    right: f32,
    top: f32,
    bottom: f32,
    axis: Axis,
}

impl Plot {
    fn y(&self, value: f64) -> f32 {
        self.bottom - self.axis.share(value) * (self.bottom - self.top)
    }

    fn slot(&self, categories: usize) -> f32 {
        (self.right - self.left) / count(categories)
    }
}

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

fn number(series: &Series, index: usize) -> Option<f64> {
    series.values.get(index).and_then(Value::as_f64)
}

fn plot(chart: &Chart, scene: &mut Scene, locale: Locale) {
    let top = legend(chart, scene) + GAP;
    let (min, max) = limits(chart);
    let axis = nice_axis(min, max, 5.0);
    let ticks = axis.ticks();
    let formatter = tick_formatter(chart, axis.step, locale);
    let labels: Vec<String> = ticks
        .iter()
        .map(|tick| {
            let text = tick_label(&formatter, *tick, axis);
            fit_text(&text, Weight::Regular, SIZE, scene.width / 4.0)
        })
        .collect();
    let left = labels.iter().map(|text| width_of(text)).fold(0.0, f32::max) + GAP;
    let right = scene.width - 4.0;
    let slot = (right - left) / count(chart.categories.len());
    let (rotated, every, label_height) = category_labels(chart, slot, scene.height);
    let plot = Plot {
        left,
        right,
        top,
        bottom: scene.height - label_height - 6.0,
        axis,
    };

    for (tick, text) in ticks.iter().zip(labels) {
        let y = plot.y(*tick);
        let is_zero = *tick == 0.0;
        let (paint, width) = if is_zero {
            (Paint::Axis, 1.0)
        } else {
            (Paint::Grid, 0.7)
        };
        scene.shapes.push(Shape::Line {
            from: (left, y),
            to: (right, y),
            paint,
            width,
        });
        scene.shapes.push(label(
            left - GAP,
            y + SIZE * 0.35,
            text,
            Anchor::End,
            Paint::Muted,
        ));
    }
    for (index, category) in chart.categories.iter().enumerate().step_by(every) {
        let x = plot.left + slot * (count(index) + 0.5);
        if rotated {
            let text = fit_text(
                category,
                Weight::Regular,
                SIZE,
                label_height.max(20.0) - 2.0,
            );
            scene.shapes.push(Shape::Text {
                x: x + SIZE * 0.35,
                y: plot.bottom + 7.0,
                text,
                size: SIZE,
                anchor: Anchor::End,
                paint: Paint::Muted,
                rotated: true,
                bold: false,
            });
        } else {
            let space = slot * count(every) - 4.0;
            let text = fit_text(
                category,
                Weight::Regular,
                SIZE,
                space.max(LABEL_WIDTH_MAX.min(space)),
            );
            scene.shapes.push(label(
                x,
                plot.bottom + SIZE * 1.4,
                text,
                Anchor::Middle,
                Paint::Muted,
            ));
        }
    }
    let shown = Formatter::new(&chart.format, locale);
    match chart.kind {
        ChartKind::Line => lines(chart, scene, &plot, &shown),
        ChartKind::StackedBar => stacked_bars(chart, scene, &plot, &shown),
        ChartKind::Bar | ChartKind::Pie => bars(chart, scene, &plot, &shown),
    }
    if !ticks.contains(&0.0) {
        let (from, to) = ((plot.left, plot.bottom), (plot.right, plot.bottom));
        scene.shapes.push(Shape::Line {
            from,
            to,
            paint: Paint::Axis,
            width: 1.0,
        });
    }
}

/// Whether the labels of categories are rotated, every which of them is written, and how much height they take.
fn category_labels(chart: &Chart, slot: f32, height: f32) -> (bool, usize, f32) {
    let widest = chart
        .categories
        .iter()
        .map(|text| width_of(text).min(LABEL_WIDTH_MAX))
        .fold(0.0, f32::max);
    if widest + 6.0 <= slot {
        return (false, 1, SIZE * 1.8);
    }
    // Points of a line are neighbours in time, mostly: some of the labels tell the others. So do those of many bars.
    let every = steps(widest + 10.0, slot);
    let rotated_every = steps(SIZE * 1.25, slot);
    let tells =
        (chart.kind == ChartKind::Line && widest < 90.0) || (rotated_every > 1 && widest < 60.0);
    if tells && every < chart.categories.len() {
        return (false, every, SIZE * 1.8);
    }
    (true, rotated_every, (widest + 4.0).min(height * 0.4))
}

fn steps(needed: f32, slot: f32) -> usize {
    (1..=4_000_usize)
        .find(|every| count(*every) * slot >= needed)
        .unwrap_or(4_000)
}

fn tip(chart: &Chart, series: &Series, index: usize, formatter: &Formatter) -> String {
    let category = chart.categories.get(index).map_or("", String::as_str);
    let value = series
        .values
        .get(index)
        .map(|value| formatter.text(value))
        .unwrap_or_default();
    if chart.series.len() > 1 {
        format!("{category}, {}: {value}", series.title)
    } else {
        format!("{category}: {value}")
    }
}

fn bar(plot: &Plot, x: f32, width: f32, from: f64, to: f64, paint: Paint, tip: String) -> Shape {
    let (a, b) = (plot.y(from), plot.y(to));
    // A value that is not zero leaves a trace.
    let height = (a - b).abs().max(if from == to { 0.0 } else { 0.6 });
    let y = if to >= from { a - height } else { a };
    Shape::Rect {
        x,
        y,
        width,
        height,
        paint,
        tip,
    }
}

fn bars(chart: &Chart, scene: &mut Scene, plot: &Plot, formatter: &Formatter) {
    let slot = plot.slot(chart.categories.len());
    let width = (slot * 0.76 / count(chart.series.len())).min(64.0);
    let group = width * count(chart.series.len());
    for (series_index, series) in chart.series.iter().enumerate() {
        for (index, value) in series.values.iter().enumerate() {
            let Some(value) = value.as_f64() else {
                continue;
            };
            let x =
                plot.left + slot * (count(index) + 0.5) - group / 2.0 + width * count(series_index);
            let inner = if width > 4.0 { width - 1.0 } else { width };
            let tip = tip(chart, series, index, formatter);
            scene.shapes.push(bar(
                plot,
                x,
                inner,
                0.0,
                value,
                Paint::Series(series_index),
                tip,
            ));
        }
    }
    value_labels(chart, scene, plot, formatter, slot);
}

/// Writes the values upon the bars of a single series, if all of them have room.
fn value_labels(chart: &Chart, scene: &mut Scene, plot: &Plot, formatter: &Formatter, slot: f32) {
    let [series] = chart.series.as_slice() else {
        return;
    };
    let texts: Vec<String> = series
        .values
        .iter()
        .map(|value| formatter.text(value))
        .collect();
    if texts.iter().any(|text| width_of(text) + 4.0 > slot) {
        return;
    }
    for (index, text) in texts.into_iter().enumerate() {
        let Some(value) = number(series, index) else {
            continue;
        };
        let y = if value < 0.0 {
            plot.y(value) + SIZE * 1.1
        } else {
            plot.y(value) - 4.0
        };
        if y < SIZE || y > plot.bottom + 2.0 {
            continue;
        }
        let x = plot.left + slot * (count(index) + 0.5);
        scene
            .shapes
            .push(label(x, y, text, Anchor::Middle, Paint::Text));
    }
}

fn stacked_bars(chart: &Chart, scene: &mut Scene, plot: &Plot, formatter: &Formatter) {
    let slot = plot.slot(chart.categories.len());
    let width = (slot * 0.72).min(72.0);
    for index in 0..chart.categories.len() {
        let x = plot.left + slot * (count(index) + 0.5) - width / 2.0;
        let (mut above, mut below) = (0.0, 0.0);
        for (series_index, series) in chart.series.iter().enumerate() {
            let Some(value) = number(series, index) else {
                continue;
            };
            let end = if value < 0.0 { &mut below } else { &mut above };
            let from = *end;
            *end += value;
            let tip = tip(chart, series, index, formatter);
            scene.shapes.push(bar(
                plot,
                x,
                width,
                from,
                *end,
                Paint::Series(series_index),
                tip,
            ));
        }
    }
}

fn lines(chart: &Chart, scene: &mut Scene, plot: &Plot, formatter: &Formatter) {
    let slot = plot.slot(chart.categories.len());
    let with_dots = slot >= 9.0;
    for (series_index, series) in chart.series.iter().enumerate() {
        let paint = Paint::Series(series_index);
        let mut points: Vec<(f32, f32)> = Vec::new();
        for index in 0..=chart.categories.len() {
            let Some(value) = number(series, index) else {
                // A null is a gap in the line; a lone point is a dot.
                if let [(x, y)] = points.as_slice()
                    && !with_dots
                {
                    scene.shapes.push(Shape::Dot {
                        x: *x,
                        y: *y,
                        radius: 2.0,
                        paint,
                        tip: String::new(),
                    });
                } else if points.len() > 1 {
                    scene.shapes.push(Shape::Path {
                        points: std::mem::take(&mut points),
                        paint,
                    });
                }
                points.clear();
                continue;
            };
            points.push((plot.left + slot * (count(index) + 0.5), plot.y(value)));
        }
        if with_dots {
            for index in 0..chart.categories.len() {
                let Some(value) = number(series, index) else {
                    continue;
                };
                let (x, y) = (plot.left + slot * (count(index) + 0.5), plot.y(value));
                let tip = tip(chart, series, index, formatter);
                scene.shapes.push(Shape::Dot {
                    x,
                    y,
                    radius: 3.0,
                    paint,
                    tip,
                });
            }
        }
    }
}

fn pie(chart: &Chart, scene: &mut Scene, locale: Locale) {
    let Some(series) = chart.series.first() else {
        return;
    };
    let sum: f64 = series.values.iter().filter_map(Value::as_f64).sum();
    let radius = (scene.height / 2.0 - 6.0).min(scene.width * 0.24).max(20.0);
    let (x, y) = (radius + 10.0, scene.height / 2.0);
    let formatter = Formatter::new(&chart.format, locale);
    let percent = Formatter::new(&Format::Percent { decimals: Some(1) }, locale);
    let rounded = Formatter::new(&Format::Percent { decimals: Some(0) }, locale);
    let (line, legend_x) = (
        (scene.height / count(chart.categories.len())).min(SIZE * 1.9),
        x + radius + 36.0,
    );
    let legend_top = y - line * count(chart.categories.len()) / 2.0;
    let size = SIZE.min(line * 0.85);
    let mut from = 0.0_f64;
    let mut texts = Vec::new();
    for (index, category) in chart.categories.iter().enumerate() {
        let value = number(series, index).unwrap_or(0.0);
        let share = value / sum;
        let to = from + share;
        let tip = format!(
            "{}, {}",
            tip(chart, series, index, &formatter),
            percent.text(&Value::Float(share))
        );
        #[expect(clippy::cast_possible_truncation, reason = "a position on paper")]
        let (from_turn, to_turn) = (from as f32, to.min(1.0) as f32);
        if share > 0.0 {
            let paint = Paint::Series(index);
            scene.shapes.push(Shape::Slice {
                x,
                y,
                radius,
                from: from_turn,
                to: to_turn,
                paint,
                tip,
            });
        }
        if share >= 0.045 {
            let angle = f32::midpoint(from_turn, to_turn) * std::f32::consts::TAU;
            let (distance, text) = (radius * 0.7, rounded.text(&Value::Float(share)));
            let (text_x, text_y) = (
                x + distance * angle.sin(),
                y - distance * angle.cos() + SIZE * 0.35,
            );
            texts.push(Shape::Text {
                x: text_x,
                y: text_y,
                text,
                size: SIZE,
                anchor: Anchor::Middle,
                paint: Paint::Paper,
                rotated: false,
                bold: true,
            });
        }
        let row = legend_top + line * (count(index) + 0.5) + size * 0.35;
        let value_text = series
            .values
            .get(index)
            .map(|value| formatter.text(value))
            .unwrap_or_default();
        let right = (legend_x + 330.0).min(scene.width - 4.0);
        let share_x = right;
        let value_x = right - width_of(&percent.text(&Value::Float(0.999))) - 14.0;
        let name_space = value_x - width_of(&value_text) - legend_x - 26.0;
        swatch(scene, legend_x, row, index);
        let name = fit_text(category, Weight::Regular, size, name_space.max(30.0));
        for (text, x, anchor, paint) in [
            (name, legend_x + 16.0, Anchor::Start, Paint::Text),
            (value_text, value_x, Anchor::End, Paint::Text),
            (
                percent.text(&Value::Float(share)),
                share_x,
                Anchor::End,
                Paint::Muted,
            ),
        ] {
            scene.shapes.push(Shape::Text {
                x,
                y: row,
                text,
                size,
                anchor,
                paint,
                rotated: false,
                bold: false,
            });
        }
        from = to;
    }
    scene.shapes.extend(texts);
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
