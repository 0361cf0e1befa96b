//! The sheet in front: texts, key figures and charts.

use rust_xlsxwriter::{
    Chart as XlsxChart, ChartFont, ChartFormat, ChartLegendPosition, ChartLine, ChartMarker,
    ChartMarkerType, ChartPoint, ChartSolidFill, ChartType, Color, Format as CellFormat,
    FormatAlign, Worksheet,
};

use crate::{
    chart::Chart,
    error::Error,
    format::{Formatter, long_date},
    locale::Language,
    markup::{Block, blocks},
    model::{ChartKind, Document, Locale, Text},
    scene::series_color,
    table::KeyFigures,
    value::{ColumnKind, Value},
};

use super::{
    Names, cell_text, failed,
    format::{Cell, cell_of, number_format, shows_zone, zone_code},
    print::{Paper, print_setup},
    sheet::in_characters,
};

/// The columns of the sheet, and their widths in characters.
const COLUMNS: u16 = 5;
const COLUMN_WIDTH: f32 = 24.0;
/// The columns together, in characters of the spreadsheet's own size, with a little room at the ends of lines.
const TEXT_WIDTH: f32 = 112.0;
/// Letters and lines of spreadsheets, in points.
const BODY_SIZE: f32 = 11.0;
const LINE_HEIGHT: f32 = 15.0;
/// A chart of 370 pixels and the rows that it lies on, in points.
const CHART_HEIGHT: f32 = 300.0;
const ACCENT: Color = Color::RGB(0x2f_6db5);
const MUTED: Color = Color::RGB(0x5b_6775);
const TINT: Color = Color::RGB(0xf2_f5f9);

pub(super) struct Overview {
    sheet: Worksheet,
    data: Worksheet,
    data_name: String,
    data_row: u32,
    /// The widest category among the data, in characters.
    data_widest: f32,
    row: u32,
    /// How much of the page is taken, in points.
    taken: f32,
    /// How much a page has, at the scale that it is printed with.
    page_height: f32,
    breaks: Vec<u32>,
    is_rtl: bool,
    is_used: bool,
    locale: Locale,
    // What couldn't be set up is told when the first thing is written.
    error: Option<Error>,
}

impl Overview {
    pub(super) fn new(document: &Document, names: &mut Names, language: &Language) -> Self {
        let mut overview = Self {
            sheet: Worksheet::new(),
            data: Worksheet::new(),
            data_name: names.take(language.chart_data, "Data"),
            data_row: 0,
            data_widest: 30.0,
            row: 0,
            taken: 0.0,
            page_height: f32::INFINITY,
            breaks: Vec::new(),
            is_rtl: document.is_rtl(),
            is_used: false,
            locale: document.locale,
            error: None,
        };
        let name = names.take(language.overview, "Report");
        overview.error = overview.set_up(document, &name).err();
        overview
    }

    fn set_up(&mut self, document: &Document, name: &str) -> Result<(), Error> {
        self.sheet.set_name(name).map_err(failed)?;
        self.data
            .set_name(self.data_name.as_str())
            .map_err(failed)?;
        for column in 0..COLUMNS {
            self.sheet
                .set_column_width(column, COLUMN_WIDTH)
                .map_err(failed)?;
        }
        self.sheet.set_screen_gridlines(false);
        for sheet in [&mut self.sheet, &mut self.data] {
            sheet.set_right_to_left(self.is_rtl);
            print_setup(sheet, document, Some(&document.title));
        }
        let paper = Paper::of(&document.page);
        self.page_height = paper.height_at(&[COLUMN_WIDTH; COLUMNS as usize]);
        let title = CellFormat::new().set_bold();
        self.write(&document.title, &title, 20.0)?;
        if let Some(subtitle) = &document.subtitle {
            self.write(subtitle, &CellFormat::new().set_font_color(MUTED), 13.0)?;
        }
        let date = long_date(document);
        let meta: Vec<&str> = document
            .author
            .as_deref()
            .into_iter()
            .chain(date.as_deref())
            .collect();
        if !meta.is_empty() {
            self.write(
                &meta.join(" · "),
                &CellFormat::new().set_font_color(MUTED),
                11.0,
            )?;
        }
        self.skip(1);
        Ok(())
    }

    pub(super) fn is_used(&self) -> bool {
        self.is_used
    }

    /// Leaves rows empty.
    fn skip(&mut self, rows: u16) {
        self.row += u32::from(rows);
        self.taken += f32::from(rows) * LINE_HEIGHT;
    }

    /// The height of the row that is written, in points.
    fn set_height(&mut self, height: f32) -> Result<(), Error> {
        self.sheet
            .set_row_height(self.row, height)
            .map_err(failed)?;
        self.taken += height - LINE_HEIGHT;
        Ok(())
    }

    /// Begins a section; what it needs stays on one page.
    fn begin(&mut self, title: Option<&str>, height: f32) -> Result<(), Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.is_used = true;
        if self.taken + height > self.page_height && self.taken > 0.0 {
            self.breaks.push(self.row);
            self.taken = 0.0;
        }
        if let Some(title) = title.filter(|title| !title.trim().is_empty()) {
            self.write(
                title,
                &CellFormat::new().set_bold().set_font_color(ACCENT),
                14.0,
            )?;
        }
        Ok(())
    }

    /// A text with letters of this size; what is wider than all columns has several lines.
    fn write(&mut self, text: &str, format: &CellFormat, size: f32) -> Result<(), Error> {
        let format = format.clone().set_font_size(size);
        if size / BODY_SIZE * in_characters(text) * 1.1 > TEXT_WIDTH {
            return self.write_wrapped(text, &format, size);
        }
        let clean = cell_text(text).map(|(text, _)| text);
        self.sheet
            .write_string_with_format(self.row, 0, clean.as_deref().unwrap_or(text), &format)
            .map_err(failed)?;
        self.set_height((size * LINE_HEIGHT / BODY_SIZE).max(LINE_HEIGHT))?;
        self.skip(1);
        Ok(())
    }

    /// A text over all columns, as high as its lines need.
    fn write_wrapped(&mut self, text: &str, format: &CellFormat, size: f32) -> Result<(), Error> {
        let clean = cell_text(text).map(|(text, _)| text);
        let text = clean.as_deref().unwrap_or(text);
        let format = format.clone().set_text_wrap().set_align(FormatAlign::Top);
        self.sheet
            .merge_range(self.row, 0, self.row, COLUMNS - 1, text, &format)
            .map_err(failed)?;
        let factor = size / BODY_SIZE;
        let lines: f32 = text
            .lines()
            .map(|line| (in_characters(line) * factor / TEXT_WIDTH).ceil().max(1.0))
            .sum();
        self.set_height((lines * LINE_HEIGHT * factor).clamp(LINE_HEIGHT, 400.0))?;
        self.skip(1);
        Ok(())
    }

    pub(super) fn text(&mut self, text: &Text) -> Result<(), Error> {
        self.begin(text.title.as_deref(), 60.0)?;
        let body = CellFormat::new();
        for block in blocks(&text.text) {
            match block {
                Block::Heading { text, .. } => {
                    self.write(&text, &body.clone().set_bold(), 12.0)?;
                }
                Block::Paragraph(text) => self.write_wrapped(&text, &body, BODY_SIZE)?,
                Block::List(points) => {
                    for point in points {
                        let format = body.clone().set_indent(1);
                        self.write_wrapped(&format!("• {point}"), &format, BODY_SIZE)?;
                    }
                }
            }
        }
        self.skip(1);
        Ok(())
    }

    pub(super) fn key_figures(&mut self, figures: &KeyFigures) -> Result<(), Error> {
        self.begin(figures.title.as_deref(), 100.0)?;
        let side = if self.is_rtl {
            FormatAlign::Right
        } else {
            FormatAlign::Left
        };
        let label = CellFormat::new()
            .set_align(side)
            .set_font_color(MUTED)
            .set_background_color(TINT)
            .set_font_size(10);
        for line in figures.figures.chunks(COLUMNS.into()) {
            for (column, figure) in (0_u16..).zip(line) {
                let title = cell_text(&figure.title).map(|(text, _)| text);
                let title = title.as_deref().unwrap_or(&figure.title);
                self.sheet
                    .write_string_with_format(self.row, column, title, &label)
                    .map_err(failed)?;
                let mut large = CellFormat::new()
                    .set_bold()
                    .set_font_size(18)
                    .set_align(side)
                    .set_background_color(TINT);
                if let Some(mut number) = number_format(&figure.format, figure.kind, self.locale) {
                    if let Value::Timestamp {
                        offset: Some(offset),
                        ..
                    } = &figure.value
                        && shows_zone(&figure.format)
                    {
                        number = zone_code(&number, *offset);
                    }
                    large = large.set_num_format(number);
                } else if figure.kind == ColumnKind::Int {
                    large = large.set_num_format("#,##0");
                }
                let row = self.row + 1;
                let written = match cell_of(&figure.value) {
                    Cell::Number(number) => self
                        .sheet
                        .write_number_with_format(row, column, number, &large),
                    Cell::Bool(value) => self
                        .sheet
                        .write_boolean_with_format(row, column, value, &large),
                    Cell::Empty => self
                        .sheet
                        .write_string_with_format(row, column, "–", &large),
                    Cell::NumberText(text) => self
                        .sheet
                        .write_string_with_format(row, column, text, &large),
                    Cell::Text => {
                        let text = Formatter::new(&figure.format, self.locale).text(&figure.value);
                        let text = cell_text(&text).map_or(text, |(clean, _)| clean);
                        self.sheet
                            .write_string_with_format(row, column, text, &large)
                    }
                };
                written.map_err(failed)?;
            }
            self.skip(1);
            self.set_height(28.0)?;
            self.skip(2);
        }
        Ok(())
    }

    /// Writes the chart's data; returns its first and last row.
    fn chart_data(&mut self, chart: &Chart) -> Result<(u32, u32), Error> {
        let bold = CellFormat::new().set_bold();
        let right = bold.clone().set_align(FormatAlign::Right);
        let text = |text: &str| cell_text(text).map_or_else(|| text.to_owned(), |(clean, _)| clean);
        if let Some(title) = &chart.title {
            self.data
                .write_string_with_format(self.data_row, 0, text(title), &bold)
                .map_err(failed)?;
            self.data_row += 1;
        }
        let head = self.data_row;
        self.data
            .write_string_with_format(head, 0, text(&chart.x), &bold)
            .map_err(failed)?;
        let mut format = CellFormat::new();
        if let Some(number) = number_format(&chart.format, chart.value_kind, self.locale) {
            format = format.set_num_format(number);
        }
        for (column, series) in (1_u16..).zip(&chart.series) {
            let width = (in_characters(&series.title) + 2.0).clamp(16.0, 40.0);
            self.data.set_column_width(column, width).map_err(failed)?;
            self.data
                .write_string_with_format(head, column, text(&series.title), &right)
                .map_err(failed)?;
            for (row, value) in (head + 1..).zip(&series.values) {
                if let Some(number) = value.as_f64() {
                    self.data
                        .write_number_with_format(row, column, number, &format)
                        .map_err(failed)?;
                }
            }
        }
        let mut last = head;
        for (row, category) in (head + 1..).zip(&chart.categories) {
            self.data_widest = self.data_widest.max(in_characters(category) + 1.0);
            self.data
                .write_string(row, 0, text(category))
                .map_err(failed)?;
            last = row;
        }
        self.data_row = last + 2;
        Ok((head, last))
    }

    pub(super) fn chart(&mut self, chart: &Chart) -> Result<(), Error> {
        if chart.categories.is_empty() {
            self.begin(chart.title.as_deref(), 60.0)?;
            let text = self.locale.language().no_data;
            self.write(text, &CellFormat::new().set_font_color(MUTED), BODY_SIZE)?;
            self.skip(1);
            return Ok(());
        }
        self.begin(chart.title.as_deref(), CHART_HEIGHT + 30.0)?;
        let (head, last) = self.chart_data(chart)?;
        let mut drawn = XlsxChart::new(match chart.kind {
            ChartKind::Bar => ChartType::Column,
            ChartKind::StackedBar => ChartType::ColumnStacked,
            ChartKind::Line => ChartType::Line,
            ChartKind::Pie => ChartType::Pie,
        });
        let sheet = self.data_name.as_str();
        for (index, (column, _)) in (1_u16..).zip(&chart.series).enumerate() {
            let color = color_of(index);
            let series = drawn.add_series();
            series
                .set_name((sheet, head, column))
                .set_categories((sheet, head + 1, 0, last, 0))
                .set_values((sheet, head + 1, column, last, column));
            match chart.kind {
                ChartKind::Pie => {
                    let points: Vec<ChartPoint> = (0..chart.categories.len())
                        .map(|slice| {
                            let mut format = ChartFormat::new();
                            format.set_solid_fill(ChartSolidFill::new().set_color(color_of(slice)));
                            ChartPoint::new().set_format(&mut format)
                        })
                        .collect();
                    series.set_points(&points);
                    let mut label = rust_xlsxwriter::ChartDataLabel::new();
                    label.show_percentage();
                    series.set_data_label(&label);
                }
                ChartKind::Line => {
                    let mut format = ChartFormat::new();
                    format.set_line(ChartLine::new().set_color(color).set_width(2.25));
                    series.set_format(&mut format);
                    if chart.categories.len() <= 60 {
                        let mut marker_format = ChartFormat::new();
                        marker_format.set_solid_fill(ChartSolidFill::new().set_color(color));
                        marker_format.set_line(ChartLine::new().set_color(color));
                        let mut marker = ChartMarker::new();
                        marker
                            .set_type(ChartMarkerType::Circle)
                            .set_size(5)
                            .set_format(&mut marker_format);
                        series.set_marker(&marker);
                    }
                }
                ChartKind::Bar | ChartKind::StackedBar => {
                    let mut format = ChartFormat::new();
                    format.set_solid_fill(ChartSolidFill::new().set_color(color));
                    series.set_format(&mut format).set_gap(60);
                    series.set_invert_if_negative_color(color);
                }
            }
        }
        self.dress(&mut drawn, chart);
        self.sheet
            .insert_chart(self.row, 0, &drawn)
            .map_err(failed)?;
        self.skip(20);
        Ok(())
    }

    fn dress(&self, drawn: &mut XlsxChart, chart: &Chart) {
        let title = chart
            .title
            .as_deref()
            .unwrap_or(self.locale.language().chart);
        drawn
            .set_width(870)
            .set_height(370)
            .set_alt_text(super::shorten(title, 250));
        // The section's heading stands above.
        drawn.title().set_hidden();
        match chart.kind {
            ChartKind::Pie => {
                drawn.legend().set_position(ChartLegendPosition::Right);
            }
            _ if chart.series.len() == 1 => {
                drawn.legend().set_hidden();
            }
            _ => {
                drawn.legend().set_position(ChartLegendPosition::Top);
            }
        }
        if chart.kind == ChartKind::Pie {
            return;
        }
        let mut font = ChartFont::new();
        font.set_color(MUTED);
        if let Some(number) = number_format(&chart.format, chart.value_kind, self.locale) {
            drawn.y_axis().set_num_format(number);
        }
        let mut grid = ChartLine::new();
        grid.set_color(Color::RGB(0xd9_dfe6)).set_width(0.75);
        drawn
            .y_axis()
            .set_font(&font)
            .set_major_gridlines_line(&grid);
        drawn
            .x_axis()
            .set_font(&font)
            .set_label_position(rust_xlsxwriter::ChartAxisLabelPosition::Low);
    }

    /// The sheet, and that with the data of charts if there are any.
    pub(super) fn end(mut self) -> Result<(Worksheet, Option<Worksheet>), Error> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.data
            .set_column_width(0, self.data_widest.min(60.0))
            .map_err(failed)?;
        self.sheet.set_page_breaks(&self.breaks).map_err(failed)?;
        let data = (self.data_row > 0).then_some(self.data);
        Ok((self.sheet, data))
    }
}

fn color_of(index: usize) -> Color {
    let [r, g, b] = series_color(index).map(u32::from);
    Color::RGB(r << 16 | g << 8 | b)
}
