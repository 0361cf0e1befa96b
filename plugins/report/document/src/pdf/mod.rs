//! Reports as PDF.
//!
//! Rows are laid out as they come, page by page, into short lists of what stands where; only at the end, when the number
//! of pages is known, they are drawn. A page of a table takes some 20 KB until then.

mod draw;
mod figures;
mod page;
mod table;

use std::sync::Arc;

use crate::{
    calendar,
    chart::Chart,
    error::{Error, ErrorKind},
    fonts::Fonts,
    format::long_date,
    letters::Weight,
    markup::{Block, blocks},
    model::{ChartKind, Document, Text},
    output::{Check, RowKind, Sink, Warning, Writer},
    scene,
    table::{KeyFigures, Table},
    text::missing_warning,
    value::Value,
};
use page::{ACCENT, INK, Layout, MUTED};
use table::TableLayout;

/// How much a PDF may hold. It is laid out in memory, and nobody reads a million pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PdfLimits {
    /// The most pages.
    pub pages_max: usize,
}

impl Default for PdfLimits {
    fn default() -> Self {
        Self { pages_max: 2_000 }
    }
}

/// Writes a report as PDF.
pub struct PdfWriter<W> {
    sink: W,
    fonts: Arc<Fonts>,
    limits: PdfLimits,
    state: Option<State>,
}

struct State {
    document: Document,
    layout: Layout,
    table: Option<TableLayout>,
    warnings: Vec<Warning>,
}

impl<W> std::fmt::Debug for PdfWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PdfWriter")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl<W: Sink> PdfWriter<W> {
    /// Writes into this sink with these fonts. More pages than allowed are the error `too_many_rows`.
    pub fn new(sink: W, fonts: Arc<Fonts>, limits: PdfLimits) -> Self {
        Self {
            sink,
            fonts,
            limits,
            state: None,
        }
    }

    fn state(&mut self) -> Result<&mut State, Error> {
        self.state
            .as_mut()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the report has not begun"))
    }
}

impl State {
    fn title_block(&mut self) -> Result<(), Error> {
        let Document {
            title,
            subtitle,
            author,
            ..
        } = &self.document;
        let layout = &mut self.layout;
        layout.title_lines(title, (Weight::Bold, 20.0, INK), 1.25)?;
        if let Some(subtitle) = subtitle {
            layout.space(2.0);
            layout.title_lines(subtitle, (Weight::Regular, 12.0, MUTED), 1.35)?;
        }
        let date = long_date(&self.document);
        let line: Vec<&str> = author
            .as_deref()
            .into_iter()
            .chain(date.as_deref())
            .collect();
        if !line.is_empty() {
            layout.space(3.0);
            layout.title_lines(&line.join(" · "), (Weight::Regular, 9.0, MUTED), 1.4)?;
        }
        layout.space(7.0);
        let (left, width, y) = (layout.left(), layout.width(), layout.y());
        let rule = width.min(64.0);
        let x = if layout.is_rtl() {
            left + width - rule
        } else {
            left
        };
        layout.rect(x, y, rule, 2.2, ACCENT);
        layout.space(16.0);
        layout.title_ends();
        Ok(())
    }

    /// A section's heading, with room for what belongs below it.
    fn heading(&mut self, title: Option<&str>, needed: f32) -> Result<(), Error> {
        self.layout.turn_back()?;
        let title = title.filter(|title| !title.trim().is_empty());
        let own = if title.is_some() { 26.0 } else { 0.0 };
        self.layout.keep_together(needed + own)?;
        if let Some(title) = title {
            self.layout.mark(title);
            self.layout.heading(title, 13.0)?;
            self.layout.space(6.0);
        }
        Ok(())
    }
}

impl<W: Sink> Writer for PdfWriter<W> {
    fn begin(&mut self, document: &Document) -> Result<(), Error> {
        let layout = Layout::new(
            &document.page,
            (document.locale, document.is_rtl()),
            self.fonts.clone(),
            self.limits.pages_max,
        )?;
        let mut state = State {
            document: document.clone(),
            layout,
            table: None,
            warnings: Vec::new(),
        };
        state.title_block()?;
        self.state = Some(state);
        Ok(())
    }

    fn text(&mut self, text: &Text) -> Result<(), Error> {
        let state = self.state()?;
        state.heading(text.title.as_deref(), 30.0)?;
        for block in blocks(&text.text) {
            match block {
                Block::Heading { level, text } => {
                    let size = match level {
                        1 => 13.0,
                        2 => 11.0,
                        _ => 10.0,
                    };
                    state.layout.keep_together(size * 1.4 + 26.0)?;
                    if level == 1 {
                        state.layout.mark(&text);
                    }
                    state.layout.space(3.0);
                    state.layout.heading(&text, size)?;
                    state.layout.space(4.0);
                }
                Block::Paragraph(text) => {
                    let letters = (Weight::Regular, 10.0, INK);
                    state.layout.paragraph(&text, letters, 1.45)?;
                    state.layout.space(6.0);
                }
                Block::List(points) => {
                    for point in points {
                        state.layout.point(&point, 10.0)?;
                    }
                    state.layout.space(6.0);
                }
            }
        }
        state.layout.space(10.0);
        Ok(())
    }

    fn key_figures(&mut self, figures: &KeyFigures) -> Result<(), Error> {
        let state = self.state()?;
        let locale = state.document.locale;
        state.heading(figures.title.as_deref(), 58.0)?;
        figures::draw(&mut state.layout, figures, locale)
    }

    fn chart(&mut self, chart: &Chart) -> Result<(), Error> {
        let state = self.state()?;
        if chart.categories.is_empty() {
            state.heading(chart.title.as_deref(), 30.0)?;
            let text = state.document.locale.language().no_data;
            state
                .layout
                .title_lines(text, (Weight::Regular, 9.0, MUTED), 1.4)?;
            state.layout.space(18.0);
            return Ok(());
        }
        let scale = 0.8;
        let width = state.layout.width() / scale;
        let height: f32 = match chart.kind {
            ChartKind::Pie => 225.0,
            _ => 252.0,
        };
        // Small paper has less room.
        let height = height.min((state.layout.height() - 30.0) / scale).max(60.0);
        let size = (width, height);
        let scene = scene::lay_out(chart, size, scene::OWN_FONT, state.document.locale);
        state.heading(chart.title.as_deref(), scene.height * scale)?;
        state.layout.scene(scene, scale);
        state.layout.space(18.0);
        Ok(())
    }

    fn table_begin(&mut self, table: &Table) -> Result<(), Error> {
        let state = self.state()?;
        state.table = Some(TableLayout::new(
            table,
            (state.document.locale, state.document.is_rtl()),
            state.document.page.orientation,
        ));
        Ok(())
    }

    fn row(&mut self, kind: RowKind<'_>, values: &[Value<'_>]) -> Result<(), Error> {
        let state = self.state()?;
        match &mut state.table {
            Some(table) => table.row(&mut state.layout, kind, values),
            None => Err(Error::new(
                ErrorKind::Internal,
                "a row came before its table",
            )),
        }
    }

    fn table_end(&mut self) -> Result<(), Error> {
        let state = self.state()?;
        if let Some(table) = state.table.take() {
            for warning in table.end(&mut state.layout)? {
                if !state.warnings.contains(&warning) {
                    state.warnings.push(warning);
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, check: &mut Check<'_>) -> Result<Vec<Warning>, Error> {
        let Some(state) = self.state.take() else {
            return Err(Error::new(ErrorKind::Internal, "the report has not begun"));
        };
        let State {
            document,
            layout,
            mut warnings,
            ..
        } = state;
        let (pages, marks, mut shaper) = layout.into_parts();
        let bytes = draw::draw(&document, &pages, &marks, (&self.fonts, &mut shaper), check)?;
        for part in bytes.chunks(1 << 20) {
            check()?;
            self.sink.write_all(part)?;
        }
        self.sink.flush()?;
        warnings.extend(missing_warning(shaper.missing()));
        Ok(warnings)
    }
}

/// The date of a document for its metadata.
fn creation_date(document: &Document) -> Option<krilla::metadata::DateTime> {
    let date = calendar::date_from_days(document.date?.days);
    let year = u16::try_from(date.year).ok().filter(|year| *year <= 9999)?;
    Some(
        krilla::metadata::DateTime::new(year)
            .month(date.month)
            .day(date.day),
    )
}
