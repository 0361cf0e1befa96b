//! Scales a plane while it is being decoded: rows go in, and as soon as there are enough of them for some rows of the
//! result, these are made. No more of the source is held than the filter reaches.

use fast_image_resize::{
    FilterType, PixelTrait, PixelType, ResizeAlg, ResizeError, ResizeOptions, Resizer,
    images::{Image, ImageRef},
    pixels,
};

use crate::{
    error::{Result, Trouble},
    pixels::{Kind, Pixels},
};

/// Lanczos3 reaches three pixels of the larger grid to either side.
const REACH: f64 = 3.0;
/// How many bytes of the source to gather, about, before some of the result is made.
const STRIP_LEN: usize = 256 << 10;

/// A part of an image, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Region {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Region {
    pub(crate) fn whole(width: usize, height: usize) -> Self {
        Self {
            x: 0.0,
            y: 0.0,
            width: to_f64(width),
            height: to_f64(height),
        }
    }

    /// The same in a plane that is `x` times as wide and `y` times as high.
    pub(crate) fn times(self, x: f64, y: f64) -> Self {
        Self {
            x: self.x * x,
            y: self.y * y,
            width: self.width * x,
            height: self.height * y,
        }
    }

    /// The part that lies in an image of this size. What lies outside is a matter of rounding.
    fn within(self, width: usize, height: usize) -> Self {
        let (width, height) = (to_f64(width), to_f64(height));
        let x = self.x.clamp(0.0, (width - 1e-3).max(0.0));
        let y = self.y.clamp(0.0, (height - 1e-3).max(0.0));
        Self {
            x,
            y,
            width: self.width.min(width - x),
            height: self.height.min(height - y),
        }
    }
}

/// Exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "images have fewer than 2^53 pixels"
)]
pub(crate) fn to_f64(value: usize) -> f64 {
    value as f64
}

/// How much of a region lies outside of an image, in whole pixels. The image's edge is repeated there.
#[derive(Clone, Copy)]
struct Margins {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Margins {
    fn new(region: Region, (width, height): (usize, usize)) -> Self {
        let beyond = |len: f64| match len {
            // A matter of rounding.
            ..1e-3 => 0,
            len => ceil(len - 1e-6),
        };
        Self {
            left: beyond(-region.x),
            right: beyond(region.x + region.width - to_f64(width)),
            top: beyond(-region.y),
            bottom: beyond(region.y + region.height - to_f64(height)),
        }
    }
}

/// Scales one plane, or the pixels of a packed image.
pub(crate) struct Scaler {
    kind: Kind,
    margins: Margins,
    /// The size of the source, without its margins.
    source: (usize, usize),
    /// How many rows of the source have been pushed.
    pushed: usize,
    /// The width of the source with its margins; what follows counts these as part of it.
    width: usize,
    height: usize,
    region: Region,
    resizer: Resizer,
    /// Rows of the source, from `first` on.
    rows: Pixels,
    first: usize,
    len: usize,
    /// How many rows of the source have been taken.
    seen: usize,
    /// Rows that are as high as in the result, and as wide as in the source.
    middle: Pixels,
    middle_len: usize,
    result: Pixels,
    /// How many rows have got into the middle.
    done: usize,
    strip: usize,
}

impl Scaler {
    /// For a source of this size, of which `region` becomes an image of `to_width` x `to_height`. What of the region lies
    /// outside of the source is as its edge.
    pub(crate) fn new(
        kind: Kind,
        source: (usize, usize),
        region: Region,
        (to_width, to_height): (usize, usize),
    ) -> Result<Self> {
        let margins = Margins::new(region, source);
        let width = margins.left + source.0 + margins.right;
        let height = margins.top + source.1 + margins.bottom;
        let region = Region {
            x: region.x + to_f64(margins.left),
            y: region.y + to_f64(margins.top),
            ..region
        };
        let region = region.within(width, height);
        let scale = region.height / to_f64(to_height);
        let reach = REACH * scale.max(1.0);
        let strip_rows = (STRIP_LEN / (width * kind.bytes()).max(1)).max(16);
        let strip = floor(to_f64(strip_rows) / scale).clamp(8, to_height.max(8));
        let rows = ceil(to_f64(strip) * scale + 2.0 * reach) + 4 + strip_rows;
        Ok(Self {
            kind,
            margins,
            source,
            pushed: 0,
            width,
            height,
            region,
            resizer: Resizer::new(),
            rows: Pixels::new(width, rows.min(height), kind)?,
            first: 0,
            len: 0,
            seen: 0,
            middle: Pixels::new(width, middle_rows(width, kind, strip).min(to_height), kind)?,
            middle_len: 0,
            result: Pixels::new(to_width, to_height, kind)?,
            done: 0,
            strip,
        })
    }

    /// Takes the next rows of the source, as many as there are in `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let stride = self.source.0 * self.kind.bytes();
        let count = bytes.len() / stride.max(1);
        if count == 0 {
            return Ok(());
        }
        if self.pushed == 0 {
            for _ in 0..self.margins.top {
                self.take(&bytes[..stride], stride)?;
            }
        }
        self.take(bytes, stride)?;
        self.pushed += count;
        if self.pushed == self.source.1 {
            for _ in 0..self.margins.bottom {
                self.take(&bytes[(count - 1) * stride..count * stride], stride)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, mut bytes: &[u8], stride: usize) -> Result<()> {
        while bytes.len() >= stride {
            let (from, _) = self.needed(self.done, 1);
            // Rows that nothing reaches any more, or not yet, are passed over.
            let unneeded = from.saturating_sub(self.seen).min(bytes.len() / stride);
            if unneeded > 0 && self.len == 0 {
                bytes = &bytes[unneeded * stride..];
                self.seen += unneeded;
                self.first = self.seen;
                continue;
            }
            if self.done == self.result.height {
                self.seen += bytes.len() / stride;
                return Ok(());
            }
            let count = (bytes.len() / stride).min(self.rows.height - self.len);
            let (now, later) = bytes.split_at(count * stride);
            self.copy_rows(now, count, stride);
            self.len += count;
            self.seen += count;
            bytes = later;
            self.make()?;
        }
        Ok(())
    }

    /// Puts rows behind those that are there, with their margins.
    fn copy_rows(&mut self, bytes: &[u8], count: usize, stride: usize) {
        let target = self.rows.rows_mut(self.len, count);
        if target.len() == bytes.len() {
            target.copy_from_slice(bytes);
            return;
        }
        let pixel = self.kind.bytes();
        let (begin, end) = (
            self.margins.left * pixel,
            self.margins.left * pixel + stride,
        );
        let rows = target.chunks_exact_mut(self.width * pixel);
        for (to, from) in rows.zip(bytes.chunks_exact(stride)) {
            to[begin..end].copy_from_slice(from);
            for left in to[..begin].chunks_exact_mut(pixel) {
                left.copy_from_slice(&from[..pixel]);
            }
            for right in to[end..].chunks_exact_mut(pixel) {
                right.copy_from_slice(&from[stride - pixel..]);
            }
        }
    }

    /// The rows of the source that `count` rows of the result from `row` on are made of.
    fn needed(&self, row: usize, count: usize) -> (usize, usize) {
        let scale = self.region.height / to_f64(self.result.height);
        let reach = REACH * scale.max(1.0) + 1.0;
        let top = self.region.y + to_f64(row) * scale;
        let bottom = self.region.y + to_f64(row + count) * scale;
        (floor(top - reach), ceil(bottom + reach).min(self.height))
    }

    /// Makes what can be made of the rows that are there.
    fn make(&mut self) -> Result<()> {
        loop {
            let left = self.result.height - self.done;
            if left == 0 {
                return Ok(());
            }
            let count = self.strip.min(left);
            let (from, to) = self.needed(self.done, count);
            if to > self.first + self.len {
                // Room for what is missing, at the expense of what is no longer needed.
                let stale = from.saturating_sub(self.first).min(self.len);
                if stale > 0 && self.len == self.rows.height {
                    self.drop_rows(stale);
                } else if self.len == self.rows.height && self.len < self.height {
                    self.grow(to - self.first)?;
                }
                return Ok(());
            }
            self.make_strip(count)?;
            self.done += count;
        }
    }

    fn drop_rows(&mut self, count: usize) {
        let stride = self.rows.stride();
        let end = self.len * stride;
        self.rows.bytes_mut().copy_within(count * stride..end, 0);
        self.first += count;
        self.len -= count;
    }

    fn grow(&mut self, rows: usize) -> Result<()> {
        let mut larger = Pixels::new(self.width, rows.min(self.height), self.kind)?;
        let len = self.len * self.rows.stride();
        larger.bytes_mut()[..len].copy_from_slice(&self.rows.bytes()[..len]);
        self.rows = larger;
        Ok(())
    }

    /// Makes rows of the right height.
    fn make_strip(&mut self, count: usize) -> Result<()> {
        let scale = self.region.height / to_f64(self.result.height);
        let top = (self.region.y + to_f64(self.done) * scale - to_f64(self.first)).max(0.0);
        let height = (to_f64(count) * scale).min(to_f64(self.len) - top);
        let len = self.len * self.rows.stride();
        let region = Region {
            x: 0.0,
            y: top,
            width: to_f64(self.width),
            height,
        };
        let target = self.middle.rows_mut(self.middle_len, count);
        resize(
            &mut self.resizer,
            self.kind,
            (&self.rows.bytes()[..len], self.width),
            region,
            (target, self.width),
        )?;
        self.middle_len += count;
        if self.middle_len + self.strip > self.middle.height
            || self.done + count == self.result.height
        {
            self.make_rows(self.done + count)?;
        }
        Ok(())
    }

    /// Makes rows of the result, up to `end`, of all that are in the middle.
    fn make_rows(&mut self, end: usize) -> Result<()> {
        let count = self.middle_len;
        let len = count * self.middle.stride();
        let region = Region {
            y: 0.0,
            height: to_f64(count),
            ..self.region
        };
        let to_width = self.result.width;
        let target = self.result.rows_mut(end - count, count);
        resize(
            &mut self.resizer,
            self.kind,
            (&self.middle.bytes()[..len], self.width),
            region,
            (target, to_width),
        )?;
        self.middle_len = 0;
        Ok(())
    }

    /// The result, once the whole source has been pushed.
    pub(crate) fn finish(self) -> Result<Pixels> {
        if self.done < self.result.height {
            return Err(Trouble::broken("source", "there are too few rows"));
        }
        Ok(self.result)
    }
}

/// How many rows to keep before they are made narrower: the weights are reckoned anew each time.
fn middle_rows(width: usize, kind: Kind, strip: usize) -> usize {
    strip
        .max(STRIP_LEN / (width * kind.bytes()).max(1))
        .max(128)
        + strip
}

/// Scales a region of rows into other rows.
fn resize(
    resizer: &mut Resizer,
    kind: Kind,
    (from, from_width): (&[u8], usize),
    region: Region,
    (to, to_width): (&mut [u8], usize),
) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| Trouble::encoding("scaled", error);
    let pixel_type = kind.pixel_type();
    let height = |len: usize, width: usize| to_u32(len / (width * kind.bytes()).max(1));
    let from_height = height(from.len(), from_width);
    let source = ImageRef::new(to_u32(from_width), from_height, from, pixel_type)
        .map_err(|error| failed(&error))?;
    let to_height = height(to.len(), to_width);
    let mut target = Image::from_slice_u8(to_u32(to_width), to_height, to, pixel_type)
        .map_err(|error| failed(&error))?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .crop(region.x, region.y, region.width, region.height)
        .use_alpha(false);
    // Only what there is: the library's own choice among all kinds of pixels takes a minute to compile.
    let (source, target) = (&source, &mut target);
    match pixel_type {
        PixelType::U8 => resize_as::<pixels::U8>(resizer, source, target, &options),
        PixelType::U8x3 => resize_as::<pixels::U8x3>(resizer, source, target, &options),
        PixelType::U8x4 => resize_as::<pixels::U8x4>(resizer, source, target, &options),
        PixelType::U16 => resize_as::<pixels::U16>(resizer, source, target, &options),
        PixelType::U16x2 => resize_as::<pixels::U16x2>(resizer, source, target, &options),
        PixelType::U16x3 => resize_as::<pixels::U16x3>(resizer, source, target, &options),
        _ => resize_as::<pixels::U16x4>(resizer, source, target, &options),
    }
    .map_err(|error| failed(&error))
}

fn resize_as<P: PixelTrait>(
    resizer: &mut Resizer,
    source: &ImageRef<'_>,
    target: &mut Image<'_>,
    options: &ResizeOptions,
) -> std::result::Result<(), ResizeError> {
    match (source.typed_image::<P>(), target.typed_image_mut::<P>()) {
        (Some(source), Some(mut target)) => resizer.resize_typed(&source, &mut target, options),
        _ => Err(ResizeError::PixelTypesAreDifferent),
    }
}

/// Sides of images are at most 2^31.
pub(crate) fn to_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer there is, and NaN 0"
)]
fn floor(value: f64) -> usize {
    value.floor() as usize
}

fn ceil(value: f64) -> usize {
    floor(value.ceil())
}
