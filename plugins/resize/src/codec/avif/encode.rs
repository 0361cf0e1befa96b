//! AVIF files written.
#![expect(unsafe_code, reason = "libaom is a C library")]

use std::{ptr, slice};

use plugin_api::Task;

use super::raw::{NO_MEMORY, RawEncoding, RawOut, RawPicture, ra_encode, ra_out_free};
use crate::{
    codec::isobmff::{self, Encoded, Nclx},
    color,
    error::{Result, Trouble},
    metadata::Attached,
    orientation::Orientation,
    pixels::{Kind, Picture, Pixels},
    scale::to_u32,
};

/// Larger pictures are encoded as a grid of smaller ones, so that a task can be stopped between them, and no encoder
/// holds the whole.
const TILE_PIXELS_MAX: usize = 2_000_000;
const TILE_SIDE: usize = 1280;
/// libaom's, 0 to 9: how much it may leave out.
const SPEED: u32 = 6;

/// Encodes planes, or pixels with alpha or without.
pub(crate) fn encode(
    picture: &Picture,
    (quality, is_subsampled): (u8, bool),
    attached: &Attached,
    task: &Task,
) -> Result<Vec<u8>> {
    let mut opacity = None;
    let converted;
    let planes = match picture {
        Picture::Planes(planes) => planes,
        Picture::Packed(pixels) => {
            let opaque = if color::has_alpha(pixels.kind) {
                let (colors, alpha) = split_alpha(pixels)?;
                opacity = Some(alpha);
                colors
            } else {
                pixels.clone()
            };
            converted = if opaque.kind.channels == 1 {
                vec![opaque]
            } else {
                color::packed_to_planes(&opaque, is_subsampled)?
            };
            &converted
        }
    };
    let (width, height) = (planes[0].width, planes[0].height);
    // 50 is about what other programs' 50 is to the eye.
    let quantizer = (100 - u32::from(quality.min(100))) * 56 / 100;
    let color = encode_picture(planes, quantizer, false, task)?;
    let alpha = match &opacity {
        // Edges of transparency show more than colours do.
        Some(alpha) => Some(encode_picture(
            slice::from_ref(alpha),
            quantizer / 2,
            true,
            task,
        )?),
        None => None,
    };
    // Viewers look at the container's own properties alone; others must not turn the image once more.
    let upright = attached.clone().upright();
    Ok(isobmff::write(isobmff::File {
        width: to_u32(width),
        height: to_u32(height),
        nclx: Nclx {
            primaries: 1,
            transfer: 13,
            matrix: 6,
            is_full_range: true,
        },
        icc: attached.icc.as_deref(),
        exif: upright.exif.as_deref(),
        xmp: upright.xmp.as_deref(),
        orientation: Orientation::from_exif(attached.orientation().unwrap_or(1)),
        color,
        alpha,
    }))
}

fn split_alpha(pixels: &Pixels) -> Result<(Pixels, Pixels)> {
    let channels = pixels.kind.channels;
    let (width, height) = (pixels.width, pixels.height);
    let mut colors = Pixels::new(width, height, Kind::of(channels - 1, false))?;
    let mut alpha = Pixels::new(width, height, Kind::of(1, false))?;
    let targets = colors
        .bytes_mut()
        .chunks_exact_mut(channels - 1)
        .zip(alpha.bytes_mut());
    for (pixel, (color, alpha)) in pixels.bytes().chunks_exact(channels).zip(targets) {
        color.copy_from_slice(&pixel[..channels - 1]);
        *alpha = pixel[channels - 1];
    }
    Ok((colors, alpha))
}

fn encode_picture(
    planes: &[Pixels],
    quantizer: u32,
    is_alpha: bool,
    task: &Task,
) -> Result<Encoded> {
    let (width, height) = (planes[0].width, planes[0].height);
    let is_444 = planes
        .get(1)
        .is_some_and(|chroma| chroma.width == width && width > 1);
    let (columns, rows, tile) = if width * height <= TILE_PIXELS_MAX {
        (1, 1, (width, height))
    } else {
        let even = |len: usize, parts: usize| len.div_ceil(parts).next_multiple_of(64);
        let (columns, rows) = (width.div_ceil(TILE_SIDE), height.div_ceil(TILE_SIDE));
        let tile = (even(width, columns), even(height, rows));
        (width.div_ceil(tile.0), height.div_ceil(tile.1), tile)
    };
    let mut tiles = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            task.check()?;
            let at = (column * tile.0, row * tile.1);
            tiles.push(encode_tile(
                planes,
                at,
                tile,
                (quantizer, is_444, is_alpha),
            )?);
        }
    }
    Ok(Encoded {
        columns,
        rows,
        tile: (to_u32(tile.0), to_u32(tile.1)),
        tiles,
        is_monochrome: planes.len() == 1,
        is_444,
    })
}

fn encode_tile(
    planes: &[Pixels],
    (left, top): (usize, usize),
    (width, height): (usize, usize),
    (quantizer, is_444, is_alpha): (u32, bool, bool),
) -> Result<Vec<u8>> {
    let step = if is_444 { 1 } else { 2 };
    let mut copies = Vec::new();
    for (number, plane) in planes.iter().enumerate() {
        let step = if number == 0 { 1 } else { step };
        let (left, top) = (left / step, top / step);
        let mut copy = Pixels::new(width.div_ceil(step), height.div_ceil(step), plane.kind)?;
        // What lies beyond the picture repeats its edge.
        for y in 0..copy.height {
            let from = plane.row((top + y).min(plane.height - 1));
            let from = &from[left.min(plane.width - 1)..];
            let to = copy.rows_mut(y, 1);
            let len = from.len().min(to.len());
            to[..len].copy_from_slice(&from[..len]);
            to[len..].fill(from[len - 1]);
        }
        copies.push(copy);
    }
    let mut raw = RawPicture {
        width: to_u32(width),
        height: to_u32(height),
        monochrome: u32::from(planes.len() == 1),
        shift_x: u32::from(!is_444),
        shift_y: u32::from(!is_444),
        ..RawPicture::default()
    };
    for ((pointer, stride), copy) in raw.planes.iter_mut().zip(&mut raw.strides).zip(&copies) {
        *pointer = copy.bytes().as_ptr();
        *stride = to_u32(copy.width);
    }
    let encoding = RawEncoding {
        quantizer,
        speed: SPEED,
        is_alpha: u32::from(is_alpha),
    };
    let mut out = RawOut {
        data: ptr::null_mut(),
        len: 0,
    };
    // SAFETY: the planes have the sizes that the picture says, and outlive the call.
    let code = unsafe { ra_encode(&raw const raw, &raw const encoding, &raw mut out) };
    let result = match code {
        0 => {
            // SAFETY: on success there are that many bytes, which are freed below.
            Ok(unsafe { slice::from_raw_parts(out.data, out.len) }.to_vec())
        }
        NO_MEMORY => Err(Trouble::no_memory("encode the image")),
        _ => Err(Trouble::encoding("AVIF", "libaom refuses the picture")),
    };
    // SAFETY: whatever was allocated is freed once.
    unsafe { ra_out_free(&raw mut out) };
    result
}
