//! What a GIF file says of itself, by a walk over its blocks.

use crate::{
    args::Format,
    codec::Header,
    color::Space,
    colorimetry::Colorimetry,
    config::Limits,
    error::{Result, Trouble},
    metadata::Attached,
};

/// What a walk over the blocks of a file finds.
#[derive(Default)]
struct Blocks {
    frames: usize,
    is_interlaced: bool,
    /// Pixels of the largest frame, which may be larger than the image.
    frame_pixels: u64,
    /// How far the first frame reaches, to the right and down.
    first_reach: (usize, usize),
    /// It ends within a frame, or after one that is none.
    is_cut: bool,
}

fn side(data: &[u8], at: usize) -> Option<usize> {
    match data.get(at..at + 2) {
        Some(&[low, high]) => Some(usize::from(u16::from_le_bytes([low, high]))),
        _ => None,
    }
}

/// Counts the frames without decoding any. Frames that are not whole don't count.
fn walk(data: &[u8], frames_max: usize) -> Option<Blocks> {
    let table = |flags: u8| {
        if flags & 0x80 == 0 {
            0
        } else {
            3 << ((flags & 7) + 1)
        }
    };
    let skip_sub_blocks = |mut at: usize| loop {
        let len = usize::from(*data.get(at)?);
        at += 1 + len;
        if len == 0 {
            return Some(at);
        }
    };
    let mut blocks = Blocks::default();
    let mut at = 13 + table(*data.get(10)?);
    while blocks.frames <= frames_max {
        let next = match data.get(at) {
            Some(0x21) => skip_sub_blocks(at + 2),
            Some(0x2C) => {
                let flags = data.get(at + 9).copied();
                let side = |at: usize| side(data, at).unwrap_or(0);
                let (width, height) = (side(at + 5), side(at + 7));
                let pixels = width as u64 * height as u64;
                blocks.frame_pixels = blocks.frame_pixels.max(pixels);
                if blocks.frames == 0 {
                    blocks.first_reach = (side(at + 1) + width, side(at + 3) + height);
                }
                let end = flags.and_then(|flags| skip_sub_blocks(at + 11 + table(flags)));
                if end.is_some() {
                    blocks.frames += 1;
                    blocks.is_interlaced |= flags.is_some_and(|flags| flags & 0x40 != 0);
                }
                end
            }
            // The end, or the end of what there is: whoever wrote no last byte left out no pixel.
            Some(0x3B) | None => break,
            Some(_) => None,
        };
        match next {
            Some(next) => at = next,
            None => {
                blocks.is_cut = true;
                break;
            }
        }
    }
    Some(blocks)
}

pub(crate) fn header(data: &[u8], limits: &Limits) -> Result<Header> {
    let frames_max = usize::try_from(limits.frames_max).unwrap_or(usize::MAX);
    let sides = (side(data, 6), side(data, 8));
    let ((Some(width), Some(height)), Some(blocks)) = (sides, walk(data, frames_max)) else {
        return Err(Trouble::broken("GIF", "it ends within its header"));
    };
    // An image is as large as its first frame, whatever it says, to browsers and to all others.
    let (width, height) = (
        width.max(blocks.first_reach.0),
        height.max(blocks.first_reach.1),
    );
    if width == 0 || height == 0 {
        return Err(Trouble::broken("GIF", "it has no pixels"));
    }
    if blocks.frames == 0 {
        return Err(Trouble::broken("GIF", "it has no whole frame"));
    }
    if blocks.frame_pixels > limits.pixels_max {
        return Err(Trouble::limit(
            "too_many_pixels",
            "a frame of the source has too many pixels",
            "pixels_max",
            limits.pixels_max,
            blocks.frame_pixels,
        ));
    }
    Ok(Header {
        format: Format::Gif,
        width,
        height,
        space: Space::Palette,
        bit_depth: 8,
        has_alpha: true,
        frames: blocks.frames,
        is_cut: blocks.is_cut,
        is_progressive: blocks.is_interlaced,
        colorimetry: Colorimetry::Srgb,
        attached: Attached::default(),
        container_orientation: None,
        frame_pixels: Some(blocks.frame_pixels),
        is_lossless: true,
    })
}
