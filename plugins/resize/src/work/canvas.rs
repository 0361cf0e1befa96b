//! A scaled image on its canvas, and in the channels that its format takes.

use crate::{
    args::Format,
    color,
    error::Result,
    pixels::{Picture, Pixels},
};

use super::target::ResolvedTarget;

pub(super) fn packed(picture: Picture) -> Result<Pixels> {
    match picture {
        Picture::Packed(pixels) => Ok(pixels),
        Picture::Planes(planes) => color::planes_to_packed(planes),
    }
}

/// Four channels of 8 bits.
pub(super) fn rgba(picture: Picture) -> Result<Pixels> {
    let mut pixels = packed(picture)?;
    if pixels.kind.is_16_bit {
        pixels = pixels.to_8_bit()?;
    }
    if pixels.kind.channels < 3 {
        pixels = color::grey_to_rgb(&pixels)?;
    }
    if pixels.kind.channels == 3 {
        color::with_alpha(&pixels)
    } else {
        Ok(pixels)
    }
}

/// Puts the image on its canvas, and transparent parts on the background.
pub(super) fn composed(mut pixels: Pixels, target: &ResolvedTarget<'_>) -> Result<Pixels> {
    let background = target.requested.background;
    let is_opaque_format = target.format == Format::Jpeg;
    if color::has_alpha(pixels.kind) {
        let solid = background.filter(|[.., alpha]| *alpha == 255 || is_opaque_format);
        let solid = solid.or(is_opaque_format.then_some([255; 4]));
        if color::is_opaque(&pixels) {
            pixels = color::flatten(&pixels, [0; 3])?;
        } else if let Some([r, g, b, _]) = solid {
            if pixels.kind.channels == 2 && !(r == g && g == b) {
                pixels = color::grey_to_rgb(&pixels)?;
            }
            pixels = color::flatten(&pixels, [r, g, b])?;
        }
    }
    let canvas = target.plan.canvas;
    if (pixels.width, pixels.height) == canvas {
        return Ok(pixels);
    }
    let background = background.unwrap_or(if is_opaque_format { [255; 4] } else { [0; 4] });
    padded(
        pixels,
        canvas,
        target.plan.offset,
        background,
        is_opaque_format,
    )
}

fn padded(
    mut pixels: Pixels,
    (width, height): (usize, usize),
    (left, top): (usize, usize),
    [r, g, b, a]: [u8; 4],
    is_opaque_format: bool,
) -> Result<Pixels> {
    if pixels.kind.channels < 3 && !(r == g && g == b) {
        pixels = color::grey_to_rgb(&pixels)?;
    }
    if a < 255 && !is_opaque_format && !color::has_alpha(pixels.kind) {
        pixels = color::with_alpha(&pixels)?;
    }
    let kind = pixels.kind;
    let wide = |sample: u8| {
        if kind.is_16_bit {
            (u16::from(sample) * 257).to_ne_bytes().to_vec()
        } else {
            vec![sample]
        }
    };
    let samples: &[u8] = match kind.channels {
        1 => &[r],
        2 => &[r, a],
        3 => &[r, g, b],
        _ => &[r, g, b, a],
    };
    let pixel: Vec<u8> = samples.iter().flat_map(|sample| wide(*sample)).collect();
    let mut canvas = Pixels::new(width, height, kind)?;
    for to in canvas.bytes_mut().chunks_exact_mut(pixel.len()) {
        to.copy_from_slice(&pixel);
    }
    let (stride, left) = (pixels.stride(), left * kind.bytes());
    for y in 0..pixels.height {
        canvas.rows_mut(top + y, 1)[left..left + stride].copy_from_slice(pixels.row(y));
    }
    Ok(canvas)
}
