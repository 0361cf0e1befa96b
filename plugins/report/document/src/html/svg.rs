//! Charts as SVG.

use std::fmt::Write as _;

use crate::{
    chart::Chart,
    format::Formatter,
    model::{ChartKind, Locale},
    scene::{Anchor, Paint, Scene, Shape, series_color},
};

use super::escape;

/// Appends the chart; what names it has the section's number.
pub(super) fn push(
    chart: &Chart,
    scene: &Scene,
    (number, locale): (usize, Locale),
    to: &mut String,
) {
    let title = chart.title.as_deref().unwrap_or(locale.language().chart);
    // Writing into a string can't fail, here and below.
    let _ = write!(
        to,
        "<svg role=\"img\" aria-labelledby=\"c{number}t c{number}d\" viewBox=\"0 0 {} {}\" xmlns=\"http://www.w3.org/2000/svg\">\n<title id=\"c{number}t\">",
        scene.width, scene.height
    );
    escape(title, to);
    let _ = write!(to, "</title>\n<desc id=\"c{number}d\">");
    escape(&description(chart, locale), to);
    to.push_str("</desc>\n");
    for shape in &scene.shapes {
        push_shape(shape, to);
    }
    to.push_str("</svg>\n");
}

/// What the chart shows, in a sentence.
fn description(chart: &Chart, locale: Locale) -> String {
    let formatter = Formatter::new(&chart.format, locale);
    let mut text = String::new();
    for series in chart.series.iter().take(12) {
        if !text.is_empty() {
            text.push_str(" · ");
        }
        text.push_str(&series.title);
        text.push_str(": ");
        let few = if chart.kind == ChartKind::Pie { 24 } else { 12 };
        let parts: Vec<String> = chart
            .categories
            .iter()
            .zip(&series.values)
            .take(few)
            .map(|(category, value)| {
                let value = formatter.text(value);
                format!("{category} {}", if value.is_empty() { "–" } else { &value })
            })
            .collect();
        text.push_str(&parts.join(", "));
        if series.values.len() > few {
            text.push_str(", …");
        }
    }
    text
}

fn color([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn fill(paint: Paint) -> String {
    match paint {
        Paint::Series(index) => format!("fill=\"{}\"", color(series_color(index))),
        Paint::Text => "class=\"t\"".to_owned(),
        Paint::Muted | Paint::Grid | Paint::Axis => "class=\"m\"".to_owned(),
        Paint::Paper => "class=\"p\"".to_owned(),
    }
}

fn stroke(paint: Paint) -> String {
    match paint {
        Paint::Series(index) => format!("stroke=\"{}\"", color(series_color(index))),
        Paint::Grid => "class=\"g\"".to_owned(),
        _ => "class=\"a\"".to_owned(),
    }
}

/// A number with two decimals at most.
fn n(value: f32) -> f32 {
    (value * 100.0).round() / 100.0
}

fn push_shape(shape: &Shape, to: &mut String) {
    let _ = match shape {
        Shape::Line {
            from,
            to: end,
            paint,
            width,
        } => writeln!(
            to,
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" {} stroke-width=\"{width}\"/>",
            n(from.0),
            n(from.1),
            n(end.0),
            n(end.1),
            stroke(*paint)
        ),
        Shape::Rect {
            x,
            y,
            width,
            height,
            paint,
            tip,
        } => {
            let (x, y, width, height) = (n(*x), n(*y), n(*width), n(*height));
            let _ = write!(
                to,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" {}",
                fill(*paint)
            );
            end(tip, "rect", to)
        }
        Shape::Path { points, paint } => {
            to.push_str("<polyline points=\"");
            for (x, y) in points {
                let _ = write!(to, "{},{} ", n(*x), n(*y));
            }
            writeln!(
                to,
                "\" fill=\"none\" {} stroke-width=\"2\" stroke-linejoin=\"round\" stroke-linecap=\"round\"/>",
                stroke(*paint)
            )
        }
        Shape::Dot {
            x,
            y,
            radius,
            paint,
            tip,
        } => {
            let _ = write!(
                to,
                "<circle cx=\"{}\" cy=\"{}\" r=\"{radius}\" {}",
                n(*x),
                n(*y),
                fill(*paint)
            );
            end(tip, "circle", to)
        }
        Shape::Slice {
            x,
            y,
            radius,
            from,
            to: until,
            paint,
            tip,
        } => {
            if until - from > 0.9999 {
                let _ = write!(
                    to,
                    "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" {}",
                    fill(*paint)
                );
                end(tip, "circle", to)
            } else {
                let at = |turn: f32| {
                    let angle = turn * std::f32::consts::TAU;
                    (n(x + radius * angle.sin()), n(y - radius * angle.cos()))
                };
                let ((x1, y1), (x2, y2)) = (at(*from), at(*until));
                let large = u8::from(until - from > 0.5);
                let _ = write!(
                    to,
                    "<path d=\"M{x},{y}L{x1},{y1}A{radius},{radius} 0 {large} 1 {x2},{y2}Z\" stroke=\"var(--paper)\" stroke-width=\"1.2\" {}",
                    fill(*paint)
                );
                end(tip, "path", to)
            }
        }
        Shape::Text {
            x,
            y,
            text,
            size,
            anchor,
            paint,
            rotated,
            bold,
        } => {
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let (x, y) = (n(*x), n(*y));
            let turned = if *rotated {
                format!(" transform=\"rotate(-90 {x} {y})\"")
            } else {
                String::new()
            };
            let weight = if *bold { " font-weight=\"700\"" } else { "" };
            let font = if *size == 11.0 {
                String::new()
            } else {
                format!(" font-size=\"{}\"", n(*size))
            };
            let _ = write!(
                to,
                "<text x=\"{x}\" y=\"{y}\"{anchor}{turned}{weight}{font} {}>",
                fill(*paint)
            );
            escape(text, to);
            writeln!(to, "</text>")
        }
    };
}

/// Closes an element, with a title that browsers show as a tip.
fn end(tip: &str, tag: &str, to: &mut String) -> std::fmt::Result {
    if tip.is_empty() {
        return writeln!(to, "/>");
    }
    to.push_str("><title>");
    escape(tip, to);
    writeln!(to, "</title></{tag}>")
}
