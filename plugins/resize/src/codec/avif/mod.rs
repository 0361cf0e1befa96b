//! AVIF: the container is `isobmff`, the picture libaom's.

mod decode;
mod encode;
mod raw;

pub(crate) use self::{
    decode::{decode, header, memory},
    encode::encode,
};

/// Longer sides don't fit into the format.
pub(crate) const SIDE_MAX: usize = 65_536;
