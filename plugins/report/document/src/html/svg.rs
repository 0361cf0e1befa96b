//! Charts as SVG.

use std::fmt::Write as _;

use crate::{
    chart::Chart,
    format::Formatter,
    model::{ChartKind, Locale},
    scene::{Anchor, Dot, Label, Line, Paint, Path, Rect, Scene, Shape, Slice, series_color},
};

use super::escape;

/// Appends the chart, for a kind of screen; what names it has the section's number.
pub(super) fn push(
    chart: &Chart,
    scene: &Scene,
    (number, screen, locale): (usize, &str, Locale),
    to: &mut String,
) {
    let title = chart.title.as_deref().unwrap_or(locale.language().chart);
    // Writing into a string can't fail.
    let _ = write!(
        to,
        "<svg class=\"{screen}\" role=\"img\" aria-labelledby=\"c{number}t{screen} c{number}d{screen}\" viewBox=\"0 0 {} {}\" xmlns=\"http://www.w3.org/2000/svg\">\n<title id=\"c{number}t{screen}\">",
        scene.width, scene.height
    );
    escape(title, to);
    let _ = write!(to, "</title>\n<desc id=\"c{number}d{screen}\">");
    escape(&description(chart, locale), to);
    to.push_str("</desc>\n");
    for shape in &scene.shapes {
        Svg(to).shape(shape);
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

/// Appends shapes, one after another. Writing into a string can't fail.
struct Svg<'s>(&'s mut String);

impl Svg<'_> {
    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Line(line) => self.line(line),
            Shape::Rect(rect) => self.rect(rect),
            Shape::Path(path) => self.path(path),
            Shape::Dot(dot) => self.dot(dot),
            Shape::Slice(slice) => self.slice(slice),
            Shape::Label(label) => self.label(label),
        }
    }

    fn line(&mut self, line: &Line) {
        let Line {
            from,
            to,
            paint,
            width,
        } = line;
        let _ = writeln!(
            self.0,
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" {} stroke-width=\"{width}\"/>",
            n(from.0),
            n(from.1),
            n(to.0),
            n(to.1),
            stroke(*paint)
        );
    }

    fn rect(&mut self, rect: &Rect) {
        let _ = write!(
            self.0,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" {}",
            n(rect.x),
            n(rect.y),
            n(rect.width),
            n(rect.height),
            fill(rect.paint)
        );
        self.end("rect", &rect.tip);
    }

    fn path(&mut self, path: &Path) {
        self.0.push_str("<polyline points=\"");
        for (x, y) in &path.points {
            let _ = write!(self.0, "{},{} ", n(*x), n(*y));
        }
        let _ = writeln!(
            self.0,
            "\" fill=\"none\" {} stroke-width=\"2\" stroke-linejoin=\"round\" stroke-linecap=\"round\"/>",
            stroke(path.paint)
        );
    }

    fn dot(&mut self, dot: &Dot) {
        self.circle((n(dot.x), n(dot.y)), dot.radius, dot.paint, &dot.tip);
    }

    fn slice(&mut self, slice: &Slice) {
        let Slice { x, y, radius, .. } = slice;
        if slice.is_whole() {
            return self.circle((*x, *y), *radius, slice.paint, &slice.tip);
        }
        let [(x1, y1), (x2, y2)] = [slice.from, slice.to].map(|turn| slice.edge(turn));
        let large = u8::from(slice.to - slice.from > 0.5);
        let _ = write!(
            self.0,
            "<path d=\"M{x},{y}L{},{}A{radius},{radius} 0 {large} 1 {},{}Z\" stroke=\"var(--paper)\" stroke-width=\"1.2\" {}",
            n(x1),
            n(y1),
            n(x2),
            n(y2),
            fill(slice.paint)
        );
        self.end("path", &slice.tip);
    }

    fn circle(&mut self, (x, y): (f32, f32), radius: f32, paint: Paint, tip: &str) {
        let _ = write!(
            self.0,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" {}",
            fill(paint)
        );
        self.end("circle", tip);
    }

    fn label(&mut self, label: &Label) {
        let (x, y) = (n(label.x), n(label.y));
        let _ = write!(self.0, "<text x=\"{x}\" y=\"{y}\"");
        self.0.push_str(match label.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        });
        if label.rotated {
            let _ = write!(self.0, " transform=\"rotate(-90 {x} {y})\"");
        }
        if label.bold {
            self.0.push_str(" font-weight=\"700\"");
        }
        // Else it is that of the style sheet.
        if label.size != 11.0 {
            let _ = write!(self.0, " font-size=\"{}\"", n(label.size));
        }
        let _ = write!(self.0, " {}>", fill(label.paint));
        escape(&label.text, self.0);
        self.0.push_str("</text>\n");
    }

    /// Closes an element, with a title that browsers show as a tip.
    fn end(&mut self, tag: &str, tip: &str) {
        if tip.is_empty() {
            self.0.push_str("/>\n");
            return;
        }
        self.0.push_str("><title>");
        escape(tip, self.0);
        let _ = writeln!(self.0, "</title></{tag}>");
    }
}
