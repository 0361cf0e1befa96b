//! Baseline JPEG at a half, a quarter or an eighth of its size, for speed: most of a photograph's bytes are fine detail,
//! and what is not wanted is passed over here several codes at a time instead of being decoded.
//!
//! It knows only what nearly all cameras and programs write. For everything else, and for whatever looks damaged, it
//! gives up, and libjpeg-turbo has the last word.

mod blocks;
mod codes;
mod headers;

use plugin_api::Task;

use crate::{
    codec::{Layout, Plane, Sink},
    error::Trouble,
};

use self::{
    blocks::{coefficients_of_2, coefficients_of_4, inverse_of_4, sample, skip_block},
    codes::Bits,
    headers::{Component, Parsed, parse},
};

/// Why it ended without a picture.
pub(crate) enum End {
    /// The file is for the other decoder.
    Unfit,
    Trouble(Trouble),
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

type Result<T> = std::result::Result<T, End>;

/// Decodes into planes whose blocks have `side` samples in each direction: 1, 2 or 4. Those of chroma that is smaller
/// have more, so that there is half as much of it in each direction, or with `has_fine_chroma` as much.
pub(crate) fn decode(
    data: &[u8],
    side: usize,
    has_fine_chroma: bool,
    sink: &mut dyn Sink,
    task: &Task,
) -> Result<()> {
    let mut parsed = parse(data)?;
    let h_max = parsed
        .components
        .iter()
        .map(|component| component.h)
        .max()
        .unwrap_or(1);
    let v_max = parsed
        .components
        .iter()
        .map(|component| component.v)
        .max()
        .unwrap_or(1);
    for component in &mut parsed.components {
        let wanted = if has_fine_chroma { 1 } else { 2 };
        let is_enough = |times: usize| {
            component.h * times * wanted >= h_max && component.v * times * wanted >= v_max
        };
        let times = [1, 2, 4].into_iter().find(|times| is_enough(*times));
        component.side = side * times.unwrap_or(8);
        if component.side > 4 {
            return Err(End::Unfit);
        }
    }
    let (width, height) = (parsed.width, parsed.height);
    let size = |component: &Component| {
        (
            (width * component.h * component.side).div_ceil(h_max * 8),
            (height * component.v * component.side).div_ceil(v_max * 8),
        )
    };
    let sizes: Vec<_> = parsed.components.iter().map(size).collect();
    let share = |factor: usize, side: usize, most: usize| {
        crate::scale::to_f64(factor * side) / crate::scale::to_f64(most * 8)
    };
    let planes = parsed
        .components
        .iter()
        .zip(&sizes)
        .map(|(component, (width, height))| Plane {
            width: *width,
            height: *height,
            factor: (
                share(component.h, component.side, h_max),
                share(component.v, component.side, v_max),
            ),
        });
    let planes = planes.collect();
    sink.begin(&Layout::Planes {
        planes,
        is_full_range: true,
    })?;
    let (mcu_columns, mcu_rows) = (width.div_ceil(h_max * 8), height.div_ceil(v_max * 8));
    let mut bands: Vec<Vec<u8>> = parsed
        .components
        .iter()
        .map(|component| {
            vec![0; mcu_columns * component.h * component.side * component.v * component.side]
        })
        .collect();
    let mut bits = Bits {
        data: parsed.scan,
        at: 0,
        buffer: 0,
        len: 0,
        made_up: 0,
    };
    let mut until_restart = parsed.restart_interval;
    for mcu_row in 0..mcu_rows {
        task.check().map_err(|error| End::Trouble(error.into()))?;
        for mcu_column in 0..mcu_columns {
            if parsed.restart_interval > 0 {
                if until_restart == 0 {
                    bits.restart()?;
                    parsed
                        .components
                        .iter_mut()
                        .for_each(|component| component.last_dc = 0);
                    until_restart = parsed.restart_interval;
                }
                until_restart -= 1;
            }
            decode_mcu(
                &mut parsed,
                &mut bits,
                &mut bands,
                (mcu_column, mcu_columns),
            )?;
        }
        if bits.is_overrun() {
            return Err(End::Unfit);
        }
        for (number, component) in parsed.components.iter().enumerate() {
            let (width, height) = sizes[number];
            let stride = mcu_columns * component.h * component.side;
            let rows = component.v * component.side;
            let rows = rows.min(height - (mcu_row * rows).min(height));
            let band = &mut bands[number];
            for row in 1..rows {
                band.copy_within(row * stride..row * stride + width, row * width);
            }
            sink.rows(number, &band[..rows * width])?;
        }
    }
    Ok(())
}

fn decode_mcu(
    parsed: &mut Parsed<'_>,
    bits: &mut Bits<'_>,
    bands: &mut [Vec<u8>],
    (column, columns): (usize, usize),
) -> Result<()> {
    for (component, band) in parsed.components.iter_mut().zip(bands) {
        let (Some(dc), Some(ac), Some(quantization)) = (
            &parsed.dc[component.dc],
            &parsed.ac[component.ac],
            &parsed.quantization[component.quantization],
        ) else {
            return Err(End::Unfit);
        };
        let side = component.side;
        let stride = columns * component.h * side;
        for y in 0..component.v {
            for x in 0..component.h {
                let at = y * side * stride + (column * component.h + x) * side;
                let size = u32::from(bits.symbol(dc)?);
                if size > 11 {
                    return Err(End::Unfit);
                }
                component.last_dc = component.last_dc.wrapping_add(bits.value(size));
                let dc = component.last_dc.wrapping_mul(quantization[0]);
                match side {
                    1 => {
                        skip_block(bits, ac, 1)?;
                        band[at] = sample(dc, 3);
                    }
                    2 => {
                        let [a, b, c] = coefficients_of_2(bits, ac, quantization)?;
                        let (top, bottom) = (dc.wrapping_add(b), dc.wrapping_sub(b));
                        let (plus, minus) = (a.wrapping_add(c), a.wrapping_sub(c));
                        band[at] = sample(top.wrapping_add(plus), 3);
                        band[at + 1] = sample(top.wrapping_sub(plus), 3);
                        band[at + stride] = sample(bottom.wrapping_add(minus), 3);
                        band[at + stride + 1] = sample(bottom.wrapping_sub(minus), 3);
                    }
                    _ => {
                        let block = coefficients_of_4(bits, ac, quantization, dc)?;
                        for (row, samples) in inverse_of_4(&block).iter().enumerate() {
                            band[at + row * stride..][..4].copy_from_slice(samples);
                        }
                    }
                }
            }
        }
    }
    Ok(())
}
