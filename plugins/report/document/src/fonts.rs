//! Where glyphs come from: a small embedded font, and whatever fonts the system has.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use ttf_parser::Face;
use unicode_script::{Script, UnicodeScript};

use crate::{
    letters::{BOLD_DATA, REGULAR_DATA, Weight, embedded},
    model::Locale,
};

type Bytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A font that is loaded, ready to shape and to be embedded.
pub(crate) struct Loaded {
    pub(crate) shaping: harfrust::Font,
    pub(crate) drawing: krilla::text::Font,
    pub(crate) units: f32,
}

impl Loaded {
    fn new(data: Bytes, index: u32) -> Option<Self> {
        let units = f32::from(
            Face::parse(data.as_ref().as_ref(), index)
                .ok()?
                .units_per_em(),
        );
        let shaping = harfrust::Font::new(harfrust::font::Blob::from(data.clone()), index)?;
        Some(Self {
            shaping,
            drawing: krilla::text::Font::new(data.into(), index)?,
            units,
        })
    }
}

/// The number of a font: 0 and 1 are the embedded ones.
pub(crate) type FontId = usize;

/// The fonts of this process: an embedded one for Latin, Greek and Cyrillic, all others found in the system's and the
/// given folders when the first text needs them. Keep one for the life of the plugin.
pub struct Fonts {
    folders: Vec<PathBuf>,
    with_system: bool,
    system: OnceLock<System>,
    embedded: OnceLock<[Arc<Loaded>; 2]>,
}

impl fmt::Debug for Fonts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fonts")
            .field("folders", &self.folders)
            .finish_non_exhaustive()
    }
}

struct System {
    database: fontdb::Database,
    faces: Vec<FaceEntry>,
    state: Mutex<State>,
}

struct FaceEntry {
    id: fontdb::ID,
    family: String,
    is_bold: bool,
    is_plain: bool,
    // Sorted ranges of code points.
    coverage: OnceLock<Vec<(u32, u32)>>,
}

#[derive(Default)]
struct State {
    chosen: HashMap<(char, Weight, bool), Option<usize>>,
    loaded: HashMap<usize, Option<Arc<Loaded>>>,
    files: HashMap<PathBuf, Bytes>,
}

/// The most entries of the cache from characters to fonts.
const CHOSEN_MAX: usize = 50_000;

impl Fonts {
    /// Fonts of the system, and of these folders besides. Nothing is read yet.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self {
            folders,
            with_system: true,
            system: OnceLock::new(),
            embedded: OnceLock::new(),
        }
    }

    /// Only the embedded font and those of these folders, wherever the program runs.
    #[must_use]
    pub fn without_system(folders: Vec<PathBuf>) -> Self {
        Self {
            folders,
            with_system: false,
            system: OnceLock::new(),
            embedded: OnceLock::new(),
        }
    }

    fn system(&self) -> &System {
        self.system.get_or_init(|| {
            let mut database = fontdb::Database::new();
            for folder in &self.folders {
                database.load_fonts_dir(folder);
            }
            if self.with_system {
                database.load_system_fonts();
            }
            let faces = database
                .faces()
                .map(|face| FaceEntry {
                    id: face.id,
                    family: face
                        .families
                        .first()
                        .map(|(name, _)| name.clone())
                        .unwrap_or_default(),
                    is_bold: face.weight.0 >= 600,
                    is_plain: face.style == fontdb::Style::Normal
                        && face.stretch == fontdb::Stretch::Normal
                        && matches!(face.weight.0, 400 | 700),
                    coverage: OnceLock::new(),
                })
                .collect();
            System {
                database,
                faces,
                state: Mutex::default(),
            }
        })
    }

    /// The font for a character, or `None` if there is none. `previous` is kept when it has the character.
    pub(crate) fn choose(
        &self,
        c: char,
        weight: Weight,
        locale: Locale,
        as_emoji: bool,
        previous: Option<FontId>,
    ) -> Option<FontId> {
        let own = usize::from(weight == Weight::Bold);
        if !as_emoji && embedded(weight).has(c) {
            return Some(own);
        }
        let system = self.system();
        if let Some(previous) = previous
            && !as_emoji
            && previous >= 2
            && system.covers(previous - 2, c)
            && is_common(c)
        {
            return Some(previous);
        }
        let key = (c, weight, as_emoji);
        if let Some(chosen) = system.lock().chosen.get(&key) {
            return chosen.map(|index| index + 2);
        }
        let chosen = system.find(c, weight, locale, as_emoji);
        let mut state = system.lock();
        if state.chosen.len() < CHOSEN_MAX {
            state.chosen.insert(key, chosen);
        }
        chosen.map(|index| index + 2)
    }

    /// The font of this number, read from its file when it is asked for the first time.
    pub(crate) fn load(&self, font: FontId) -> Option<Arc<Loaded>> {
        if font < 2 {
            let own = self.embedded.get_or_init(|| {
                [REGULAR_DATA, BOLD_DATA].map(|data| {
                    Arc::new(Loaded::new(Arc::new(data), 0).expect("the embedded fonts are whole"))
                })
            });
            return own.get(font).cloned();
        }
        let system = self.system();
        if let Some(loaded) = system.lock().loaded.get(&(font - 2)) {
            return loaded.clone();
        }
        let loaded = system.read(font - 2).map(Arc::new);
        system
            .lock()
            .loaded
            .entry(font - 2)
            .or_insert(loaded)
            .clone()
    }
}

/// Punctuation, spaces and the like, which look best in the font of their neighbours.
fn is_common(c: char) -> bool {
    matches!(c.script(), Script::Common | Script::Inherited)
}

impl System {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a font. The fonts of one collection share its bytes.
    fn read(&self, index: usize) -> Option<Loaded> {
        let (source, index) = self.database.face_source(self.faces.get(index)?.id)?;
        let data: Bytes = match source {
            fontdb::Source::Binary(data) => data,
            fontdb::Source::File(path) | fontdb::Source::SharedFile(path, _) => {
                let known = self.lock().files.get(&path).cloned();
                match known {
                    Some(data) => data,
                    None => {
                        let data: Bytes = Arc::new(std::fs::read(&path).ok()?);
                        self.lock().files.entry(path).or_insert(data).clone()
                    }
                }
            }
        };
        Loaded::new(data, index)
    }

    fn covers(&self, index: usize, c: char) -> bool {
        let Some(entry) = self.faces.get(index) else {
            return false;
        };
        let coverage = entry.coverage.get_or_init(|| {
            self.database
                .with_face_data(entry.id, coverage_of)
                .unwrap_or_default()
        });
        let code = u32::from(c);
        coverage
            .binary_search_by(|(from, to)| {
                if *to < code {
                    std::cmp::Ordering::Less
                } else if *from > code {
                    std::cmp::Ordering::Greater
                } else {
                    std::cmp::Ordering::Equal
                }
            })
            .is_ok()
    }

    fn find(&self, c: char, weight: Weight, locale: Locale, as_emoji: bool) -> Option<usize> {
        let script = c.script();
        let mut order: Vec<(i32, usize)> = self
            .faces
            .iter()
            .enumerate()
            .map(|(index, face)| (face.rank(script, weight, locale, as_emoji), index))
            .collect();
        order.sort_unstable();
        order
            .into_iter()
            .map(|(_, index)| index)
            .find(|index| self.covers(*index, c))
    }
}

impl FaceEntry {
    /// The lower the better.
    fn rank(&self, script: Script, weight: Weight, locale: Locale, as_emoji: bool) -> i32 {
        let family = self.family.as_str();
        let mut rank = 100;
        let is_emoji = family.contains("Emoji");
        rank += match (is_emoji, as_emoji) {
            (true, true) => -60,
            (true, false) => 30,
            (false, _) => 0,
        };
        if family.starts_with("Noto Sans") {
            rank -= 10;
        } else if family.starts_with("Noto") {
            rank -= 4;
        }
        let han = match locale {
            Locale::Ja | Locale::En | Locale::EnGb | Locale::De | Locale::Fr => "JP",
        };
        match script {
            Script::Han | Script::Hiragana | Script::Katakana | Script::Bopomofo => {
                if family.contains("CJK") {
                    rank -= if family.ends_with(han) { 12 } else { 8 };
                }
            }
            Script::Hangul if family.contains("CJK KR") => rank -= 12,
            Script::Arabic => {
                if family == "Noto Sans Arabic" || family == "Noto Naskh Arabic" {
                    rank -= 12;
                }
            }
            Script::Common | Script::Inherited => {
                if family.contains("Symbols") || family.contains("Math") {
                    rank -= 6;
                }
                if family.contains("CJK JP") {
                    rank -= 5;
                }
            }
            _ => {
                if family == format!("Noto Sans {}", script.full_name()) {
                    rank -= 12;
                }
            }
        }
        for (word, malus) in [
            ("Mono", 12),
            ("Serif", 8),
            ("Condensed", 8),
            ("UI", 2),
            ("Display", 4),
            ("Nastaliq", 9),
            ("Kufi", 9),
        ] {
            if family.contains(word) {
                rank += malus;
            }
        }
        if !self.is_plain {
            rank += 20;
        }
        if self.is_bold != (weight == Weight::Bold) {
            rank += 1;
        }
        rank
    }
}

/// The code points of a font as sorted ranges.
fn coverage_of(data: &[u8], index: u32) -> Vec<(u32, u32)> {
    let Ok(face) = Face::parse(data, index) else {
        return Vec::new();
    };
    let mut codes: Vec<u32> = Vec::new();
    if let Some(cmap) = face.tables().cmap {
        for subtable in cmap.subtables {
            if subtable.is_unicode() {
                subtable.codepoints(|code| codes.push(code));
            }
        }
    }
    codes.sort_unstable();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for code in codes {
        match ranges.last_mut() {
            Some((_, to)) if code <= to.saturating_add(1) => *to = code.max(*to),
            _ => ranges.push((code, code)),
        }
    }
    // Some fonts map characters to no glyph: that is found out while shaping, not here.
    ranges
}

/// The Debian package that brings glyphs for this character.
pub(crate) fn package_for(c: char) -> &'static str {
    if is_emoji(c) {
        return "fonts-noto-color-emoji";
    }
    match c.script() {
        Script::Han | Script::Hiragana | Script::Katakana | Script::Hangul | Script::Bopomofo => {
            "fonts-noto-cjk"
        }
        _ => "fonts-noto-core",
    }
}

/// Whether the character is shown as an emoji unless something says otherwise.
pub(crate) fn is_emoji(c: char) -> bool {
    matches!(u32::from(c),
        0x1_f000..=0x1_f0ff | 0x1_f18e | 0x1_f191..=0x1_f19a | 0x1_f1e6..=0x1_f1ff | 0x1_f200..=0x1_f251
        | 0x1_f300..=0x1_f64f | 0x1_f680..=0x1_f6ff | 0x1_f7e0..=0x1_f7eb | 0x1_f900..=0x1_faff
        | 0x231a..=0x231b | 0x23e9..=0x23ec | 0x23f0 | 0x23f3 | 0x25fd..=0x25fe | 0x2614..=0x2615 | 0x2648..=0x2653
        | 0x267f | 0x2693 | 0x26a1 | 0x26aa..=0x26ab | 0x26bd..=0x26be | 0x26c4..=0x26c5 | 0x26ce | 0x26d4 | 0x26ea
        | 0x26f2..=0x26f3 | 0x26f5 | 0x26fa | 0x26fd | 0x2705 | 0x270a..=0x270b | 0x2728 | 0x274c | 0x274e
        | 0x2753..=0x2755 | 0x2757 | 0x2795..=0x2797 | 0x27b0 | 0x27bf | 0x2b1b..=0x2b1c | 0x2b50 | 0x2b55)
}
