//! Pages, and what stands where on them.

use std::{mem, sync::Arc};

use crate::{
    direction::{is_ltr, is_rtl},
    error::{Error, ErrorKind},
    fonts::Fonts,
    letters::Weight,
    model::{Locale, Orientation, Page},
    scene::Scene,
    text::Shaper,
};

pub(super) type Color = [u8; 3];

pub(super) const INK: Color = [0x1d, 0x26, 0x30];
pub(super) const MUTED: Color = [0x5b, 0x67, 0x75];
pub(super) const RULE: Color = [0xd9, 0xdf, 0xe6];
pub(super) const STRONG_RULE: Color = [0x8a, 0x96, 0xa4];
pub(super) const TINT: Color = [0xf2, 0xf5, 0xf9];
pub(super) const HEAD: Color = [0xe6, 0xec, 0xf3];
pub(super) const ACCENT: Color = [0x2f, 0x6d, 0xb5];

/// What letters look like: how heavy, how large in points, and in which colour.
pub(super) type Letters = (Weight, f32, Color);

/// Something on a page. Coordinates are points from the upper left corner; a text's are those of its baseline.
pub(super) enum Op {
    Text {
        x: f32,
        y: f32,
        size: f32,
        weight: Weight,
        color: Color,
        from: u32,
        to: u32,
    },
    Rect {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        color: Color,
    },
    Scene {
        x: f32,
        y: f32,
        scale: f32,
        scene: Box<Scene>,
    },
}

/// One page.
#[derive(Default)]
pub(super) struct Sheet {
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) margin: f32,
    pub(super) ops: Vec<Op>,
    // What the ops write.
    pub(super) text: String,
}

impl Sheet {
    /// Moves all that stands on the page to the right.
    fn shift(&mut self, by: f32) {
        for op in &mut self.ops {
            match op {
                Op::Text { x, .. } | Op::Rect { x, .. } | Op::Scene { x, .. } => *x += by,
            }
        }
    }
}

/// A place that the outline leads to.
pub(super) struct Mark {
    pub(super) title: String,
    pub(super) page: usize,
    pub(super) y: f32,
}

/// The pages so far, and the place where the next thing goes.
pub(super) struct Layout {
    pub(super) shaper: Shaper,
    pages: Vec<Sheet>,
    marks: Vec<Mark>,
    pages_max: usize,
    short: f32,
    long: f32,
    is_landscape: bool,
    turns_back: bool,
    /// How many things the first page has in it as long as nothing stands below the title.
    title_len: usize,
    margin: f32,
    y: f32,
    /// Whether readers begin on the right side.
    is_rtl: bool,
}

impl Layout {
    pub(super) fn new(
        page: &Page,
        (locale, is_rtl): (Locale, bool),
        fonts: Arc<Fonts>,
        pages_max: usize,
    ) -> Result<Self, Error> {
        let (short, long) = page.size.sides();
        let mut layout = Self {
            shaper: Shaper::new(fonts, locale),
            pages: Vec::new(),
            marks: Vec::new(),
            pages_max,
            short,
            long,
            is_landscape: page.orientation == Orientation::Landscape,
            turns_back: false,
            title_len: 0,
            margin: page.margin(),
            y: 0.0,
            is_rtl,
        };
        layout.new_page()?;
        Ok(layout)
    }

    pub(super) fn into_parts(self) -> (Vec<Sheet>, Vec<Mark>, Shaper) {
        (self.pages, self.marks, self.shaper)
    }

    pub(super) fn new_page(&mut self) -> Result<(), Error> {
        if self.pages.len() >= self.pages_max {
            return Err(Error::new(
                ErrorKind::TooManyRows,
                format!(
                    "the PDF would have more than {} pages: select fewer rows or sum them up, or write XLSX, CSV or HTML",
                    self.pages_max
                ),
            ));
        }
        if let Some(page) = self.pages.last_mut() {
            page.ops.shrink_to_fit();
            page.text.shrink_to_fit();
        }
        let (width, height) = if self.is_landscape {
            (self.long, self.short)
        } else {
            (self.short, self.long)
        };
        self.pages.push(Sheet {
            width,
            height,
            margin: self.margin,
            ..Sheet::default()
        });
        self.y = self.margin;
        Ok(())
    }

    /// Goes on on pages that stand or lie.
    pub(super) fn turn(&mut self, landscape: bool) -> Result<(), Error> {
        if self.is_landscape == landscape {
            return Ok(());
        }
        self.is_landscape = landscape;
        // So is a page with the title alone, below which there would be nothing.
        if let [page] = self.pages.as_mut_slice()
            && page.ops.len() == self.title_len
        {
            mem::swap(&mut page.width, &mut page.height);
            if self.is_rtl {
                page.shift(page.width - page.height);
            }
            return Ok(());
        }
        // An empty page is turned itself.
        if self.pages.last().is_some_and(|page| page.ops.is_empty()) {
            self.pages.pop();
        }
        self.new_page()
    }

    /// The title is whole; what comes now stands below it.
    pub(super) fn title_ends(&mut self) {
        self.title_len = self.pages.last().map_or(0, |page| page.ops.len());
    }

    /// What comes next goes back to pages that stand.
    pub(super) fn turn_back_later(&mut self) {
        self.turns_back = true;
    }

    /// Goes back to the pages that were left for a wide table.
    pub(super) fn turn_back(&mut self) -> Result<(), Error> {
        if mem::take(&mut self.turns_back) {
            self.turn(false)
        } else {
            Ok(())
        }
    }

    pub(super) fn is_landscape(&self) -> bool {
        self.is_landscape
    }

    pub(super) fn is_rtl(&self) -> bool {
        self.is_rtl
    }

    pub(super) fn left(&self) -> f32 {
        self.margin
    }

    pub(super) fn width(&self) -> f32 {
        self.width_if(self.is_landscape)
    }

    pub(super) fn width_if(&self, landscape: bool) -> f32 {
        (if landscape { self.long } else { self.short }) - 2.0 * self.margin
    }

    pub(super) fn y(&self) -> f32 {
        self.y
    }

    pub(super) fn bottom(&self) -> f32 {
        (if self.is_landscape {
            self.short
        } else {
            self.long
        }) - self.margin
    }

    /// The height of a page's text.
    pub(super) fn height(&self) -> f32 {
        self.bottom() - self.margin
    }

    pub(super) fn remaining(&self) -> f32 {
        self.bottom() - self.y
    }

    pub(super) fn space(&mut self, height: f32) {
        self.y += height;
    }

    /// Begins a new page unless this much fits.
    pub(super) fn keep_together(&mut self, height: f32) -> Result<(), Error> {
        let is_fresh = self.y <= self.margin + 0.5;
        if height > self.remaining() && !is_fresh {
            self.new_page()
        } else {
            Ok(())
        }
    }

    pub(super) fn mark(&mut self, title: &str) {
        let page = self.pages.len().saturating_sub(1);
        self.marks.push(Mark {
            title: title.to_owned(),
            page,
            y: self.y,
        });
    }

    pub(super) fn rect(&mut self, x: f32, y: f32, width: f32, height: f32, color: Color) {
        if let Some(page) = self.pages.last_mut() {
            page.ops.push(Op::Rect {
                x,
                y,
                width,
                height,
                color,
            });
        }
    }

    /// A text whose baseline begins here.
    pub(super) fn text_at(
        &mut self,
        text: &str,
        (x, y): (f32, f32),
        size: f32,
        weight: Weight,
        color: Color,
    ) {
        if text.is_empty() {
            return;
        }
        if let Some(page) = self.pages.last_mut() {
            let from = u32::try_from(page.text.len()).unwrap_or(u32::MAX);
            page.text.push_str(text);
            let to = u32::try_from(page.text.len()).unwrap_or(u32::MAX);
            page.ops.push(Op::Text {
                x,
                y,
                size,
                weight,
                color,
                from,
                to,
            });
        }
    }

    /// A text that is cut where it is wider than its place.
    pub(super) fn cell_text(
        &mut self,
        text: &str,
        (x, y, width): (f32, f32, f32),
        size: f32,
        weight: Weight,
        color: Color,
    ) {
        let line = self
            .shaper
            .wrap(text, weight, width / size, 1)
            .into_iter()
            .next();
        if let Some(line) = line {
            self.text_at(&line, (x, y), size, weight, color);
        }
    }

    /// Lines over the page's whole width. Each paragraph stands where its own readers begin.
    pub(super) fn paragraph(
        &mut self,
        text: &str,
        letters: Letters,
        line_height: f32,
    ) -> Result<(), Error> {
        let place = (self.left(), self.width());
        self.lines(text, place, letters, (line_height, None))
    }

    /// Lines that stand where the report's readers begin, whatever language they have.
    pub(super) fn title_lines(
        &mut self,
        text: &str,
        letters: Letters,
        line_height: f32,
    ) -> Result<(), Error> {
        let place = (self.left(), self.width());
        let side = Some(self.is_rtl);
        self.lines(text, place, letters, (line_height, side))
    }

    /// A heading.
    pub(super) fn heading(&mut self, text: &str, size: f32) -> Result<(), Error> {
        self.paragraph(text, (Weight::Bold, size, INK), 1.3)
    }

    fn lines(
        &mut self,
        text: &str,
        (left, width): (f32, f32),
        (weight, size, color): Letters,
        (line_height, side): (f32, Option<bool>),
    ) -> Result<(), Error> {
        for paragraph in text.lines() {
            let stands_right = side.unwrap_or_else(|| self.stands_right(paragraph));
            for line in self
                .shaper
                .wrap(paragraph, weight, width / size, usize::MAX)
            {
                if size * line_height > self.remaining() {
                    self.new_page()?;
                }
                let x = if stands_right {
                    let ems = self.shaper.width(&line, weight);
                    left + width - ems * size
                } else {
                    left
                };
                let y = self.y + size * (line_height + 0.72) / 2.0;
                self.text_at(&line, (x, y), size, weight, color);
                self.y += size * line_height;
            }
        }
        Ok(())
    }

    /// Whether a paragraph stands on the right side: as its own letters read, or those of the report if it has none.
    fn stands_right(&self, paragraph: &str) -> bool {
        is_rtl(paragraph) || (self.is_rtl && !is_ltr(paragraph))
    }

    /// A point of a list.
    pub(super) fn point(&mut self, text: &str, size: f32) -> Result<(), Error> {
        self.keep_together(size * 1.45)?;
        let (left, y, width) = (self.left(), self.y, self.width());
        let stands_right = self.stands_right(text);
        let (bullet, from) = if stands_right {
            let ems = self.shaper.width("•", Weight::Regular);
            (left + width - 4.0 - ems * size, left)
        } else {
            (left + 4.0, left + 16.0)
        };
        let place = (bullet, y + size * 1.085);
        self.text_at("•", place, size, Weight::Regular, ACCENT);
        let letters = (Weight::Regular, size, INK);
        let side = Some(stands_right);
        self.lines(text, (from, width - 16.0), letters, (1.45, side))
    }

    pub(super) fn scene(&mut self, scene: Scene, scale: f32) {
        let (x, y) = (self.left(), self.y);
        self.y += scene.height * scale;
        if let Some(page) = self.pages.last_mut() {
            page.ops.push(Op::Scene {
                x,
                y,
                scale,
                scene: Box::new(scene),
            });
        }
    }
}
