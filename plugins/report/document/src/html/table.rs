//! Tables, row by row.

use crate::{
    format::Formatter,
    letters::{Weight, text_width},
    locale::Language,
    model::{Align, Document, Orientation},
    output::RowKind,
    table::{Table, TableColumn},
    value::Value,
};

use super::{escape, markup::Markup, page::css_string};

/// The widest cell that is never broken into lines, in ems. The style gives wider ones as much room at least.
const UNBROKEN_MAX: f32 = 16.0;
/// Texts of so many bytes are about within that: their letters needn't be measured.
const SHORT_LEN: usize = 22;
/// Texts of so many bytes are not.
const LONG_LEN: usize = 400;
/// Rows that tell how wide the table is on paper.
const SAMPLE_LEN: u64 = 500;
/// Letters on paper in points, as the style has them, and what is beside them in a cell.
const PRINTED_SIZE: f32 = 8.5;
const PRINTED_PAD: f32 = 10.0;
/// How much wider the letters of the reader's system may be.
const ANY_FONT: f32 = 1.12;

/// How a cell's text is broken into lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lines {
    /// Not at all.
    One,
    /// Where it says so.
    Own,
    /// Wherever it takes.
    Many,
}

impl Lines {
    fn of(text: &str) -> Self {
        if text.len() <= SHORT_LEN && !text.contains('\n') {
            return Self::One;
        }
        let fits = |line: &str| {
            line.len() <= SHORT_LEN
                || (line.len() <= LONG_LEN
                    && text_width(line, Weight::Regular, 1.0) <= UNBROKEN_MAX)
        };
        match (text.lines().all(fits), text.trim_end().contains('\n')) {
            (false, _) => Self::Many,
            (true, true) => Self::Own,
            (true, false) => Self::One,
        }
    }
}

/// A table on its way.
#[derive(Debug)]
pub(super) struct HtmlTable {
    columns: Vec<TableColumn>,
    formatters: Vec<Formatter>,
    language: &'static Language,
    group_by: Option<usize>,
    cell: String,
    number: usize,
    rows: u64,
    body_is_open: bool,
    /// How wide the cells of each column are, in ems.
    widest: Vec<f32>,
    /// The widths of the paper that the report may be printed on, in points: as it stands, and as it lies.
    paper: (f32, f32),
}

impl HtmlTable {
    /// Writes what stands above the rows; `label` names the table's frame, and the number the table.
    pub(super) fn begin(
        table: &Table,
        document: &Document,
        (number, title, label): (usize, &str, &str),
        to: &mut Markup,
    ) -> Self {
        let columns = table.columns_towards(document.is_rtl());
        let (standing, lying) = document.page.widths();
        let mut begun = Self {
            formatters: columns
                .iter()
                .map(|column| column.formatter(document.locale))
                .collect(),
            widest: vec![0.0; columns.len()],
            columns,
            language: document.locale.language(),
            group_by: table.group_by,
            cell: String::new(),
            number,
            rows: 0,
            body_is_open: false,
            paper: match document.page.orientation {
                Orientation::Auto => (standing, lying),
                Orientation::Portrait => (standing, standing),
                Orientation::Landscape => (lying, lying),
            },
        };
        to.push("<div class=\"scroll\" role=\"region\" tabindex=\"0\"");
        to.push(label);
        to.push(&format!(
            ">\n<table class=\"wide\" id=\"t{number}\">\n<caption>"
        ));
        to.text(title);
        to.push("</caption>\n");
        begun.head(to);
        begun
    }

    fn head(&mut self, to: &mut Markup) {
        if self.columns.is_empty() {
            return;
        }
        to.push("<thead><tr>");
        for index in 0..self.columns.len() {
            let column = &self.columns[index];
            let width = column
                .width
                .map(|width| format!(" style=\"min-width:{width}ch\""))
                .unwrap_or_default();
            self.cell.clear();
            self.cell.push_str(&column.title);
            self.push_cell("th", &format!(" scope=col{width}"), index, to);
            if let (Some(width), Some(widest)) =
                (self.columns[index].width, self.widest.get_mut(index))
            {
                *widest = widest.max(width * 0.56);
            }
        }
        to.push("</tr></thead>\n");
    }

    pub(super) fn row(&mut self, kind: RowKind<'_>, values: &[Value<'_>], to: &mut Markup) {
        match kind {
            RowKind::Data => {
                self.rows += 1;
                if !self.body_is_open {
                    self.body_is_open = true;
                    to.push("<tbody>\n");
                }
                to.push("<tr>");
                for (index, value) in values.iter().enumerate() {
                    self.write_cell(index, value);
                    self.push_cell("td", "", index, to);
                }
                to.push("</tr>\n");
            }
            RowKind::Subtotal { group, .. } => {
                let formatter = self.group_by.and_then(|index| self.formatters.get(index));
                let group = formatter
                    .map(|formatter| formatter.text(group))
                    .unwrap_or_default();
                self.total_row(&self.language.subtotal_of(&group), values, " class=s", to);
                self.close_body(to);
            }
            RowKind::Total { .. } => {
                self.close_body(to);
                to.push("<tfoot>\n");
                self.total_row(self.language.total, values, "", to);
                to.push("</tfoot>\n");
            }
        }
    }

    /// The label stands in the first column, which stays in sight, or in that of the groups.
    fn total_row(&mut self, label: &str, values: &[Value<'_>], class: &str, to: &mut Markup) {
        to.push("<tr");
        to.push(class);
        to.push(">");
        let is_free = |index: &usize| values.get(*index).is_some_and(Value::is_null);
        let label_at = [Some(0), self.group_by].into_iter().flatten().find(is_free);
        for (index, value) in values.iter().enumerate() {
            if label_at == Some(index) {
                self.cell.clear();
                self.cell.push_str(label);
                self.push_cell("th", " scope=row", index, to);
            } else {
                self.write_cell(index, value);
                self.push_cell("td", "", index, to);
            }
        }
        to.push("</tr>\n");
    }

    fn write_cell(&mut self, index: usize, value: &Value<'_>) {
        self.cell.clear();
        if let Some(formatter) = self.formatters.get(index) {
            formatter.write(value, &mut self.cell);
        }
    }

    /// A cell with what `self.cell` holds.
    fn push_cell(&mut self, tag: &str, attributes: &str, index: usize, to: &mut Markup) {
        let is_number = self
            .columns
            .get(index)
            .is_some_and(|column| column.kind.is_number());
        let lines = if is_number && tag == "td" {
            Lines::One
        } else {
            Lines::of(&self.cell)
        };
        if self.rows <= SAMPLE_LEN || tag == "th" {
            self.measure(index, lines);
        }
        to.push("<");
        to.push(tag);
        to.push(attributes);
        to.push(class_of(self.columns.get(index), lines));
        to.dir(&self.cell);
        to.push(">");
        escape(&self.cell, &mut to.line);
        to.push("</");
        to.push(tag);
        to.push(">");
    }

    fn measure(&mut self, index: usize, lines: Lines) {
        let width = match lines {
            Lines::Many => UNBROKEN_MAX,
            Lines::One | Lines::Own => self
                .cell
                .lines()
                .map(|line| text_width(line, Weight::Regular, 1.0))
                .fold(0.0, f32::max),
        };
        if let Some(widest) = self.widest.get_mut(index) {
            *widest = widest.max(width);
        }
    }

    fn close_body(&mut self, to: &mut Markup) {
        if std::mem::take(&mut self.body_is_open) {
            to.push("</tbody>\n");
        }
    }

    pub(super) fn end(mut self, to: &mut Markup) {
        self.close_body(to);
        if self.rows == 0 {
            let columns = self.columns.len().max(1);
            let text = self.language.no_rows;
            to.push(&format!(
                "<tbody><tr><td class=\"none\" colspan=\"{columns}\">{text}</td></tr></tbody>\n"
            ));
        }
        to.push("</table>\n");
        self.on_paper(to);
        to.push("</div>\n</section>\n");
    }

    /// What tells the style how the table finds room on paper, now that its widths are known: it lies, or each of its
    /// rows is a block of cells with their headings.
    fn on_paper(&self, to: &mut Markup) {
        let width: f32 = self
            .widest
            .iter()
            .map(|ems| ems * ANY_FONT * PRINTED_SIZE + PRINTED_PAD)
            .sum();
        let (standing, lying) = self.paper;
        if width <= standing {
            return;
        }
        if width <= lying {
            to.push("<span hidden class=\"lies\"></span>\n");
            return;
        }
        to.push("<span hidden class=\"stacks\"></span>\n<style>@media print{");
        for (place, column) in (1_usize..).zip(&self.columns) {
            let (table, title) = (self.number, css_string(&column.title));
            to.push(&format!(
                "#t{table} td:nth-child({place})::before{{content:{title}}}"
            ));
        }
        to.push("}</style>\n");
    }
}

fn class_of(column: Option<&TableColumn>, lines: Lines) -> &'static str {
    let Some(column) = column else { return "" };
    match (column.align, column.kind.is_number(), lines) {
        (Align::Left, _, Lines::One) => "",
        (Align::Left, _, Lines::Own) => " class=o",
        (Align::Left, _, Lines::Many) => " class=w",
        (Align::Center, _, Lines::One) => " class=c",
        (Align::Center, _, Lines::Own) => " class=\"c o\"",
        (Align::Center, _, Lines::Many) => " class=\"c w\"",
        (Align::Right, true, Lines::One) => " class=n",
        (Align::Right, false, Lines::One) => " class=r",
        (Align::Right, _, Lines::Own) => " class=\"r o\"",
        (Align::Right, _, Lines::Many) => " class=\"r w\"",
    }
}
