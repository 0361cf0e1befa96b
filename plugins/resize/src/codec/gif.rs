//! GIF by the crate `gif`: its frames laid over each other here.

use std::io::Cursor;

use ::gif::{
    ColorOutput, DecodeOptions, DisposalMethod, Encoder, Frame as GifFrame, MemoryLimit, Repeat,
};
use plugin_api::Task;

use crate::{
    args::Format,
    codec::{Header, Sink, webp, webp::Frame},
    color::Space,
    colorimetry::Colorimetry,
    config::Limits,
    error::{Result, Trouble},
    metadata::Attached,
    pixels::{Kind, Pixels},
};

/// Longer sides don't fit into the format.
pub(crate) const SIDE_MAX: usize = 65_535;

/// What a walk over the blocks of a file finds.
#[derive(Default)]
struct Blocks {
    frames: usize,
    is_interlaced: bool,
    /// Pixels of the largest frame, which may be larger than the image.
    frame_pixels: u64,
    /// How far the first frame reaches, to the right and down.
    first_reach: (usize, usize),
    /// It ends within a frame, or after one that is none.
    is_cut: bool,
}

fn side(data: &[u8], at: usize) -> Option<usize> {
    match data.get(at..at + 2) {
        Some(&[low, high]) => Some(usize::from(u16::from_le_bytes([low, high]))),
        _ => None,
    }
}

/// Counts the frames without decoding any. Frames that are not whole don't count.
fn walk(data: &[u8], frames_max: usize) -> Option<Blocks> {
    let table = |flags: u8| {
        if flags & 0x80 == 0 {
            0
        } else {
            3 << ((flags & 7) + 1)
        }
    };
    let skip_sub_blocks = |mut at: usize| loop {
        let len = usize::from(*data.get(at)?);
        at += 1 + len;
        if len == 0 {
            return Some(at);
        }
    };
    let mut blocks = Blocks::default();
    let mut at = 13 + table(*data.get(10)?);
    while blocks.frames <= frames_max {
        let next = match data.get(at) {
            Some(0x21) => skip_sub_blocks(at + 2),
            Some(0x2C) => {
                let flags = data.get(at + 9).copied();
                let side = |at: usize| side(data, at).unwrap_or(0);
                let (width, height) = (side(at + 5), side(at + 7));
                let pixels = width as u64 * height as u64;
                blocks.frame_pixels = blocks.frame_pixels.max(pixels);
                if blocks.frames == 0 {
                    blocks.first_reach = (side(at + 1) + width, side(at + 3) + height);
                }
                let end = flags.and_then(|flags| skip_sub_blocks(at + 11 + table(flags)));
                if end.is_some() {
                    blocks.frames += 1;
                    blocks.is_interlaced |= flags.is_some_and(|flags| flags & 0x40 != 0);
                }
                end
            }
            // The end, or the end of what there is: whoever wrote no last byte left out no pixel.
            Some(0x3B) | None => break,
            Some(_) => None,
        };
        match next {
            Some(next) => at = next,
            None => {
                blocks.is_cut = true;
                break;
            }
        }
    }
    Some(blocks)
}

pub(crate) fn header(data: &[u8], limits: &Limits) -> Result<Header> {
    let frames_max = usize::try_from(limits.frames_max).unwrap_or(usize::MAX);
    let sides = (side(data, 6), side(data, 8));
    let ((Some(width), Some(height)), Some(blocks)) = (sides, walk(data, frames_max)) else {
        return Err(Trouble::broken("GIF", "it ends within its header"));
    };
    // An image is as large as its first frame, whatever it says, to browsers and to all others.
    let (width, height) = (
        width.max(blocks.first_reach.0),
        height.max(blocks.first_reach.1),
    );
    if width == 0 || height == 0 {
        return Err(Trouble::broken("GIF", "it has no pixels"));
    }
    if blocks.frames == 0 {
        return Err(Trouble::broken("GIF", "it has no whole frame"));
    }
    if blocks.frame_pixels > limits.pixels_max {
        return Err(Trouble::limit(
            "too_many_pixels",
            "a frame of the source has too many pixels",
            "pixels_max",
            limits.pixels_max,
            blocks.frame_pixels,
        ));
    }
    Ok(Header {
        format: Format::Gif,
        width,
        height,
        space: Space::Palette,
        bit_depth: 8,
        has_alpha: true,
        frames: blocks.frames,
        is_cut: blocks.is_cut,
        is_progressive: blocks.is_interlaced,
        colorimetry: Colorimetry::Srgb,
        attached: Attached::default(),
        container_orientation: None,
        is_lossless: true,
    })
}

pub(crate) fn memory(header: &Header) -> u64 {
    // Two canvases, one frame.
    header.pixels() * 9 + (1 << 20)
}

pub(crate) fn decode(header: &Header, data: &[u8], sink: &mut dyn Sink, task: &Task) -> Result<()> {
    let mut frames = Frames::open(header, data)?;
    let Some(frame) = frames.next(task)? else {
        return Err(Trouble::broken("GIF", "it has no frames"));
    };
    webp::push_frame(&frame.pixels, sink)
}

fn wrong(error: &::gif::DecodingError) -> Trouble {
    Trouble::broken("GIF", error)
}

/// The frames of an animation, each with what shows through of those before it.
pub(crate) struct Frames<'a> {
    decoder: ::gif::Decoder<Cursor<&'a [u8]>>,
    canvas: Pixels,
    /// What becomes of the canvas before the next frame: a part that is cleared, or all of it as it was.
    cleared: Option<Rect>,
    restored: Option<Pixels>,
    left: usize,
}

#[derive(Clone, Copy)]
struct Rect {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl<'a> Frames<'a> {
    pub(crate) fn open(header: &Header, data: &'a [u8]) -> Result<Self> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        options.set_memory_limit(MemoryLimit::Unlimited);
        // The standard has extensions that nobody knows skipped.
        options.allow_unknown_blocks(true);
        let decoder = options
            .read_info(Cursor::new(data))
            .map_err(|error| wrong(&error))?;
        Ok(Self {
            decoder,
            canvas: Pixels::new(header.width, header.height, Kind::of(4, false))?,
            cleared: None,
            restored: None,
            left: header.frames,
        })
    }

    /// How often it plays; 0 is for ever.
    pub(crate) fn loops(&self) -> u16 {
        match self.decoder.repeat() {
            Repeat::Infinite => 0,
            Repeat::Finite(times) => times.saturating_add(1),
        }
    }

    pub(crate) fn next(&mut self, task: &Task) -> Result<Option<Frame>> {
        task.check()?;
        // The walk over the blocks counted the whole ones; what follows them is missing something.
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let Some(frame) = self
            .decoder
            .next_frame_info()
            .map_err(|error| wrong(&error))?
        else {
            return Ok(None);
        };
        let rect = Rect {
            left: usize::from(frame.left),
            top: usize::from(frame.top),
            width: usize::from(frame.width),
            height: usize::from(frame.height),
        };
        let (dispose, transparent, delay) = (frame.dispose, frame.transparent, frame.delay);
        let len = self.decoder.buffer_size();
        let mut indices = Vec::new();
        indices
            .try_reserve_exact(len)
            .map_err(|_| Trouble::no_memory("decode a frame"))?;
        indices.resize(len, 0);
        self.decoder
            .read_into_buffer(&mut indices)
            .map_err(|error| wrong(&error))?;
        if let Some(restored) = self.restored.take() {
            self.canvas = restored;
        }
        if let Some(cleared) = self.cleared.take() {
            fill(&mut self.canvas, cleared);
        }
        match dispose {
            DisposalMethod::Background => self.cleared = Some(rect),
            DisposalMethod::Previous => self.restored = Some(self.canvas.clone()),
            DisposalMethod::Any | DisposalMethod::Keep => {}
        }
        let palette = self.decoder.palette().map_err(|error| wrong(&error))?;
        draw(&mut self.canvas, rect, &indices, palette, transparent);
        // Every browser takes a hundredth of a second, or less, for a tenth.
        let duration_ms = if delay < 2 {
            100
        } else {
            u32::from(delay) * 10
        };
        Ok(Some(Frame {
            pixels: self.canvas.clone(),
            duration_ms,
        }))
    }
}

/// What of `rect` lies in the canvas: how far to the right, and how far down. The rest isn't seen.
fn ends(canvas: &Pixels, rect: Rect) -> (usize, usize) {
    let right = (rect.left + rect.width).min(canvas.width);
    let bottom = (rect.top + rect.height).min(canvas.height);
    (right, bottom)
}

fn fill(canvas: &mut Pixels, rect: Rect) {
    let (right, bottom) = ends(canvas, rect);
    if rect.left >= right {
        return;
    }
    for y in rect.top..bottom {
        canvas.rows_mut(y, 1)[rect.left * 4..right * 4].fill(0);
    }
}

fn draw(canvas: &mut Pixels, rect: Rect, indices: &[u8], palette: &[u8], transparent: Option<u8>) {
    let (colors, _) = palette.as_chunks::<3>();
    let (right, bottom) = ends(canvas, rect);
    if rect.left >= right {
        return;
    }
    for (y, row) in indices
        .chunks_exact(rect.width.max(1))
        .take(bottom.saturating_sub(rect.top))
        .enumerate()
    {
        let line = &mut canvas.rows_mut(rect.top + y, 1)[rect.left * 4..right * 4];
        let (pixels, _) = line.as_chunks_mut::<4>();
        for (index, pixel) in row.iter().zip(pixels) {
            if Some(*index) == transparent {
                continue;
            }
            // What is beyond the table is black, as in PNG and to browsers.
            let [r, g, b] = colors.get(usize::from(*index)).unwrap_or(&[0; 3]);
            *pixel = [*r, *g, *b, 255];
        }
    }
}

/// Writes one frame or many.
pub(crate) struct Animation {
    encoder: Encoder<Vec<u8>>,
    size: (u16, u16),
    frames: usize,
    clock: Clock,
    /// The frame before the next: how it is left depends on what comes after it.
    waiting: Option<Waiting>,
    /// What is shown before the waiting frame; nothing where it was cleared.
    shown: Option<Vec<u8>>,
}

/// A frame as it is to be seen, RGBA of the whole image, and its time in hundredths of a second.
struct Waiting {
    pixels: Vec<u8>,
    delay: u16,
}

/// Times of frames in hundredths of a second, none of them so short that browsers take it for a tenth. What is rounded
/// off one is added to the next.
#[derive(Default)]
struct Clock {
    wanted_ms: u64,
    /// Where the file is, in hundredths of a second.
    now: u64,
}

impl Clock {
    /// The shortest time that browsers keep to.
    const SHORTEST: u64 = 2;

    fn delay(&mut self, duration_ms: u32) -> u16 {
        self.wanted_ms += u64::from(duration_ms);
        let end = (self.wanted_ms + 5) / 10;
        let delay = end.saturating_sub(self.now).max(Self::SHORTEST);
        let delay = u16::try_from(delay).unwrap_or(u16::MAX);
        self.now += u64::from(delay);
        delay
    }
}

impl Animation {
    pub(crate) fn new((width, height): (usize, usize), loops: Option<u16>) -> Result<Self> {
        let side = |len: usize| {
            u16::try_from(len).map_err(|_| Trouble::encoding("GIF", "its sides would be too long"))
        };
        let size = (side(width)?, side(height)?);
        let failed = |error: ::gif::EncodingError| Trouble::encoding("GIF", error);
        let mut encoder = Encoder::new(Vec::new(), size.0, size.1, &[]).map_err(failed)?;
        match loops {
            None => {}
            Some(0) => encoder.set_repeat(Repeat::Infinite).map_err(failed)?,
            Some(loops) => encoder
                .set_repeat(Repeat::Finite(loops - 1))
                .map_err(failed)?,
        }
        Ok(Self {
            encoder,
            size,
            frames: 0,
            clock: Clock::default(),
            waiting: None,
            shown: None,
        })
    }

    /// Adds RGBA. There is no half of transparency in GIF.
    pub(crate) fn add(&mut self, pixels: &Pixels, duration_ms: u32, task: &Task) -> Result<()> {
        task.check()?;
        let mut bytes = pixels.bytes().to_vec();
        let (all, _) = bytes.as_chunks_mut::<4>();
        for pixel in all {
            *pixel = if pixel[3] < 128 {
                [0; 4]
            } else {
                [pixel[0], pixel[1], pixel[2], 255]
            };
        }
        let delay = if duration_ms > 0 || self.frames > 0 {
            self.clock.delay(duration_ms)
        } else {
            0
        };
        self.frames += 1;
        let next = Waiting {
            pixels: bytes,
            delay,
        };
        if let Some(waiting) = self.waiting.replace(next) {
            let is_cleared = self
                .waiting
                .as_ref()
                .is_some_and(|next| vanishes(&waiting.pixels, &next.pixels));
            self.write(waiting, is_cleared)?;
        }
        Ok(())
    }

    /// Writes what differs from what is shown, or all of it where the image is cleared afterwards.
    fn write(&mut self, waiting: Waiting, is_cleared: bool) -> Result<()> {
        let (width, height) = (usize::from(self.size.0), usize::from(self.size.1));
        let whole = Rect {
            left: 0,
            top: 0,
            width,
            height,
        };
        let (rect, mut part) = match &self.shown {
            Some(shown) if !is_cleared => difference(shown, &waiting.pixels, width),
            _ => (whole, waiting.pixels.clone()),
        };
        let side = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        let mut frame =
            GifFrame::from_rgba_speed(side(rect.width), side(rect.height), &mut part, 10);
        (frame.left, frame.top) = (side(rect.left), side(rect.top));
        frame.delay = waiting.delay;
        frame.dispose = if is_cleared {
            DisposalMethod::Background
        } else {
            DisposalMethod::Keep
        };
        self.shown = (!is_cleared).then_some(waiting.pixels);
        self.encoder
            .write_frame(&frame)
            .map_err(|error| Trouble::encoding("GIF", error))
    }

    /// The file, and how many frames it has.
    pub(crate) fn finish(mut self) -> Result<(Vec<u8>, usize)> {
        if let Some(waiting) = self.waiting.take() {
            // The first frame follows the last, and may be transparent where this one is not.
            self.write(waiting, false)?;
        }
        let file = self.encoder.into_inner();
        let file = file.map_err(|error| Trouble::encoding("GIF", error))?;
        Ok((file, self.frames))
    }
}

/// Whether anything that is seen in one frame is transparent in the next, which only clearing makes so.
fn vanishes(shown: &[u8], next: &[u8]) -> bool {
    let alphas = |pixels: &[u8]| {
        pixels
            .iter()
            .skip(3)
            .step_by(4)
            .copied()
            .collect::<Vec<_>>()
    };
    alphas(shown)
        .into_iter()
        .zip(alphas(next))
        .any(|(shown, next)| shown > next)
}

/// The part of `next` in which it differs from what is shown, transparent where it doesn't.
fn difference(shown: &[u8], next: &[u8], width: usize) -> (Rect, Vec<u8>) {
    let ((old, _), (new, _)) = (shown.as_chunks::<4>(), next.as_chunks::<4>());
    // Of no difference, one pixel is written: a frame has at least that.
    let (mut left, mut right, mut top, mut bottom) = (width, 0, usize::MAX, 0);
    for (at, (old, new)) in old.iter().zip(new).enumerate() {
        if old != new {
            let (x, y) = (at % width, at / width);
            (left, right) = (left.min(x), right.max(x + 1));
            (top, bottom) = (top.min(y), bottom.max(y + 1));
        }
    }
    if right == 0 {
        (left, right, top, bottom) = (0, 1, 0, 1);
    }
    let mut part = Vec::with_capacity((right - left) * (bottom - top) * 4);
    for y in top..bottom {
        for at in y * width + left..y * width + right {
            let pixel = if old[at] == new[at] { [0; 4] } else { new[at] };
            part.extend_from_slice(&pixel);
        }
    }
    let rect = Rect {
        left,
        top,
        width: right - left,
        height: bottom - top,
    };
    (rect, part)
}
