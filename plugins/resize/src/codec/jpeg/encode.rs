//! JPEG files written.
#![expect(unsafe_code, reason = "libjpeg-turbo is a C library")]

use std::{
    ffi::{CStr, c_int},
    ptr, slice,
};

use plugin_api::Task;

use super::raw::{
    NO_MEMORY, RawEncoder, RawEncoding, STOPPED, context, is_stopped, rz_encoder_close,
    rz_encoder_finish, rz_encoder_icc, rz_encoder_marker, rz_encoder_message, rz_encoder_open,
    rz_encoder_write_planes, rz_encoder_write_rows, stopped,
};
use crate::{
    error::{Result, Trouble},
    metadata::{self, Attached},
    pixels::{Picture, Pixels},
    scale::to_u32,
};

/// How to encode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) quality: u8,
    pub(crate) is_subsampled: bool,
    pub(crate) is_progressive: bool,
}

struct Encoder {
    raw: *mut RawEncoder,
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: it is closed only here; null is fine.
        unsafe { rz_encoder_close(self.raw) };
    }
}

impl Encoder {
    fn check(&self, code: c_int, task: &Task) -> Result<()> {
        match code {
            STOPPED => Err(stopped(Some(task))),
            NO_MEMORY => Err(Trouble::no_memory("encode the image")),
            code if code < 0 => {
                // SAFETY: the encoder is open, and its message ends with NUL.
                let message = unsafe { CStr::from_ptr(rz_encoder_message(self.raw)) };
                Err(Trouble::encoding("JPEG", message.to_string_lossy()))
            }
            _ => Ok(()),
        }
    }
}

/// Encodes grey, RGB, or planes.
pub(crate) fn encode(
    picture: &Picture,
    settings: Settings,
    attached: &Attached,
    task: &Task,
) -> Result<Vec<u8>> {
    let (width, height, color_space) = match picture {
        Picture::Packed(pixels) => (
            pixels.width,
            pixels.height,
            if pixels.kind.channels == 1 { 1 } else { 2 },
        ),
        Picture::Planes(planes) => (
            planes[0].width,
            planes[0].height,
            if planes.len() == 1 { 1 } else { 3 },
        ),
    };
    let density = attached.density.and_then(metadata::jpeg::jfif_units);
    // Nothing but that pixels are square.
    let (unit, x, y) = density.unwrap_or((0, 1, 1));
    let encoding = RawEncoding {
        width: to_u32(width),
        height: to_u32(height),
        color_space,
        subsample: u32::from(settings.is_subsampled),
        quality: u32::from(settings.quality),
        progressive: u32::from(settings.is_progressive),
        density_unit: unit.into(),
        density_x: x.into(),
        density_y: y.into(),
    };
    let mut encoder = Encoder {
        raw: ptr::null_mut(),
    };
    // SAFETY: the task outlives the encoder, which may look at it in any of these calls.
    let code = unsafe {
        rz_encoder_open(
            &raw mut encoder.raw,
            &raw const encoding,
            is_stopped,
            context(task),
        )
    };
    if encoder.raw.is_null() {
        return Err(Trouble::no_memory("encode the image"));
    }
    encoder.check(code, task)?;
    for (marker, body) in metadata::jpeg::segments(attached)? {
        // SAFETY: pointer and length are the slice's.
        let code = unsafe {
            rz_encoder_marker(
                encoder.raw,
                c_int::from(marker),
                body.as_ptr(),
                to_u32(body.len()),
            )
        };
        encoder.check(code, task)?;
    }
    if let Some(icc) = attached.icc.as_deref().filter(|icc| !icc.is_empty()) {
        // SAFETY: pointer and length are the slice's.
        let code = unsafe { rz_encoder_icc(encoder.raw, icc.as_ptr(), to_u32(icc.len())) };
        encoder.check(code, task)?;
    }
    match picture {
        Picture::Planes(planes) if planes.len() > 1 => {
            write_planes(&encoder, planes, settings, task)?;
        }
        Picture::Planes(planes) => write_rows(&encoder, &planes[0], task)?,
        Picture::Packed(pixels) => write_rows(&encoder, pixels, task)?,
    }
    let (mut data, mut len) = (ptr::null(), 0);
    // SAFETY: the encoder is open.
    let code = unsafe { rz_encoder_finish(encoder.raw, &raw mut data, &raw mut len) };
    encoder.check(code, task)?;
    // SAFETY: the encoder owns that many bytes there until it is closed, below.
    Ok(unsafe { slice::from_raw_parts(data, len) }.to_vec())
}

fn write_rows(encoder: &Encoder, pixels: &Pixels, task: &Task) -> Result<()> {
    // SAFETY: there are as many rows of that stride as the pixels say.
    let code = unsafe {
        rz_encoder_write_rows(
            encoder.raw,
            pixels.bytes().as_ptr(),
            pixels.stride(),
            to_u32(pixels.height),
        )
    };
    encoder.check(code, task)
}

fn write_planes(
    encoder: &Encoder,
    planes: &[Pixels],
    settings: Settings,
    task: &Task,
) -> Result<()> {
    let block = if settings.is_subsampled { 16 } else { 8 };
    let mut padded = Vec::new();
    for (index, plane) in planes.iter().enumerate() {
        let step = if index > 0 && settings.is_subsampled {
            8
        } else {
            block
        };
        padded.push(pad(plane, plane.width.next_multiple_of(step))?);
    }
    // Chroma of 4:2:0 has half the padded width of luma.
    let (mut pointers, mut strides, mut heights) = ([ptr::null(); 3], [0; 3], [0; 3]);
    for (index, plane) in padded.iter().enumerate().take(3) {
        pointers[index] = plane.bytes().as_ptr();
        strides[index] = to_u32(plane.width);
        heights[index] = to_u32(plane.height);
    }
    // SAFETY: rows are as long as whole MCUs, which is what the encoder reads, and rows below the last are not read.
    let code = unsafe {
        rz_encoder_write_planes(
            encoder.raw,
            &raw const pointers,
            &raw const strides,
            &raw const heights,
        )
    };
    encoder.check(code, task)
}

/// Repeats the last pixel of each row.
fn pad(plane: &Pixels, width: usize) -> Result<Pixels> {
    let mut padded = Pixels::new(width, plane.height, plane.kind)?;
    for y in 0..plane.height {
        let from = plane.row(y);
        let to = padded.rows_mut(y, 1);
        to[..from.len()].copy_from_slice(from);
        to[from.len()..].fill(from.last().copied().unwrap_or(0));
    }
    Ok(padded)
}
