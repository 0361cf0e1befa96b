//! Animations encoded, frame by frame.
#![expect(unsafe_code, reason = "libwebp is a C library")]

use std::{ffi::c_int, mem::MaybeUninit, ptr, slice};

use libwebp_sys as webp;
use plugin_api::Task;

use super::{
    chunks::{attach, chunks},
    encode::{Canvas, config},
    to_int,
};
use crate::{
    error::{Result, Trouble},
    metadata::Attached,
    pixels::Pixels,
};

/// Writes an animation.
pub(crate) struct Animation {
    raw: *mut webp::WebPAnimEncoder,
    config: webp::WebPConfig,
    size: (usize, usize),
    now_ms: c_int,
}

impl Drop for Animation {
    fn drop(&mut self) {
        // SAFETY: it is deleted only here; null is fine.
        unsafe { webp::WebPAnimEncoderDelete(self.raw) };
    }
}

impl Animation {
    pub(crate) fn new(size: (usize, usize), loops: u16, quality: u8) -> Result<Self> {
        let version = c_int::try_from(webp::WebPGetMuxABIVersion()).unwrap_or(0);
        let mut options = MaybeUninit::zeroed();
        // SAFETY: the options are plain numbers, initialised by the library.
        let raw = unsafe {
            if webp::WebPAnimEncoderOptionsInitInternal(options.as_mut_ptr(), version) == 0 {
                return Err(Trouble::encoding(
                    "WebP",
                    "the library is of another version",
                ));
            }
            let mut options = options.assume_init();
            options.anim_params.loop_count = c_int::from(loops);
            webp::WebPAnimEncoderNewInternal(
                to_int(size.0),
                to_int(size.1),
                &raw const options,
                version,
            )
        };
        if raw.is_null() {
            return Err(Trouble::no_memory("encode the animation"));
        }
        Ok(Self {
            raw,
            config: config(quality)?,
            size,
            now_ms: 0,
        })
    }

    pub(crate) fn add(&mut self, pixels: &Pixels, duration_ms: u32, task: &Task) -> Result<()> {
        task.check()?;
        let mut canvas = Canvas::new(self.size, task)?;
        canvas.import(pixels, true)?;
        // SAFETY: encoder and picture are complete, and the picture has the encoder's size.
        let is_done = unsafe {
            webp::WebPAnimEncoderAdd(
                self.raw,
                &raw mut canvas.picture,
                self.now_ms,
                &raw const self.config,
            )
        };
        if is_done == 0 {
            return Err(canvas.trouble(task));
        }
        let duration_ms = c_int::try_from(duration_ms).unwrap_or(c_int::MAX);
        self.now_ms = self.now_ms.saturating_add(duration_ms);
        Ok(())
    }

    /// The file, and how many frames it has: those that look alike become one.
    pub(crate) fn finish(self, attached: &Attached) -> Result<(Vec<u8>, usize)> {
        let mut data = webp::WebPData::default();
        // SAFETY: the last call tells when the last frame ends; the encoder is open.
        let is_done = unsafe {
            webp::WebPAnimEncoderAdd(self.raw, ptr::null_mut(), self.now_ms, ptr::null()) != 0
                && webp::WebPAnimEncoderAssemble(self.raw, &raw mut data) != 0
        };
        if !is_done {
            return Err(Trouble::encoding(
                "WebP",
                "the animation can't be put together",
            ));
        }
        // SAFETY: the library allocated that many bytes, which are freed below.
        let file = unsafe { slice::from_raw_parts(data.bytes, data.size) };
        let frames = chunks(file).filter(|(name, _)| name == b"ANMF").count();
        let file = attach(file, attached, self.size);
        // SAFETY: as above.
        unsafe { webp::WebPDataClear(&mut data) };
        Ok((file?, frames.max(1)))
    }
}
