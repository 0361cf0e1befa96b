//! AVIF: the container is `isobmff`, the picture libaom's.
#![expect(
    unsafe_code,
    reason = "libaom is a C library; aom.c knows its structures"
)]

use std::{ffi::c_int, ptr, slice};

// Linked for aom.c.
use libaom_sys as _;
use plugin_api::Task;

use crate::{
    args::Format,
    codec::{
        DecodeOptions, Header, Layout, Plane, Sink, av1,
        isobmff::{self, Encoded, Nclx},
    },
    color::{self, Matrix, Space},
    colorimetry::Colorimetry,
    error::{Result, Trouble},
    metadata::Attached,
    orientation::Orientation,
    pixels::{Kind, Picture, Pixels},
    scale::to_u32,
};

/// Longer sides don't fit into the format.
pub(crate) const SIDE_MAX: usize = 65_536;
/// Larger pictures are encoded as a grid of smaller ones, so that a task can be stopped between them, and no encoder
/// holds the whole.
const TILE_PIXELS_MAX: usize = 2_000_000;
const TILE_SIDE: usize = 1280;
/// libaom's, 0 to 9: how much it may leave out.
const SPEED: u32 = 6;

#[repr(C)]
struct RawPicture {
    width: u32,
    height: u32,
    bit_depth: u32,
    monochrome: u32,
    shift_x: u32,
    shift_y: u32,
    primaries: u32,
    transfer: u32,
    matrix: u32,
    full_range: u32,
    planes: [*const u8; 3],
    strides: [u32; 3],
}

impl Default for RawPicture {
    fn default() -> Self {
        Self {
            width: 0,
            height: 0,
            bit_depth: 8,
            monochrome: 0,
            shift_x: 0,
            shift_y: 0,
            // Those of sRGB, with JPEG's matrix.
            primaries: 1,
            transfer: 13,
            matrix: 6,
            full_range: 1,
            planes: [ptr::null(); 3],
            strides: [0; 3],
        }
    }
}

#[repr(C)]
struct RawEncoding {
    quantizer: u32,
    speed: u32,
    is_alpha: u32,
}

#[repr(C)]
struct RawOut {
    data: *mut u8,
    len: usize,
}

#[repr(C)]
struct RawDecoder {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn ra_encode(
        picture: *const RawPicture,
        encoding: *const RawEncoding,
        out: *mut RawOut,
    ) -> c_int;
    fn ra_out_free(out: *mut RawOut);
    fn ra_peek(data: *const u8, len: usize, width: *mut u32, height: *mut u32) -> c_int;
    fn ra_decode(
        data: *const u8,
        len: usize,
        decoder: *mut *mut RawDecoder,
        picture: *mut RawPicture,
    ) -> c_int;
    fn ra_decoder_close(decoder: *mut RawDecoder);
}

const NO_MEMORY: c_int = -2;

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
