//! From pages to bytes.

use std::sync::Arc;

use krilla::{
    Document as Pdf, SerializeSettings,
    color::rgb,
    destination::XyzDestination,
    geom::{PathBuilder, Point, Rect, Transform},
    metadata::Metadata,
    num::NormalizedF32,
    outline::{Outline, OutlineNode},
    page::PageSettings,
    paint::{Fill, LineCap, LineJoin, Stroke},
    surface::Surface,
    text::KrillaGlyph,
};

use crate::{
    error::{Error, ErrorKind},
    fonts::Fonts,
    format::long_date,
    letters::Weight,
    model::{Band, Document},
    output::Check,
    scene::{Anchor, Dot, Label, Paint, Scene, Shape, series_color},
    text::Shaper,
};

use super::page::{Color, INK, MUTED, Mark, Op, RULE, STRONG_RULE, Sheet};

/// Draws all pages, and writes them down.
pub(super) fn draw(
    document: &Document,
    pages: &[Sheet],
    marks: &[Mark],
    (fonts, shaper): (&Arc<Fonts>, &mut Shaper),
    check: &mut Check<'_>,
) -> Result<Vec<u8>, Error> {
    let settings = SerializeSettings {
        enable_tagging: false,
        ..SerializeSettings::default()
    };
    let mut pdf = Pdf::new_with(settings);
    pdf.set_metadata(metadata(document));
    let bands = Bands::new(document);
    let mut pen = Pen {
        fonts,
        shaper,
        glyphs: Vec::new(),
        color: None,
    };
    for (index, sheet) in pages.iter().enumerate() {
        check()?;
        let settings = PageSettings::from_wh(sheet.width, sheet.height)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a page has no size"))?;
        let mut page = pdf.start_page_with(settings);
        let mut surface = page.surface();
        pen.color = None;
        for op in &sheet.ops {
            pen.op(&mut surface, sheet, op);
        }
        bands.draw(&mut pen, &mut surface, sheet, (index + 1, pages.len()));
        surface.finish();
        page.finish();
    }
    let mut outline = Outline::new();
    for mark in marks {
        let place = XyzDestination::new(mark.page, Point::from_xy(0.0, (mark.y - 8.0).max(0.0)));
        outline.push_child(OutlineNode::new(mark.title.clone(), place));
    }
    pdf.set_outline(outline);
    check()?;
    pdf.finish().map_err(|error| {
        Error::new(
            ErrorKind::Internal,
            format!("the PDF couldn't be put together: {error:?}"),
        )
    })
}

fn metadata(document: &Document) -> Metadata {
    let mut metadata = Metadata::new()
        .title(document.title.clone())
        .language(document.locale.tag().to_owned())
        .producer("report-document".to_owned());
    if let Some(author) = &document.author {
        metadata = metadata.authors(vec![author.clone()]);
    }
    if let Some(subtitle) = &document.subtitle {
        metadata = metadata.description(subtitle.clone());
    }
    if let Some(date) = super::creation_date(document) {
        metadata = metadata.creation_date(date);
    }
    metadata
}

/// Headers and footers, with everything filled in but the page's number.
struct Bands {
    header: Band,
    has_own_header: bool,
    footer: Band,
}

impl Bands {
    fn new(document: &Document) -> Self {
        let date = long_date(document);
        let date = date.unwrap_or_default();
        let fill = |text: &str| {
            text.replace("{title}", &document.title)
                .replace(
                    "{subtitle}",
                    document.subtitle.as_deref().unwrap_or_default(),
                )
                .replace("{author}", document.author.as_deref().unwrap_or_default())
                .replace("{date}", &date)
        };
        let fill_band = |band: &Band| Band {
            left: fill(&band.left),
            center: fill(&band.center),
            right: fill(&band.right),
        };
        let own_header = document.own_header();
        let header = document.page.header.as_ref();
        Self {
            has_own_header: header.is_some(),
            header: fill_band(header.unwrap_or(&own_header)),
            footer: fill_band(&document.footer()),
        }
    }

    fn draw(
        &self,
        pen: &mut Pen<'_>,
        surface: &mut Surface<'_>,
        sheet: &Sheet,
        (page, pages): (usize, usize),
    ) {
        let (left, right) = (sheet.margin, sheet.width - sheet.margin);
        if self.has_own_header || page > 1 {
            let header = &self.header;
            let y = (sheet.margin * 0.62).max(9.0);
            pen.band(surface, header, (left, right, y), (page, pages));
            if *header != Band::default() {
                pen.rect(surface, (left, y + 5.0, right - left, 0.4), RULE);
            }
        }
        let y = sheet.height - (sheet.margin * 0.5).max(8.0);
        pen.band(surface, &self.footer, (left, right, y), (page, pages));
    }
}

struct Pen<'a> {
    fonts: &'a Arc<Fonts>,
    shaper: &'a mut Shaper,
    glyphs: Vec<KrillaGlyph>,
    color: Option<Color>,
}

impl Pen<'_> {
    fn set_color(&mut self, surface: &mut Surface<'_>, color: Color) {
        if self.color != Some(color) {
            self.color = Some(color);
            surface.set_stroke(None);
            surface.set_fill(Some(fill(color)));
        }
    }

    fn op(&mut self, surface: &mut Surface<'_>, sheet: &Sheet, op: &Op) {
        match op {
            Op::Rect {
                x,
                y,
                width,
                height,
                color,
            } => self.rect(surface, (*x, *y, *width, *height), *color),
            Op::Text {
                x,
                y,
                size,
                weight,
                color,
                from,
                to,
            } => {
                let text = sheet
                    .text
                    .get(*from as usize..*to as usize)
                    .unwrap_or_default();
                self.text(surface, text, (*x, *y), (*size, *weight), *color);
            }
            Op::Scene { x, y, scale, scene } => {
                let transform = Transform::from_row(*scale, 0.0, 0.0, *scale, *x, *y);
                surface.push_transform(&transform);
                self.scene(surface, scene);
                surface.pop();
            }
        }
    }

    fn rect(
        &mut self,
        surface: &mut Surface<'_>,
        (x, y, width, height): (f32, f32, f32, f32),
        color: Color,
    ) {
        let Some(rect) = Rect::from_xywh(x, y, width, height) else {
            return;
        };
        let mut path = PathBuilder::new();
        path.push_rect(rect);
        if let Some(path) = path.finish() {
            self.set_color(surface, color);
            surface.draw_path(&path);
        }
    }

    fn text(
        &mut self,
        surface: &mut Surface<'_>,
        text: &str,
        (x, y): (f32, f32),
        (size, weight): (f32, Weight),
        color: Color,
    ) {
        self.set_color(surface, color);
        let mut glyphs = std::mem::take(&mut self.glyphs);
        if Shaper::simple(text, weight, &mut glyphs).is_some() {
            if let Some(font) = self.fonts.load(usize::from(weight == Weight::Bold)) {
                surface.draw_glyphs(
                    Point::from_xy(x, y),
                    &glyphs,
                    font.drawing.clone(),
                    text,
                    size,
                    false,
                );
            }
        } else {
            let shaped = self.shaper.shape(text, weight);
            let mut x = x;
            for piece in &shaped.pieces {
                if let Some(font) = self.fonts.load(piece.font) {
                    let at = Point::from_xy(x, y);
                    surface.draw_glyphs(
                        at,
                        &piece.glyphs,
                        font.drawing.clone(),
                        &piece.text,
                        size,
                        false,
                    );
                }
                x += piece.width * size;
            }
        }
        self.glyphs = glyphs;
    }

    fn band(
        &mut self,
        surface: &mut Surface<'_>,
        band: &Band,
        (left, right, y): (f32, f32, f32),
        (page, pages): (usize, usize),
    ) {
        let size = 8.0;
        for (text, share) in [(&band.left, 0.0), (&band.center, 0.5), (&band.right, 1.0)] {
            if text.is_empty() {
                continue;
            }
            let text = text
                .replace("{pages}", &pages.to_string())
                .replace("{page}", &page.to_string());
            let room = (right - left) / size;
            let Some(line) = self
                .shaper
                .wrap(&text, Weight::Regular, room, 1)
                .into_iter()
                .next()
            else {
                continue;
            };
            let width = self.shaper.width(&line, Weight::Regular) * size;
            let x = left + (right - left - width) * share;
            self.text(surface, &line, (x, y), (size, Weight::Regular), MUTED);
        }
    }

    fn scene(&mut self, surface: &mut Surface<'_>, scene: &Scene) {
        for shape in &scene.shapes {
            match shape {
                Shape::Rect(rect) => {
                    let place = (rect.x, rect.y, rect.width, rect.height);
                    self.rect(surface, place, color_of(rect.paint));
                }
                Shape::Line(line) => {
                    self.path(surface, &[line.from, line.to], line.width, line.paint);
                }
                Shape::Path(path) => self.path(surface, &path.points, 2.0, path.paint),
                Shape::Dot(dot) => {
                    let Dot { x, y, radius, .. } = *dot;
                    let color = color_of(dot.paint);
                    self.slice(surface, (x, y, radius), (0.0, 1.0), color, false);
                }
                Shape::Slice(slice) => {
                    let disc = (slice.x, slice.y, slice.radius);
                    let color = color_of(slice.paint);
                    self.slice(surface, disc, (slice.from, slice.to), color, true);
                }
                Shape::Label(label) => self.label(surface, label),
            }
        }
    }

    fn label(&mut self, surface: &mut Surface<'_>, label: &Label) {
        let Label { x, y, size, .. } = *label;
        let weight = if label.bold {
            Weight::Bold
        } else {
            Weight::Regular
        };
        let width = self.shaper.width(&label.text, weight) * size;
        let offset = match label.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => width / 2.0,
            Anchor::End => width,
        };
        if label.rotated {
            surface.push_transform(&Transform::from_rotate_at(-90.0, x, y));
        }
        let color = color_of(label.paint);
        self.text(surface, &label.text, (x - offset, y), (size, weight), color);
        if label.rotated {
            surface.pop();
        }
    }

    fn path(&mut self, surface: &mut Surface<'_>, points: &[(f32, f32)], width: f32, paint: Paint) {
        let mut path = PathBuilder::new();
        for (index, (x, y)) in points.iter().enumerate() {
            if index == 0 {
                path.move_to(*x, *y);
            } else {
                path.line_to(*x, *y);
            }
        }
        let Some(path) = path.finish() else { return };
        self.color = None;
        surface.set_fill(None);
        let [r, g, b] = color_of(paint);
        surface.set_stroke(Some(Stroke {
            paint: rgb::Color::new(r, g, b).into(),
            width,
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            ..Stroke::default()
        }));
        surface.draw_path(&path);
        surface.set_stroke(None);
    }

    /// A part of a disc between two angles in turns, as cubic curves of an eighth turn each.
    fn slice(
        &mut self,
        surface: &mut Surface<'_>,
        (x, y, radius): (f32, f32, f32),
        (from, to): (f32, f32),
        color: Color,
        with_gap: bool,
    ) {
        let is_whole = to - from > 0.9999;
        let at = |turn: f32| {
            let angle = turn * std::f32::consts::TAU;
            (x + radius * angle.sin(), y - radius * angle.cos(), angle)
        };
        let mut path = PathBuilder::new();
        let (start_x, start_y, _) = at(from);
        if is_whole {
            path.move_to(start_x, start_y);
        } else {
            path.move_to(x, y);
            path.line_to(start_x, start_y);
        }
        let parts = ((to - from) * 8.0).ceil().max(1.0);
        let step = (to - from) / parts;
        let handle = radius * 4.0 / 3.0 * (step * std::f32::consts::TAU / 4.0).tan();
        let mut turn = from;
        while turn < to - step / 2.0 {
            let ((x1, y1, a1), (x2, y2, a2)) = (at(turn), at(turn + step));
            path.cubic_to(
                x1 + handle * a1.cos(),
                y1 + handle * a1.sin(),
                x2 - handle * a2.cos(),
                y2 - handle * a2.sin(),
                x2,
                y2,
            );
            turn += step;
        }
        path.close();
        let Some(path) = path.finish() else { return };
        self.color = None;
        surface.set_fill(Some(fill(color)));
        let gap = Stroke {
            paint: rgb::Color::new(255, 255, 255).into(),
            width: 1.0,
            ..Stroke::default()
        };
        surface.set_stroke((with_gap && !is_whole).then_some(gap));
        surface.draw_path(&path);
        surface.set_stroke(None);
    }
}

fn fill([r, g, b]: Color) -> Fill {
    Fill {
        paint: rgb::Color::new(r, g, b).into(),
        opacity: NormalizedF32::ONE,
        rule: Default::default(),
    }
}

fn color_of(paint: Paint) -> Color {
    match paint {
        Paint::Series(index) => series_color(index),
        Paint::Grid => RULE,
        Paint::Axis => STRONG_RULE,
        Paint::Text => INK,
        Paint::Muted => MUTED,
        Paint::Paper => [255, 255, 255],
    }
}
