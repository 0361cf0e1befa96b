//! From text to glyphs: directions, fonts, shapes and lines.

use std::{collections::BTreeSet, sync::Arc};

use harfrust::{Buffer, Direction, ShapeOptions, ShaperFont};
use krilla::text::{GlyphId, KrillaGlyph};
use rustc_hash::FxHashMap;
use unicode_bidi::{BidiInfo, Level};
use unicode_script::{Script, UnicodeScript};

use crate::{
    fonts::{FontId, Fonts, is_emoji, package_for},
    letters::{UNITS, Weight, embedded},
    model::Locale,
    output::Warning,
};

/// A run of glyphs of one font, from left to right.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) font: FontId,
    pub(crate) text: String,
    pub(crate) glyphs: Vec<KrillaGlyph>,
    // In ems.
    pub(crate) width: f32,
}

/// A line of text, ready to be drawn.
#[derive(Debug, Default)]
pub(crate) struct Shaped {
    pub(crate) pieces: Vec<Piece>,
    // In ems.
    pub(crate) width: f32,
}

/// Characters without a glyph that are told apart in the warning.
const MISSING_MAX: usize = 200;
/// The longest piece of text between two places to break, in bytes.
const SEGMENT_LEN_MAX: usize = 4_000;
/// The longest text whose glyphs are remembered, in bytes.
const CACHED_LEN_MAX: usize = 400;
/// Texts whose glyphs are remembered.
const CACHE_LEN_MAX: usize = 20_000;

/// Shapes texts, and remembers the glyphs of those that need work.
pub(crate) struct Shaper {
    fonts: Arc<Fonts>,
    locale: Locale,
    cache: FxHashMap<(Weight, Box<str>), Arc<Shaped>>,
    missing: BTreeSet<char>,
    buffer: Option<Buffer>,
}

impl Shaper {
    pub(crate) fn new(fonts: Arc<Fonts>, locale: Locale) -> Self {
        Self {
            fonts,
            locale,
            cache: FxHashMap::default(),
            missing: BTreeSet::new(),
            buffer: Some(Buffer::new()),
        }
    }

    /// The characters so far that no font has.
    pub(crate) fn missing(&self) -> &BTreeSet<char> {
        &self.missing
    }

    /// Appends the glyphs of a text whose characters all stand for themselves; false if one doesn't.
    pub(crate) fn simple(text: &str, weight: Weight, glyphs: &mut Vec<KrillaGlyph>) -> Option<f32> {
        let font = embedded(weight);
        glyphs.clear();
        let mut width = 0.0;
        for (index, c) in text.char_indices() {
            let (glyph, advance) = font.simple_glyph(c)?;
            let advance = f32::from(advance) / UNITS;
            width += advance;
            let range = index..index + c.len_utf8();
            glyphs.push(KrillaGlyph::new(
                GlyphId::new(glyph.into()),
                advance,
                0.0,
                0.0,
                0.0,
                range,
                None,
            ));
        }
        Some(width)
    }

    /// How wide the text is in ems.
    pub(crate) fn width(&mut self, text: &str, weight: Weight) -> f32 {
        let font = embedded(weight);
        let mut width = 0.0;
        for c in text.chars() {
            let Some((_, advance)) = font.simple_glyph(c) else {
                return self.shape(text, weight).width;
            };
            width += f32::from(advance);
        }
        width / UNITS
    }

    /// The glyphs of one line.
    pub(crate) fn shape(&mut self, text: &str, weight: Weight) -> Arc<Shaped> {
        if let Some(shaped) = self.cache.get(&(weight, Box::from(text))) {
            return shaped.clone();
        }
        let shaped = Arc::new(self.shape_anew(text, weight));
        if text.len() > CACHED_LEN_MAX {
            return shaped;
        }
        if self.cache.len() >= CACHE_LEN_MAX {
            self.cache.clear();
        }
        self.cache.insert((weight, Box::from(text)), shaped.clone());
        shaped
    }

    fn shape_anew(&mut self, text: &str, weight: Weight) -> Shaped {
        // Controls have no shape, and a line has no further lines.
        let clean: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let mut shaped = Shaped::default();
        let bidi = BidiInfo::new(&clean, None);
        for paragraph in &bidi.paragraphs {
            let (levels, runs) = bidi.visual_runs(paragraph, paragraph.range.clone());
            for run in runs {
                let is_rtl = levels.get(run.start).is_some_and(Level::is_rtl);
                let Some(run_text) = clean.get(run) else {
                    continue;
                };
                let mut items = self.items(run_text, weight);
                if is_rtl {
                    items.reverse();
                }
                for (font, range) in items {
                    let Some(item) = run_text.get(range) else {
                        continue;
                    };
                    if let Some(piece) = self.shape_item(item, font, is_rtl) {
                        shaped.width += piece.width;
                        shaped.pieces.push(piece);
                    }
                }
            }
        }
        shaped
    }

    /// Cuts a run into pieces of one font and script each.
    fn items(&mut self, text: &str, weight: Weight) -> Vec<(FontId, std::ops::Range<usize>)> {
        let mut items: Vec<(FontId, Script, std::ops::Range<usize>)> = Vec::new();
        let mut after_joiner = false;
        let mut chars = text.char_indices().peekable();
        while let Some((index, c)) = chars.next() {
            let end = index + c.len_utf8();
            let script = c.script();
            let joins = after_joiner || extends(c);
            after_joiner = c == '\u{200d}';
            if joins && let Some((_, _, range)) = items.last_mut() {
                range.end = end;
                continue;
            }
            let next = chars.peek().map(|(_, next)| *next);
            let as_emoji = next == Some('\u{fe0f}') || (next != Some('\u{fe0e}') && is_emoji(c));
            let previous = items.last().map(|(font, ..)| *font);
            let font = self
                .fonts
                .choose(c, weight, self.locale, as_emoji, previous)
                .unwrap_or_else(|| {
                    if self.missing.len() < MISSING_MAX {
                        self.missing.insert(c);
                    }
                    usize::from(weight == Weight::Bold)
                });
            match items.last_mut() {
                Some((last_font, last_script, range))
                    if *last_font == font
                        && (is_neutral(script)
                            || is_neutral(*last_script)
                            || script == *last_script) =>
                {
                    if is_neutral(*last_script) {
                        *last_script = script;
                    }
                    range.end = end;
                }
                _ => items.push((font, script, index..end)),
            }
        }
        items
            .into_iter()
            .map(|(font, _, range)| (font, range))
            .collect()
    }

    fn shape_item(&mut self, text: &str, font: FontId, is_rtl: bool) -> Option<Piece> {
        let loaded = self.fonts.load(font).or_else(|| self.fonts.load(0))?;
        let shaper = ShaperFont::new(&loaded.shaping);
        let mut buffer = self.buffer.take().unwrap_or_default();
        buffer.reset();
        // What no font has becomes a mark for it: a box would tell nothing, and hide how much is missing.
        let shown: String = text
            .chars()
            .map(|c| {
                if font < 2 && self.missing.contains(&c) {
                    '\u{fffd}'
                } else {
                    c
                }
            })
            .collect();
        buffer.push_str(&shown);
        buffer.guess_segment_properties();
        buffer.set_direction(if is_rtl {
            Direction::RightToLeft
        } else {
            Direction::LeftToRight
        });
        let done = harfrust::shape(&shaper, &mut buffer, ShapeOptions::new());
        let mut piece = Piece {
            font,
            text: shown,
            glyphs: Vec::new(),
            width: 0.0,
        };
        if done.is_ok() {
            self.take_glyphs(&buffer, &mut piece, loaded.units);
        }
        self.buffer = Some(buffer);
        Some(piece)
    }

    #[expect(clippy::cast_precision_loss, reason = "font units are small")]
    fn take_glyphs(&mut self, buffer: &Buffer, piece: &mut Piece, units: f32) {
        let infos = buffer.glyph_infos();
        let clusters: BTreeSet<usize> = infos.iter().map(|info| info.cluster as usize).collect();
        for (info, position) in infos.iter().zip(buffer.glyph_positions()) {
            let start = info.cluster as usize;
            let end = clusters
                .range(start + 1..)
                .next()
                .copied()
                .unwrap_or(piece.text.len());
            if info.glyph_id == 0
                && let Some(c) = piece.text.get(start..).and_then(|rest| rest.chars().next())
                && !extends(c)
                && self.missing.len() < MISSING_MAX
            {
                self.missing.insert(c);
            }
            let ems = |value: i32| value as f32 / units;
            piece.width += ems(position.x_advance);
            piece.glyphs.push(KrillaGlyph::new(
                GlyphId::new(info.glyph_id),
                ems(position.x_advance),
                ems(position.x_offset),
                ems(position.y_offset),
                ems(position.y_advance),
                start..end,
                None,
            ));
        }
    }

    /// Cuts a paragraph into lines no wider than this, in ems; words that are wider are cut. At most `lines_max` lines,
    /// the last of them with an ellipsis where there were more.
    pub(crate) fn wrap(
        &mut self,
        text: &str,
        weight: Weight,
        width_max: f32,
        lines_max: usize,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = String::new();
        let mut used = 0.0;
        let mut from = 0;
        for (index, opportunity) in unicode_linebreak::linebreaks(text) {
            let Some(segment) = text.get(from..index) else {
                continue;
            };
            from = index;
            let is_mandatory =
                opportunity == unicode_linebreak::BreakOpportunity::Mandatory && index < text.len();
            let bare =
                segment.trim_end_matches(['\n', '\r', '\u{2028}', '\u{2029}', '\u{b}', '\u{c}']);
            // What is as long as that is wider than any line, and never shaped as a whole.
            let visible = if bare.len() > SEGMENT_LEN_MAX {
                f32::INFINITY
            } else {
                self.width(bare.trim_end(), weight)
            };
            if used + visible > width_max && !line.is_empty() {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
                used = 0.0;
            }
            if visible > width_max {
                self.cut_word(
                    bare,
                    weight,
                    width_max,
                    lines_max,
                    (&mut lines, &mut line, &mut used),
                );
            } else {
                line.push_str(bare);
                used += visible
                    + self.width(
                        bare.get(bare.trim_end().len()..).unwrap_or_default(),
                        weight,
                    );
            }
            if is_mandatory {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
                used = 0.0;
            }
            if lines.len() > lines_max {
                break;
            }
        }
        if !line.is_empty() || lines.is_empty() {
            lines.push(line.trim_end().to_owned());
        }
        if lines.len() > lines_max {
            lines.truncate(lines_max);
            if let Some(last) = lines.last_mut() {
                while !last.is_empty() && self.width(last, weight) + 1.0 > width_max {
                    last.pop();
                }
                last.push('…');
            }
        }
        lines
    }

    fn cut_word(
        &mut self,
        word: &str,
        weight: Weight,
        width_max: f32,
        lines_max: usize,
        (lines, line, used): (&mut Vec<String>, &mut String, &mut f32),
    ) {
        for c in word.chars() {
            let width = self.width(c.encode_utf8(&mut [0; 4]), weight);
            if *used + width > width_max && !line.is_empty() && !extends(c) {
                lines.push(std::mem::take(line));
                *used = 0.0;
                if lines.len() > lines_max {
                    return;
                }
            }
            line.push(c);
            *used += width;
        }
    }
}

fn is_neutral(script: Script) -> bool {
    matches!(script, Script::Common | Script::Inherited)
}

/// Whether the character belongs to the one before it, whatever font that has.
fn extends(c: char) -> bool {
    matches!(u32::from(c), 0x200c..=0x200d | 0xfe00..=0xfe0f | 0x1_f3fb..=0x1_f3ff | 0x20e3 | 0xe_0020..=0xe_007f | 0x300..=0x36f)
        || (c.script() == Script::Inherited && !c.is_alphanumeric())
}

/// The warning about characters that no font has.
pub(crate) fn missing_warning(missing: &BTreeSet<char>) -> Option<Warning> {
    let visible: Vec<char> = missing
        .iter()
        .copied()
        .filter(|c| !c.is_control() && !c.is_whitespace())
        .collect();
    if visible.is_empty() {
        return None;
    }
    let mut scripts: Vec<&str> = Vec::new();
    let mut packages: Vec<&str> = Vec::new();
    for c in &visible {
        let script = if is_emoji(*c) {
            "emoji"
        } else {
            c.script().full_name()
        };
        if !scripts.contains(&script) {
            scripts.push(script);
        }
        let package = package_for(*c);
        if !packages.contains(&package) {
            packages.push(package);
        }
    }
    let shown: String = visible.iter().take(20).collect();
    let more = if visible.len() > 20 { "…" } else { "" };
    Some(Warning {
        kind: "missing_glyphs",
        message: format!(
            "the PDF shows \u{fffd} where no font has the character: {shown}{more} ({}); install {}, or give a folder with fonts",
            scripts.join(", "),
            packages.join(" and ")
        ),
    })
}
