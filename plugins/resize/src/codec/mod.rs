//! The formats: each one reads its header, decodes into a sink, and encodes a picture.

mod av1;
pub(crate) mod avif;
mod baseline;
pub(crate) mod gif;
pub(crate) mod isobmff;
pub(crate) mod jpeg;
mod palette;
pub(crate) mod png;
pub(crate) mod webp;

use std::fs::File;

use plugin_api::Task;

use crate::{
    args::Format,
    color::Space,
    colorimetry::Colorimetry,
    error::{Result, Trouble},
    guard::caught,
    metadata::Attached,
    pixels::Kind,
};

/// What a file says of itself, read without decoding a pixel.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) format: Format,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) space: Space,
    pub(crate) bit_depth: u8,
    pub(crate) has_alpha: bool,
    /// Frames, as far as that can be told by skipping over them.
    pub(crate) frames: usize,
    pub(crate) is_progressive: bool,
    /// It ends too early; frames that aren't whole aren't counted. GIF and WebP only.
    pub(crate) is_cut: bool,
    /// What the file says of its colours.
    pub(crate) colorimetry: Colorimetry,
    /// EXIF and XMP, as they stand in the file. A profile is in `colorimetry`.
    pub(crate) attached: Attached,
    /// Turning that the container asks for by itself, as EXIF numbers it; AVIF only.
    pub(crate) container_orientation: Option<u8>,
    /// Where frames are laid over each other, be it one only: pixels of the largest, which may be larger than the image.
    pub(crate) frame_pixels: Option<u64>,
    /// JPEG: how the colours are stored. WebP: whether it is lossless.
    pub(crate) is_lossless: bool,
}

impl Header {
    pub(crate) fn pixels(&self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// An error where it ends too early.
    pub(crate) fn check_whole(&self) -> Result<()> {
        if self.is_cut {
            let reason = match self.format {
                Format::Gif => "it ends within a frame",
                _ => "it ends too early",
            };
            return Err(Trouble::broken(self.format.name(), reason));
        }
        Ok(())
    }

    /// How to turn it, as EXIF numbers it: what the container says, or else EXIF, or else XMP.
    pub(crate) fn orientation(&self) -> u8 {
        self.container_orientation
            .or_else(|| self.attached.orientation())
            .unwrap_or(1)
    }
}

/// The planes a decoder is about to hand over.
#[derive(Clone, Debug)]
pub(crate) enum Layout {
    /// `factor`: pixels per pixel of the image in the file.
    Packed {
        kind: Kind,
        width: usize,
        height: usize,
        factor: f64,
        space: Space,
    },
    /// All of them 8 bits, full range or not, BT.601.
    Planes {
        planes: Vec<Plane>,
        is_full_range: bool,
    },
}

/// A plane's size, and what of the image one of its samples stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plane {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Samples per pixel of the image in the file.
    pub(crate) factor: (f64, f64),
}

/// Takes what a decoder makes, in order from top to bottom for each plane.
pub(crate) trait Sink {
    /// Comes first; once more where another decoder begins anew. The planes may be smaller than the header says.
    fn begin(&mut self, layout: &Layout) -> Result<()>;
    /// Whole rows.
    fn rows(&mut self, plane: usize, bytes: &[u8]) -> Result<()>;
}

/// What a decoder may leave out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DecodeOptions {
    /// The decoded image may be smaller by this factor in each direction, at most.
    pub(crate) reduction_max: f64,
    /// Pixels side by side, no planes: they are to be converted before they are scaled.
    pub(crate) is_packed: bool,
    /// Chroma is wanted as finely as luma.
    pub(crate) has_fine_chroma: bool,
    /// A damaged file is shown as far as it goes.
    pub(crate) shows_damage: bool,
    /// Memory that may be taken.
    pub(crate) memory_max: u64,
}

/// A source.
pub(crate) enum Data {
    Bytes(Vec<u8>),
    /// PNG only, which is read piece by piece.
    File {
        file: File,
        len: u64,
    },
}

impl Data {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { len, .. } => *len,
        }
    }

    /// How many bytes of it are in memory.
    pub(crate) fn held(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { .. } => 128 << 10,
        }
    }

    /// Nothing of a file that is read piece by piece.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::File { .. } => &[],
        }
    }
}

/// Reads the header, whatever the format is.
pub(crate) fn header(source: &Data, limits: &crate::config::Limits) -> Result<Header> {
    let data = source.bytes();
    let format = match source {
        Data::Bytes(bytes) => sniff(bytes),
        Data::File { .. } => Some(Format::Png),
    };
    let Some(format) = format else {
        return Err(Trouble::new(
            "unsupported_format",
            match other_format(data) {
                Some(name) => {
                    format!("the source is {name}; only JPEG, PNG, WebP, GIF and AVIF can be read")
                }
                None => "the source is not a JPEG, PNG, WebP, GIF or AVIF file".to_owned(),
            },
        ));
    };
    guarded(format, || match format {
        Format::Jpeg => jpeg::header(data),
        Format::Png => png::header(source),
        Format::Webp => webp::header(data),
        Format::Gif => gif::header(data, limits),
        Format::Avif => avif::header(data),
    })
}

/// Runs what reads a file of this format. A panic means that the file is broken.
pub(crate) fn guarded<R>(format: Format, read: impl FnOnce() -> Result<R>) -> Result<R> {
    caught(read).unwrap_or_else(|| {
        let reason = "its decoder can't make sense of it";
        Err(Trouble::broken(format.name(), reason))
    })
}

/// How much memory decoding takes, beyond the file and what the sink keeps.
pub(crate) fn memory(header: &Header) -> u64 {
    match header.format {
        Format::Jpeg => jpeg::memory(header),
        Format::Png => png::memory(header),
        Format::Webp => webp::memory(header),
        Format::Gif => gif::memory(header),
        Format::Avif => avif::memory(header),
    }
}

/// Decodes the image, or the first frame.
pub(crate) fn decode(
    header: &Header,
    source: &Data,
    options: &DecodeOptions,
    sink: &mut dyn Sink,
    task: &Task,
) -> Result<()> {
    let data = source.bytes();
    guarded(header.format, || match header.format {
        Format::Jpeg => jpeg::decode(header, data, options, sink, task),
        Format::Png => png::decode(source, options, sink, task),
        Format::Webp => webp::decode(header, data, options, sink, task),
        Format::Gif => gif::decode(header, data, sink, task),
        Format::Avif => avif::decode(header, data, options, sink, task),
    })
}

/// What a file is that can't be read, as far as its first bytes tell.
fn other_format(data: &[u8]) -> Option<&'static str> {
    let start = data.get(..data.len().min(512)).unwrap_or_default();
    let has = |text: &[u8]| start.windows(text.len()).any(|window| window == text);
    match data {
        [] => Some("empty"),
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Some("TIFF, or a camera's raw file"),
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some("BMP"),
        [0, 0, 1, 0, ..] => Some("ICO"),
        [b'8', b'B', b'P', b'S', ..] => Some("PSD"),
        [b'%', b'P', b'D', b'F', ..] => Some("PDF"),
        [0xFF, 0x0A, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => Some("JPEG XL"),
        [0, 0, 0, 12, b'j', b'P', ..] => Some("JPEG 2000"),
        [_, _, _, _, b'f', b't', b'y', b'p', ..]
            if has(b"heic") || has(b"heix") || has(b"mif1") =>
        {
            Some("HEIC")
        }
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some("a video"),
        _ if has(b"<svg") => Some("SVG"),
        _ if has(b"<html") || has(b"<HTML") => Some("HTML"),
        _ => None,
    }
}

/// The format by the first bytes.
pub(crate) fn sniff(data: &[u8]) -> Option<Format> {
    match data {
        [0xFF, 0xD8, 0xFF, ..] => Some(Format::Jpeg),
        [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => Some(Format::Png),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some(Format::Webp),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
        _ if isobmff::is_avif(data) => Some(Format::Avif),
        _ => None,
    }
}
