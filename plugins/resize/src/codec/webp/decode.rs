//! Headers, and still pictures decoded.
#![expect(unsafe_code, reason = "libwebp is a C library")]

use std::{marker::PhantomData, mem::MaybeUninit, ptr};

use libwebp_sys as webp;
use plugin_api::Task;

use super::{Frames, chunks::chunks, to_int, to_len};
use crate::{
    args::Format,
    codec::{DecodeOptions, Header, Layout, Plane, Sink},
    color::Space,
    colorimetry::Colorimetry,
    error::{Result, Trouble},
    metadata::{Attached, ICC_LEN_MAX},
    pixels::{Kind, Pixels},
};

/// How many bytes of a file to decode between two looks at the task.
const PORTION: usize = 32 << 10;

pub(crate) fn header(data: &[u8]) -> Result<Header> {
    let mut features = MaybeUninit::zeroed();
    // SAFETY: pointer and length are the slice's, and the features are plain numbers.
    let (status, features) = unsafe {
        let status = webp::WebPGetFeatures(data.as_ptr(), data.len(), features.as_mut_ptr());
        (status, features.assume_init())
    };
    check(status)?;
    let (width, height) = (to_len(features.width), to_len(features.height));
    if width == 0 || height == 0 {
        return Err(Trouble::broken("WebP", "it has no pixels"));
    }
    // What is missing may be no more than metadata, but who knows what the rest would be.
    let is_cut = data.get(4..8).is_some_and(|len| match *len {
        [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])) + 8 > data.len() as u64,
        _ => true,
    });
    let mut attached = Attached::default();
    let mut frames = 0;
    let mut is_lossless = features.format == 2;
    for (name, body) in chunks(data) {
        match &name {
            b"ICCP" if body.len() <= ICC_LEN_MAX => attached.icc = Some(body.to_vec()),
            b"EXIF" => {
                let body = body.strip_prefix(b"Exif\0\0").unwrap_or(body);
                attached.exif = Some(body.to_vec());
            }
            b"XMP " => attached.xmp = Some(body.to_vec()),
            b"ANMF" => frames += 1,
            b"VP8L" => is_lossless = true,
            _ => {}
        }
    }
    if features.has_animation != 0 && frames == 0 {
        return Err(Trouble::broken("WebP", "it is an animation without frames"));
    }
    let is_animated = frames > 0;
    Ok(Header {
        format: Format::Webp,
        width,
        height,
        space: if is_lossless {
            Space::Rgb
        } else {
            Space::YCbCr
        },
        bit_depth: 8,
        has_alpha: features.has_alpha != 0,
        frames: if features.has_animation != 0 {
            frames
        } else {
            1
        },
        is_cut,
        is_progressive: false,
        colorimetry: Colorimetry::of_icc(attached.icc.take()),
        attached,
        container_orientation: None,
        frame_pixels: is_animated.then_some(width as u64 * height as u64),
        is_lossless,
    })
}

fn check(status: webp::VP8StatusCode) -> Result<()> {
    use webp::VP8StatusCode as Status;
    match status {
        Status::VP8_STATUS_OK => Ok(()),
        Status::VP8_STATUS_OUT_OF_MEMORY => Err(Trouble::no_memory("decode the image")),
        Status::VP8_STATUS_NOT_ENOUGH_DATA | Status::VP8_STATUS_SUSPENDED => {
            Err(Trouble::broken("WebP", "it ends too early"))
        }
        Status::VP8_STATUS_UNSUPPORTED_FEATURE => Err(Trouble::unsupported("WebP", "this feature")),
        _ => Err(Trouble::broken("WebP", "its data is damaged")),
    }
}

pub(crate) fn memory(header: &Header) -> u64 {
    let pixels = header.pixels();
    if header.frame_pixels.is_some() {
        // Two canvases, a frame of either kind, and a copy that is scaled.
        return pixels * 16 + (1 << 20);
    }
    match (header.is_lossless, header.has_alpha) {
        (false, false) => pixels * 3 / 2 + (1 << 20),
        (false, true) => pixels * 6,
        (true, _) => pixels * 8 + (1 << 20),
    }
}

/// A decoder that writes into buffers of the caller.
struct Incremental<'a> {
    raw: *mut webp::WebPIDecoder,
    borrows: PhantomData<&'a mut [u8]>,
}

impl Drop for Incremental<'_> {
    fn drop(&mut self) {
        // SAFETY: it is deleted only here; null is fine.
        unsafe { webp::WebPIDelete(self.raw) };
    }
}

impl Incremental<'_> {
    /// Decodes all of it, or with `shows_damage` as much as there is, if that is any.
    fn run(&self, data: &[u8], shows_damage: bool, task: &Task) -> Result<()> {
        let mut end = 0;
        loop {
            task.check()?;
            end = (end + PORTION).min(data.len());
            // SAFETY: the data stays where it is from call to call.
            let status = unsafe { webp::WebPIUpdate(self.raw, data.as_ptr(), end) };
            if status != webp::VP8StatusCode::VP8_STATUS_SUSPENDED || end == data.len() {
                return check(status).or_else(|trouble| {
                    if shows_damage && self.has_rows() {
                        tracing::debug!(?status, "the rest of the rows is left empty");
                        return Ok(());
                    }
                    Err(trouble)
                });
            }
        }
    }

    fn has_rows(&self) -> bool {
        let mut rows = 0;
        let none = ptr::null_mut();
        // SAFETY: the decoder is open, and what isn't asked for may be null.
        unsafe { webp::WebPIDecodedArea(self.raw, none, none, none, &raw mut rows) };
        rows > 0
    }
}

pub(crate) fn decode(
    header: &Header,
    data: &[u8],
    options: &DecodeOptions,
    sink: &mut dyn Sink,
    task: &Task,
) -> Result<()> {
    if header.frame_pixels.is_some() {
        let mut frames = Frames::open(header, data)?;
        let Some(frame) = frames.next(task)? else {
            return Err(Trouble::broken("WebP", "it has no frames"));
        };
        return push_frame(&frame.pixels, sink);
    }
    if !header.is_lossless && !header.has_alpha && !options.is_packed {
        return decode_planes(header, data, options, sink, task);
    }
    let kind = Kind::of(if header.has_alpha { 4 } else { 3 }, false);
    let (width, height) = (header.width, header.height);
    let mut pixels = Pixels::new(width, height, kind)?;
    let stride = pixels.stride();
    let mode = if header.has_alpha {
        webp::WEBP_CSP_MODE::MODE_RGBA
    } else {
        webp::WEBP_CSP_MODE::MODE_RGB
    };
    let bytes = pixels.bytes_mut();
    // SAFETY: the buffer has that length, and outlives the decoder.
    let raw = unsafe { webp::WebPINewRGB(mode, bytes.as_mut_ptr(), bytes.len(), to_int(stride)) };
    run(raw, data, options, task)?;
    sink.begin(&Layout::Packed {
        kind,
        width,
        height,
        factor: 1.0,
        space: Space::Rgb,
    })?;
    push_slowly(&pixels, 0, sink, task)
}

fn run(
    raw: *mut webp::WebPIDecoder,
    data: &[u8],
    options: &DecodeOptions,
    task: &Task,
) -> Result<()> {
    if raw.is_null() {
        return Err(Trouble::no_memory("decode the image"));
    }
    Incremental {
        raw,
        borrows: PhantomData,
    }
    .run(data, options.shows_damage, task)
}

/// Rows in portions, so that scaling stops as well when the task does.
fn push_slowly(pixels: &Pixels, plane: usize, sink: &mut dyn Sink, task: &Task) -> Result<()> {
    let stride = pixels.stride();
    for rows in pixels.bytes().chunks(stride * (1 + (1 << 20) / stride)) {
        task.check()?;
        sink.rows(plane, rows)?;
    }
    Ok(())
}

fn decode_planes(
    header: &Header,
    data: &[u8],
    options: &DecodeOptions,
    sink: &mut dyn Sink,
    task: &Task,
) -> Result<()> {
    let (width, height) = (header.width, header.height);
    let half = (width.div_ceil(2), height.div_ceil(2));
    let kind = Kind::of(1, false);
    let mut luma = Pixels::new(width, height, kind)?;
    let mut blue = Pixels::new(half.0, half.1, kind)?;
    let mut red = Pixels::new(half.0, half.1, kind)?;
    // Black, where a damaged file has nothing.
    luma.bytes_mut().fill(16);
    blue.bytes_mut().fill(128);
    red.bytes_mut().fill(128);
    let (y, u, v) = (luma.bytes_mut(), blue.bytes_mut(), red.bytes_mut());
    // SAFETY: the buffers have these lengths, and outlive the decoder.
    let raw = unsafe {
        webp::WebPINewYUV(
            y.as_mut_ptr(),
            y.len(),
            to_int(width),
            u.as_mut_ptr(),
            u.len(),
            to_int(half.0),
            v.as_mut_ptr(),
            v.len(),
            to_int(half.0),
        )
    };
    run(raw, data, options, task)?;
    let chroma = Plane {
        width: half.0,
        height: half.1,
        factor: (0.5, 0.5),
    };
    let planes = vec![
        Plane {
            width,
            height,
            factor: (1.0, 1.0),
        },
        chroma,
        chroma,
    ];
    sink.begin(&Layout::Planes {
        planes,
        is_full_range: false,
    })?;
    for (index, plane) in [luma, blue, red].iter().enumerate() {
        push_slowly(plane, index, sink, task)?;
    }
    Ok(())
}

pub(crate) fn push_frame(pixels: &Pixels, sink: &mut dyn Sink) -> Result<()> {
    let (width, height) = (pixels.width, pixels.height);
    sink.begin(&Layout::Packed {
        kind: pixels.kind,
        width,
        height,
        factor: 1.0,
        space: Space::Rgb,
    })?;
    sink.rows(0, pixels.bytes())
}
