//! The letters of the embedded font: their glyphs, and how wide texts are in it.

use std::sync::LazyLock;

use ttf_parser::Face;

/// How heavy letters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Weight {
    Regular,
    Bold,
}

/// Code points below this are looked up in a table of the embedded font.
const TABLE_LEN: usize = 0x530;

/// One of the two embedded fonts.
pub(crate) struct Embedded {
    face: Face<'static>,
    // Glyph and advance by code point; glyph 0 is none.
    table: Vec<(u16, u16)>,
}

/// Glyphs of the embedded font have this many units to the em.
pub(crate) const UNITS: f32 = 1000.0;

/// Their files.
pub(crate) static REGULAR_DATA: &[u8] = include_bytes!("../fonts/NotoSans-Regular.ttf");
pub(crate) static BOLD_DATA: &[u8] = include_bytes!("../fonts/NotoSans-Bold.ttf");

static EMBEDDED: LazyLock<[Embedded; 2]> =
    LazyLock::new(|| [Embedded::new(REGULAR_DATA), Embedded::new(BOLD_DATA)]);

impl Embedded {
    fn new(data: &'static [u8]) -> Self {
        let face = Face::parse(data, 0).expect("the embedded fonts are whole");
        let glyph = |code: u32| {
            let glyph = char::from_u32(code).and_then(|c| face.glyph_index(c))?;
            Some((glyph.0, face.glyph_hor_advance(glyph)?))
        };
        let table = (0..u32::try_from(TABLE_LEN).unwrap_or(0))
            .map(|code| glyph(code).unwrap_or((0, 0)))
            .collect();
        Self { face, table }
    }

    /// The glyph and its advance of a character that stands alone, and from left to right.
    pub(crate) fn simple_glyph(&self, c: char) -> Option<(u16, u16)> {
        let code = u32::from(c) as usize;
        if let Some(entry) = self.table.get(code) {
            // Combining marks need shaping.
            return if entry.0 == 0 || (0x300..0x370).contains(&code) {
                None
            } else {
                Some(*entry)
            };
        }
        match c {
            // Vietnamese, extended Greek, dashes, quotes, currency signs, arrows; but no marks and no directions.
            '\u{1e00}'..='\u{1eff}'
            | '\u{2009}'
            | '\u{2010}'..='\u{2027}'
            | '\u{202f}'..='\u{203a}'
            | '\u{20a0}'..='\u{20bf}'
            | '\u{2212}'
            | '\u{2190}'..='\u{2193}'
            | '\u{2260}'..='\u{2265}'
            | '\u{fffd}' => {
                let glyph = self.face.glyph_index(c)?;
                Some((glyph.0, self.face.glyph_hor_advance(glyph)?))
            }
            _ => None,
        }
    }

    pub(crate) fn has(&self, c: char) -> bool {
        self.face.glyph_index(c).is_some()
    }
}

pub(crate) fn embedded(weight: Weight) -> &'static Embedded {
    let [regular, bold] = &*EMBEDDED;
    match weight {
        Weight::Regular => regular,
        Weight::Bold => bold,
    }
}

/// The text, cut in its middle where it is wider than this: what tells names apart stands at their end, often.
pub(crate) fn fit_middle(text: &str, weight: Weight, size: f32, width_max: f32) -> String {
    if text_width(text, weight, size) <= width_max {
        return text.to_owned();
    }
    let mut used = 0.0;
    let mut from = text.len();
    for (index, c) in text.char_indices().rev() {
        used += text_width(c.encode_utf8(&mut [0; 4]), weight, size);
        if used > width_max * 0.45 {
            break;
        }
        from = index;
    }
    let end = text.get(from..).unwrap_or_default().trim_start();
    let space = width_max - text_width(end, weight, size);
    fit_text(text, weight, size, space) + end
}

/// How wide a text is in the embedded font, without shaping. What the font doesn't have is estimated.
pub(crate) fn text_width(text: &str, weight: Weight, size: f32) -> f32 {
    let font = embedded(weight);
    let units: f32 = text
        .chars()
        .map(|c| match font.simple_glyph(c) {
            Some((_, advance)) => f32::from(advance),
            None => estimated_width(c),
        })
        .sum();
    units * size / UNITS
}

fn estimated_width(c: char) -> f32 {
    match u32::from(c) {
        0..0x20 | 0x300..0x370 | 0x200b..=0x200f | 0xfe00..=0xfe0f | 0x1_f3fb..=0x1_f3ff => 0.0,
        0x1100..=0x115f
        | 0x2e80..=0xd7ff
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe4f
        | 0xff00..=0xff60
        | 0x2_0000..=0x3_ffff => 1000.0,
        0x1_f000..=0x1_faff | 0x2600..=0x27bf => 1250.0,
        _ => 600.0,
    }
}

/// The text, cut with an ellipsis where it is wider than it may be.
pub(crate) fn fit_text(text: &str, weight: Weight, size: f32, width_max: f32) -> String {
    let one_line;
    let text = if text.contains(['\n', '\r', '\t']) {
        one_line = text.replace(['\n', '\r', '\t'], " ");
        one_line.as_str()
    } else {
        text
    };
    if text_width(text, weight, size) <= width_max {
        return text.to_owned();
    }
    let space = width_max - text_width("…", weight, size);
    let mut used = 0.0;
    let mut fitting = String::new();
    for c in text.chars() {
        used += text_width(c.encode_utf8(&mut [0; 4]), weight, size);
        if used > space {
            break;
        }
        fitting.push(c);
    }
    let len = fitting.trim_end().len();
    fitting.truncate(len);
    fitting.push('…');
    fitting
}
