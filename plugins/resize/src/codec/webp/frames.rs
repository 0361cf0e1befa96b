//! The frames of an animation, each laid over those before it.
#![expect(unsafe_code, reason = "libwebp is a C library")]

use std::{borrow::Cow, ffi::c_int, mem::MaybeUninit, ptr, slice};

use libwebp_sys as webp;
use plugin_api::Task;

use super::chunks::whole_part;
use crate::{
    codec::Header,
    error::{Result, Trouble},
    pixels::{Kind, Pixels},
};

/// A frame of an animation: the whole canvas, and how long it shows.
pub(crate) struct Frame {
    pub(crate) pixels: Pixels,
    pub(crate) duration_ms: u32,
}

/// The frames of an animation.
pub(crate) struct Frames<'a> {
    raw: *mut webp::WebPAnimDecoder,
    size: (usize, usize),
    last_ms: c_int,
    /// What is decoded, until `raw` is gone.
    _data: Cow<'a, [u8]>,
}

impl Drop for Frames<'_> {
    fn drop(&mut self) {
        // SAFETY: it is deleted only here; null is fine.
        unsafe { webp::WebPAnimDecoderDelete(self.raw) };
    }
}

impl<'a> Frames<'a> {
    pub(crate) fn open(header: &Header, data: &'a [u8]) -> Result<Self> {
        let data = if header.is_cut {
            Cow::Owned(whole_part(data)?)
        } else {
            Cow::Borrowed(data)
        };
        let source = webp::WebPData {
            bytes: data.as_ptr(),
            size: data.len(),
        };
        let mut options = MaybeUninit::zeroed();
        // SAFETY: the options are plain numbers, initialised by the library; the data outlives the decoder.
        let raw = unsafe {
            if webp::WebPAnimDecoderOptionsInit(options.as_mut_ptr()) == 0 {
                return Err(Trouble::broken("WebP", "the library is of another version"));
            }
            let mut options = options.assume_init();
            options.color_mode = webp::WEBP_CSP_MODE::MODE_RGBA;
            options.use_threads = 0;
            webp::WebPAnimDecoderNew(&raw const source, &raw const options)
        };
        if raw.is_null() {
            return Err(Trouble::broken(
                "WebP",
                "its animation is damaged, or ends too early",
            ));
        }
        Ok(Self {
            raw,
            size: (header.width, header.height),
            last_ms: 0,
            _data: data,
        })
    }

    /// How often it plays; 0 is for ever.
    pub(crate) fn loops(&self) -> u16 {
        let mut info = webp::WebPAnimInfo::default();
        // SAFETY: the decoder is open.
        unsafe { webp::WebPAnimDecoderGetInfo(self.raw, &raw mut info) };
        u16::try_from(info.loop_count).unwrap_or(0)
    }

    pub(crate) fn next(&mut self, task: &Task) -> Result<Option<Frame>> {
        task.check()?;
        // SAFETY: the decoder is open.
        if unsafe { webp::WebPAnimDecoderHasMoreFrames(self.raw) } == 0 {
            return Ok(None);
        }
        let (mut canvas, mut end_ms) = (ptr::null_mut(), 0);
        // SAFETY: the decoder is open.
        if unsafe { webp::WebPAnimDecoderGetNext(self.raw, &raw mut canvas, &raw mut end_ms) } == 0
        {
            return Err(Trouble::broken(
                "WebP",
                "a frame is damaged, or ends too early",
            ));
        }
        let mut info = webp::WebPAnimInfo::default();
        // SAFETY: the decoder is open.
        unsafe { webp::WebPAnimDecoderGetInfo(self.raw, &raw mut info) };
        let size = (info.canvas_width as usize, info.canvas_height as usize);
        if size != self.size || canvas.is_null() {
            return Err(Trouble::broken("WebP", "its sizes contradict each other"));
        }
        let mut pixels = Pixels::new(size.0, size.1, Kind::of(4, false))?;
        let len = pixels.bytes().len();
        // SAFETY: the canvas has four bytes for each of its pixels, until the next frame is asked for.
        pixels
            .bytes_mut()
            .copy_from_slice(unsafe { slice::from_raw_parts(canvas, len) });
        let duration_ms = u32::try_from(end_ms.saturating_sub(self.last_ms)).unwrap_or(0);
        self.last_ms = end_ms;
        Ok(Some(Frame {
            pixels,
            duration_ms,
        }))
    }
}
