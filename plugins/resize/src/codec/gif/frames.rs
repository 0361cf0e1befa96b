//! The frames of a GIF file, each laid over those before it.

use std::io::Cursor;

use ::gif::{ColorOutput, DecodeOptions, DisposalMethod, MemoryLimit, Repeat};
use plugin_api::Task;

use super::Rect;
use crate::{
    codec::{Header, Sink, webp, webp::Frame},
    error::{Result, Trouble},
    pixels::{Kind, Pixels},
};

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
