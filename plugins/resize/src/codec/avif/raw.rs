//! What `aom.c` declares, which knows libaom's structures.
#![expect(unsafe_code, reason = "libaom is a C library")]

use std::{ffi::c_int, ptr};

// Linked for aom.c.
use libaom_sys as _;

#[repr(C)]
pub(super) struct RawPicture {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) bit_depth: u32,
    pub(super) monochrome: u32,
    pub(super) shift_x: u32,
    pub(super) shift_y: u32,
    pub(super) primaries: u32,
    pub(super) transfer: u32,
    pub(super) matrix: u32,
    pub(super) full_range: u32,
    pub(super) planes: [*const u8; 3],
    pub(super) strides: [u32; 3],
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
pub(super) struct RawEncoding {
    pub(super) quantizer: u32,
    pub(super) speed: u32,
    pub(super) is_alpha: u32,
}

#[repr(C)]
pub(super) struct RawOut {
    pub(super) data: *mut u8,
    pub(super) len: usize,
}

#[repr(C)]
pub(super) struct RawDecoder {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    pub(super) fn ra_encode(
        picture: *const RawPicture,
        encoding: *const RawEncoding,
        out: *mut RawOut,
    ) -> c_int;
    pub(super) fn ra_out_free(out: *mut RawOut);
    pub(super) fn ra_peek(data: *const u8, len: usize, width: *mut u32, height: *mut u32) -> c_int;
    pub(super) fn ra_decode(
        data: *const u8,
        len: usize,
        decoder: *mut *mut RawDecoder,
        picture: *mut RawPicture,
    ) -> c_int;
    pub(super) fn ra_decoder_close(decoder: *mut RawDecoder);
}

pub(super) const NO_MEMORY: c_int = -2;
