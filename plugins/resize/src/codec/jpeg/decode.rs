//! JPEG files read.
#![expect(unsafe_code, reason = "libjpeg-turbo is a C library")]

use std::{
    ffi::{CStr, c_int},
    marker::PhantomData,
    ptr,
};

use plugin_api::Task;

use super::raw::{
    NO_MEMORY, RawDecoder, RawHeader, RawLayout, STOPPED, UNSUPPORTED, context, is_stopped,
    rz_decoder_close, rz_decoder_header, rz_decoder_is_damaged, rz_decoder_message,
    rz_decoder_open, rz_decoder_read_planes, rz_decoder_read_rows, rz_decoder_start, stopped,
};
use crate::{
    args::Format,
    codec::{DecodeOptions, Header, Layout, Plane, Sink, baseline},
    color::Space,
    colorimetry::Colorimetry,
    error::{Result, Trouble},
    metadata,
    pixels::{Kind, Pixels},
    scale::to_u32,
};

/// A decoder, which holds on to the file's bytes and to the task.
struct Decoder<'a> {
    raw: *mut RawDecoder,
    borrows: PhantomData<&'a [u8]>,
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        // SAFETY: it was opened, and is closed only here.
        unsafe { rz_decoder_close(self.raw) };
    }
}

impl<'a> Decoder<'a> {
    fn open(data: &'a [u8], memory_max: u64) -> Result<Self> {
        let memory_max = usize::try_from(memory_max)
            .unwrap_or(usize::MAX)
            .min(1 << 40);
        // SAFETY: the slice outlives the decoder by its lifetime.
        let raw = unsafe { rz_decoder_open(data.as_ptr(), data.len(), memory_max) };
        if raw.is_null() {
            return Err(Trouble::no_memory("decode the image"));
        }
        Ok(Self {
            raw,
            borrows: PhantomData,
        })
    }

    fn message(&self) -> String {
        // SAFETY: the decoder is open, and its message ends with NUL.
        unsafe { CStr::from_ptr(rz_decoder_message(self.raw)) }
            .to_string_lossy()
            .into_owned()
    }

    fn check(&self, code: c_int, task: Option<&Task>) -> Result<c_int> {
        match code {
            STOPPED => Err(stopped(task)),
            NO_MEMORY => Err(Trouble::new(
                "too_much_memory",
                "the JPEG file needs more memory to decode than `memory_max` allows",
            )),
            UNSUPPORTED => Err(Trouble::unsupported("JPEG", self.message())),
            code if code < 0 => Err(Trouble::broken("JPEG", self.message())),
            code => Ok(code),
        }
    }

    /// Pixels that are missing are made up by the library; nobody asked for that.
    fn check_damage(&self) -> Result<()> {
        // SAFETY: the decoder is open.
        if unsafe { rz_decoder_is_damaged(self.raw) } != 0 {
            return Err(Trouble::broken("JPEG", self.message()));
        }
        Ok(())
    }

    fn header(&mut self) -> Result<RawHeader> {
        let mut header = RawHeader::default();
        // SAFETY: the decoder is open, and the header is as jpeg.c declares it.
        let code = unsafe { rz_decoder_header(self.raw, &raw mut header) };
        self.check(code, None)?;
        Ok(header)
    }

    fn start(&mut self, space: Option<u32>, denominator: u32, task: &Task) -> Result<RawLayout> {
        let mut layout = RawLayout::default();
        let planes = c_int::from(space.is_none());
        // SAFETY: the decoder is open, and the task outlives every call that may look at it.
        let code = unsafe {
            rz_decoder_start(
                self.raw,
                planes,
                space.unwrap_or(0),
                denominator,
                is_stopped,
                context(task),
                &raw mut layout,
            )
        };
        self.check(code, Some(task))?;
        Ok(layout)
    }
}

pub(crate) fn header(data: &[u8]) -> Result<Header> {
    let raw = Decoder::open(data, 64 << 20)?.header()?;
    let space = match raw.color_space {
        1 => Space::Grey,
        2 => Space::Rgb,
        3 => Space::YCbCr,
        4 => Space::Cmyk,
        5 => Space::Ycck,
        _ => {
            return Err(Trouble::unsupported(
                "JPEG",
                format_args!("{} channels", raw.components),
            ));
        }
    };
    if raw.precision != 8 {
        return Err(Trouble::unsupported(
            "JPEG",
            format_args!("{} bits a sample", raw.precision),
        ));
    }
    let mut attached = metadata::jpeg::attached(data);
    Ok(Header {
        format: Format::Jpeg,
        width: raw.width as usize,
        height: raw.height as usize,
        space,
        bit_depth: 8,
        has_alpha: false,
        frames: 1,
        is_cut: false,
        is_progressive: raw.progressive != 0,
        colorimetry: Colorimetry::of_icc(attached.icc.take()),
        attached,
        container_orientation: None,
        frame_pixels: None,
        is_lossless: false,
    })
}

/// The factor by which a picture is reduced while it is decoded.
fn denominator(options: &DecodeOptions) -> u32 {
    match options.reduction_max {
        reduction if reduction >= 8.0 => 8,
        reduction if reduction >= 4.0 => 4,
        reduction if reduction >= 2.0 => 2,
        _ => 1,
    }
}

/// A factor, at most `denominator`, at which libjpeg leaves as much of every component as the target has pixels, or half
/// as many in each direction where that is all it wants. Components that are smaller it reduces less, but only where
/// they are smaller in both directions.
fn with_enough_chroma(raw: &RawHeader, denominator: u32, is_fine: bool) -> u32 {
    let count = raw.components.min(4) as usize;
    let (h, v) = (&raw.h[..count], &raw.v[..count]);
    let (h_max, v_max) = (max(h), max(v));
    let (wanted, times) = (8 / denominator, if is_fine { 1 } else { 2 });
    let is_enough = |denominator: u32| {
        let side = 8 / denominator;
        h.iter().zip(v).all(|(h, v)| {
            let mut own = side;
            while own < 8
                && (h_max * side).is_multiple_of((h * own * 2).max(1))
                && (v_max * side).is_multiple_of((v * own * 2).max(1))
            {
                own *= 2;
            }
            h * own * times >= h_max * wanted && v * own * times >= v_max * wanted
        })
    };
    let mut denominator = denominator;
    while denominator > 1 && !is_enough(denominator) {
        denominator /= 2;
    }
    denominator
}

pub(crate) fn memory(header: &Header) -> u64 {
    let channels = match header.space {
        Space::Grey => 1,
        Space::Cmyk | Space::Ycck => 4,
        _ => 3,
    };
    // Progressive files are gathered as coefficients of two bytes; others pass in rows of MCUs.
    let coefficients = if header.is_progressive {
        header.pixels() * channels * 2
    } else {
        0
    };
    coefficients + header.width as u64 * channels * 64 + (1 << 20)
}

pub(crate) fn decode(
    header: &Header,
    data: &[u8],
    options: &DecodeOptions,
    sink: &mut dyn Sink,
    task: &Task,
) -> Result<()> {
    let denominator = denominator(options);
    let is_planes = matches!(header.space, Space::Grey | Space::YCbCr) && !options.is_packed;
    if denominator > 1 && is_planes && !header.is_progressive {
        let side = 8 / denominator as usize;
        match baseline::decode(data, side, options.has_fine_chroma, sink, task) {
            Ok(()) => return Ok(()),
            Err(baseline::End::Trouble(trouble)) => return Err(trouble),
            Err(baseline::End::Unfit) => {}
        }
    }
    let mut decoder = Decoder::open(data, options.memory_max)?;
    let raw = decoder.header()?;
    let denominator = with_enough_chroma(&raw, denominator, options.has_fine_chroma);
    let packed = match header.space {
        Space::Grey if options.is_packed => Some((1, 1)),
        Space::YCbCr if options.is_packed => Some((2, 3)),
        Space::Grey | Space::YCbCr => None,
        Space::Cmyk | Space::Ycck => Some((4, 4)),
        _ => Some((2, 3)),
    };
    match packed {
        Some((space, channels)) => {
            decode_packed(
                &mut decoder,
                header,
                (space, channels),
                denominator,
                sink,
                task,
            )?;
        }
        None => decode_planes(&mut decoder, header, denominator, sink, task)?,
    }
    if options.shows_damage {
        return Ok(());
    }
    decoder.check_damage()
}

fn decode_packed(
    decoder: &mut Decoder<'_>,
    header: &Header,
    (space, channels): (u32, usize),
    denominator: u32,
    sink: &mut dyn Sink,
    task: &Task,
) -> Result<()> {
    let layout = decoder.start(Some(space), denominator, task)?;
    let (width, height) = (layout.width as usize, layout.height as usize);
    let kind = Kind::of(channels, false);
    let space = if space == 2 { Space::Rgb } else { header.space };
    let factor = 1.0 / f64::from(denominator);
    sink.begin(&Layout::Packed {
        kind,
        width,
        height,
        factor,
        space,
    })?;
    let mut rows = Pixels::new(width, 16, kind)?;
    let stride = rows.stride();
    let mut done = 0;
    while done < height {
        let count = (height - done).min(16);
        // SAFETY: the buffer has room for 16 rows of that stride.
        let code = unsafe {
            rz_decoder_read_rows(
                decoder.raw,
                rows.bytes_mut().as_mut_ptr(),
                stride,
                to_u32(count),
            )
        };
        let read = usize::try_from(decoder.check(code, Some(task))?).unwrap_or(0);
        if read == 0 {
            return Err(Trouble::broken("JPEG", "it ends before its last row"));
        }
        sink.rows(0, &rows.bytes()[..read * stride])?;
        done += read;
    }
    Ok(())
}

fn decode_planes(
    decoder: &mut Decoder<'_>,
    header: &Header,
    denominator: u32,
    sink: &mut dyn Sink,
    task: &Task,
) -> Result<()> {
    let layout = decoder.start(None, denominator, task)?;
    let count = if header.space == Space::Grey { 1 } else { 3 };
    let size = |i: usize| (layout.widths[i] as usize, layout.heights[i] as usize);
    let sizes: Vec<_> = (0..count).map(size).collect();
    // Luma has the most samples of all; the others' share is told by how large their blocks came out.
    let (h_max, v_max) = (max(&layout.h[..count]), max(&layout.v[..count]));
    let planes = (0..count).map(|i| {
        let share =
            |samples: u32, most: u32| f64::from(samples * layout.dct[i]) / f64::from(most * 8);
        let factor = (share(layout.h[i], h_max), share(layout.v[i], v_max));
        Plane {
            width: sizes[i].0,
            height: sizes[i].1,
            factor,
        }
    });
    sink.begin(&Layout::Planes {
        planes: planes.collect(),
        is_full_range: true,
    })?;
    let mut buffers: Vec<Vec<u8>> = (0..count)
        .map(|i| vec![0; layout.strides[i] as usize * layout.plane_rows[i] as usize])
        .collect();
    let mut done = vec![0; count];
    let mut row = 0;
    while row < layout.height {
        let mut planes = [ptr::null_mut(); 4];
        for (plane, buffer) in planes.iter_mut().zip(&mut buffers) {
            *plane = buffer.as_mut_ptr();
        }
        // SAFETY: each buffer has room for the rows and the stride that the decoder named.
        let code = unsafe { rz_decoder_read_planes(decoder.raw, &raw const planes) };
        decoder.check(code, Some(task))?;
        for (plane, buffer) in buffers.iter_mut().enumerate() {
            let (width, height) = sizes[plane];
            let stride = layout.strides[plane] as usize;
            let rows = (layout.plane_rows[plane] as usize).min(height - done[plane]);
            // The blocks' padding goes.
            if stride != width {
                for row in 1..rows {
                    buffer.copy_within(row * stride..row * stride + width, row * width);
                }
            }
            sink.rows(plane, &buffer[..rows * width])?;
            done[plane] += rows;
        }
        row += layout.rows;
    }
    Ok(())
}

fn max(factors: &[u32]) -> u32 {
    factors.iter().copied().max().unwrap_or(1).max(1)
}
