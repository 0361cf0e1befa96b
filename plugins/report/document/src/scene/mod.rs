//! Where the parts of a chart stand: one layout, drawn as SVG and as PDF.

mod axis;
mod pie;
mod plot;
mod shape;

use std::collections::HashSet;

use crate::{
    chart::{Chart, Series},
    format::Formatter,
    letters::{Weight, fit_middle, fit_text, text_width},
    model::{ChartKind, Locale},
    value::Value,
};

pub(crate) use self::pie::narrow_height;
pub(crate) use self::shape::{Anchor, Dot, Label, Line, Paint, Path, Rect, Shape, Slice};
use self::{pie::Pie, shape::SIZE};

/// A chart's shapes.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Scene {
    pub(crate) width: f32,
    pub(crate) height: f32,
    pub(crate) shapes: Vec<Shape>,
    /// How much wider the letters may be than those that texts are measured by.
    letters: f32,
}

/// Where the font is the one that texts are measured by.
pub(crate) const OWN_FONT: f32 = 1.0;
/// Where it is one of the reader's system: `DejaVu Sans` and Verdana are about so much wider.
pub(crate) const ANY_FONT: f32 = 1.2;

/// The colours of series: told apart by most kinds of colour vision, and dark enough upon white.
const PALETTE: [[u8; 3]; 10] = [
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

/// Lays the chart out on a sheet of this size, with letters of [`OWN_FONT`] or [`ANY_FONT`].
pub(crate) fn lay_out(
    chart: &Chart,
    (width, height): (f32, f32),
    letters: f32,
    locale: Locale,
) -> Scene {
    let mut scene = Scene {
        width,
        height,
        shapes: Vec::new(),
        letters,
    };
    match (chart.kind, chart.series.first()) {
        (ChartKind::Pie, Some(series)) if !chart.categories.is_empty() => {
            Pie::new(chart, series, &scene, locale).draw(&mut scene);
        }
        (_, Some(_)) if !chart.categories.is_empty() => plot::draw(chart, &mut scene, locale),
        _ => {
            let text = locale.language().no_data.to_owned();
            scene.label(
                width / 2.0,
                height / 2.0,
                text,
                Anchor::Middle,
                Paint::Muted,
            );
        }
    }
    scene
}

impl Scene {
    fn width_of(&self, text: &str) -> f32 {
        text_width(text, Weight::Regular, SIZE) * self.letters
    }

    /// The text, cut with an ellipsis where it is wider than this.
    fn fit(&self, text: &str, size: f32, width_max: f32) -> String {
        fit_text(text, Weight::Regular, size, width_max / self.letters)
    }

    /// The texts, cut with ellipses where they are wider than this, and so that they can be told apart.
    fn fit_all(&self, texts: &[String], size: f32, width_max: f32) -> Vec<String> {
        let fit = |text: &String| self.fit(text, size, width_max);
        let fitting: Vec<String> = texts.iter().map(fit).collect();
        let different: HashSet<&str> = fitting.iter().map(String::as_str).collect();
        if different.len() == fitting.len() {
            return fitting;
        }
        let width_max = width_max / self.letters;
        let fit = |text: &String| fit_middle(text, Weight::Regular, size, width_max);
        texts.iter().map(fit).collect()
    }

    fn label(&mut self, x: f32, y: f32, text: String, anchor: Anchor, paint: Paint) {
        let label = Label::new(x, y, text, anchor, paint);
        self.shapes.push(Shape::Label(label));
    }

    /// The square of a legend, before the text that stands at this height.
    fn swatch(&mut self, x: f32, y: f32, index: usize) {
        self.shapes.push(Shape::Rect(Rect {
            x,
            y: y - SIZE * 0.8,
            width: 10.0,
            height: 10.0,
            paint: Paint::Series(index),
            tip: String::new(),
        }));
    }
}

fn count(len: usize) -> f32 {
    f32::from(u16::try_from(len).unwrap_or(u16::MAX))
}

fn number(series: &Series, index: usize) -> Option<f64> {
    series.values.get(index).and_then(Value::as_f64)
}

fn value_text(series: &Series, index: usize, formatter: &Formatter) -> String {
    let value = series.values.get(index);
    value.map(|value| formatter.text(value)).unwrap_or_default()
}

fn tip(chart: &Chart, series: &Series, index: usize, formatter: &Formatter) -> String {
    let category = chart.categories.get(index).map_or("", String::as_str);
    let value = value_text(series, index, formatter);
    if chart.series.len() > 1 {
        format!("{category}, {}: {value}", series.title)
    } else {
        format!("{category}: {value}")
    }
}
