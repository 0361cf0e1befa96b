//! JPEG files of the kinds that the plugin doesn't write, by the same library's own interface.
#![expect(unsafe_code, reason = "libjpeg-turbo is a C library")]

use std::{ffi::c_int, ptr, slice};

use turbojpeg_sys as tj;

use super::photo::Rgb;

/// A setting, as turbojpeg.h numbers it, and its value.
pub(crate) type Setting = (tj::TJPARAM, c_int);

pub(crate) const LOSSLESS: Setting = (tj::TJPARAM_TJPARAM_LOSSLESS, 1);
pub(crate) const ARITHMETIC: Setting = (tj::TJPARAM_TJPARAM_ARITHMETIC, 1);
pub(crate) const PROGRESSIVE: Setting = (tj::TJPARAM_TJPARAM_PROGRESSIVE, 1);

pub(crate) const BEST: Setting = (tj::TJPARAM_TJPARAM_QUALITY, 100);
pub(crate) const FULL_CHROMA: Setting = (tj::TJPARAM_TJPARAM_SUBSAMP, tj::TJSAMP_TJSAMP_444);

/// At quality 95 and 4:2:0, as far as that means anything.
pub(crate) fn jpeg(picture: &Rgb, settings: &[Setting]) -> Vec<u8> {
    let lossy = [
        (tj::TJPARAM_TJPARAM_QUALITY, 95),
        (tj::TJPARAM_TJPARAM_SUBSAMP, tj::TJSAMP_TJSAMP_420),
    ];
    let (mut data, mut len) = (ptr::null_mut(), 0);
    // SAFETY: the picture has as many bytes as its size says; the library allocates the result, which is copied before
    // it is freed.
    unsafe {
        let handle = tj::tj3Init(tj::TJINIT_TJINIT_COMPRESS.cast_signed());
        assert!(!handle.is_null());
        for (parameter, value) in lossy.iter().chain(settings) {
            assert_eq!(
                tj::tj3Set(handle, parameter.cast_signed(), *value),
                0,
                "{parameter}"
            );
        }
        let code = tj::tj3Compress8(
            handle,
            picture.bytes.as_ptr(),
            c_int::try_from(picture.width).unwrap(),
            0,
            c_int::try_from(picture.height).unwrap(),
            tj::TJPF_TJPF_RGB,
            &raw mut data,
            &raw mut len,
        );
        assert_eq!(code, 0);
        let jpeg = slice::from_raw_parts(data, usize::try_from(len).unwrap()).to_vec();
        tj::tj3Free(data.cast());
        tj::tj3Destroy(handle);
        jpeg
    }
}
