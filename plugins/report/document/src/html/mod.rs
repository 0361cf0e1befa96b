//! Reports as one HTML file.

mod markup;
mod page;
mod svg;
mod table;

use std::io::{BufWriter, Write};

use crate::{
    chart::Chart,
    error::Error,
    format::{Formatter, long_date},
    markup::{Block, blocks},
    model::{ChartKind, Document, Text},
    output::{Check, RowKind, Sink, Warning, Writer},
    scene,
    table::{KeyFigures, Table},
    value::Value,
};
use markup::Markup;
use table::HtmlTable;

/// Writes a report as one HTML file that needs nothing else: no scripts, no network. Rows are written as they come.
///
/// Charts are SVG with a title, a description and their data as a table. Tables have captions and scopes. Styles follow
/// the reader's colour scheme. Wide tables scroll within a frame of their own, in which head and first column stay. On
/// paper, heads are repeated; what is too wide for the paper lies, and where that isn't enough, each row has several lines.
#[derive(Debug)]
pub struct HtmlWriter<W: Write> {
    sink: BufWriter<W>,
    to: Markup,
    document: Document,
    sections: usize,
    table: Option<HtmlTable>,
}

impl<W: Sink> HtmlWriter<W> {
    /// Writes into this sink.
    pub fn new(sink: W) -> Self {
        Self {
            sink: BufWriter::with_capacity(1 << 16, sink),
            to: Markup::default(),
            document: Document::default(),
            sections: 0,
            table: None,
        }
    }

    fn flush_line(&mut self) -> Result<(), Error> {
        self.sink.write_all(self.to.line.as_bytes())?;
        self.to.line.clear();
        Ok(())
    }

    /// Opens a section; the name of its heading is `h` and the section's number.
    fn section(&mut self, title: Option<&str>) {
        self.sections += 1;
        match title.filter(|title| !title.trim().is_empty()) {
            Some(title) => {
                let number = self.sections;
                self.to
                    .push(&format!("<section aria-labelledby=\"h{number}\">\n"));
                let id = format!(" id=\"h{number}\"");
                self.to.element("h2", &id, title);
            }
            None => self.to.push("<section>\n"),
        }
    }

    fn chart_table(&mut self, chart: &Chart) {
        let locale = self.document.locale;
        let formatter = Formatter::new(&chart.format, locale);
        let to = &mut self.to;
        to.push("<details><summary>");
        to.text(locale.language().data_of_chart);
        to.push("</summary><div class=scroll tabindex=0><table><thead><tr><th scope=col>");
        to.text(&chart.x);
        to.push("</th>");
        for series in &chart.series {
            to.push("<th scope=col class=n>");
            to.text(&series.title);
            to.push("</th>");
        }
        to.push("</tr></thead><tbody>\n");
        for (index, category) in chart.categories.iter().enumerate() {
            to.push("<tr><th scope=row>");
            to.text(category);
            to.push("</th>");
            for series in &chart.series {
                to.push("<td class=n>");
                if let Some(value) = series.values.get(index) {
                    to.text(&formatter.text(value));
                }
                to.push("</td>");
            }
            to.push("</tr>\n");
        }
        to.push("</tbody></table></div></details>\n");
    }
}

/// The size of a chart where there is room, in CSS pixels.
fn desk_size(chart: &Chart) -> (f32, f32) {
    match chart.kind {
        ChartKind::Pie => (860.0, 260.0),
        _ => (860.0, 330.0),
    }
}

/// The size of a chart on a phone, whose letters are as large as on a desk.
fn phone_size(chart: &Chart) -> (f32, f32) {
    match chart.kind {
        ChartKind::Pie => (360.0, scene::narrow_height(360.0, chart.categories.len())),
        _ => (360.0, 300.0),
    }
}

/// How many figures stand side by side on paper: no line but a full one, where that is possible.
fn figures_on_paper(count: usize) -> usize {
    match count {
        0..=4 => count.max(1),
        _ if count % 4 == 1 => 3,
        _ => 4,
    }
}

/// Appends text with everything escaped that could be markup. Characters that HTML can't hold become U+FFFD.
pub(super) fn escape(text: &str, to: &mut String) {
    let mut from = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            b'\'' => "&#39;",
            0..=8 | 0xb | 0xc | 0xe..=0x1f | 0x7f => "\u{fffd}",
            _ => continue,
        };
        to.push_str(text.get(from..index).unwrap_or_default());
        to.push_str(escaped);
        from = index + 1;
    }
    to.push_str(text.get(from..).unwrap_or_default());
}

impl<W: Sink> Writer for HtmlWriter<W> {
    fn begin(&mut self, document: &Document) -> Result<(), Error> {
        self.document = document.clone();
        let to = &mut self.to;
        to.is_rtl = document.is_rtl();
        let date = long_date(document);
        to.push(&format!(
            "<!doctype html>\n<html lang=\"{}\"{}>\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n",
            document.locale.tag(),
            if to.is_rtl { " dir=\"rtl\"" } else { "" }
        ));
        if let Some(author) = &document.author {
            to.push("<meta name=\"author\" content=\"");
            to.text(author);
            to.push("\">\n");
        }
        to.push("<title>");
        to.text(&document.title);
        to.push("</title>\n<style>\n");
        to.push(include_str!("style.css"));
        to.push(&page::page_style(document));
        to.push("</style>\n</head>\n<body>\n<div class=\"page\">\n<header>\n");
        to.element("h1", "", &document.title);
        if let Some(subtitle) = &document.subtitle {
            to.element("p", " class=\"sub\"", subtitle);
        }
        let meta: Vec<&str> = document
            .author
            .as_deref()
            .into_iter()
            .chain(date.as_deref())
            .collect();
        if !meta.is_empty() {
            // It belongs to the title, and stands on its side.
            to.push("<p class=\"meta\">");
            to.text(&meta.join(" · "));
            to.push("</p>\n");
        }
        to.push("</header>\n<main>\n");
        self.flush_line()
    }

    fn text(&mut self, text: &Text) -> Result<(), Error> {
        self.section(text.title.as_deref());
        for block in blocks(&text.text) {
            match block {
                Block::Heading { level, text } => {
                    self.to
                        .element(&format!("h{}", level.clamp(1, 3) + 2), "", &text);
                }
                Block::Paragraph(text) => self.to.element("p", "", &text),
                Block::List(points) => {
                    self.to.push("<ul>\n");
                    for point in points {
                        self.to.element("li", "", &point);
                    }
                    self.to.push("</ul>\n");
                }
            }
        }
        self.to.push("</section>\n");
        self.flush_line()
    }

    fn key_figures(&mut self, figures: &KeyFigures) -> Result<(), Error> {
        self.section(figures.title.as_deref());
        let locale = self.document.locale;
        let texts: Vec<String> = figures
            .figures
            .iter()
            .map(|figure| Formatter::new(&figure.format, locale).text(&figure.value))
            .collect();
        // As many letters as the widest line has: the style makes the letters of all figures small enough for it.
        let letters = texts
            .iter()
            .flat_map(|text| text.lines())
            .map(|line| line.chars().count())
            .max();
        let to = &mut self.to;
        to.push(&format!(
            "<dl style=\"--n:{};--c:{}\">\n",
            letters.unwrap_or(1).clamp(1, 40),
            figures_on_paper(texts.len())
        ));
        for (figure, text) in figures.figures.iter().zip(&texts) {
            to.push("<div><dt>");
            to.text(&figure.title);
            to.push("</dt><dd>");
            to.text(if text.is_empty() { "–" } else { text });
            to.push("</dd></div>\n");
        }
        to.push("</dl>\n</section>\n");
        self.flush_line()
    }

    fn chart(&mut self, chart: &Chart) -> Result<(), Error> {
        self.section(chart.title.as_deref());
        let locale = self.document.locale;
        if chart.categories.is_empty() {
            let text = locale.language().no_data;
            self.to.element("p", " class=\"none\"", text);
            self.to.push("</section>\n");
            return self.flush_line();
        }
        self.to.push("<figure>\n");
        // Only one of the two is shown, and read aloud.
        for (screen, size) in [("desk", desk_size(chart)), ("phone", phone_size(chart))] {
            let scene = scene::lay_out(chart, size, scene::ANY_FONT, locale);
            let names = (self.sections, screen, locale);
            svg::push(chart, &scene, names, &mut self.to.line);
        }
        self.chart_table(chart);
        self.to.push("</figure>\n</section>\n");
        self.flush_line()
    }

    fn table_begin(&mut self, table: &Table) -> Result<(), Error> {
        self.section(table.title.as_deref());
        let title = table
            .title
            .as_deref()
            .filter(|title| !title.trim().is_empty());
        let fallback = self.document.locale.language().table;
        let label = match title {
            Some(_) => format!(" aria-labelledby=\"h{}\"", self.sections),
            None => format!(" aria-label=\"{fallback}\""),
        };
        let names = (self.sections, title.unwrap_or(fallback), label.as_str());
        self.table = Some(HtmlTable::begin(table, &self.document, names, &mut self.to));
        self.flush_line()
    }

    fn row(&mut self, kind: RowKind<'_>, values: &[Value<'_>]) -> Result<(), Error> {
        if let Some(table) = &mut self.table {
            table.row(kind, values, &mut self.to);
        }
        self.flush_line()
    }

    fn table_end(&mut self) -> Result<(), Error> {
        if let Some(table) = self.table.take() {
            table.end(&mut self.to);
        }
        self.flush_line()
    }

    fn finish(&mut self, _check: &mut Check<'_>) -> Result<Vec<Warning>, Error> {
        self.to.push("</main>\n<footer><span>");
        self.to.text(&self.document.title);
        self.to.push("</span>");
        if let Some(date) = long_date(&self.document) {
            self.to.push("<span>");
            self.to.text(&date);
            self.to.push("</span>");
        }
        self.to.push("</footer>\n</div>\n</body>\n</html>\n");
        self.flush_line()?;
        self.sink.flush()?;
        Ok(Vec::new())
    }
}
