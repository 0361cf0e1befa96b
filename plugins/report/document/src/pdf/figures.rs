//! Key figures: cards side by side, whose letters have one size.

use crate::{
    error::Error,
    format::Formatter,
    letters::Weight,
    model::Locale,
    table::{KeyFigure, KeyFigures},
};

use super::page::{ACCENT, INK, Layout, MUTED, TINT};

const GAP: f32 = 8.0;
const HEIGHT: f32 = 50.0;
/// What a card has beside its texts.
const BESIDE: f32 = 18.0;
/// The largest letters of figures, and the smallest before they are cut, in points.
const SIZE_MAX: f32 = 18.0;
const SIZE_MIN: f32 = 9.0;
const TITLE_SIZE: f32 = 8.5;

pub(super) fn draw(layout: &mut Layout, figures: &KeyFigures, locale: Locale) -> Result<(), Error> {
    let most = if layout.width() > 600.0 { 5 } else { 4 };
    let per_line = figures.figures.len().clamp(1, most);
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let width = (layout.width() + GAP) / per_line as f32 - GAP;
    let texts: Vec<String> = figures
        .figures
        .iter()
        .map(|figure| text_of(figure, locale))
        .collect();
    let widest = texts
        .iter()
        .map(|text| layout.shaper.width(text, Weight::Bold))
        .fold(0.0, f32::max);
    let size = ((width - BESIDE) / widest.max(0.1)).clamp(SIZE_MIN, SIZE_MAX);
    let cards: Vec<(&KeyFigure, &String)> = figures.figures.iter().zip(&texts).collect();
    for line in cards.chunks(per_line) {
        layout.keep_together(HEIGHT + 6.0)?;
        let (mut before, left, whole) = (0.0, layout.left(), layout.width());
        for (figure, text) in line {
            let x = if layout.is_rtl() {
                left + whole - before - width
            } else {
                left + before
            };
            card(layout, (x, width), (&figure.title, text), size);
            before += width + GAP;
        }
        layout.space(HEIGHT + GAP);
    }
    layout.space(10.0);
    Ok(())
}

fn text_of(figure: &KeyFigure, locale: Locale) -> String {
    let text = Formatter::new(&figure.format, locale).text(&figure.value);
    if text.is_empty() {
        "–".to_owned()
    } else {
        text
    }
}

fn card(layout: &mut Layout, (x, width): (f32, f32), (title, text): (&str, &str), size: f32) {
    let (y, is_rtl) = (layout.y(), layout.is_rtl());
    layout.rect(x, y, width, HEIGHT, TINT);
    let rule = if is_rtl { x + width - 2.5 } else { x };
    layout.rect(rule, y, 2.5, HEIGHT, ACCENT);
    let room = width - BESIDE;
    let mut line = |text: &str, y: f32, size: f32, weight: Weight, color| {
        let lines = layout.shaper.wrap(text, weight, room / size + 0.01, 1);
        let Some(line) = lines.first() else { return };
        let x = if is_rtl {
            x + width - 10.0 - layout.shaper.width(line, weight) * size
        } else {
            x + 10.0
        };
        layout.text_at(line, (x, y), size, weight, color);
    };
    line(title, y + 16.0, TITLE_SIZE, Weight::Regular, MUTED);
    line(text, y + 38.0, size, Weight::Bold, INK);
}
