//! WebP by libwebp: lossy files as planes, everything else as pixels; animations frame by frame.

mod animation;
mod chunks;
mod decode;
mod encode;
mod frames;

use std::ffi::c_int;

pub(crate) use self::{
    animation::Animation,
    decode::{decode, header, memory, push_frame},
    encode::encode,
    frames::{Frame, Frames},
};

/// Longer sides don't fit into the format.
pub(crate) const SIDE_MAX: usize = 16_383;

fn to_len(value: c_int) -> usize {
    usize::try_from(value).unwrap_or(0)
}

fn to_int(value: usize) -> c_int {
    c_int::try_from(value).unwrap_or(c_int::MAX)
}
