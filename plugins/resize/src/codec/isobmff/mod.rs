//! AVIF's container, the boxes of ISO 14496-12 and 23008-12: what is in a file, and what is written.

mod boxes;
mod contents;
mod meta;
mod write;

use crate::error::Trouble;

pub(crate) use self::{
    boxes::is_avif,
    contents::{Picture, Tile, read},
    write::{Encoded, File, write},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nclx {
    pub(crate) primaries: u16,
    pub(crate) transfer: u16,
    pub(crate) matrix: u16,
    pub(crate) is_full_range: bool,
}

fn wrong(reason: &str) -> Trouble {
    Trouble::broken("AVIF", reason)
}
