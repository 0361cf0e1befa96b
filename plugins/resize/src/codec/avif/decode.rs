//! AVIF files read.
#![expect(unsafe_code, reason = "libaom is a C library")]

use std::{ptr, slice};

use plugin_api::Task;

use super::raw::{NO_MEMORY, RawDecoder, RawPicture, ra_decode, ra_decoder_close, ra_peek};
use crate::{
    args::Format,
    codec::{
        DecodeOptions, Header, Layout, Plane, Sink, av1,
        isobmff::{self, Nclx},
    },
    color::{self, Matrix, Space},
    colorimetry::Colorimetry,
    error::{Result, Trouble},
    metadata::Attached,
    orientation::Orientation,
    pixels::{Kind, Pixels},
};

pub(crate) fn header(data: &[u8]) -> Result<Header> {
    let contents = isobmff::read(data)?;
    if contents.width == 0 || contents.height == 0 {
        return Err(Trouble::broken("AVIF", "it has no pixels"));
    }
    let turned = Orientation::from_exif([1, 8, 3, 6][usize::from(contents.turns)]);
    let orientation = match contents.mirror {
        None => turned,
        Some(0) => turned.mirrored(false, true),
        Some(_) => turned.mirrored(true, false),
    };
    // What the container says goes before what the stream says.
    let nclx = contents.nclx.or_else(|| {
        let first = contents.color.tiles.first()?;
        av1::colors(&first.data)
    });
    Ok(Header {
        format: Format::Avif,
        width: contents.width as usize,
        height: contents.height as usize,
        space: if contents.is_monochrome {
            Space::Grey
        } else {
            Space::YCbCr
        },
        bit_depth: contents.bit_depth,
        has_alpha: contents.alpha.is_some(),
        frames: 1,
        is_cut: false,
        is_progressive: false,
        colorimetry: match (contents.icc, nclx) {
            (Some(icc), _) => Colorimetry::Icc(icc),
            (None, Some(nclx)) => Colorimetry::Cicp {
                primaries: nclx.primaries,
                transfer: nclx.transfer,
            },
            (None, None) => Colorimetry::Srgb,
        },
        attached: Attached {
            exif: contents.exif,
            icc: None,
            xmp: contents.xmp,
            ..Attached::default()
        },
        // Where the container has properties for it, EXIF's orientation means nothing.
        container_orientation: contents.is_oriented.then(|| orientation.to_exif()),
        frame_pixels: None,
        is_lossless: false,
    })
}

pub(crate) fn memory(header: &Header) -> u64 {
    // The decoder's picture with its borders, the planes, and what they are converted into.
    header.pixels() * if header.bit_depth > 8 { 20 } else { 10 } + (16 << 20)
}

/// The planes of a picture, put together from its tiles, with what the bit stream says of its colours.
struct Decoded {
    planes: Vec<Pixels>,
    nclx: Nclx,
    bit_depth: u8,
}

struct Decoder {
    raw: *mut RawDecoder,
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: it is closed only here; null is fine.
        unsafe { ra_decoder_close(self.raw) };
    }
}

fn decode_tile(tile: &isobmff::Tile<'_>) -> Result<(Decoder, RawPicture)> {
    let wrong = |reason: &str| Trouble::broken("AVIF", reason);
    let (mut width, mut height) = (0, 0);
    // SAFETY: pointer and length are the slice's.
    let code = unsafe {
        ra_peek(
            tile.data.as_ptr(),
            tile.data.len(),
            &raw mut width,
            &raw mut height,
        )
    };
    if code != 0 {
        return Err(wrong("a picture's data is damaged, or ends too early"));
    }
    if (width, height) != (tile.width, tile.height) {
        return Err(wrong("its sizes contradict each other"));
    }
    let mut decoder = Decoder {
        raw: ptr::null_mut(),
    };
    let mut picture = RawPicture::default();
    // SAFETY: as above; the picture's planes are the decoder's.
    let code = unsafe {
        ra_decode(
            tile.data.as_ptr(),
            tile.data.len(),
            &raw mut decoder.raw,
            &raw mut picture,
        )
    };
    match code {
        0 if (picture.width, picture.height) == (width, height) => Ok((decoder, picture)),
        0 => Err(wrong("its sizes contradict each other")),
        NO_MEMORY => Err(Trouble::no_memory("decode the image")),
        _ => Err(wrong("a picture's data is damaged, or ends too early")),
    }
}

fn decode_picture(
    picture: &isobmff::Picture<'_>,
    size: (usize, usize),
    task: &Task,
) -> Result<Decoded> {
    let mut whole: Option<(Decoded, (u32, u32))> = None;
    for (index, tile) in picture.tiles.iter().enumerate() {
        task.check()?;
        let (_decoder, raw) = decode_tile(tile)?;
        let count = if raw.monochrome != 0 { 1 } else { 3 };
        let shifts = (raw.shift_x, raw.shift_y);
        if whole.is_none() {
            whole = Some((start(&raw, size, count)?, shifts));
        }
        let Some((decoded, first_shifts)) = &mut whole else {
            continue;
        };
        if decoded.planes.len() != count
            || u32::from(decoded.bit_depth) != raw.bit_depth
            || *first_shifts != shifts
        {
            return Err(Trouble::broken("AVIF", "the pictures of its grid differ"));
        }
        let (left, top) = (index % picture.columns, index / picture.columns);
        if top >= picture.rows {
            return Err(Trouble::broken("AVIF", "its grid has too many pictures"));
        }
        let at = (left * tile.width as usize, top * tile.height as usize);
        for (number, plane) in decoded.planes.iter_mut().enumerate() {
            let (shift_x, shift_y) = if number == 0 { (0, 0) } else { shifts };
            let at = (at.0 >> shift_x, at.1 >> shift_y);
            let rows = (tile.height as usize + (1 << shift_y) - 1) >> shift_y;
            let columns = (tile.width as usize + (1 << shift_x) - 1) >> shift_x;
            copy_plane(&raw, number, (columns, rows), plane, at);
        }
    }
    let (decoded, _) = whole.ok_or_else(|| Trouble::broken("AVIF", "it has no picture"))?;
    Ok(decoded)
}

fn start(raw: &RawPicture, (width, height): (usize, usize), count: usize) -> Result<Decoded> {
    let bit_depth = u8::try_from(raw.bit_depth).unwrap_or(8);
    let kind = Kind::of(1, bit_depth > 8);
    let mut planes = Vec::new();
    for number in 0..count {
        let (shift_x, shift_y) = if number == 0 {
            (0, 0)
        } else {
            (raw.shift_x, raw.shift_y)
        };
        let side = |len: usize, shift: u32| (len + (1 << shift) - 1) >> shift;
        planes.push(Pixels::new(
            side(width, shift_x),
            side(height, shift_y),
            kind,
        )?);
    }
    let number = |value: u32| u16::try_from(value).unwrap_or(2);
    Ok(Decoded {
        planes,
        nclx: Nclx {
            primaries: number(raw.primaries),
            transfer: number(raw.transfer),
            matrix: number(raw.matrix),
            is_full_range: raw.full_range != 0,
        },
        bit_depth,
    })
}

/// Copies what of a tile's plane lies in the picture.
fn copy_plane(
    raw: &RawPicture,
    number: usize,
    (columns, rows): (usize, usize),
    plane: &mut Pixels,
    (left, top): (usize, usize),
) {
    let bytes = plane.kind.bytes();
    let columns = columns.min(plane.width.saturating_sub(left));
    let rows = rows.min(plane.height.saturating_sub(top));
    if columns == 0 {
        return;
    }
    for y in 0..rows {
        // SAFETY: the decoder holds the tile's plane, with rows of that stride, and at least as many samples in each.
        let from = unsafe {
            let start = raw.planes[number].add(y * raw.strides[number] as usize);
            slice::from_raw_parts(start, columns * bytes)
        };
        plane.rows_mut(top + y, 1)[left * bytes..][..columns * bytes].copy_from_slice(from);
    }
}

pub(crate) fn decode(
    header: &Header,
    data: &[u8],
    options: &DecodeOptions,
    sink: &mut dyn Sink,
    task: &Task,
) -> Result<()> {
    let contents = isobmff::read(data)?;
    let size = (header.width, header.height);
    let mut color = decode_picture(&contents.color, size, task)?;
    if let Some(nclx) = contents.nclx {
        color.nclx = nclx;
    }
    let alpha = match &contents.alpha {
        Some(alpha) => Some(decode_picture(alpha, size, task)?),
        None => None,
    };
    // 2 is "unspecified", and then means what JPEG does.
    let is_like_jpeg = matches!(color.nclx.matrix, 2 | 5 | 6) || color.planes.len() == 1;
    if is_like_jpeg && color.bit_depth == 8 && alpha.is_none() && !options.is_packed {
        let planes = color.planes.iter().map(|plane| {
            let share = |len: usize, whole: usize| if len == whole { 1.0 } else { 0.5 };
            let factor = (share(plane.width, size.0), share(plane.height, size.1));
            Plane {
                width: plane.width,
                height: plane.height,
                factor,
            }
        });
        let planes = planes.collect();
        sink.begin(&Layout::Planes {
            planes,
            is_full_range: color.nclx.is_full_range,
        })?;
        for (number, plane) in color.planes.iter().enumerate() {
            for rows in plane.bytes().chunks(plane.stride() * 64) {
                task.check()?;
                sink.rows(number, rows)?;
            }
        }
        return Ok(());
    }
    push_packed(&color, alpha, contents.is_premultiplied, sink, task)
}

fn matrix(decoded: &Decoded) -> Result<Matrix> {
    let (kr, kb) = match decoded.nclx.matrix {
        0 => (0.0, 0.0),
        1 => (0.2126, 0.0722),
        2 | 5 | 6 => (0.299, 0.114),
        4 => (0.3, 0.11),
        7 => (0.212, 0.087),
        9 => (0.2627, 0.0593),
        other => {
            return Err(Trouble::unsupported(
                "AVIF",
                format_args!("the colour matrix {other}"),
            ));
        }
    };
    Ok(Matrix {
        kr,
        kb,
        is_identity: decoded.nclx.matrix == 0,
        is_full_range: decoded.nclx.is_full_range,
        bit_depth: decoded.bit_depth,
    })
}

fn sample(plane: &Pixels, x: usize, y: usize) -> u16 {
    let at = y * plane.width + x;
    if plane.kind.is_16_bit {
        plane.words()[at]
    } else {
        u16::from(plane.bytes()[at])
    }
}

fn push_packed(
    color: &Decoded,
    alpha: Option<Decoded>,
    is_premultiplied: bool,
    sink: &mut dyn Sink,
    task: &Task,
) -> Result<()> {
    let matrix = matrix(color)?;
    let (width, height) = (color.planes[0].width, color.planes[0].height);
    let alpha = match alpha {
        Some(alpha) => {
            let range = Matrix {
                kr: 0.299,
                kb: 0.114,
                is_identity: false,
                is_full_range: alpha.nclx.is_full_range,
                bit_depth: alpha.bit_depth,
            };
            Some((
                range,
                alpha
                    .planes
                    .into_iter()
                    .next()
                    .ok_or_else(|| Trouble::broken("AVIF", "its transparency is missing"))?,
            ))
        }
        None => None,
    };
    let colors = if color.planes.len() == 1 { 1 } else { 3 };
    let is_16_bit = color.bit_depth > 8;
    let kind = Kind::of(colors + usize::from(alpha.is_some()), is_16_bit);
    let space = if colors == 1 { Space::Grey } else { Space::Rgb };
    sink.begin(&Layout::Packed {
        kind,
        width,
        height,
        factor: 1.0,
        space,
    })?;
    let mut row = Vec::new();
    for y in 0..height {
        if y.is_multiple_of(16) {
            task.check()?;
        }
        row.clear();
        for x in 0..width {
            let opacity = alpha
                .as_ref()
                .map(|(range, plane)| range.to_grey(sample(plane, x, y)));
            let mut pixel = [0; 3];
            if let [luma, blue, red] = color.planes.as_slice() {
                let (u, v) = chroma(blue, red, (x, y), (width, height));
                pixel = matrix.to_rgb(sample(luma, x, y), u, v);
            } else {
                pixel[0] = matrix.to_grey(sample(&color.planes[0], x, y));
            }
            for sample in &pixel[..colors] {
                let sample = match opacity {
                    Some(opacity) if is_premultiplied => divide(*sample, opacity),
                    _ => *sample,
                };
                color::store(sample, is_16_bit, &mut row);
            }
            if let Some(opacity) = opacity {
                color::store(opacity, is_16_bit, &mut row);
            }
        }
        // Rows of 16 bits come as bytes; the sink takes them so.
        sink.rows(0, &row)?;
    }
    Ok(())
}

fn divide(sample: u16, opacity: u16) -> u16 {
    let value = u32::from(sample) * 65_535 / u32::from(opacity.max(1));
    u16::try_from(value).unwrap_or(u16::MAX)
}

/// Chroma at a pixel, between the samples around it.
fn chroma(
    blue: &Pixels,
    red: &Pixels,
    (x, y): (usize, usize),
    (width, height): (usize, usize),
) -> (u16, u16) {
    let around = |at: usize, len: usize, chroma_len: usize| {
        if chroma_len == len {
            return (at, at);
        }
        let near = (at / 2).min(chroma_len - 1);
        let far = if at.is_multiple_of(2) {
            near.saturating_sub(1)
        } else {
            (near + 1).min(chroma_len - 1)
        };
        (near, far)
    };
    let (x0, x1) = around(x, width, blue.width);
    let (y0, y1) = around(y, height, blue.height);
    let between = |plane: &Pixels| {
        let sum = 9 * u32::from(sample(plane, x0, y0))
            + 3 * u32::from(sample(plane, x1, y0))
            + 3 * u32::from(sample(plane, x0, y1))
            + u32::from(sample(plane, x1, y1));
        u16::try_from((sum + 8) / 16).unwrap_or(u16::MAX)
    };
    (between(blue), between(red))
}
