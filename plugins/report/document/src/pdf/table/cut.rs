//! Rows, cut into the lines of their cells.

use super::{
    Layout,
    grid::Grid,
    height_of,
    row::{Row, Texts},
};

/// The most lines of one cell.
const LINES_MAX: usize = 24;

/// A row, cut into lines. A cell of one line has none: its text is taken from the row when it is drawn.
pub(super) struct Cut {
    pub(super) lines: Vec<Vec<String>>,
    pub(super) height: f32,
}

impl Texts {
    pub(super) fn cut(&mut self, layout: &mut Layout, grid: &Grid, row: &Row) -> Cut {
        let mut lines: Vec<Vec<String>> = Vec::with_capacity(self.columns.len());
        let mut most = 1;
        let lines_max = LINES_MAX.min(grid.lines_fitting(layout.height()));
        let weight = row.style.weight();
        for (index, column) in self.columns.iter().enumerate() {
            let text = row.cell(index);
            let ems = grid.room(index) / grid.size;
            let is_one_line = row.label == Some(index)
                || text.is_empty()
                || (!text.contains('\n')
                    && text.len() < 2_000
                    && (column.kind.is_number() || layout.shaper.width(text, weight) <= ems));
            if is_one_line {
                lines.push(Vec::new());
                continue;
            }
            let cell = layout.shaper.wrap(text, weight, ems, lines_max);
            if cell.last().is_some_and(|line| line.ends_with('…'))
                && !text.trim_end().ends_with('…')
            {
                self.cells_cut += 1;
            }
            most = most.max(cell.len());
            lines.push(cell);
        }
        Cut {
            lines,
            height: height_of(most, grid.size),
        }
    }
}
