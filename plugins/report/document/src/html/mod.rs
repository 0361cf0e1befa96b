//! Reports as one HTML file.

mod svg;

use std::io::{BufWriter, Write};

use crate::{
    chart::Chart,
    error::Error,
    format::{Formatter, long_date},
    markup::{Block, blocks},
    model::{Align, Band, ChartKind, Document, Locale, Orientation, PageSize, Text},
    output::{Check, RowKind, Sink, Warning, Writer},
    scene,
    table::{KeyFigures, Table, TableColumn},
    text::is_rtl,
    value::{ColumnKind, Value},
};

/// Writes a report as one HTML file that needs nothing else: no scripts, no network. Rows are written as they come.
///
/// Charts are SVG with a title, a description and their data as a table. Tables have captions and scopes. Styles follow
/// the reader's colour scheme, and printing repeats tables' heads.
#[derive(Debug)]
pub struct HtmlWriter<W: Write> {
    sink: BufWriter<W>,
    line: String,
    cell: String,
    locale: Locale,
    footer: String,
    sections: usize,
    columns: Vec<TableColumn>,
    formatters: Vec<Formatter>,
    group_by: Option<usize>,
    rows: u64,
    body_is_open: bool,
}

impl<W: Sink> HtmlWriter<W> {
    /// Writes into this sink.
    pub fn new(sink: W) -> Self {
        Self {
            sink: BufWriter::with_capacity(1 << 16, sink),
            line: String::new(),
            cell: String::new(),
            locale: Locale::default(),
            footer: String::new(),
            sections: 0,
            columns: Vec::new(),
            formatters: Vec::new(),
            group_by: None,
            rows: 0,
            body_is_open: false,
        }
    }

    fn flush_line(&mut self) -> Result<(), Error> {
        self.sink.write_all(self.line.as_bytes())?;
        self.line.clear();
        Ok(())
    }

    /// Opens a section; the name of its heading is `h` and the section's number.
    fn section(&mut self, title: Option<&str>) {
        self.sections += 1;
        match title.filter(|title| !title.trim().is_empty()) {
            Some(title) => {
                let number = self.sections;
                self.line.push_str(&format!(
                    "<section aria-labelledby=\"h{number}\">\n<h2 id=\"h{number}\""
                ));
                self.push_dir(title);
                self.line.push('>');
                escape(title, &mut self.line);
                self.line.push_str("</h2>\n");
            }
            None => self.line.push_str("<section>\n"),
        }
    }

    fn push_dir(&mut self, text: &str) {
        if is_rtl(text) {
            self.line.push_str(" dir=\"rtl\"");
        }
    }

    fn element(&mut self, tag: &str, attributes: &str, text: &str) {
        self.line.push_str(&format!("<{tag}{attributes}"));
        self.push_dir(text);
        self.line.push('>');
        escape(text, &mut self.line);
        self.line.push_str(&format!("</{tag}>\n"));
    }

    /// A cell with what `self.cell` holds.
    fn push_cell(&mut self, tag: &str, attributes: &str, class: &str) {
        self.line.push('<');
        self.line.push_str(tag);
        self.line.push_str(attributes);
        self.line.push_str(class);
        if is_rtl(&self.cell) {
            self.line.push_str(" dir=rtl");
        }
        self.line.push('>');
        escape(&self.cell, &mut self.line);
        self.line.push_str("</");
        self.line.push_str(tag);
        self.line.push('>');
    }

    fn open_body(&mut self) {
        if !self.body_is_open {
            self.body_is_open = true;
            self.line.push_str("<tbody>\n");
        }
    }

    fn close_body(&mut self) {
        if std::mem::take(&mut self.body_is_open) {
            self.line.push_str("</tbody>\n");
        }
    }

    fn total_row(&mut self, label: &str, values: &[Value<'_>], class: &str) {
        self.line.push_str(&format!("<tr{class}>"));
        // The label reaches over the columns without totals before the first one with.
        let span = values
            .iter()
            .position(|value| !value.is_null())
            .unwrap_or(values.len());
        if span > 0 {
            self.cell.clear();
            self.cell.push_str(label);
            let attributes = if span > 1 {
                format!(" scope=row colspan={span}")
            } else {
                " scope=row".to_owned()
            };
            self.push_cell("th", &attributes, "");
        }
        for (index, value) in values.iter().enumerate().skip(span) {
            let class = self.columns.get(index).map_or("", class_of);
            self.cell.clear();
            if let Some(formatter) = self.formatters.get(index) {
                formatter.write(value, &mut self.cell);
            }
            self.push_cell("td", "", class);
        }
        self.line.push_str("</tr>\n");
    }

    fn chart_table(&mut self, chart: &Chart) {
        let language = self.locale.language();
        let formatter = Formatter::new(&chart.format, self.locale);
        self.line.push_str("<details><summary>");
        escape(language.data_of_chart, &mut self.line);
        self.line
            .push_str("</summary><div class=scroll tabindex=0><table><thead><tr><th scope=col>");
        escape(&chart.x, &mut self.line);
        self.line.push_str("</th>");
        for series in &chart.series {
            self.line.push_str("<th scope=col class=n>");
            escape(&series.title, &mut self.line);
            self.line.push_str("</th>");
        }
        self.line.push_str("</tr></thead><tbody>\n");
        for (index, category) in chart.categories.iter().enumerate() {
            self.line.push_str("<tr><th scope=row>");
            escape(category, &mut self.line);
            self.line.push_str("</th>");
            for series in &chart.series {
                self.cell.clear();
                if let Some(value) = series.values.get(index) {
                    formatter.write(value, &mut self.cell);
                }
                self.push_cell("td", "", " class=n");
            }
            self.line.push_str("</tr>\n");
        }
        self.line.push_str("</tbody></table></div></details>\n");
    }
}

fn class_of(column: &TableColumn) -> &'static str {
    // Numbers, days and times are never broken in two.
    let is_text = column.kind == ColumnKind::Text;
    match column.align {
        Align::Left if is_text => "",
        Align::Left => " class=k",
        Align::Center if is_text => " class=c",
        Align::Center => " class=\"c k\"",
        Align::Right => " class=n",
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

fn page_style(document: &Document) -> String {
    let size = match document.page.size {
        PageSize::A4 => "A4",
        PageSize::A3 => "A3",
        PageSize::A5 => "A5",
        PageSize::Letter => "letter",
        PageSize::Legal => "legal",
    };
    let orientation = match document.page.orientation {
        Orientation::Landscape => " landscape",
        Orientation::Portrait => " portrait",
        Orientation::Auto => "",
    };
    let margin = document.page.margin_mm.unwrap_or(18.0);
    let numbers = Band {
        right: "{page} / {pages}".to_owned(),
        ..Band::default()
    };
    let header = document.page.header.clone().unwrap_or_default();
    let footer = document.page.footer.clone().unwrap_or(numbers);
    let mut boxes = String::new();
    for (side, band) in [("top", header), ("bottom", footer)] {
        for (place, text) in [
            ("left", band.left),
            ("center", band.center),
            ("right", band.right),
        ] {
            if !text.is_empty() {
                let content = css_content(document, &text);
                boxes.push_str(&format!(
                    "@{side}-{place}{{content:{content};font:8pt sans-serif;color:#56616f}}"
                ));
            }
        }
    }
    format!("@page{{size:{size}{orientation};margin:{margin}mm;{boxes}}}\n")
}

/// A header or footer as strings and counters.
fn css_content(document: &Document, text: &str) -> String {
    let text = text
        .replace("{title}", &document.title)
        .replace(
            "{subtitle}",
            document.subtitle.as_deref().unwrap_or_default(),
        )
        .replace("{author}", document.author.as_deref().unwrap_or_default())
        .replace("{date}", &long_date(document).unwrap_or_default());
    let mut content = String::from("\"");
    for c in text.chars() {
        match c {
            // Nothing in it may end the string, or the style.
            '"' | '\\' | '<' | '>' | '&' | '\0'..='\u{1f}' | '\u{7f}' => {
                content.push_str(&format!("\\{:x} ", u32::from(c).max(0x20)));
            }
            c => content.push(c),
        }
    }
    content.push('"');
    content
        .replace("{pages}", "\" counter(pages) \"")
        .replace("{page}", "\" counter(page) \"")
}

impl<W: Sink> Writer for HtmlWriter<W> {
    fn begin(&mut self, document: &Document) -> Result<(), Error> {
        self.locale = document.locale;
        let date = long_date(document);
        self.line.push_str(&format!(
            "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n",
            document.locale.tag()
        ));
        if let Some(author) = &document.author {
            self.line.push_str("<meta name=\"author\" content=\"");
            escape(author, &mut self.line);
            self.line.push_str("\">\n");
        }
        self.line.push_str("<title>");
        escape(&document.title, &mut self.line);
        self.line.push_str("</title>\n<style>\n");
        self.line.push_str(include_str!("style.css"));
        self.line.push_str(&page_style(document));
        self.line
            .push_str("</style>\n</head>\n<body>\n<div class=\"page\">\n<header>\n");
        self.element("h1", "", &document.title);
        if let Some(subtitle) = &document.subtitle {
            self.element("p", " class=\"sub\"", subtitle);
        }
        let meta: Vec<&str> = document
            .author
            .as_deref()
            .into_iter()
            .chain(date.as_deref())
            .collect();
        if !meta.is_empty() {
            self.element("p", " class=\"meta\"", &meta.join(" · "));
        }
        self.line.push_str("</header>\n<main>\n");
        self.footer = date.unwrap_or_default();
        self.footer = format!("{}\n{}", document.title, self.footer);
        self.flush_line()
    }

    fn text(&mut self, text: &Text) -> Result<(), Error> {
        self.section(text.title.as_deref());
        for block in blocks(&text.text) {
            match block {
                Block::Heading { level, text } => {
                    self.element(&format!("h{}", level.clamp(1, 3) + 2), "", &text);
                }
                Block::Paragraph(text) => self.element("p", "", &text),
                Block::List(points) => {
                    self.line.push_str("<ul>\n");
                    for point in points {
                        self.element("li", "", &point);
                    }
                    self.line.push_str("</ul>\n");
                }
            }
        }
        self.line.push_str("</section>\n");
        self.flush_line()
    }

    fn key_figures(&mut self, figures: &KeyFigures) -> Result<(), Error> {
        self.section(figures.title.as_deref());
        self.line.push_str("<dl>\n");
        for figure in &figures.figures {
            let text = Formatter::new(&figure.format, self.locale).text(&figure.value);
            self.line.push_str("<div><dt>");
            escape(&figure.title, &mut self.line);
            // As many letters as the widest line has, which the style makes small enough for the screen.
            let letters = text.lines().map(|line| line.chars().count()).max();
            self.line.push_str(&format!(
                "</dt><dd style=\"--n:{}\">",
                letters.unwrap_or(1).clamp(1, 40)
            ));
            escape(if text.is_empty() { "–" } else { &text }, &mut self.line);
            self.line.push_str("</dd></div>\n");
        }
        self.line.push_str("</dl>\n</section>\n");
        self.flush_line()
    }

    fn chart(&mut self, chart: &Chart) -> Result<(), Error> {
        self.section(chart.title.as_deref());
        let height = if chart.kind == ChartKind::Pie {
            260.0
        } else {
            330.0
        };
        let scene = scene::lay_out(chart, (860.0, height), scene::ANY_FONT, self.locale);
        self.line.push_str("<figure>\n");
        svg::push(chart, &scene, (self.sections, self.locale), &mut self.line);
        if !chart.categories.is_empty() {
            self.chart_table(chart);
        }
        self.line.push_str("</figure>\n</section>\n");
        self.flush_line()
    }

    fn table_begin(&mut self, table: &Table) -> Result<(), Error> {
        self.section(table.title.as_deref());
        let language = self.locale.language();
        let title = table
            .title
            .as_deref()
            .filter(|title| !title.trim().is_empty());
        let label = match title {
            Some(_) => format!(" aria-labelledby=\"h{}\"", self.sections),
            None => format!(" aria-label=\"{}\"", language.table),
        };
        self.line.push_str(&format!(
            "<div class=\"scroll\" role=\"region\" tabindex=\"0\"{label}>\n"
        ));
        self.line.push_str("<table class=\"wide\">\n<caption>");
        escape(title.unwrap_or(language.table), &mut self.line);
        self.line.push_str("</caption>\n<thead><tr>");
        for column in &table.columns {
            let width = column
                .width
                .map(|width| format!(" style=\"min-width:{width}ch\""))
                .unwrap_or_default();
            self.cell.clear();
            self.cell.push_str(&column.title);
            self.push_cell("th", &format!(" scope=col{width}"), class_of(column));
        }
        self.line.push_str("</tr></thead>\n");
        self.columns = table.columns.clone();
        self.formatters = table
            .columns
            .iter()
            .map(|column| column.formatter(self.locale))
            .collect();
        self.group_by = table.group_by;
        self.rows = 0;
        self.body_is_open = false;
        self.flush_line()
    }

    fn row(&mut self, kind: RowKind<'_>, values: &[Value<'_>]) -> Result<(), Error> {
        let language = self.locale.language();
        match kind {
            RowKind::Data => {
                self.rows += 1;
                self.open_body();
                self.line.push_str("<tr>");
                for (index, value) in values.iter().enumerate() {
                    let class = self.columns.get(index).map_or("", class_of);
                    self.cell.clear();
                    if let Some(formatter) = self.formatters.get(index) {
                        formatter.write(value, &mut self.cell);
                    }
                    self.push_cell("td", "", class);
                }
                self.line.push_str("</tr>\n");
            }
            RowKind::Subtotal { group, .. } => {
                let formatter = self.group_by.and_then(|index| self.formatters.get(index));
                let group = formatter
                    .map(|formatter| formatter.text(group))
                    .unwrap_or_default();
                self.total_row(&language.subtotal_of(&group), values, " class=s");
                self.close_body();
            }
            RowKind::Total { .. } => {
                self.close_body();
                self.line.push_str("<tfoot>\n");
                self.total_row(language.total, values, "");
                self.line.push_str("</tfoot>\n");
            }
        }
        self.flush_line()
    }

    fn table_end(&mut self) -> Result<(), Error> {
        self.close_body();
        if self.rows == 0 {
            let columns = self.columns.len();
            let text = self.locale.language().no_rows;
            self.line.push_str(&format!(
                "<tbody><tr><td class=\"none\" colspan=\"{columns}\">{text}</td></tr></tbody>\n"
            ));
        }
        self.line.push_str("</table>\n</div>\n</section>\n");
        self.flush_line()
    }

    fn finish(&mut self, _check: &mut Check<'_>) -> Result<Vec<Warning>, Error> {
        self.line.push_str("</main>\n<footer>");
        let footer = std::mem::take(&mut self.footer);
        for part in footer.split('\n').filter(|part| !part.is_empty()) {
            self.line.push_str("<span>");
            escape(part, &mut self.line);
            self.line.push_str("</span>");
        }
        self.line.push_str("</footer>\n</div>\n</body>\n</html>\n");
        self.flush_line()?;
        self.sink.flush()?;
        Ok(Vec::new())
    }
}
