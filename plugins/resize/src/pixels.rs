//! Pixels in memory.

use fast_image_resize::PixelType;

use crate::error::{Result, Trouble};

/// Rows of pixels without gaps, 1 to 4 channels of 8 or 16 bits (native order).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pixels {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) kind: Kind,
    /// Words, so that it is aligned for both depths.
    store: Vec<u16>,
}

/// What a pixel is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) channels: usize,
    pub(crate) is_16_bit: bool,
}

impl Kind {
    pub(crate) const fn of(channels: usize, is_16_bit: bool) -> Self {
        Self {
            channels,
            is_16_bit,
        }
    }

    pub(crate) const fn bytes(self) -> usize {
        if self.is_16_bit {
            self.channels * 2
        } else {
            self.channels
        }
    }

    /// Grey with alpha, and colours with alpha. CMYK has four channels as well, but never stands beside alpha.
    pub(crate) fn pixel_type(self) -> PixelType {
        match (self.channels, self.is_16_bit) {
            (1, false) => PixelType::U8,
            (2, false) => PixelType::U8x2,
            (3, false) => PixelType::U8x3,
            (_, false) => PixelType::U8x4,
            (1, true) => PixelType::U16,
            (2, true) => PixelType::U16x2,
            (3, true) => PixelType::U16x3,
            (_, true) => PixelType::U16x4,
        }
    }
}

impl Pixels {
    /// Black, or transparent.
    pub(crate) fn new(width: usize, height: usize, kind: Kind) -> Result<Self> {
        let len = width
            .checked_mul(height)
            .and_then(|len| len.checked_mul(kind.bytes()));
        let len = len.ok_or_else(|| Trouble::no_memory("hold the image"))?;
        let mut store = Vec::new();
        let words = len.div_ceil(2);
        store
            .try_reserve_exact(words)
            .map_err(|_| Trouble::no_memory("hold the image"))?;
        store.resize(words, 0);
        Ok(Self {
            width,
            height,
            kind,
            store,
        })
    }

    pub(crate) fn stride(&self) -> usize {
        self.width * self.kind.bytes()
    }

    fn len(&self) -> usize {
        self.stride() * self.height
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.store)[..self.len()]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        &mut bytemuck::cast_slice_mut(&mut self.store)[..len]
    }

    /// The samples of a 16-bit image.
    pub(crate) fn words(&self) -> &[u16] {
        &self.store[..self.len() / 2]
    }

    /// The samples of a 16-bit image.
    pub(crate) fn words_mut(&mut self) -> &mut [u16] {
        let len = self.len() / 2;
        &mut self.store[..len]
    }

    pub(crate) fn row(&self, row: usize) -> &[u8] {
        let stride = self.stride();
        &self.bytes()[row * stride..][..stride]
    }

    pub(crate) fn rows_mut(&mut self, first: usize, count: usize) -> &mut [u8] {
        let stride = self.stride();
        &mut self.bytes_mut()[first * stride..][..count * stride]
    }

    /// The same in 8 bits.
    pub(crate) fn to_8_bit(&self) -> Result<Self> {
        let mut narrow = Self::new(self.width, self.height, Kind::of(self.kind.channels, false))?;
        for (to, from) in narrow.bytes_mut().iter_mut().zip(self.words()) {
            *to = narrow_sample(*from);
        }
        Ok(narrow)
    }

    /// The same in 16 bits.
    pub(crate) fn to_16_bit(&self) -> Result<Self> {
        let mut wide = Self::new(self.width, self.height, Kind::of(self.kind.channels, true))?;
        for (to, from) in wide.words_mut().iter_mut().zip(self.bytes()) {
            *to = u16::from(*from) * 257;
        }
        Ok(wide)
    }
}

/// 16 bits to 8, rounded.
pub(crate) fn narrow_sample(sample: u16) -> u8 {
    let rounded = (u32::from(sample) * 255 + 32_895) >> 16;
    u8::try_from(rounded).unwrap_or(u8::MAX)
}

/// An image between decoder and encoder.
#[derive(Clone, Debug)]
pub(crate) enum Picture {
    /// Pixels with all channels side by side: grey, grey and alpha, RGB, RGBA (never premultiplied), or inks.
    Packed(Pixels),
    /// Luma and two chroma planes, each of its own size; with one plane, grey. Full range, BT.601, 8 bits.
    Planes(Vec<Pixels>),
}
