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
        let failed = |error: quantizr::Error| Trouble::encoding("PNG", format!("{error:?}"));
        let (width, height) = (rgba.width, rgba.height);
        let image = Image::new(rgba.bytes(), width, height).map_err(failed)?;
        let mut options = Options::default();
        options
            .set_max_colors(i32::try_from(count).unwrap_or(256))
            .map_err(failed)?;
        let result = QuantizeResult::quantize(&image, &options);
        let mut indices = Vec::new();
        let room = indices.try_reserve_exact(width * height);
        room.map_err(|_| Trouble::no_memory("number colours"))?;
        indices.resize(width * height, 0);
        result.remap_image(&image, &mut indices).map_err(failed)?;
        let palette = result.get_palette();
        let all: Vec<[u8; 4]> = palette
            .entries
            .iter()
            .take(palette.count as usize)
            .map(|color| [color.r, color.g, color.b, color.a])
            .collect();
        Ok(Self::new(&all, &indices, width))
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
