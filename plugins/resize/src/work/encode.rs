//! A finished picture as a file.

use plugin_api::Task;

use crate::{
    args::Format,
    codec::{avif, gif, jpeg, png, webp},
    color,
    error::{Result, Trouble},
    pixels::Picture,
};

use super::{
    Output,
    canvas::{packed, rgba},
    target::ResolvedTarget,
};

/// The file, with as much of the wanted quality as leaves it within the wanted length.
pub(super) fn encode(target: &ResolvedTarget<'_>, picture: Picture, task: &Task) -> Result<Output> {
    let Some(len_max) = target.requested.bytes_max else {
        return encode_with(target, target.quality, picture, task);
    };
    let output = encode_with(target, target.quality, picture.clone(), task)?;
    let fits = |output: &Output| output.data.len() as u64 <= len_max;
    let is_lossless = matches!(target.format, Format::Png | Format::Gif) || target.quality > 100;
    if fits(&output) || is_lossless {
        check_len(target, output.data.len())?;
        return Ok(output);
    }
    // What fits lies below `high`; the least is tried first, as nothing else matters where that is too long.
    let mut best = encode_with(target, 1, picture.clone(), task)?;
    check_len(target, best.data.len())?;
    let (mut low, mut high) = (1, target.quality);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let output = encode_with(target, middle, picture.clone(), task)?;
        if fits(&output) {
            (low, best) = (middle, output);
        } else {
            high = middle;
        }
    }
    Ok(best)
}

/// Whether a file of `len` bytes is as short as was asked for.
pub(super) fn check_len(target: &ResolvedTarget<'_>, len: usize) -> Result<()> {
    match target.requested.bytes_max {
        Some(len_max) if len as u64 > len_max => Err(Trouble::limit(
            "result_too_large",
            "the image can't be made with so few bytes; make it smaller, or name another format",
            "bytes_max",
            len_max,
            len as u64,
        )),
        _ => Ok(()),
    }
}

fn encode_with(
    target: &ResolvedTarget<'_>,
    quality: u8,
    picture: Picture,
    task: &Task,
) -> Result<Output> {
    let attached = &target.attached;
    let data = match target.format {
        Format::Jpeg => {
            let settings = jpeg::Settings {
                quality,
                is_subsampled: target.is_subsampled,
                is_progressive: target.requested.progressive,
            };
            jpeg::encode(&picture, settings, attached, task)?
        }
        Format::Png => png::encode(&packed(picture)?, target.colors(), attached, task)?,
        Format::Webp => {
            let picture = match picture {
                Picture::Packed(pixels) if pixels.kind.channels < 3 => {
                    Picture::Packed(color::grey_to_rgb(&pixels)?)
                }
                picture => picture,
            };
            webp::encode(&picture, quality, attached, task)?
        }
        Format::Avif => avif::encode(&picture, (quality, target.is_subsampled), attached, task)?,
        Format::Gif => {
            let mut animation = gif::Animation::new(target.plan.canvas, None, target.colors_max())?;
            animation.add(&rgba(picture)?, 0, task)?;
            animation.finish()?.0
        }
    };
    Ok(Output {
        format: target.format,
        size: target.plan.canvas,
        frames: 1,
        data,
    })
}
