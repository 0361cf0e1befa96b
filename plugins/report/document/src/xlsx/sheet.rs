//! Tables as sheets.

use rust_xlsxwriter::{Formula, Workbook, Worksheet};

use crate::{
    error::{Error, ErrorKind},
    format::{Formatter, write_raw},
    letters::{Weight, text_width},
    model::{Align, Document, Total},
    output::RowKind,
    table::{Table, TableColumn},
    value::Value,
};

use super::{
    Names, SHEET_ROWS_MAX, cell_text, failed,
    format::{Cell, ColumnFormats, cell_of, column_formats},
    print::{Paper, print_setup},
};

/// Columns that a sheet holds.
const COLUMNS_MAX: usize = 16_384;
/// Rows whose widths decide about those of the columns.
const SAMPLE_LEN: u32 = 500;

/// The widest a column gets by itself, in characters; longer texts have several lines.
const WIDTH_MAX: f32 = 60.0;

/// In points, of the font that spreadsheets begin with.
const LINE_HEIGHT: f64 = 15.0;
/// A row is at most 409 points high.
const LINES_MAX: usize = 27;

struct ColumnState {
    column: TableColumn,
    formats: ColumnFormats,
    formatter: Formatter,
    // In characters.
    widest: f32,
    /// The longest text that was measured and found room in one line, in bytes: shorter ones needn't be.
    longest: usize,
    // Whether a number had to be written as text, in this group and at all.
    text_in_group: bool,
    text_in_all: bool,
}

impl ColumnState {
    /// The width in characters, as far as the rows tell it.
    fn width(&self) -> f32 {
        let own = self.widest.clamp(6.0, WIDTH_MAX);
        self.column.width.unwrap_or(own)
    }

    /// How many lines a text has in this column, by its breaks and by the column's width.
    fn lines_of(&self, text: &str) -> u32 {
        if text.len() <= self.longest && !text.contains('\n') {
            return 1;
        }
        // The column becomes as wide as its texts need, up to that.
        let width = self.column.width.unwrap_or(WIDTH_MAX);
        let mut lines = 0.0_f32;
        for line in text.trim_end().split('\n').take(LINES_MAX) {
            lines += if fits_surely(line, width) {
                1.0
            } else {
                // Words leave the ends of lines empty.
                let own = in_characters(line) / width;
                if own <= 1.0 { 1.0 } else { (own * 1.08).ceil() }
            };
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a handful of lines"
        )]
        let lines = lines.clamp(1.0, LINES_MAX as f32) as u32;
        lines
    }
}

/// Whether the text is so short that its letters needn't be measured.
fn fits_surely(text: &str, width: f32) -> bool {
    // The widest letters have the width of two digits.
    text.len() <= 4 || f32::from(u16::try_from(text.len()).unwrap_or(u16::MAX)) * 2.0 <= width
}

/// A table on its way to one or more sheets.
pub(super) struct Sheet {
    table: Table,
    columns: Vec<ColumnState>,
    worksheet: Worksheet,
    row: u32,
    group_from: u32,
    group_spans: bool,
    sheets: u32,
    texts_cut: u64,
    locale: crate::model::Locale,
    paper: Paper,
    buffer: String,
}

impl Sheet {
    pub(super) fn begin(
        table: &Table,
        document: &Document,
        workbook: &mut Workbook,
        names: &mut Names,
    ) -> Result<Self, Error> {
        if table.columns.len() > COLUMNS_MAX {
            return Err(Error::new(
                ErrorKind::TooManyColumns,
                format!(
                    "XLSX has no room for {} columns: {COLUMNS_MAX} are the most",
                    table.columns.len()
                ),
            ));
        }
        let is_rtl = document.is_rtl();
        let own_columns = table.columns_towards(is_rtl);
        let columns: Vec<ColumnState> = own_columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let before = if is_rtl {
                    index.checked_add(1)
                } else {
                    index.checked_sub(1)
                };
                let before = before.and_then(|before| own_columns.get(before));
                // Numbers on the right and texts on the left would touch each other.
                let is_tight = before.is_some_and(|before| before.align == Align::Right)
                    && column.align == Align::Left;
                ColumnState {
                    formats: column_formats(column, is_tight, document.locale),
                    formatter: column.formatter(document.locale),
                    // The filter's button stands beside the heading.
                    widest: column.title.lines().map(in_characters).fold(0.0, f32::max) + 3.0,
                    longest: 0,
                    text_in_group: false,
                    text_in_all: false,
                    column: column.clone(),
                }
            })
            .collect();
        let worksheet = new_worksheet(table, &columns, document, workbook, names)?;
        Ok(Self {
            table: table.clone(),
            columns,
            worksheet,
            row: 1,
            group_from: 1,
            group_spans: false,
            sheets: 1,
            texts_cut: 0,
            locale: document.locale,
            paper: Paper::of(&document.page),
            buffer: String::new(),
        })
    }

    /// Whether the next row must go to another sheet.
    pub(super) fn is_full(&self, kind: RowKind<'_>) -> bool {
        // The last two rows are kept for totals, which stay with what they sum up.
        let reserve = if kind == RowKind::Data { 2 } else { 0 };
        self.row + reserve >= SHEET_ROWS_MAX
    }

    /// Goes on in a further sheet; returns the full one.
    pub(super) fn next(
        &mut self,
        document: &Document,
        workbook: &mut Workbook,
        names: &mut Names,
    ) -> Result<Worksheet, Error> {
        let next = new_worksheet(&self.table, &self.columns, document, workbook, names)?;
        let last_row = self.row.saturating_sub(1);
        self.dress(last_row)?;
        self.row = 1;
        self.group_from = 1;
        self.group_spans = true;
        self.sheets += 1;
        Ok(std::mem::replace(&mut self.worksheet, next))
    }

    /// Widths and the filter, once all rows are there.
    fn dress(&mut self, last_row: u32) -> Result<(), Error> {
        let mut widths = Vec::with_capacity(self.columns.len());
        for (index, state) in (0_u16..).zip(&self.columns) {
            let width = state.width() + 1.0;
            widths.push(width);
            self.worksheet
                .set_column_width(index, width)
                .map_err(failed)?;
        }
        self.paper.fit(&mut self.worksheet, &widths)?;
        let last_column = u16::try_from(self.columns.len().saturating_sub(1)).unwrap_or(u16::MAX);
        self.worksheet
            .autofilter(0, 0, last_row, last_column)
            .map_err(failed)?;
        Ok(())
    }

    pub(super) fn row(&mut self, kind: RowKind<'_>, values: &[Value<'_>]) -> Result<(), Error> {
        match kind {
            RowKind::Data => self.data_row(values)?,
            RowKind::Subtotal { group, .. } => {
                let at = self.table.group_by.unwrap_or(0);
                let group = self
                    .columns
                    .get(at)
                    .map(|state| state.formatter.text(group))
                    .unwrap_or_default();
                let label = self.locale.language().subtotal_of(&group);
                let range = (!self.group_spans && self.row > self.group_from)
                    .then_some((self.group_from, self.row - 1));
                self.total_row((at, &label), values, range, true)?;
                self.group_spans = false;
                self.group_from = self.row + 1;
                for state in &mut self.columns {
                    state.text_in_group = false;
                }
            }
            RowKind::Total { .. } => {
                self.widen(values);
                // The filter ends above the total.
                let last_row = self.row.saturating_sub(1);
                self.dress(last_row)?;
                let range = (self.sheets == 1 && self.row > 1).then_some((1, self.row - 1));
                self.total_row((0, self.locale.language().total), values, range, false)?;
            }
        }
        self.row += 1;
        Ok(())
    }

    fn data_row(&mut self, values: &[Value<'_>]) -> Result<(), Error> {
        let row = self.row;
        let is_sample = row <= SAMPLE_LEN && self.sheets == 1;
        let worksheet = &mut self.worksheet;
        let lines_of = |state: &ColumnState, value: &Value<'_>| match value {
            Value::Text(text) => state.lines_of(text),
            _ => 1,
        };
        let cells = self.columns.iter().zip(values);
        let lines_most = cells.map(|(state, value)| lines_of(state, value)).max();
        let lines_most = lines_most.unwrap_or(1);
        if lines_most > 1 {
            let height = LINE_HEIGHT * f64::from(lines_most);
            worksheet.set_row_height(row, height).map_err(failed)?;
        }
        for ((index, state), value) in (0_u16..).zip(&mut self.columns).zip(values) {
            let is_broken = lines_most > 1 && lines_of(state, value) > 1;
            let is_longer = matches!(value, Value::Text(text) if text.len() > state.longest);
            if is_sample || (is_longer && !is_broken) {
                self.buffer.clear();
                state.formatter.write(value, &mut self.buffer);
                let width = self
                    .buffer
                    .lines()
                    .take(5)
                    .map(in_characters)
                    .fold(0.0, f32::max);
                // Times always have seconds here.
                let seconds = match value {
                    Value::Timestamp { .. } => 3.5,
                    _ => 0.0,
                };
                state.widest = state.widest.max(width + seconds + 0.5);
                if !is_broken {
                    state.longest = state.longest.max(self.buffer.len());
                }
            }
            let written = match cell_of(value) {
                Cell::Empty => continue,
                Cell::Number(number) if state.column.format == crate::model::Format::Text => {
                    self.buffer.clear();
                    write_raw(value, &mut self.buffer);
                    let _ = number;
                    state.text_in_group = true;
                    state.text_in_all = true;
                    worksheet.write_string(row, index, self.buffer.as_str())
                }
                Cell::Number(number) => match state.formats.of_value(value) {
                    Some(format) => worksheet.write_number_with_format(row, index, number, format),
                    None => worksheet.write_number(row, index, number),
                },
                Cell::NumberText(text) => {
                    state.text_in_group = true;
                    state.text_in_all = true;
                    worksheet.write_string_with_format(row, index, text, &state.formats.number_text)
                }
                Cell::Bool(value) => worksheet.write_boolean(row, index, value),
                Cell::Text => {
                    let Value::Text(text) = value else { continue };
                    let shown = cell_text(text);
                    let (text, is_cut) = match &shown {
                        Some((text, is_cut)) => (text.as_str(), *is_cut),
                        None => (text.as_ref(), false),
                    };
                    self.texts_cut += u64::from(is_cut);
                    if is_broken {
                        worksheet.write_string_with_format(row, index, text, &state.formats.lines)
                    } else {
                        worksheet.write_string(row, index, text)
                    }
                }
            };
            written.map_err(failed)?;
        }
        Ok(())
    }

    /// Makes room for totals, whose letters are bold.
    fn widen(&mut self, values: &[Value<'_>]) {
        for (state, value) in self.columns.iter_mut().zip(values) {
            self.buffer.clear();
            state.formatter.write(value, &mut self.buffer);
            state.widest = state.widest.max(in_characters(&self.buffer) * 1.1 + 0.5);
        }
    }

    fn total_row(
        &mut self,
        (label_at, label): (usize, &str),
        values: &[Value<'_>],
        range: Option<(u32, u32)>,
        is_subtotal: bool,
    ) -> Result<(), Error> {
        let row = self.row;
        self.widen(values);
        for (index, value) in (0_u16..).zip(values) {
            let Some(state) = self.columns.get(usize::from(index)) else {
                continue;
            };
            let format = &state.formats.of_total(value, is_subtotal);
            let has_text = if is_subtotal {
                state.text_in_group
            } else {
                state.text_in_all
            };
            if usize::from(index) == label_at && value.is_null() {
                self.worksheet
                    .write_string_with_format(row, index, label, format)
                    .map_err(failed)?;
                continue;
            }
            let function = match state.column.total {
                Some(Total::Sum) => 9,
                Some(Total::Average) => 1,
                Some(Total::Min) => 5,
                Some(Total::Max) => 4,
                Some(Total::Count) => 3,
                None => 0,
            };
            let written = match (cell_of(value), range) {
                (Cell::Empty, _) => self.worksheet.write_blank(row, index, format),
                (Cell::Number(number), Some((from, to))) if function != 0 && !has_text => {
                    let column = rust_xlsxwriter::utility::column_number_to_name(index);
                    let formula = format!(
                        "=SUBTOTAL({function},{column}{}:{column}{})",
                        from + 1,
                        to + 1
                    );
                    let formula = Formula::new(formula).set_result(number.to_string());
                    self.worksheet
                        .write_formula_with_format(row, index, formula, format)
                }
                (Cell::Number(number), _) => self
                    .worksheet
                    .write_number_with_format(row, index, number, format),
                (Cell::NumberText(text), _) => self
                    .worksheet
                    .write_string_with_format(row, index, text, format),
                (Cell::Bool(value), _) => self
                    .worksheet
                    .write_boolean_with_format(row, index, value, format),
                (Cell::Text, _) => self.worksheet.write_blank(row, index, format),
            };
            written.map_err(failed)?;
        }
        Ok(())
    }

    pub(super) fn end(mut self) -> Result<(Worksheet, u64), Error> {
        if !self.table.has_totals() {
            let last_row = self.row.saturating_sub(1);
            self.dress(last_row)?;
        }
        Ok((self.worksheet, self.texts_cut))
    }
}

/// About how many digits wide the text is.
pub(super) fn in_characters(text: &str) -> f32 {
    text_width(text, Weight::Regular, 1.0) / 0.572
}

fn new_worksheet(
    table: &Table,
    columns: &[ColumnState],
    document: &Document,
    workbook: &mut Workbook,
    names: &mut Names,
) -> Result<Worksheet, Error> {
    let mut worksheet = workbook
        .new_worksheet_with_constant_memory()
        .map_err(failed)?;
    let fallback = document.locale.language().table;
    let name = names.take(table.title.as_deref().unwrap_or_default(), fallback);
    worksheet.set_name(name).map_err(failed)?;
    for (index, state) in (0_u16..).zip(columns) {
        worksheet
            .set_column_format(index, &state.formats.data)
            .map_err(failed)?;
    }
    for (index, state) in (0_u16..).zip(columns) {
        let title = cell_text(&state.column.title).map(|(text, _)| text);
        let title = title.as_deref().unwrap_or(&state.column.title);
        worksheet
            .write_string_with_format(0, index, title, &state.formats.head)
            .map_err(failed)?;
    }
    worksheet.set_freeze_panes(1, 0).map_err(failed)?;
    worksheet.set_repeat_rows(0, 0).map_err(failed)?;
    worksheet.set_right_to_left(document.is_rtl());
    print_setup(&mut worksheet, document, table.title.as_deref());
    Ok(worksheet)
}
