//! Which colours frames are written with: tables of up to 256, which frames share where they can. GIF takes one for all
//! frames and, at 768 bytes each, one for any frame that needs its own.

use std::collections::HashMap;

use crate::{codec::palette::Quantised, error::Result};

/// The squared distance between a wanted colour and one of a table, on average, that nobody sees: three of 255.
const ERROR_MAX: f32 = 9.0;
/// How many pixels of a frame are looked at to find out whether a table is good enough for it.
const SAMPLES_MAX: usize = 4096;

/// The tables of a file. Colours are numbered after what is transparent, if anything is.
pub(super) struct Tables {
    /// The most colours of a table, without the transparent one.
    colors_max: usize,
    /// Number 0 is transparent in all tables.
    has_transparent: bool,
    /// Tables that no further frame will use, and how many do.
    past: Vec<Written>,
    /// The one that the next frame uses if it can.
    current: Option<(Table, usize)>,
}

/// A table as it is written, and how many frames have it.
struct Written {
    bytes: Vec<u8>,
    frames: usize,
}

enum Table {
    /// Colours as they are, and their places. More are added while there is room.
    Exact {
        places: HashMap<[u8; 3], u8>,
        colors: Vec<[u8; 3]>,
    },
    /// The nearest ones.
    Nearest(Quantised),
}

/// What a frame is made of: RGBA of a part of the image, without transparency, and which of its pixels are drawn.
pub(super) struct Part<'a> {
    pub(super) width: usize,
    pub(super) pixels: &'a [[u8; 4]],
    pub(super) drawn: &'a [bool],
}

impl Part<'_> {
    fn drawn(&self) -> impl Iterator<Item = [u8; 4]> {
        let pixels = self.pixels.iter().zip(self.drawn);
        pixels.filter_map(|(pixel, is_drawn)| is_drawn.then_some(*pixel))
    }
}

/// The pixels of a frame by number, and the place of its table among those of the file.
pub(super) struct Numbered {
    pub(super) numbers: Vec<u8>,
    pub(super) table: usize,
}

impl Tables {
    pub(super) fn new(colors_max: usize, has_transparent: bool) -> Self {
        Self {
            colors_max: colors_max.min(256 - usize::from(has_transparent)),
            has_transparent,
            past: Vec::new(),
            current: None,
        }
    }

    /// The squared distance at which two colours are as good as the same, since those of the table are as far from the
    /// wanted ones on average. 0 while colours are exact.
    pub(super) fn tolerance(&self) -> f32 {
        match &self.current {
            Some((Table::Nearest(nearest), _)) => nearest.error(),
            _ => 0.0,
        }
    }

    /// Numbers a frame's pixels, by a table that others have too or by a new one.
    pub(super) fn number(&mut self, part: &Part<'_>) -> Result<Numbered> {
        let table = match self.current.take() {
            Some((table, frames)) => match self.fitting(table, part)? {
                Ok(table) => (table, frames),
                Err((old, new)) => {
                    let bytes = self.bytes(&old);
                    self.past.push(Written { bytes, frames });
                    (new, 0)
                }
            },
            None => (self.best(part)?, 0),
        };
        let numbers = self.numbers(&table.0, part)?;
        self.current = Some((table.0, table.1 + 1));
        Ok(Numbered {
            numbers,
            table: self.past.len(),
        })
    }

    /// All tables as they are written, and the place of the one that the most frames have.
    pub(super) fn finish(mut self) -> (Vec<Vec<u8>>, usize) {
        if let Some((table, frames)) = self.current.take() {
            let bytes = self.bytes(&table);
            self.past.push(Written { bytes, frames });
        }
        let most = self.past.iter().enumerate().rev();
        let most = most.max_by_key(|(_, table)| table.frames);
        let most = most.map_or(0, |(place, _)| place);
        (
            self.past.into_iter().map(|table| table.bytes).collect(),
            most,
        )
    }

    /// The table, where it is good enough for a frame, or else the table and a better one.
    fn fitting(
        &self,
        mut table: Table,
        part: &Part<'_>,
    ) -> Result<std::result::Result<Table, (Table, Table)>> {
        if table.takes(part, self.colors_max) {
            return Ok(Ok(table));
        }
        if let Some(exact) = self.exact(part) {
            // Of a few pixels, a table of their own would be longer than they are.
            let is_worth_it = exact.colors().len() * 6 < part.drawn().count();
            return Ok(if !is_worth_it && table.serves(part) {
                Ok(table)
            } else {
                Err((table, exact))
            });
        }
        Ok(if table.serves(part) {
            Ok(table)
        } else {
            let nearest = self.nearest(part)?;
            Err((table, nearest))
        })
    }

    /// The colours of a frame, or those that are nearest.
    fn best(&self, part: &Part<'_>) -> Result<Table> {
        match self.exact(part) {
            Some(exact) => Ok(exact),
            None => self.nearest(part),
        }
    }

    /// The colours of a frame, where they are few enough.
    fn exact(&self, part: &Part<'_>) -> Option<Table> {
        let mut exact = Table::Exact {
            places: HashMap::new(),
            colors: Vec::new(),
        };
        exact.takes(part, self.colors_max).then_some(exact)
    }

    fn nearest(&self, part: &Part<'_>) -> Result<Table> {
        let drawn: Vec<[u8; 4]> = part.drawn().collect();
        Ok(Table::Nearest(Quantised::new(&drawn, self.colors_max)?))
    }

    fn numbers(&self, table: &Table, part: &Part<'_>) -> Result<Vec<u8>> {
        let first = u8::from(self.has_transparent);
        let mut numbers = match table {
            Table::Exact { places, .. } => {
                let place = |[r, g, b, _]: &[u8; 4]| places.get(&[*r, *g, *b]).copied();
                let places = part.pixels.iter().map(|pixel| place(pixel).unwrap_or(0));
                places.collect()
            }
            Table::Nearest(nearest) => nearest.numbers(part.pixels, part.width)?,
        };
        for (number, is_drawn) in numbers.iter_mut().zip(part.drawn) {
            *number = if *is_drawn { *number + first } else { 0 };
        }
        Ok(numbers)
    }

    fn bytes(&self, table: &Table) -> Vec<u8> {
        let transparent = self.has_transparent.then_some([0; 3]);
        let all = transparent.into_iter().chain(table.colors());
        all.flatten().collect()
    }
}

impl Table {
    /// Takes all drawn colours of a frame, if it is exact and has room for them.
    fn takes(&mut self, part: &Part<'_>, colors_max: usize) -> bool {
        let Self::Exact { places, colors } = self else {
            return false;
        };
        let before = colors.len();
        for [r, g, b, _] in part.drawn() {
            let color = [r, g, b];
            if places.contains_key(&color) {
                continue;
            }
            match u8::try_from(colors.len()) {
                Ok(place) if colors.len() < colors_max => {
                    places.insert(color, place);
                    colors.push(color);
                }
                _ => {
                    for color in colors.drain(before..) {
                        places.remove(&color);
                    }
                    return false;
                }
            }
        }
        true
    }

    /// Whether the colours of a frame come about as near as those that the table was made of.
    fn serves(&self, part: &Part<'_>) -> bool {
        let Self::Nearest(nearest) = self else {
            return false;
        };
        let step = part.drawn().count().div_ceil(SAMPLES_MAX).max(1);
        let (mut count, mut sum) = (0_u32, 0);
        for pixel in part.drawn().step_by(step) {
            let squares = nearest.colors().iter().map(|color| squared(color, &pixel));
            sum += u64::from(squares.min().unwrap_or(u32::MAX));
            count += 1;
        }
        let error = sum as f32 / count.max(1) as f32;
        error <= nearest.error() * 2.0 + ERROR_MAX
    }

    fn colors(&self) -> Vec<[u8; 3]> {
        match self {
            Self::Exact { colors, .. } => colors.clone(),
            Self::Nearest(nearest) => {
                let colors = nearest.colors().iter();
                colors.map(|[r, g, b, _]| [*r, *g, *b]).collect()
            }
        }
    }
}

/// The squared distance of two colours.
pub(super) fn squared<const N: usize>(a: &[u8; N], b: &[u8; N]) -> u32 {
    let channels = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b)));
    channels.map(|difference| difference * difference).sum()
}
