//! GIF by the crate `gif`: its frames are laid over each other here, and written as what differs between them.

mod animation;
mod blocks;
mod frames;
mod table;

pub(crate) use animation::Animation;
pub(crate) use blocks::header;
pub(crate) use frames::{Frames, decode};

use crate::codec::Header;

/// Longer sides don't fit into the format.
pub(crate) const SIDE_MAX: usize = 65_535;

/// A part of the image, in its pixels.
#[derive(Clone, Copy)]
struct Rect {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

/// What reading takes, in bytes: a canvas, what it is restored to, a copy of it that is scaled, and a frame's numbers.
pub(crate) fn memory(header: &Header) -> u64 {
    header.pixels() * 12 + header.frame_pixels.unwrap_or(0) + (1 << 20)
}
