//! Heads and rows on a page.

use crate::{letters::Weight, model::Align, table::TableColumn};

use super::{
    super::page::{HEAD, INK, RULE, STRONG_RULE, TINT},
    Layout,
    cut::Cut,
    grid::Grid,
    height_of,
    row::{Row, Style},
};

/// Where a text may stand: from, the height of its base line, and its width.
type Place = (f32, f32, f32);

impl Grid {
    /// The columns of a panel, and where each begins.
    fn places<'g>(&'g self, panel: &'g [usize]) -> impl Iterator<Item = (usize, f32)> + 'g {
        let mut used = 0.0;
        panel.iter().map(move |&column| {
            let before = used;
            used += self.width(column);
            let x = if self.is_rtl {
                self.right - used
            } else {
                self.left + before
            };
            (column, x)
        })
    }

    /// The left side of a panel.
    fn side(&self, panel: &[usize]) -> f32 {
        if self.is_rtl {
            self.right - self.total(panel)
        } else {
            self.left
        }
    }

    /// The base line of a cell's line, counted from 1, in a row that begins at this height.
    fn baseline(&self, y: f32, line: usize) -> f32 {
        y + height_of(line, self.size) - self.size * 0.64
    }

    pub(super) fn draw_head(&self, layout: &mut Layout, columns: &[TableColumn], panel: usize) {
        let Some(panel) = self.panels.get(panel) else {
            return;
        };
        let (y, height) = (layout.y(), self.head_height());
        let (side, total) = (self.side(panel), self.total(panel));
        layout.rect(side, y, total, height, HEAD);
        let most = self.head.iter().map(Vec::len).max().unwrap_or(1);
        for (index, x) in self.places(panel) {
            let (Some(column), Some(lines)) = (columns.get(index), self.head.get(index)) else {
                continue;
            };
            for (place, line) in lines.iter().enumerate() {
                // Short headings stand at the bottom, next to what they name.
                let y = self.baseline(y, place + 1 + most - lines.len());
                let place = (x + self.indent(index), y, self.room(index));
                aligned(layout, line, place, (self.size, Weight::Bold), column.align);
            }
        }
        layout.rect(side, y + height - 0.9, total, 0.9, STRONG_RULE);
        layout.space(height);
    }

    pub(super) fn draw_row(
        &self,
        layout: &mut Layout,
        columns: &[TableColumn],
        (row, cut): (&Row, &Cut),
        panel: usize,
    ) {
        let Some(panel) = self.panels.get(panel) else {
            return;
        };
        let y = layout.y();
        let (side, total) = (self.side(panel), self.total(panel));
        let letters = (self.size, row.style.weight());
        match row.style {
            Style::Data => {}
            Style::Subtotal => layout.rect(side, y, total, cut.height, TINT),
            Style::Total => {
                layout.rect(side, y, total, cut.height, HEAD);
                layout.rect(side, y - 0.5, total, 0.9, STRONG_RULE);
            }
        }
        for (place, (index, x)) in self.places(panel).enumerate() {
            let Some(column) = columns.get(index) else {
                continue;
            };
            let lines = cut.lines.get(index).map_or(&[][..], Vec::as_slice);
            if lines.is_empty() {
                let behind = panel.get(place + 1..).unwrap_or_default();
                let (place, align) = self.one_line(row, column, (index, x), behind);
                let place = (place.0, self.baseline(y, 1), place.1);
                aligned(layout, row.cell(index), place, letters, align);
            }
            for (number, line) in (1_usize..).zip(lines) {
                let place = (
                    x + self.indent(index),
                    self.baseline(y, number),
                    self.room(index),
                );
                aligned(layout, line, place, letters, column.align);
            }
        }
        layout.rect(side, y + cut.height - 0.25, total, 0.5, RULE);
        layout.space(cut.height);
    }

    /// Where a cell of one line stands, and its width. The label of a total reaches into the empty cells behind it.
    fn one_line(
        &self,
        row: &Row,
        column: &TableColumn,
        (index, x): (usize, f32),
        behind: &[usize],
    ) -> ((f32, f32), Align) {
        let (x, room) = (x + self.indent(index), self.room(index));
        if row.label != Some(index) {
            return ((x, room), column.align);
        }
        let empty = behind.iter().take_while(|next| row.cell(**next).is_empty());
        let more: f32 = empty.map(|next| self.width(*next)).sum();
        if more <= 0.0 {
            ((x, room), column.align)
        } else if self.is_rtl {
            ((x - more, room + more), Align::Right)
        } else {
            ((x, room + more), Align::Left)
        }
    }
}

/// Writes a line into a cell. What is too wide is made smaller, then cut.
fn aligned(
    layout: &mut Layout,
    text: &str,
    (x, y, room): Place,
    (size, weight): (f32, Weight),
    align: Align,
) {
    if text.is_empty() {
        return;
    }
    let ems = layout.shaper.width(text, weight);
    let mut size = size;
    if ems * size > room + 0.1 {
        let fitting = room / ems;
        if fitting < size * 0.55 {
            layout.cell_text(text, (x, y, room), size, weight, INK);
            return;
        }
        size = fitting;
    }
    let free = room - ems * size;
    let offset = match align {
        Align::Left => 0.0,
        Align::Center => free / 2.0,
        Align::Right => free,
    };
    layout.text_at(text, (x + offset, y), size, weight, INK);
}
