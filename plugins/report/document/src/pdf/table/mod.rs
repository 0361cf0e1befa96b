//! Tables: widths from a sample of the rows, then row by row.

mod cut;
mod draw;
mod grid;
mod row;

use crate::{
    error::Error,
    letters::Weight,
    model::{Locale, Orientation},
    output::{RowKind, Warning},
    table::Table,
    value::Value,
};

use super::page::{Layout, MUTED};
use cut::Cut;
use grid::Grid;
use row::{Row, Style, Texts};

/// Rows whose widths decide about those of the columns.
const SAMPLE_LEN: usize = 1_000;
/// The most cells of the sample: tables may have thousands of columns.
const SAMPLE_CELLS_MAX: usize = 40_000;
/// The space on both sides of a cell's text, in points.
const PAD: f32 = 4.5;
/// The height of a line, in ems.
const LINE: f32 = 1.3;

#[expect(clippy::cast_precision_loss, reason = "a handful of lines")]
fn height_of(lines: usize, size: f32) -> f32 {
    lines as f32 * size * LINE + size * 0.62
}

/// A table on its way to pages.
pub(super) struct TableLayout {
    title: Option<String>,
    texts: Texts,
    orientation: Orientation,
    sample: Vec<Row>,
    grid: Option<Grid>,
    // The row before: it goes on with a total to the next page.
    held: Option<(Row, Cut)>,
    // Where columns go on on further pages: the rows of the pages side by side, and their height.
    block: Vec<(Row, Cut)>,
    block_height: f32,
    was_landscape: bool,
    rows: u64,
}

impl TableLayout {
    /// A table for readers of this language and direction.
    pub(super) fn new(
        table: &Table,
        (locale, is_rtl): (Locale, bool),
        orientation: Orientation,
    ) -> Self {
        Self {
            title: table.title.clone(),
            texts: Texts::new(table.columns_towards(is_rtl), table.group_by, locale),
            orientation,
            sample: Vec::new(),
            grid: None,
            held: None,
            block: Vec::new(),
            block_height: 0.0,
            was_landscape: false,
            rows: 0,
        }
    }

    pub(super) fn row(
        &mut self,
        layout: &mut Layout,
        kind: RowKind<'_>,
        values: &[Value<'_>],
    ) -> Result<(), Error> {
        if kind == RowKind::Data {
            self.rows += 1;
        }
        let row = self.texts.row(kind, values);
        if self.grid.is_some() {
            return self.put(layout, row);
        }
        self.sample.push(row);
        if self.sample.len() >= SAMPLE_LEN || self.sample.len() * values.len() >= SAMPLE_CELLS_MAX {
            self.begin(layout)
        } else {
            Ok(())
        }
    }

    pub(super) fn end(mut self, layout: &mut Layout) -> Result<Vec<Warning>, Error> {
        if self.grid.is_none() {
            self.begin(layout)?;
        }
        if let Some((row, cut)) = self.held.take() {
            self.draw(layout, &row, &cut)?;
        }
        self.end_block(layout)?;
        if self.rows == 0 {
            layout.space(6.0);
            let letters = (Weight::Regular, 9.0, MUTED);
            layout.title_lines(self.texts.language.no_rows, letters, 1.4)?;
        }
        layout.space(20.0);
        if layout.is_landscape() && !self.was_landscape {
            layout.turn_back_later();
        }
        let mut warnings = Vec::new();
        let name = self.title.as_deref().unwrap_or("without a title");
        if self.texts.cells_cut > 0 {
            warnings.push(Warning {
                kind: "text_cut",
                message: format!(
                    "in the PDF, {} cells of the table {name:?} were too long and are cut",
                    self.texts.cells_cut
                ),
            });
        }
        let pages = self.grid.as_ref().map_or(1, |grid| grid.panels.len());
        if pages > 1 {
            warnings.push(Warning {
                kind: "columns_divided",
                message: format!(
                    "in the PDF, the {} columns of the table {name:?} stand on {pages} pages side by side: take \"landscape\", A3, or fewer columns to have them on one",
                    self.texts.columns.len()
                ),
            });
        }
        Ok(warnings)
    }

    /// Decides about widths, and draws the title, the head and the sample.
    fn begin(&mut self, layout: &mut Layout) -> Result<(), Error> {
        self.was_landscape = layout.is_landscape() && self.orientation != Orientation::Auto;
        let columns = &self.texts.columns;
        let (landscape, grid) = grid::fit(columns, &self.sample, layout, self.orientation)?;
        if landscape != layout.is_landscape() {
            layout.turn(landscape)?;
        }
        let sample = std::mem::take(&mut self.sample);
        // The title and the head stay with the first rows.
        let few =
            height_of(1, grid.size) * f32::from(u8::try_from(sample.len().min(3)).unwrap_or(3));
        let title = self.title.clone().filter(|title| !title.trim().is_empty());
        let above = if title.is_some() { 26.0 } else { 0.0 };
        layout.keep_together(above + grid.head_height() + few)?;
        if let Some(title) = title {
            layout.mark(&title);
            layout.heading(&title, 13.0)?;
            layout.space(6.0);
        }
        let is_divided = grid.is_divided();
        self.grid = Some(grid);
        if !is_divided {
            self.draw_head(layout, 0);
        }
        sample.into_iter().try_for_each(|row| self.put(layout, row))
    }

    fn put(&mut self, layout: &mut Layout, row: Row) -> Result<(), Error> {
        let Some(grid) = &self.grid else {
            return Ok(());
        };
        let cut = self.texts.cut(layout, grid, &row);
        if grid.is_divided() {
            return self.put_into_block(layout, row, cut);
        }
        if let Some((held_row, held_cut)) = self.held.take() {
            let both = held_cut.height + cut.height;
            if row.style != Style::Data
                && both > layout.remaining()
                && held_cut.height <= layout.remaining()
            {
                self.next_page(layout)?;
            }
            self.draw(layout, &held_row, &held_cut)?;
        }
        self.held = Some((row, cut));
        Ok(())
    }

    /// Rows that go on on further pages are drawn when a page is full of them.
    fn put_into_block(&mut self, layout: &mut Layout, row: Row, cut: Cut) -> Result<(), Error> {
        let head = self.grid.as_ref().map_or(0.0, Grid::head_height);
        if head + self.block_height + cut.height > layout.remaining() && !self.block.is_empty() {
            // A total takes the row before it along.
            let along = (row.style != Style::Data && self.block.len() > 1)
                .then(|| self.block.pop())
                .flatten();
            self.end_block(layout)?;
            layout.new_page()?;
            if let Some((row, cut)) = along {
                self.block_height += cut.height;
                self.block.push((row, cut));
            }
        }
        self.block_height += cut.height;
        self.block.push((row, cut));
        Ok(())
    }

    /// Draws the rows of a block, panel by panel.
    fn end_block(&mut self, layout: &mut Layout) -> Result<(), Error> {
        let panels = self.grid.as_ref().map_or(1, |grid| grid.panels.len());
        let block = std::mem::take(&mut self.block);
        self.block_height = 0.0;
        let is_empty_table = self.rows == 0 && panels > 1;
        if block.is_empty() && !is_empty_table {
            return Ok(());
        }
        for panel in 0..panels {
            if panel > 0 && is_empty_table {
                // Headings alone need no pages of their own.
                layout.space(6.0);
                layout.keep_together(self.grid.as_ref().map_or(0.0, Grid::head_height))?;
            } else if panel > 0 {
                layout.new_page()?;
            }
            self.draw_head(layout, panel);
            for (row, cut) in &block {
                self.draw_row(layout, (row, cut), panel);
            }
        }
        Ok(())
    }

    fn draw_head(&self, layout: &mut Layout, panel: usize) {
        if let Some(grid) = &self.grid {
            grid.draw_head(layout, &self.texts.columns, panel);
        }
    }

    fn draw_row(&self, layout: &mut Layout, row: (&Row, &Cut), panel: usize) {
        if let Some(grid) = &self.grid {
            grid.draw_row(layout, &self.texts.columns, row, panel);
        }
    }

    fn next_page(&mut self, layout: &mut Layout) -> Result<(), Error> {
        layout.new_page()?;
        self.draw_head(layout, 0);
        Ok(())
    }

    fn draw(&mut self, layout: &mut Layout, row: &Row, cut: &Cut) -> Result<(), Error> {
        if cut.height > layout.remaining() {
            self.next_page(layout)?;
        }
        self.draw_row(layout, (row, cut), 0);
        Ok(())
    }
}
