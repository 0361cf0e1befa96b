//! Colours by their numbers: all that a picture has, where they are few, or the nearest among few.

use std::collections::HashMap;

use png::BitDepth;
use quantizr::{Image, Options, QuantizeResult};

use crate::{
    color,
    error::{Result, Trouble},
    pixels::Pixels,
};

/// Up to 256 colours, with what is written for each pixel.
pub(super) struct Palette {
    pub(super) colors: Vec<u8>,
    pub(super) alphas: Vec<u8>,
    /// The rows, with as few bits for a pixel as its number needs.
    pub(super) rows: Vec<Vec<u8>>,
    pub(super) depth: BitDepth,
}

impl Palette {
    /// All colours of RGB or RGBA of 8 bits. `None` where there are more than `count`.
    pub(super) fn of(pixels: &Pixels, count: usize) -> Result<Option<Self>> {
        let channels = pixels.kind.channels;
        if pixels.kind.is_16_bit || channels < 3 {
            return Ok(None);
        }
        let mut numbers = HashMap::new();
        let mut all: Vec<[u8; 4]> = Vec::new();
        let mut indices = Vec::new();
        let room = indices.try_reserve_exact(pixels.width * pixels.height);
        room.map_err(|_| Trouble::no_memory("count colours"))?;
        for pixel in pixels.bytes().chunks_exact(channels) {
            let color = match *pixel {
                // What can't be seen is one colour.
                [_, _, _, 0] => [0; 4],
                [r, g, b, a] => [r, g, b, a],
                [r, g, b, ..] => [r, g, b, 255],
                _ => [0; 4],
            };
            let number = match numbers.get(&color) {
                Some(number) => *number,
                None => match u8::try_from(all.len()) {
                    Ok(number) if all.len() < count => {
                        numbers.insert(color, number);
                        all.push(color);
                        number
                    }
                    _ => return Ok(None),
                },
            };
            indices.push(number);
        }
        Ok(Some(Self::new(&all, &indices, pixels.width)))
    }

    /// The colours that are nearest to those of the picture, at most `count`, mixed by neighbours of different ones
    /// where none is near enough.
    pub(super) fn nearest(pixels: &Pixels, count: usize) -> Result<Self> {
        let narrow = match pixels.kind.is_16_bit {
            true => &pixels.to_8_bit()?,
            false => pixels,
        };
        let colored = match narrow.kind.channels {
            1 | 2 => &color::grey_to_rgb(narrow)?,
            _ => narrow,
        };
        if let Some(palette) = Self::of(colored, count)? {
            return Ok(palette);
        }
        let rgba = match colored.kind.channels {
            3 => &color::with_alpha(colored)?,
            _ => colored,
        };
        let (pixels, _) = rgba.bytes().as_chunks::<4>();
        let quantised = Quantised::new(pixels, count)?;
        let numbers = quantised.numbers(pixels, rgba.width)?;
        Ok(Self::new(quantised.colors(), &numbers, rgba.width))
    }

    fn new(all: &[[u8; 4]], indices: &[u8], width: usize) -> Self {
        let (depth, bits) = match all.len() {
            0..=2 => (BitDepth::One, 1),
            3..=4 => (BitDepth::Two, 2),
            5..=16 => (BitDepth::Four, 4),
            _ => (BitDepth::Eight, 8),
        };
        let packed = |row: &[u8]| {
            let parts = row.chunks(8 / bits);
            let byte = |part: &[u8]| {
                let places = part.iter().enumerate();
                places.fold(0, |byte, (place, number)| {
                    byte | number << (8 - bits - place * bits)
                })
            };
            parts.map(byte).collect()
        };
        Self {
            colors: all.iter().flat_map(|[r, g, b, _]| [*r, *g, *b]).collect(),
            alphas: all.iter().map(|[.., alpha]| *alpha).collect(),
            rows: indices.chunks(width.max(1)).map(packed).collect(),
            depth,
        }
    }
}

/// How many pixels are looked at to find the best colours. Each of another colour takes about 60 bytes meanwhile.
const SAMPLES_MAX: usize = 1 << 20;

/// Few colours that stand for all of a picture.
pub(super) struct Quantised {
    /// It is large.
    result: Box<QuantizeResult>,
    colors: Vec<[u8; 4]>,
}

fn failed(error: &quantizr::Error) -> Trouble {
    Trouble::encoding("reduced", format!("{error:?}"))
}

impl Quantised {
    /// At most `count` colours, 2 to 256, that are nearest to those of these pixels.
    pub(super) fn new(pixels: &[[u8; 4]], count: usize) -> Result<Self> {
        let step = pixels.len().div_ceil(SAMPLES_MAX);
        let sampled: Vec<[u8; 4]>;
        let pixels = match step {
            ..=1 => pixels,
            _ => {
                sampled = pixels.iter().step_by(step | 1).copied().collect();
                &sampled
            }
        };
        let image =
            Image::new(pixels.as_flattened(), pixels.len(), 1).map_err(|error| failed(&error))?;
        let mut options = Options::default();
        options
            .set_max_colors(i32::try_from(count).unwrap_or(256))
            .map_err(|error| failed(&error))?;
        let result = QuantizeResult::quantize(&image, &options);
        let palette = result.get_palette();
        let entries = palette.entries.iter().take(palette.count as usize);
        let colors = entries.map(|color| [color.r, color.g, color.b, color.a]);
        Ok(Self {
            colors: colors.collect(),
            result: Box::new(result),
        })
    }

    pub(super) fn colors(&self) -> &[[u8; 4]] {
        &self.colors
    }

    /// The squared distance of the pixels from their colours, on average.
    pub(super) fn error(&self) -> f32 {
        self.result.get_error()
    }

    /// The colours of pixels by number, those of neighbours mixed where none is near enough.
    pub(super) fn numbers(&self, pixels: &[[u8; 4]], width: usize) -> Result<Vec<u8>> {
        let height = pixels.len() / width.max(1);
        let image =
            Image::new(pixels.as_flattened(), width, height).map_err(|error| failed(&error))?;
        let mut numbers = Vec::new();
        let room = numbers.try_reserve_exact(pixels.len());
        room.map_err(|_| Trouble::no_memory("number colours"))?;
        numbers.resize(pixels.len(), 0);
        self.result
            .remap_image(&image, &mut numbers)
            .map_err(|error| failed(&error))?;
        Ok(numbers)
    }
}
