//! What `jpeg.c` declares, which keeps libjpeg-turbo's jumps to itself.
#![expect(unsafe_code, reason = "libjpeg-turbo is a C library")]

use std::{
    ffi::{c_char, c_int, c_void},
    ptr,
};

use plugin_api::Task;
// Linked for jpeg.c.
use turbojpeg_sys as _;

use crate::error::Trouble;

pub(super) type Check = unsafe extern "C" fn(*mut c_void) -> c_int;

#[repr(C)]
pub(super) struct RawDecoder {
    _opaque: [u8; 0],
}

#[repr(C)]
pub(super) struct RawEncoder {
    _opaque: [u8; 0],
}

#[repr(C)]
#[derive(Default)]
pub(super) struct RawHeader {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) components: u32,
    pub(super) color_space: u32,
    pub(super) progressive: u32,
    pub(super) adobe: u32,
    pub(super) precision: u32,
    pub(super) h: [u32; 4],
    pub(super) v: [u32; 4],
}

#[repr(C)]
#[derive(Default)]
pub(super) struct RawLayout {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) rows: u32,
    pub(super) strides: [u32; 4],
    pub(super) widths: [u32; 4],
    pub(super) heights: [u32; 4],
    pub(super) plane_rows: [u32; 4],
    pub(super) dct: [u32; 4],
    pub(super) h: [u32; 4],
    pub(super) v: [u32; 4],
}

#[repr(C)]
pub(super) struct RawEncoding {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) color_space: u32,
    pub(super) subsample: u32,
    pub(super) quality: u32,
    pub(super) progressive: u32,
    pub(super) density_unit: u32,
    pub(super) density_x: u32,
    pub(super) density_y: u32,
}

unsafe extern "C" {
    pub(super) fn rz_decoder_open(
        data: *const u8,
        len: usize,
        memory_max: usize,
    ) -> *mut RawDecoder;
    pub(super) fn rz_decoder_close(decoder: *mut RawDecoder);
    pub(super) fn rz_decoder_message(decoder: *const RawDecoder) -> *const c_char;
    pub(super) fn rz_decoder_is_damaged(decoder: *mut RawDecoder) -> c_int;
    pub(super) fn rz_decoder_header(decoder: *mut RawDecoder, header: *mut RawHeader) -> c_int;
    pub(super) fn rz_decoder_start(
        decoder: *mut RawDecoder,
        planes: c_int,
        color_space: u32,
        denominator: u32,
        check: Check,
        context: *mut c_void,
        layout: *mut RawLayout,
    ) -> c_int;
    pub(super) fn rz_decoder_read_planes(
        decoder: *mut RawDecoder,
        planes: *const [*mut u8; 4],
    ) -> c_int;
    pub(super) fn rz_decoder_read_rows(
        decoder: *mut RawDecoder,
        pixels: *mut u8,
        stride: usize,
        count: u32,
    ) -> c_int;
    pub(super) fn rz_encoder_open(
        result: *mut *mut RawEncoder,
        encoding: *const RawEncoding,
        check: Check,
        context: *mut c_void,
    ) -> c_int;
    pub(super) fn rz_encoder_close(encoder: *mut RawEncoder);
    pub(super) fn rz_encoder_message(encoder: *const RawEncoder) -> *const c_char;
    pub(super) fn rz_encoder_marker(
        encoder: *mut RawEncoder,
        marker: c_int,
        data: *const u8,
        len: u32,
    ) -> c_int;
    pub(super) fn rz_encoder_icc(encoder: *mut RawEncoder, data: *const u8, len: u32) -> c_int;
    pub(super) fn rz_encoder_write_rows(
        encoder: *mut RawEncoder,
        pixels: *const u8,
        stride: usize,
        count: u32,
    ) -> c_int;
    pub(super) fn rz_encoder_write_planes(
        encoder: *mut RawEncoder,
        planes: *const [*const u8; 3],
        strides: *const [u32; 3],
        heights: *const [u32; 3],
    ) -> c_int;
    pub(super) fn rz_encoder_finish(
        encoder: *mut RawEncoder,
        data: *mut *const u8,
        len: *mut usize,
    ) -> c_int;
}

pub(super) const STOPPED: c_int = -2;
pub(super) const NO_MEMORY: c_int = -3;
pub(super) const UNSUPPORTED: c_int = -5;

/// What the library asks between rows: whether to stop.
///
/// # Safety
/// `context` is a `&Task` that outlives the call.
pub(super) unsafe extern "C" fn is_stopped(context: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    let task = unsafe { &*context.cast::<Task>() };
    c_int::from(task.is_cancelled())
}

pub(super) fn context(task: &Task) -> *mut c_void {
    ptr::from_ref(task).cast_mut().cast()
}

/// What stopped the library.
pub(super) fn stopped(task: Option<&Task>) -> Trouble {
    match task.map(Task::check) {
        Some(Err(error)) => Trouble::Stopped(error),
        _ => Trouble::broken("JPEG", "decoding was stopped"),
    }
}
