//! Pictures encoded.
#![expect(unsafe_code, reason = "libwebp is a C library")]

use std::{
    ffi::{c_int, c_void},
    mem::MaybeUninit,
    ptr, slice,
};

use libwebp_sys as webp;
use plugin_api::Task;

use super::{chunks::attach, to_int, to_len};
use crate::{
    color,
    error::{Result, Trouble},
    metadata::Attached,
    pixels::{Picture, Pixels},
};

/// What the library asks now and then: whether to go on.
///
/// # Safety
/// `picture.user_data` is a `&Task` that outlives the call.
unsafe extern "C" fn goes_on(_percent: c_int, picture: *const webp::WebPPicture) -> c_int {
    // SAFETY: the caller's promise.
    let task = unsafe { &*(*picture).user_data.cast::<Task>() };
    c_int::from(!task.is_cancelled())
}

/// 1 to 100, and 101 for lossless.
pub(super) fn config(quality: u8) -> Result<webp::WebPConfig> {
    let mut config = webp::WebPConfig::new()
        .map_err(|()| Trouble::encoding("WebP", "the library is of another version"))?;
    config.method = 4;
    if quality > 100 {
        config.lossless = 1;
        config.quality = 75.0;
    } else {
        config.quality = f32::from(quality);
    }
    Ok(config)
}

/// A picture for the encoder, with what it allocated and what it wrote.
pub(super) struct Canvas {
    pub(super) picture: webp::WebPPicture,
    pub(super) writer: Box<webp::WebPMemoryWriter>,
}

impl Drop for Canvas {
    fn drop(&mut self) {
        // SAFETY: both were initialised; planes of the caller are not the picture's, and stay.
        unsafe {
            webp::WebPPictureFree(&raw mut self.picture);
            webp::WebPMemoryWriterClear(&raw mut *self.writer);
        }
    }
}

impl Canvas {
    pub(super) fn new((width, height): (usize, usize), task: &Task) -> Result<Self> {
        let mut picture = webp::WebPPicture::new()
            .map_err(|()| Trouble::encoding("WebP", "the library is of another version"))?;
        let mut writer = Box::new(MaybeUninit::<webp::WebPMemoryWriter>::zeroed());
        // SAFETY: the writer is plain data, initialised here.
        let mut writer = unsafe {
            webp::WebPMemoryWriterInit(writer.as_mut_ptr());
            writer.assume_init()
        };
        picture.width = to_int(width);
        picture.height = to_int(height);
        picture.writer = Some(webp::WebPMemoryWrite);
        picture.custom_ptr = (&raw mut *writer).cast();
        picture.progress_hook = Some(goes_on);
        picture.user_data = ptr::from_ref(task).cast_mut().cast::<c_void>();
        Ok(Self { picture, writer })
    }

    /// Copies RGB or RGBA.
    pub(super) fn import(&mut self, pixels: &Pixels, is_lossless: bool) -> Result<()> {
        self.picture.use_argb = c_int::from(is_lossless);
        let (bytes, stride) = (pixels.bytes().as_ptr(), to_int(pixels.stride()));
        // SAFETY: there are as many rows of that stride as the picture's size says.
        let is_done = unsafe {
            if pixels.kind.channels == 4 {
                webp::WebPPictureImportRGBA(&raw mut self.picture, bytes, stride)
            } else {
                webp::WebPPictureImportRGB(&raw mut self.picture, bytes, stride)
            }
        };
        if is_done == 0 {
            Err(Trouble::no_memory("encode the image"))
        } else {
            Ok(())
        }
    }

    pub(super) fn trouble(&self, task: &Task) -> Trouble {
        use webp::WebPEncodingError as Error;
        match self.picture.error_code {
            Error::VP8_ENC_ERROR_USER_ABORT => match task.check() {
                Err(error) => Trouble::Stopped(error),
                Ok(()) => Trouble::encoding("WebP", "it was stopped"),
            },
            Error::VP8_ENC_ERROR_OUT_OF_MEMORY | Error::VP8_ENC_ERROR_BITSTREAM_OUT_OF_MEMORY => {
                Trouble::no_memory("encode the image")
            }
            Error::VP8_ENC_ERROR_PARTITION0_OVERFLOW | Error::VP8_ENC_ERROR_PARTITION_OVERFLOW => {
                Trouble::encoding("WebP", "it has more detail than the format takes")
            }
            Error::VP8_ENC_ERROR_BAD_DIMENSION | Error::VP8_ENC_ERROR_FILE_TOO_BIG => {
                Trouble::encoding("WebP", "it is larger than the format takes")
            }
            _ => Trouble::encoding("WebP", "libwebp refuses the picture"),
        }
    }
}

pub(crate) fn encode(
    picture: &Picture,
    quality: u8,
    attached: &Attached,
    task: &Task,
) -> Result<Vec<u8>> {
    let config = config(quality)?;
    let mut limited = Vec::new();
    let mut canvas = match picture {
        Picture::Packed(pixels) => {
            let mut canvas = Canvas::new((pixels.width, pixels.height), task)?;
            canvas.import(pixels, quality > 100)?;
            canvas
        }
        Picture::Planes(planes) => {
            limited = limit(planes)?;
            let [luma, blue, red] = limited.as_mut_slice() else {
                return Err(Trouble::encoding("WebP", "there are no colours"));
            };
            let mut canvas = Canvas::new((luma.width, luma.height), task)?;
            let picture = &mut canvas.picture;
            picture.use_argb = 0;
            picture.colorspace = webp::WebPEncCSP::WEBP_YUV420;
            picture.y_stride = to_int(luma.width);
            picture.uv_stride = to_int(blue.width);
            picture.y = luma.bytes_mut().as_mut_ptr();
            picture.u = blue.bytes_mut().as_mut_ptr();
            picture.v = red.bytes_mut().as_mut_ptr();
            canvas
        }
    };
    // SAFETY: the picture is complete, and its planes outlive the call.
    let is_done = unsafe { webp::WebPEncode(&raw const config, &raw mut canvas.picture) };
    if is_done == 0 {
        return Err(canvas.trouble(task));
    }
    // SAFETY: the writer owns that many bytes there.
    let file = unsafe { slice::from_raw_parts(canvas.writer.mem, canvas.writer.size) };
    let size = (to_len(canvas.picture.width), to_len(canvas.picture.height));
    drop(limited);
    attach(file, attached, size)
}

/// The planes in WebP's range, with chroma where there is none.
fn limit(planes: &[Pixels]) -> Result<Vec<Pixels>> {
    let ranges = &*color::TO_LIMITED;
    let mut limited = planes.to_vec();
    for (index, plane) in limited.iter_mut().enumerate() {
        let table = if index == 0 {
            &ranges.luma
        } else {
            &ranges.chroma
        };
        for sample in plane.bytes_mut() {
            *sample = table[usize::from(*sample)];
        }
    }
    if let [luma] = limited.as_slice() {
        let half = (luma.width.div_ceil(2), luma.height.div_ceil(2));
        let mut neutral = Pixels::new(half.0, half.1, luma.kind)?;
        neutral.bytes_mut().fill(128);
        limited.push(neutral.clone());
        limited.push(neutral);
    }
    Ok(limited)
}
