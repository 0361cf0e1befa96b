//! An unsharp mask of three by three pixels, for what scaling down leaves soft.

use crate::{
    color,
    error::Result,
    pixels::{Picture, Pixels},
};

/// How much of the difference to the surroundings one step of strength adds.
const STEP: f32 = 0.2;

/// Sharpens luma, or every colour; never transparency.
pub(crate) fn sharpen(picture: &mut Picture, strength: f32) -> Result<()> {
    match picture {
        Picture::Planes(planes) => match planes.first_mut() {
            Some(luma) => sharpen_pixels(luma, strength),
            None => Ok(()),
        },
        Picture::Packed(pixels) => sharpen_pixels(pixels, strength),
    }
}

fn sharpen_pixels(pixels: &mut Pixels, strength: f32) -> Result<()> {
    let (width, height, channels) = (pixels.width, pixels.height, pixels.kind.channels);
    let colors = if color::has_alpha(pixels.kind) {
        channels - 1
    } else {
        channels
    };
    let before = if pixels.kind.is_16_bit {
        pixels.clone()
    } else {
        pixels.to_16_bit()?
    };
    let samples = before.words();
    let stride = width * channels;
    let amount = strength * STEP;
    let mut sharpened = Vec::with_capacity(stride);
    for y in 0..height {
        let above = &samples[y.saturating_sub(1) * stride..][..stride];
        let here = &samples[y * stride..][..stride];
        let below = &samples[(y + 1).min(height - 1) * stride..][..stride];
        sharpened.clear();
        for x in 0..width {
            let (left, right) = (
                x.saturating_sub(1) * channels,
                (x + 1).min(width - 1) * channels,
            );
            for channel in 0..channels {
                let at = x * channels + channel;
                if channel >= colors {
                    sharpened.push(here[at]);
                    continue;
                }
                let column = |at: usize| {
                    f32::from(above[at]) + 2.0 * f32::from(here[at]) + f32::from(below[at])
                };
                let blurred =
                    (column(left + channel) + 2.0 * column(at) + column(right + channel)) / 16.0;
                let value = f32::from(here[at]);
                sharpened.push(to_u16(value + amount * (value - blurred)));
            }
        }
        if pixels.kind.is_16_bit {
            pixels.words_mut()[y * stride..][..stride].copy_from_slice(&sharpened);
        } else {
            for (to, from) in pixels.rows_mut(y, 1).iter_mut().zip(&sharpened) {
                *to = crate::pixels::narrow_sample(*from);
            }
        }
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer there is, and NaN 0"
)]
fn to_u16(value: f32) -> u16 {
    value.round() as u16
}
