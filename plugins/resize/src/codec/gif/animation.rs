//! Writes GIF files.

use ::gif::{DisposalMethod, Encoder, Frame as GifFrame, Repeat};
use plugin_api::Task;

use super::{
    Rect,
    table::{Part, Tables, squared},
};
use crate::{
    error::{Result, Trouble},
    pixels::Pixels,
};

/// Writes one frame or many.
pub(crate) struct Animation {
    size: (u16, u16),
    /// How often it plays, 0 for ever; of one image, nothing.
    loops: Option<u16>,
    /// The most colours of a frame.
    colors_max: usize,
    /// What frames are written with, from the first one on.
    tables: Option<Tables>,
    /// Frames as they are written, with the places of their tables.
    written: Vec<(GifFrame<'static>, usize)>,
    clock: Clock,
    /// The frame before the next: how it is left depends on what comes after it.
    waiting: Option<Waiting>,
    /// What is shown before the waiting frame, as it was wanted when it was drawn; nothing where it was cleared.
    shown: Option<Vec<[u8; 4]>>,
}

/// A frame as it is to be seen, RGBA of the whole image, and its time in hundredths of a second.
struct Waiting {
    pixels: Vec<[u8; 4]>,
    delay: u16,
}

/// Times of frames in hundredths of a second, none of them so short that browsers take it for a tenth. What is rounded
/// off one is added to the next.
#[derive(Default)]
struct Clock {
    wanted_ms: u64,
    /// Where the file is, in hundredths of a second.
    now: u64,
}

impl Clock {
    /// The shortest time that browsers keep to.
    const SHORTEST: u64 = 2;

    fn delay(&mut self, duration_ms: u32) -> u16 {
        self.wanted_ms += u64::from(duration_ms);
        let end = (self.wanted_ms + 5) / 10;
        let delay = end.saturating_sub(self.now).max(Self::SHORTEST);
        let delay = u16::try_from(delay).unwrap_or(u16::MAX);
        self.now += u64::from(delay);
        delay
    }
}

fn failed(error: impl std::fmt::Display) -> Trouble {
    Trouble::encoding("GIF", error)
}

fn narrow(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

impl Animation {
    /// Frames have at most `colors_max` colours, besides what is transparent.
    pub(crate) fn new(
        (width, height): (usize, usize),
        loops: Option<u16>,
        colors_max: usize,
    ) -> Result<Self> {
        let side =
            |len: usize| u16::try_from(len).map_err(|_| failed("its sides would be too long"));
        Ok(Self {
            size: (side(width)?, side(height)?),
            loops,
            colors_max,
            tables: None,
            written: Vec::new(),
            clock: Clock::default(),
            waiting: None,
            shown: None,
        })
    }

    /// Adds RGBA. There is no half of transparency in GIF.
    pub(crate) fn add(&mut self, pixels: &Pixels, duration_ms: u32, task: &Task) -> Result<()> {
        task.check()?;
        let (all, _) = pixels.bytes().as_chunks::<4>();
        let seen = |[r, g, b, a]: &[u8; 4]| match a {
            ..128 => [0; 4],
            _ => [*r, *g, *b, 255],
        };
        let pixels: Vec<[u8; 4]> = all.iter().map(seen).collect();
        let delay = match self.loops {
            Some(_) => self.clock.delay(duration_ms),
            None => 0,
        };
        let next = Waiting { pixels, delay };
        if let Some(waiting) = self.waiting.replace(next) {
            let is_cleared = self
                .waiting
                .as_ref()
                .is_some_and(|next| vanishes(&waiting.pixels, &next.pixels));
            self.write(waiting, is_cleared)?;
        }
        Ok(())
    }

    /// Writes what differs from what is shown, or all of it where the image is cleared afterwards.
    fn write(&mut self, waiting: Waiting, is_cleared: bool) -> Result<()> {
        let Waiting { pixels, delay } = waiting;
        let is_still = self.loops.is_none();
        // What doesn't change is transparent, too.
        let has_transparent = !is_still || pixels.contains(&[0; 4]);
        let colors_max = self.colors_max;
        let tables = self
            .tables
            .get_or_insert_with(|| Tables::new(colors_max, has_transparent));
        let width = usize::from(self.size.0);
        let shown = self.shown.take().filter(|_| !is_cleared);
        let (rect, differs) = match &shown {
            Some(shown) => difference(shown, &pixels, width, tables.tolerance()),
            None => {
                let whole = Rect {
                    left: 0,
                    top: 0,
                    width,
                    height: usize::from(self.size.1),
                };
                (whole, vec![true; pixels.len()])
            }
        };
        let mut part = cut(&pixels, rect, width);
        let drawn: Vec<bool> = cut(&differs, rect, width)
            .into_iter()
            .zip(&part)
            .map(|(differs, pixel)| differs && pixel[3] > 0)
            .collect();
        fill_in(&mut part);
        let numbered = tables.number(&Part {
            width: rect.width,
            pixels: &part,
            drawn: &drawn,
        })?;
        let mut frame = GifFrame {
            left: narrow(rect.left),
            top: narrow(rect.top),
            width: narrow(rect.width),
            height: narrow(rect.height),
            delay,
            dispose: if is_cleared {
                DisposalMethod::Background
            } else {
                DisposalMethod::Keep
            },
            transparent: has_transparent.then_some(0),
            buffer: numbered.numbers.into(),
            ..GifFrame::default()
        };
        frame.make_lzw_pre_encoded();
        self.written.push((frame, numbered.table));
        self.shown = match (is_cleared, shown) {
            (true, _) => None,
            (false, None) => Some(pixels),
            (false, Some(mut shown)) => {
                let all = shown.iter_mut().zip(pixels).zip(differs);
                for ((shown, pixel), _) in all.filter(|(_, differs)| *differs) {
                    *shown = pixel;
                }
                Some(shown)
            }
        };
        Ok(())
    }

    /// The file, and how many frames it has.
    pub(crate) fn finish(mut self) -> Result<(Vec<u8>, usize)> {
        if let Some(waiting) = self.waiting.take() {
            // The first frame follows the last, and may be transparent where this one is not.
            self.write(waiting, false)?;
        }
        let (tables, shared) = self.tables.map(Tables::finish).unwrap_or_default();
        let shared_bytes = tables.get(shared).map(Vec::as_slice).unwrap_or_default();
        let mut encoder =
            Encoder::new(Vec::new(), self.size.0, self.size.1, shared_bytes).map_err(failed)?;
        let repeat = self.loops.map(|loops| match loops {
            0 => Repeat::Infinite,
            loops => Repeat::Finite(loops - 1),
        });
        if let Some(repeat) = repeat {
            encoder.set_repeat(repeat).map_err(failed)?;
        }
        let frames = self.written.len();
        for (mut frame, table) in self.written {
            if table != shared {
                frame.palette = tables.get(table).cloned();
            }
            let written = encoder.write_lzw_pre_encoded_frame(&frame);
            written.map_err(failed)?;
        }
        Ok((encoder.into_inner().map_err(failed)?, frames))
    }
}

/// Whether anything that is seen in one frame is transparent in the next, which only clearing makes so.
fn vanishes(shown: &[[u8; 4]], next: &[[u8; 4]]) -> bool {
    shown
        .iter()
        .zip(next)
        .any(|(shown, next)| shown[3] > next[3])
}

/// Which pixels of `next` are not what is shown, and the part in which all of them lie.
fn difference(
    shown: &[[u8; 4]],
    next: &[[u8; 4]],
    width: usize,
    tolerance: f32,
) -> (Rect, Vec<bool>) {
    let pairs = shown.iter().zip(next);
    let differs: Vec<bool> = pairs
        .map(|(shown, next)| shown != next && squared(shown, next) as f32 > tolerance)
        .collect();
    // Of no difference, one pixel is written: a frame has at least that.
    let (mut left, mut right, mut top, mut bottom) = (width, 0, usize::MAX, 0);
    for (at, _) in differs.iter().enumerate().filter(|(_, differs)| **differs) {
        let (x, y) = (at % width, at / width);
        (left, right) = (left.min(x), right.max(x + 1));
        (top, bottom) = (top.min(y), bottom.max(y + 1));
    }
    if right == 0 {
        (left, right, top, bottom) = (0, 1, 0, 1);
    }
    let rect = Rect {
        left,
        top,
        width: right - left,
        height: bottom - top,
    };
    (rect, differs)
}

/// The part of an image.
fn cut<T: Copy>(all: &[T], rect: Rect, width: usize) -> Vec<T> {
    let rows = all.chunks(width).skip(rect.top).take(rect.height);
    let parts = rows.map(|row| &row[rect.left..rect.left + rect.width]);
    parts.flatten().copied().collect()
}

/// Gives what is transparent the colour of what lies before it, so that it takes no part in how colours are mixed.
fn fill_in(part: &mut [[u8; 4]]) {
    let Some(first) = part.iter().find(|pixel| pixel[3] > 0).copied() else {
        return;
    };
    let mut last = first;
    for pixel in part {
        match pixel[3] {
            0 => *pixel = last,
            _ => last = *pixel,
        }
    }
}
