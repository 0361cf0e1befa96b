//! Tables: widths from a sample of the rows, then row by row.

use crate::{
    error::{Error, ErrorKind},
    fonts::Weight,
    format::Formatter,
    model::{Align, Locale, Orientation},
    output::{RowKind, Warning},
    table::{Table, TableColumn},
    text::Shaper,
    value::{ColumnKind, Value},
};

use super::page::{HEAD, INK, Layout, MUTED, RULE, STRONG_RULE, TINT};

/// Rows whose widths decide about those of the columns.
const SAMPLE_LEN: usize = 1_000;
/// The most cells of the sample: tables may have thousands of columns.
const SAMPLE_CELLS_MAX: usize = 40_000;
/// More than the lines of a cell hold, in bytes.
const CELL_LEN_MAX: usize = 16_000;
/// The widest a column of texts gets by itself, in ems.
const TEXT_WIDTH_MAX: f32 = 26.0;
/// Texts up to this width stay in one line if the paper allows, in ems.
const UNBROKEN_MAX: f32 = 16.0;
/// The most lines of one cell.
const LINES_MAX: usize = 24;
/// More columns than this nobody lays side by side.
const COLUMNS_MAX: usize = 400;
/// The size of letters where columns go on on further pages.
const DIVIDED_SIZE: f32 = 8.0;
/// The widest word of a heading that is not broken, in ems.
const HEAD_WORD_MAX: f32 = 14.0;
const PAD: f32 = 4.5;
const LINE: f32 = 1.3;

/// A row as texts, one behind the other.
#[derive(Default)]
struct Row {
    text: String,
    ends: Vec<usize>,
    style: Style,
    // The cell that may reach into empty ones beside it.
    label: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Style {
    #[default]
    Data,
    Subtotal,
    Total,
}

impl Style {
    fn weight(self) -> Weight {
        if self == Self::Data {
            Weight::Regular
        } else {
            Weight::Bold
        }
    }
}

impl Row {
    fn cell(&self, index: usize) -> &str {
        let from = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied()
            .unwrap_or(0);
        self.ends
            .get(index)
            .and_then(|to| self.text.get(from..*to))
            .unwrap_or_default()
    }
}

/// Where the columns are.
struct Grid {
    left: f32,
    widths: Vec<f32>,
    size: f32,
    head: Vec<Vec<String>>,
    /// The columns that stand on one page; those that find no room there stand on the pages behind it.
    panels: Vec<Vec<usize>>,
}

impl Grid {
    fn width(&self, column: usize) -> f32 {
        self.widths.get(column).copied().unwrap_or(0.0)
    }

    fn total(&self, panel: &[usize]) -> f32 {
        panel.iter().map(|column| self.width(*column)).sum()
    }

    fn head_height(&self) -> f32 {
        let lines = self.head.iter().map(Vec::len).max().unwrap_or(1);
        height_of(lines, self.size)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful of lines")]
fn height_of(lines: usize, size: f32) -> f32 {
    lines as f32 * size * LINE + size * 0.62
}

/// A row, cut into lines.
struct Cut {
    lines: Vec<Vec<String>>,
    height: f32,
}

/// A table on its way to pages.
pub(super) struct TableLayout {
    title: Option<String>,
    columns: Vec<TableColumn>,
    formatters: Vec<Formatter>,
    locale: Locale,
    orientation: Orientation,
    group_by: Option<usize>,
    sample: Vec<Row>,
    grid: Option<Grid>,
    // The row before: it goes on with a total to the next page.
    held: Option<(Row, Cut)>,
    // Where columns go on on further pages: the rows of the pages side by side, and their height.
    block: Vec<(Row, Cut)>,
    block_height: f32,
    was_landscape: bool,
    rows: u64,
    cells_cut: u64,
}

impl TableLayout {
    pub(super) fn new(table: &Table, locale: Locale, orientation: Orientation) -> Self {
        Self {
            title: table.title.clone(),
            formatters: table
                .columns
                .iter()
                .map(|column| column.formatter(locale))
                .collect(),
            columns: table.columns.clone(),
            locale,
            orientation,
            group_by: table.group_by,
            sample: Vec::new(),
            grid: None,
            held: None,
            block: Vec::new(),
            block_height: 0.0,
            was_landscape: false,
            rows: 0,
            cells_cut: 0,
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
        let row = self.format(kind, values);
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
            layout.paragraph(
                self.locale.language().no_rows,
                Weight::Regular,
                9.0,
                MUTED,
                1.4,
            )?;
        }
        layout.space(20.0);
        if layout.is_landscape() && !self.was_landscape {
            layout.turn_back_later();
        }
        let mut warnings = Vec::new();
        let name = self.title.as_deref().unwrap_or("without a title");
        if self.cells_cut > 0 {
            warnings.push(Warning {
                kind: "text_cut",
                message: format!(
                    "in the PDF, {} cells of the table {name:?} were too long and are cut",
                    self.cells_cut
                ),
            });
        }
        let pages = self.grid.as_ref().map_or(1, |grid| grid.panels.len());
        if pages > 1 {
            warnings.push(Warning {
                kind: "columns_divided",
                message: format!(
                    "in the PDF, the {} columns of the table {name:?} stand on {pages} pages side by side: take \"landscape\", A3, or fewer columns to have them on one",
                    self.columns.len()
                ),
            });
        }
        Ok(warnings)
    }

    fn format(&mut self, kind: RowKind<'_>, values: &[Value<'_>]) -> Row {
        let language = self.locale.language();
        let mut row = Row {
            ends: Vec::with_capacity(values.len()),
            ..Row::default()
        };
        let label = match kind {
            RowKind::Data => None,
            RowKind::Subtotal { group, .. } => {
                row.style = Style::Subtotal;
                let at = self.group_by.unwrap_or(0);
                let group = self
                    .formatters
                    .get(at)
                    .map(|formatter| formatter.text(group))
                    .unwrap_or_default();
                Some((at, language.subtotal_of(&group)))
            }
            RowKind::Total { .. } => {
                row.style = Style::Total;
                Some((0, language.total.to_owned()))
            }
        };
        for (index, (value, formatter)) in values.iter().zip(&self.formatters).enumerate() {
            match &label {
                Some((at, text)) if *at == index && value.is_null() => {
                    row.text.push_str(text);
                    row.label = Some(index);
                }
                _ => match value {
                    Value::Text(text) if text.len() > CELL_LEN_MAX => {
                        row.text.push_str(
                            text.get(..text.floor_char_boundary(CELL_LEN_MAX))
                                .unwrap_or_default(),
                        );
                        self.cells_cut += 1;
                    }
                    _ => formatter.write(value, &mut row.text),
                },
            }
            row.ends.push(row.text.len());
        }
        row
    }

    /// Decides about widths, and draws the title, the head and the sample.
    fn begin(&mut self, layout: &mut Layout) -> Result<(), Error> {
        self.was_landscape = layout.is_landscape() && self.orientation != Orientation::Auto;
        let (landscape, grid) = self.fit(layout)?;
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
            layout.paragraph(&title, Weight::Bold, 13.0, INK, 1.3)?;
            layout.space(6.0);
        }
        let is_divided = grid.panels.len() > 1;
        self.grid = Some(grid);
        if !is_divided {
            self.draw_head(layout, 0);
        }
        sample.into_iter().try_for_each(|row| self.put(layout, row))
    }

    /// The paper and the widths that fit.
    fn fit(&mut self, layout: &mut Layout) -> Result<(bool, Grid), Error> {
        let needs: Vec<Need> = (0..self.columns.len())
            .map(|index| self.need(&mut layout.shaper, index))
            .collect();
        let attempts: &[(bool, f32)] = match self.orientation {
            Orientation::Auto => &[
                (false, 9.0),
                (false, 8.0),
                (true, 9.0),
                (true, 8.0),
                (true, 7.0),
            ],
            Orientation::Portrait => &[(false, 9.0), (false, 8.0), (false, 7.0)],
            Orientation::Landscape => &[(true, 9.0), (true, 8.0), (true, 7.0)],
        };
        for &(landscape, size) in attempts {
            let width = layout.width_if(landscape);
            // At first, only long texts are broken into lines.
            if let Some(widths) = share(&needs, |need| need.unbroken, size, width) {
                return Ok((landscape, self.grid(layout, widths, size)));
            }
        }
        for &(landscape, size) in attempts {
            let width = layout.width_if(landscape);
            if let Some(widths) = share(&needs, |need| need.least, size, width) {
                return Ok((landscape, self.grid(layout, widths, size)));
            }
        }
        if needs.len() > COLUMNS_MAX {
            return Err(Error::new(
                ErrorKind::TooManyColumns,
                format!(
                    "the PDF has no room for {} columns: select fewer, or write XLSX or CSV",
                    needs.len()
                ),
            ));
        }
        let landscape = self.orientation != Orientation::Portrait;
        let width = layout.width_if(landscape);
        Ok((landscape, self.divided(layout, &needs, width)))
    }

    /// The columns on pages side by side, the first one on each of them, so that rows are known again.
    fn divided(&self, layout: &mut Layout, needs: &[Need], width: f32) -> Grid {
        let size = DIVIDED_SIZE;
        let wanted = |need: &Need| need.unbroken * size + 2.0 * PAD;
        let first = needs.first().map_or(0.0, wanted).min(width * 0.3);
        let widths: Vec<f32> = needs
            .iter()
            .enumerate()
            .map(|(index, need)| match index {
                0 => first,
                _ => wanted(need).min(width - first),
            })
            .collect();
        let mut panels: Vec<Vec<usize>> = Vec::new();
        let mut used = f32::INFINITY;
        for (index, own) in widths.iter().enumerate().skip(1) {
            if used + own > width + 0.1 {
                panels.push(vec![0]);
                used = first;
            }
            used += own;
            if let Some(panel) = panels.last_mut() {
                panel.push(index);
            }
        }
        let mut grid = self.grid(layout, widths, size);
        if !panels.is_empty() {
            grid.panels = panels;
        }
        grid
    }

    fn grid(&self, layout: &mut Layout, widths: Vec<f32>, size: f32) -> Grid {
        let head = self
            .columns
            .iter()
            .zip(&widths)
            .map(|(column, width)| {
                // Names of columns may be broken behind their underscores.
                let title = column.title.replace('_', "_ ");
                let ems = (width - 2.0 * PAD) / size;
                let lines = layout.shaper.wrap(&title, Weight::Bold, ems, 4);
                let lines = lines.into_iter().map(|line| line.replace("_ ", "_"));
                lines.collect()
            })
            .collect();
        Grid {
            left: layout.left(),
            panels: vec![(0..widths.len()).collect()],
            widths,
            size,
            head,
        }
    }

    fn need(&self, shaper: &mut Shaper, index: usize) -> Need {
        let Some(column) = self.columns.get(index) else {
            return Need::default();
        };
        if let Some(width) = column.width {
            let ems = width * 0.56;
            return Need {
                natural: ems,
                unbroken: ems,
                least: ems,
            };
        }
        let mut widest = 0.0_f32;
        let mut longest_word = 0.0_f32;
        let is_text = column.kind == ColumnKind::Text;
        for row in &self.sample {
            if row.label == Some(index) {
                continue;
            }
            let text = row.cell(index);
            // The beginning tells enough about long texts.
            let text = text
                .get(..text.floor_char_boundary(400))
                .unwrap_or_default();
            for line in text.lines() {
                let width = shaper.width(line, row.style.weight());
                widest = widest.max(width);
                if is_text && width > 6.0 {
                    for word in line.split_whitespace().take(40) {
                        longest_word = longest_word.max(shaper.width(word, row.style.weight()));
                    }
                } else {
                    longest_word = longest_word.max(width);
                }
            }
        }
        let title = shaper.width(&column.title, Weight::Bold);
        let title_word = column
            .title
            .split_whitespace()
            .flat_map(|word| word.split_inclusive('_'))
            .map(|word| shaper.width(word, Weight::Bold))
            .fold(0.0, f32::max)
            .min(HEAD_WORD_MAX);
        let natural = widest
            .min(TEXT_WIDTH_MAX.max(if is_text { 0.0 } else { widest }))
            .max(title.min(14.0))
            .max(title_word);
        let least = if is_text {
            longest_word.min(11.0).max(widest.min(6.0)).max(title_word)
        } else {
            widest.max(title_word)
        };
        // A little air, because later rows may be wider than the sample.
        let least = least.min(natural) + 0.15;
        let unbroken = if is_text && widest > UNBROKEN_MAX {
            least.max(UNBROKEN_MAX * 0.8)
        } else {
            natural + 0.6
        };
        Need {
            natural: natural + 0.8,
            unbroken,
            least,
        }
    }

    fn cut(&mut self, layout: &mut Layout, row: &Row) -> Cut {
        let Some(grid) = &self.grid else {
            return Cut {
                lines: Vec::new(),
                height: 0.0,
            };
        };
        let mut lines: Vec<Vec<String>> = Vec::new();
        let mut most = 1;
        let fitting = ((layout.height() - grid.head_height()) / (grid.size * LINE)) - 2.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a handful of lines"
        )]
        let lines_max = LINES_MAX.min(fitting.max(1.0) as usize);
        for (index, width) in grid.widths.iter().enumerate() {
            let text = row.cell(index);
            let ems = (width - 2.0 * PAD) / grid.size;
            let weight = row.style.weight();
            let is_number = self
                .columns
                .get(index)
                .is_some_and(|column| column.kind.is_number());
            let is_one_line = row.label == Some(index)
                || text.is_empty()
                || (!text.contains('\n')
                    && text.len() < 2_000
                    && (is_number || layout.shaper.width(text, weight) <= ems));
            if is_one_line {
                // The text itself is taken when it is drawn.
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

    fn put(&mut self, layout: &mut Layout, row: Row) -> Result<(), Error> {
        let cut = self.cut(layout, &row);
        if self.grid.as_ref().is_some_and(|grid| grid.panels.len() > 1) {
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
            if panel > 0 {
                layout.new_page()?;
            }
            self.draw_head(layout, panel);
            for (row, cut) in &block {
                self.draw_row(layout, row, cut, panel);
            }
        }
        Ok(())
    }

    fn next_page(&mut self, layout: &mut Layout) -> Result<(), Error> {
        layout.new_page()?;
        self.draw_head(layout, 0);
        Ok(())
    }

    fn draw_head(&mut self, layout: &mut Layout, panel: usize) {
        let Some(grid) = &self.grid else { return };
        let Some(panel) = grid.panels.get(panel) else {
            return;
        };
        let (mut x, y) = (grid.left, layout.y());
        let height = grid.head_height();
        layout.rect(x, y, grid.total(panel), height, HEAD);
        let most = grid.head.iter().map(Vec::len).max().unwrap_or(1);
        for index in panel {
            let (Some(column), Some(lines)) = (self.columns.get(*index), grid.head.get(*index))
            else {
                continue;
            };
            let width = grid.width(*index);
            for (index, line) in lines.iter().enumerate() {
                // Short headings stand at the bottom, next to what they name.
                let y = y + height_of(index + 1 + most - lines.len(), grid.size) - grid.size * 0.64;
                aligned(
                    layout,
                    line,
                    (x, y, width),
                    (grid.size, Weight::Bold),
                    column.align,
                );
            }
            x += width;
        }
        let total = grid.total(panel);
        layout.rect(grid.left, y + height - 0.9, total, 0.9, STRONG_RULE);
        layout.space(height);
    }

    fn draw(&mut self, layout: &mut Layout, row: &Row, cut: &Cut) -> Result<(), Error> {
        if cut.height > layout.remaining() {
            self.next_page(layout)?;
        }
        self.draw_row(layout, row, cut, 0);
        Ok(())
    }

    fn draw_row(&self, layout: &mut Layout, row: &Row, cut: &Cut, panel: usize) {
        let Some(grid) = &self.grid else { return };
        let Some(panel) = grid.panels.get(panel) else {
            return;
        };
        let total = grid.total(panel);
        let (mut x, y) = (grid.left, layout.y());
        let weight = row.style.weight();
        match row.style {
            Style::Data => {}
            Style::Subtotal => layout.rect(x, y, total, cut.height, TINT),
            Style::Total => {
                layout.rect(x, y, total, cut.height, HEAD);
                layout.rect(x, y - 0.5, total, 0.9, STRONG_RULE);
            }
        }
        for (place, &index) in panel.iter().enumerate() {
            let Some(column) = self.columns.get(index) else {
                continue;
            };
            let width = grid.width(index);
            let lines = cut.lines.get(index).map_or(&[][..], Vec::as_slice);
            let baseline = y + height_of(1, grid.size) - grid.size * 0.64;
            if lines.is_empty() {
                let text = row.cell(index);
                let (room, align) = if row.label == Some(index) {
                    let behind = panel.iter().skip(place + 1);
                    let empty = behind.take_while(|next| row.cell(**next).is_empty());
                    let more: f32 = empty.map(|next| grid.width(*next)).sum();
                    (
                        width + more,
                        if more > 0.0 {
                            Align::Left
                        } else {
                            column.align
                        },
                    )
                } else {
                    (width, column.align)
                };
                aligned(
                    layout,
                    text,
                    (x, baseline, room),
                    (grid.size, weight),
                    align,
                );
            }
            for (line_index, line) in lines.iter().enumerate() {
                let y = y + height_of(line_index + 1, grid.size) - grid.size * 0.64;
                aligned(
                    layout,
                    line,
                    (x, y, width),
                    (grid.size, weight),
                    column.align,
                );
            }
            x += width;
        }
        layout.rect(grid.left, y + cut.height - 0.25, total, 0.5, RULE);
        layout.space(cut.height);
    }
}

/// What a column needs, in ems: to show everything in one line, all but long texts, and at the very least.
#[derive(Clone, Copy, Debug, Default)]
struct Need {
    natural: f32,
    unbroken: f32,
    least: f32,
}

/// Widths of columns for a table of this width, if all that they need at least fits.
fn share(
    needs: &[Need],
    least_of: impl Fn(&Need) -> f32,
    size: f32,
    width: f32,
) -> Option<Vec<f32>> {
    let of = |ems: f32| ems * size + 2.0 * PAD;
    let natural: f32 = needs.iter().map(|need| of(need.natural)).sum();
    if natural <= width {
        // Narrow tables don't spread over all of the paper: the eye would lose the row.
        let factor = (width / natural).min(1.9);
        return Some(needs.iter().map(|need| of(need.natural) * factor).collect());
    }
    let least: f32 = needs.iter().map(|need| of(least_of(need))).sum();
    if least > width {
        return None;
    }
    let share = (width - least) / (natural - least);
    Some(
        needs
            .iter()
            .map(|need| of(least_of(need)) + (need.natural - least_of(need)) * size * share)
            .collect(),
    )
}

/// Writes a line into a cell. What is too wide is made smaller, then cut.
fn aligned(
    layout: &mut Layout,
    text: &str,
    (x, y, width): (f32, f32, f32),
    (size, weight): (f32, Weight),
    align: Align,
) {
    if text.is_empty() {
        return;
    }
    let room = width - 2.0 * PAD;
    let ems = layout.shaper.width(text, weight);
    let mut size = size;
    if ems * size > room + 0.1 {
        let fitting = room / ems;
        if fitting < size * 0.55 {
            layout.cell_text(text, (x + PAD, y, room), size, weight, INK);
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
    layout.text_at(text, (x + PAD + offset, y), size, weight, INK);
}
