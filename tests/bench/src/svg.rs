//! Charts as SVG: lines over an axis that they share, panel below panel; readable on light pages and on dark ones.

use std::fmt::{self, Write as _};

use crate::axis::{Axis, Scale};

/// Lines over one horizontal axis.
pub(crate) struct Chart {
    pub(crate) title: String,
    /// What the horizontal axis counts, and its unit.
    pub(crate) x: Label,
    pub(crate) panels: Vec<Panel>,
}

/// An axis' text, and its scale.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) text: &'static str,
    pub(crate) scale: Scale,
}

/// What stands over the horizontal axis.
pub(crate) struct Panel {
    pub(crate) y: Label,
    pub(crate) lines: Vec<Line>,
}

pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<Point>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// Drawn hollow.
    pub(crate) is_disturbed: bool,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = WIDTH - 24.0;
/// The title, and the names of lines below it.
const HEAD: f64 = 66.0;
const PANEL_HEIGHT: f64 = 220.0;
const GAP: f64 = 34.0;
const FOOT: f64 = 52.0;
/// Classes of lines; more lines begin again at the first.
const COLORS: usize = 6;

/// Colours that people who see few colours tell apart, lighter where the page is dark; the ground is drawn, so that texts
/// are readable whatever the page has behind them.
const STYLE: &str = "\
svg{--ground:#fff;--ink:#1f2328;--faint:#d8dee4;--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#b0468c;--c4:#8a6d00;--c5:#555}\
@media(prefers-color-scheme:dark){svg{--ground:#0d1117;--ink:#e6edf3;--faint:#30363d;--c0:#56b4e9;--c1:#ff8c42;--c2:#2fd6a3;--c3:#e79ac8;--c4:#e6c229;--c5:#b0b0b0}}\
.ground{fill:var(--ground)}text{fill:var(--ink);font:13px system-ui,sans-serif}.title{font-size:16px;font-weight:600}\
.end{text-anchor:end}.middle{text-anchor:middle}.grid{stroke:var(--faint)}.axis{stroke:var(--ink)}\
.line{fill:none;stroke-width:2}.hollow{fill:var(--ground)}\
.c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}.c4{stroke:var(--c4)}.c5{stroke:var(--c5)}\
.f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}.f4{fill:var(--c4)}.f5{fill:var(--c5)}";

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let height = HEAD + self.panels.len() as f64 * (PANEL_HEIGHT + GAP) - GAP + FOOT;
        writeln!(
            f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
             <text class=\"title\" x=\"{LEFT}\" y=\"24\">{title}</text>",
            title = escaped(&self.title)
        )?;
        self.names(f)?;
        let points = self.panels.iter().flat_map(Panel::points);
        let x = Axis::over(self.x.scale, points.map(|point| point.x));
        let x = x.between(LEFT, RIGHT);
        let mut top = HEAD;
        let classes = self.classes();
        for panel in &self.panels {
            panel.draw(f, &classes, &x, top)?;
            top += PANEL_HEIGHT + GAP;
        }
        let bottom = top - GAP;
        for (value, place) in x.ticks() {
            tag_text(f, "middle", place, bottom + 19.0, &written(value))?;
        }
        let middle = f64::midpoint(LEFT, RIGHT);
        tag_text(f, "middle", middle, bottom + 41.0, self.x.text)?;
        f.write_str("</svg>\n")
    }
}

impl Chart {
    /// The names of all lines, each with a piece of it; a name that several panels have stands there once.
    fn names(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = LEFT;
        for (name, class) in self.classes() {
            writeln!(
                f,
                "<path class=\"line c{class}\" d=\"M{left} 44h22\"/>\
                 <circle class=\"f{class}\" cx=\"{:.1}\" cy=\"44\" r=\"3.5\"/>",
                left + 11.0
            )?;
            tag_text(f, "", left + 28.0, 48.5, name)?;
            // Wide enough for what letters of this size are on average.
            left += 48.0 + 7.2 * name.chars().count() as f64;
        }
        Ok(())
    }

    /// The class of each name.
    fn classes(&self) -> Vec<(&str, usize)> {
        let lines = self.panels.iter().flat_map(|panel| &panel.lines);
        let mut classes: Vec<(&str, usize)> = Vec::new();
        for line in lines {
            if classes.iter().all(|(name, _)| *name != line.name) {
                classes.push((&line.name, classes.len() % COLORS));
            }
        }
        classes
    }
}

impl Panel {
    fn points(&self) -> impl Iterator<Item = Point> {
        self.lines.iter().flat_map(|line| &line.points).copied()
    }

    fn draw(
        &self,
        f: &mut fmt::Formatter<'_>,
        classes: &[(&str, usize)],
        x: &Axis,
        top: f64,
    ) -> fmt::Result {
        let bottom = top + PANEL_HEIGHT;
        let y = Axis::over(self.y.scale, self.points().map(|point| point.y));
        let y = y.between(bottom, top);
        for (value, place) in y.ticks() {
            writeln!(f, "<path class=\"grid\" d=\"M{LEFT} {place:.1}H{RIGHT}\"/>")?;
            tag_text(f, "end", LEFT - 8.0, place + 4.5, &written(value))?;
        }
        for (_, place) in x.ticks() {
            writeln!(f, "<path class=\"grid\" d=\"M{place:.1} {top}V{bottom}\"/>")?;
        }
        writeln!(f, "<path class=\"axis\" d=\"M{LEFT} {bottom}H{RIGHT}\"/>")?;
        writeln!(
            f,
            "<text class=\"middle\" transform=\"translate(20 {:.1})rotate(-90)\">{}</text>",
            f64::midpoint(top, bottom),
            escaped(self.y.text)
        )?;
        for line in &self.lines {
            let named = classes.iter().find(|(name, _)| *name == line.name);
            line.draw(f, named.map_or(0, |(_, class)| *class), x, &y)?;
        }
        Ok(())
    }
}

impl Line {
    fn draw(&self, f: &mut fmt::Formatter<'_>, class: usize, x: &Axis, y: &Axis) -> fmt::Result {
        let mut path = String::new();
        for (index, point) in self.points.iter().enumerate() {
            let step = if index == 0 { 'M' } else { 'L' };
            write!(
                path,
                "{step}{:.1} {:.1}",
                x.place(point.x),
                y.place(point.y)
            )?;
        }
        writeln!(f, "<path class=\"line c{class}\" d=\"{path}\"/>")?;
        for point in &self.points {
            let fill = if point.is_disturbed {
                format!("hollow c{class}")
            } else {
                format!("f{class}")
            };
            writeln!(
                f,
                "<circle class=\"{fill}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{}: {} at {}</title></circle>",
                x.place(point.x),
                y.place(point.y),
                escaped(&self.name),
                written(point.y),
                written(point.x),
            )?;
        }
        Ok(())
    }
}

fn tag_text(f: &mut fmt::Formatter<'_>, class: &str, x: f64, y: f64, text: &str) -> fmt::Result {
    let text = escaped(text);
    writeln!(
        f,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
    )
}

/// Short: with at most three digits and the letter of a power of a thousand.
fn written(value: f64) -> String {
    let (divided, letter) = match value.abs() {
        size if size >= 999_500.0 => (value / 1e6, " M"),
        size if size >= 999.5 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = match divided.abs() {
        size if size >= 99.5 => 0,
        size if size >= 9.95 => 1,
        size if size >= 0.995 => 2,
        _ => 3,
    };
    let text = format!("{divided:.digits$}");
    let short = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{short}{letter}")
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let line = |name: &str, factor: f64| Line {
            name: name.to_owned(),
            points: [1.0, 10.0, 100.0]
                .map(|x| Point {
                    x,
                    y: factor * x,
                    is_disturbed: x == 10.0,
                })
                .to_vec(),
        };
        let panel = |text, scale| Panel {
            y: Label { text, scale },
            lines: vec![line("a < b", 1.0), line("host", 30.0)],
        };
        Chart {
            title: "Rate & latency".to_owned(),
            x: Label {
                text: "connections",
                scale: Scale::Log,
            },
            panels: vec![
                panel("tasks/s", Scale::Linear),
                panel("p99, ms", Scale::Log),
            ],
        }
    }

    #[test]
    fn every_element_is_closed_and_every_text_escaped() {
        let text = chart().to_string();
        let mut open: Vec<&str> = Vec::new();
        for tag in text.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("each tag ends");
            let name = tag.split_whitespace().next().unwrap();
            if let Some(name) = name.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{tag}");
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
        assert!(text.contains("<title>Rate &amp; latency</title>"));
        assert!(text.contains("a &lt; b"));
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }

    #[test]
    fn all_points_are_drawn_and_disturbed_ones_hollow() {
        let text = chart().to_string();
        // Two lines in two panels, of three points each.
        assert_eq!(text.matches("</title></circle>").count(), 12);
        assert_eq!(text.matches("class=\"hollow ").count(), 4);
        // Named once, though there are two panels.
        assert_eq!(text.matches(">host</text>").count(), 1);
        assert_eq!(text.matches(">connections</text>").count(), 1);
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.05, "0.05"),
            (1.0, "1"),
            (2.345, "2.35"),
            (10.0, "10"),
            (150.0, "150"),
            (1000.0, "1 k"),
            (1500.0, "1.5 k"),
            (200_000.0, "200 k"),
            (999_999.0, "1 M"),
            (10_000_000.0, "10 M"),
        ] {
            assert_eq!(written(value), text);
        }
    }
}
