//! A finished picture as a file.

use plugin_api::Task;

use crate::{
    args::Format,
    codec::{avif, gif, jpeg, png, webp},
    color,
    error::Result,
    pixels::Picture,
};

use super::{
    Output,
    canvas::{packed, rgba},
    target::ResolvedTarget,
};

pub(super) fn encode(target: &ResolvedTarget<'_>, picture: Picture, task: &Task) -> Result<Output> {
    let (attached, quality) = (&target.attached, target.quality);
    let data = match target.format {
        Format::Jpeg => {
            let settings = jpeg::Settings {
                quality,
                is_subsampled: target.is_subsampled,
            };
            jpeg::encode(&picture, settings, attached, task)?
        }
        Format::Png => png::encode(&packed(picture)?, attached, task)?,
        Format::Webp => {
            let picture = match picture {
                Picture::Packed(pixels) if pixels.kind.channels < 3 => {
                    Picture::Packed(color::grey_to_rgb(&pixels)?)
                }
                picture => picture,
            };
            webp::encode(&picture, quality, attached, task)?
        }
        Format::Avif => avif::encode(&picture, quality, attached, task)?,
        Format::Gif => {
            let mut animation = gif::Animation::new(target.plan.canvas, None)?;
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
