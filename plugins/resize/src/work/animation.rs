//! Animations: their frames one by one, and files that are made frame by frame.

use plugin_api::Task;

use crate::{
    args::Format,
    codec::{self, Header, gif, webp},
    error::Result,
    metadata::Attached,
    pixels::Picture,
};

use super::{canvas::rgba, target::ResolvedTarget};

/// The frames of a source, each laid over those before it.
pub(super) enum Frames<'a> {
    Gif(Box<gif::Frames<'a>>),
    Webp(webp::Frames<'a>),
}

impl<'a> Frames<'a> {
    pub(super) fn open(header: &Header, data: &'a [u8]) -> Result<Self> {
        codec::guarded(header.format, || {
            Ok(match header.format {
                Format::Gif => Self::Gif(Box::new(gif::Frames::open(header, data)?)),
                _ => Self::Webp(webp::Frames::open(header, data)?),
            })
        })
    }

    pub(super) fn loops(&self) -> u16 {
        match self {
            Self::Gif(frames) => frames.loops(),
            Self::Webp(frames) => frames.loops(),
        }
    }

    pub(super) fn next(&mut self, task: &Task) -> Result<Option<webp::Frame>> {
        match self {
            Self::Gif(frames) => codec::guarded(Format::Gif, || frames.next(task)),
            Self::Webp(frames) => codec::guarded(Format::Webp, || frames.next(task)),
        }
    }
}

/// A file that is being made.
pub(super) enum Animation {
    Gif(gif::Animation),
    Webp(webp::Animation),
}

impl Animation {
    /// What is held from frame to frame, for each pixel: of GIF the frame that waits and what is shown before it, of WebP
    /// the encoder's three canvases.
    pub(super) fn bytes_per_pixel(format: Format) -> u64 {
        match format {
            Format::Gif => 8,
            _ => 12,
        }
    }

    /// A GIF, or else a WebP.
    pub(super) fn new(target: &ResolvedTarget<'_>, loops: u16) -> Result<Self> {
        let size = target.plan.canvas;
        Ok(match target.format {
            Format::Gif => Self::Gif(gif::Animation::new(size, Some(loops), target.colors_max())?),
            _ => Self::Webp(webp::Animation::new(size, loops, target.quality)?),
        })
    }

    pub(super) fn add(&mut self, picture: Picture, duration_ms: u32, task: &Task) -> Result<()> {
        let pixels = rgba(picture)?;
        match self {
            Self::Gif(animation) => animation.add(&pixels, duration_ms, task),
            Self::Webp(animation) => animation.add(&pixels, duration_ms, task),
        }
    }

    /// The file, with what is attached to it as far as its format takes it, and how many frames it has.
    pub(super) fn finish(self, attached: &Attached) -> Result<(Vec<u8>, usize)> {
        match self {
            Self::Gif(animation) => animation.finish(),
            Self::Webp(animation) => animation.finish(attached),
        }
    }
}
