//! Colours: profiles, inks, luma and chroma, light.

use std::{fmt, sync::LazyLock};

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use crate::{
    error::{Result, Trouble},
    guard::caught,
    pixels::{Kind, Pixels, narrow_sample},
    scale::{Region, Scaler},
};

/// What the channels of a file mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Grey,
    Rgb,
    YCbCr,
    /// Inks. In the file, 255 stands for none of one, as Adobe's programs have it, and all others after them.
    Cmyk,
    Ycck,
    Palette,
}

impl Space {
    /// The channels that a profile for it is for.
    pub(crate) fn channels(self) -> DataColorSpace {
        match self {
            Self::Grey => DataColorSpace::Gray,
            Self::Rgb | Self::YCbCr | Self::Palette => DataColorSpace::Rgb,
            Self::Cmyk | Self::Ycck => DataColorSpace::Cmyk,
        }
    }

    /// Whether it is inks rather than light.
    pub(crate) fn is_inks(self) -> bool {
        matches!(self, Self::Cmyk | Self::Ycck)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grey => "grey",
            Self::Rgb => "rgb",
            Self::YCbCr => "ycbcr",
            Self::Cmyk => "cmyk",
            Self::Ycck => "ycck",
            Self::Palette => "palette",
        }
    }
}

/// Whether a profile says that it is for these channels.
pub(crate) fn is_for(icc: &[u8], space: Space) -> bool {
    let name: &[u8; 4] = match space.channels() {
        DataColorSpace::Gray => b"GRAY",
        DataColorSpace::Rgb => b"RGB ",
        _ => b"CMYK",
    };
    icc.get(16..20) == Some(name.as_slice())
}

/// A colour profile to convert from. Images that are sRGB anyway have none.
pub(crate) struct Profile {
    profile: ColorProfile,
    space: DataColorSpace,
}

impl Profile {
    /// `None` where the profile says sRGB, or what can't be made use of: then its colours are taken as sRGB.
    pub(crate) fn new(icc: &[u8], space: Space) -> Option<Self> {
        let profile = caught(|| ColorProfile::new_from_slice(icc))?
            .inspect_err(|error| tracing::debug!(%error, "the colour profile can't be read"))
            .ok()?;
        let fits = profile.color_space == space.channels();
        if !fits {
            tracing::debug!("the colour profile is for other channels than the image has");
            return None;
        }
        let this = Self {
            space: profile.color_space,
            profile,
        };
        match this.is_srgb() {
            Ok(is_srgb) => (!is_srgb).then_some(this),
            Err(_) => {
                tracing::debug!("the colour profile can't be converted from");
                None
            }
        }
    }

    /// Whether it makes no difference that anybody could see. An error where it can't be made use of at all.
    fn is_srgb(&self) -> Result<bool> {
        let channels = match self.space {
            DataColorSpace::Rgb => 3,
            DataColorSpace::Gray => 1,
            _ => 4,
        };
        let steps = [0_u8, 32, 64, 128, 192, 255];
        let mut probe = Vec::new();
        for r in steps {
            for g in steps {
                for b in steps {
                    probe.extend_from_slice(&[r, g, b, 0][..channels]);
                }
            }
        }
        let mut from = Pixels::new(probe.len() / channels, 1, Kind::of(channels, false))?;
        from.bytes_mut().copy_from_slice(&probe);
        let to = self.to_srgb(&from)?;
        let mut pairs = from.bytes().iter().zip(to.bytes());
        Ok(channels != 4 && pairs.all(|(a, b)| a.abs_diff(*b) <= 2))
    }

    /// Converts grey, RGB or inks (more ink is more), with alpha or not, to sRGB or sRGB's grey.
    pub(crate) fn to_srgb(&self, from: &Pixels) -> Result<Pixels> {
        let channels = from.kind.channels;
        let (source, target, to_channels) = match (self.space, channels) {
            (DataColorSpace::Gray, 1) => (Layout::Gray, Layout::Rgb, 3),
            (DataColorSpace::Gray, _) => (Layout::GrayAlpha, Layout::Rgba, 4),
            (DataColorSpace::Rgb, 3) => (Layout::Rgb, Layout::Rgb, 3),
            (DataColorSpace::Rgb, _) => (Layout::Rgba, Layout::Rgba, 4),
            _ => (Layout::Rgba, Layout::Rgb, 3),
        };
        let srgb = ColorProfile::new_srgb();
        let options = TransformOptions::default();
        let mut to = Pixels::new(
            from.width,
            from.height,
            Kind::of(to_channels, from.kind.is_16_bit),
        )?;
        let profile = &self.profile;
        let converted = caught(|| {
            if from.kind.is_16_bit {
                profile
                    .create_transform_16bit(source, &srgb, target, options)?
                    .transform(from.words(), to.words_mut())
            } else {
                profile
                    .create_transform_8bit(source, &srgb, target, options)?
                    .transform(from.bytes(), to.bytes_mut())
            }
        });
        let failed = |reason: &dyn fmt::Display| {
            let message = format!("the colour profile can't be converted from: {reason}");
            Trouble::new("invalid_profile", message)
        };
        converted
            .ok_or_else(|| failed(&"it makes no sense"))?
            .map_err(|error| failed(&error))?;
        if self.space == DataColorSpace::Gray {
            to_grey(&to)
        } else {
            Ok(to)
        }
    }
}

/// Takes the first colour for all of them.
fn to_grey(from: &Pixels) -> Result<Pixels> {
    let channels = from.kind.channels;
    let mut to = Pixels::new(
        from.width,
        from.height,
        Kind::of(channels - 2, from.kind.is_16_bit),
    )?;
    if from.kind.is_16_bit {
        keep_ends(from.words(), to.words_mut(), channels);
    } else {
        keep_ends(from.bytes(), to.bytes_mut(), channels);
    }
    Ok(to)
}

fn keep_ends<S: Copy>(from: &[S], to: &mut [S], channels: usize) {
    for (from, to) in from
        .chunks_exact(channels)
        .zip(to.chunks_exact_mut(channels - 2))
    {
        to[0] = from[0];
        if let ([.., alpha], [_, to_alpha]) = (from, to) {
            *to_alpha = *alpha;
        }
    }
}

/// Makes 255 full ink.
pub(crate) fn invert(pixels: &mut Pixels) {
    for sample in pixels.bytes_mut() {
        *sample = 255 - *sample;
    }
}

/// Inks to colours without a profile: each ink takes away its share of the light.
pub(crate) fn cmyk_to_rgb(from: &Pixels) -> Result<Pixels> {
    let mut to = Pixels::new(from.width, from.height, Kind::of(3, false))?;
    let (inks, _) = from.bytes().as_chunks::<4>();
    let (colors, _) = to.bytes_mut().as_chunks_mut::<3>();
    for ([c, m, y, k], color) in inks.iter().zip(colors) {
        let light = |ink: u8| {
            let product = (255 - u32::from(ink)) * (255 - u32::from(*k));
            u8::try_from((product + 127) / 255).unwrap_or(u8::MAX)
        };
        *color = [light(*c), light(*m), light(*y)];
    }
    Ok(to)
}

/// Grey as RGB, with the same alpha.
pub(crate) fn grey_to_rgb(from: &Pixels) -> Result<Pixels> {
    let channels = from.kind.channels;
    let mut to = Pixels::new(
        from.width,
        from.height,
        Kind::of(channels + 2, from.kind.is_16_bit),
    )?;
    fn spread<S: Copy>(from: &[S], to: &mut [S], channels: usize) {
        for (from, to) in from
            .chunks_exact(channels)
            .zip(to.chunks_exact_mut(channels + 2))
        {
            to[..3].fill(from[0]);
            to[3..].copy_from_slice(&from[1..]);
        }
    }
    if from.kind.is_16_bit {
        spread(from.words(), to.words_mut(), channels);
    } else {
        spread(from.bytes(), to.bytes_mut(), channels);
    }
    Ok(to)
}

/// Planes (full range, BT.601) as pixels: grey, or RGB. Chroma planes of another size are brought to that of luma.
pub(crate) fn planes_to_packed(planes: Vec<Pixels>) -> Result<Pixels> {
    let mut planes = planes.into_iter();
    let (Some(luma), chroma) = (planes.next(), planes.collect::<Vec<_>>()) else {
        return Err(Trouble::broken("source", "there are no planes"));
    };
    let [blue, red] = <[Pixels; 2]>::try_from(chroma)
        .map(Some)
        .unwrap_or(None)
        .map_or_else(
            || Ok::<_, Trouble>([None, None]),
            |[blue, red]| Ok([Some(fitted(blue, &luma)?), Some(fitted(red, &luma)?)]),
        )?;
    let (Some(blue), Some(red)) = (blue, red) else {
        return Ok(luma);
    };
    let mut rgb = Pixels::new(luma.width, luma.height, Kind::of(3, false))?;
    let (colors, _) = rgb.bytes_mut().as_chunks_mut::<3>();
    let samples = luma.bytes().iter().zip(blue.bytes()).zip(red.bytes());
    for (((y, blue), red), color) in samples.zip(colors) {
        *color = ycbcr_to_rgb(*y, *blue, *red);
    }
    Ok(rgb)
}

fn fitted(plane: Pixels, luma: &Pixels) -> Result<Pixels> {
    if (plane.width, plane.height) == (luma.width, luma.height) {
        return Ok(plane);
    }
    let size = (plane.width, plane.height);
    // Half of a plane of odd size stands for one pixel less.
    let (x, y) = (
        luma.width.div_ceil(2) == size.0,
        luma.height.div_ceil(2) == size.1,
    );
    let mut region = Region::whole(size.0, size.1);
    if x {
        region.width = crate::scale::to_f64(luma.width) / 2.0;
    }
    if y {
        region.height = crate::scale::to_f64(luma.height) / 2.0;
    }
    let mut scaler = Scaler::new(plane.kind, size, region, (luma.width, luma.height))?;
    scaler.push(plane.bytes())?;
    scaler.finish()
}

/// JFIF's formula, with 16 bits of fraction.
fn ycbcr_to_rgb(y: u8, blue: u8, red: u8) -> [u8; 3] {
    let y = (i32::from(y) << 16) + (1 << 15);
    let (blue, red) = (i32::from(blue) - 128, i32::from(red) - 128);
    [
        clamp((y + 91_881 * red) >> 16),
        clamp((y - 22_554 * blue - 46_802 * red) >> 16),
        clamp((y + 116_130 * blue) >> 16),
    ]
}

fn clamp(value: i32) -> u8 {
    u8::try_from(value.clamp(0, 255)).unwrap_or(u8::MAX)
}

/// RGB as planes (full range, BT.601), chroma at half the size or the same.
pub(crate) fn packed_to_planes(rgb: &Pixels, is_subsampled: bool) -> Result<Vec<Pixels>> {
    let (width, height) = (rgb.width, rgb.height);
    let kind = Kind::of(1, false);
    let step = if is_subsampled { 2 } else { 1 };
    let (chroma_width, chroma_height) = (width.div_ceil(step), height.div_ceil(step));
    let mut luma = Pixels::new(width, height, kind)?;
    let mut blue = Pixels::new(chroma_width, chroma_height, kind)?;
    let mut red = Pixels::new(chroma_width, chroma_height, kind)?;
    let (pixels, _) = rgb.bytes().as_chunks::<3>();
    for (luma, [r, g, b]) in luma.bytes_mut().iter_mut().zip(pixels) {
        let sum = 19_595 * i32::from(*r) + 38_470 * i32::from(*g) + 7_471 * i32::from(*b);
        *luma = clamp((sum + (1 << 15)) >> 16);
    }
    for y in 0..chroma_height {
        let blue_row = blue.rows_mut(y, 1);
        let red_row = red.rows_mut(y, 1);
        let (top, bottom) = (y * step, (y * step + step - 1).min(height - 1));
        for x in 0..chroma_width {
            let (left, right) = (x * step, (x * step + step - 1).min(width - 1));
            let mut sum = [0_i32; 3];
            for (row, column) in [(top, left), (top, right), (bottom, left), (bottom, right)] {
                for (sum, sample) in sum.iter_mut().zip(pixels[row * width + column]) {
                    *sum += i32::from(sample);
                }
            }
            let [r, g, b] = sum;
            let half = (128 << 18) + (1 << 17);
            blue_row[x] = clamp((-11_059 * r - 21_709 * g + 32_768 * b + half) >> 18);
            red_row[x] = clamp((32_768 * r - 27_439 * g - 5_329 * b + half) >> 18);
        }
    }
    Ok(vec![luma, blue, red])
}

/// What turns samples of limited range (16 to 235, chroma to 240) into full range, and back.
pub(crate) struct Ranges {
    pub(crate) luma: [u8; 256],
    pub(crate) chroma: [u8; 256],
}

fn ranges(luma: impl Fn(f64) -> f64, chroma: impl Fn(f64) -> f64) -> Ranges {
    let table = |of: &dyn Fn(f64) -> f64| {
        let mut table = [0; 256];
        for (value, entry) in (0_u8..=255).zip(&mut table) {
            *entry = to_u8(of(f64::from(value)));
        }
        table
    };
    Ranges {
        luma: table(&luma),
        chroma: table(&chroma),
    }
}

pub(crate) static TO_FULL: LazyLock<Ranges> = LazyLock::new(|| {
    ranges(
        |y| (y - 16.0) * 255.0 / 219.0,
        |c| (c - 128.0) * 255.0 / 224.0 + 128.0,
    )
});
pub(crate) static TO_LIMITED: LazyLock<Ranges> = LazyLock::new(|| {
    ranges(
        |y| y * 219.0 / 255.0 + 16.0,
        |c| (c - 128.0) * 224.0 / 255.0 + 128.0,
    )
});

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest byte there is, and NaN 0"
)]
fn to_u8(value: f64) -> u8 {
    value.round() as u8
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer there is, and NaN 0"
)]
fn to_u16(value: f64) -> u16 {
    value.round() as u16
}

/// sRGB's curve: 16 bits of light for 16 bits of sRGB, and back.
struct Curve {
    to_light: Vec<u16>,
    from_light: Vec<u16>,
}

static CURVE: LazyLock<Curve> = LazyLock::new(|| {
    let table = |of: fn(f64) -> f64| -> Vec<u16> {
        (0..=u16::MAX)
            .map(|value| to_u16(of(f64::from(value) / 65_535.0) * 65_535.0))
            .collect()
    };
    Curve {
        to_light: table(|v| {
            if v <= 0.040_45 {
                v / 12.92
            } else {
                ((v + 0.055) / 1.055).powf(2.4)
            }
        }),
        from_light: table(|v| {
            if v <= 0.003_130_8 {
                v * 12.92
            } else {
                1.055 * v.powf(1.0 / 2.4) - 0.055
            }
        }),
    }
});

/// Colours as amounts of light; alpha stays. 16 bits.
pub(crate) fn to_light(pixels: &mut Pixels) {
    apply(pixels, &CURVE.to_light);
}

pub(crate) fn from_light(pixels: &mut Pixels) {
    apply(pixels, &CURVE.from_light);
}

fn apply(pixels: &mut Pixels, table: &[u16]) {
    let channels = pixels.kind.channels;
    let colors = if has_alpha(pixels.kind) {
        channels - 1
    } else {
        channels
    };
    for pixel in pixels.words_mut().chunks_exact_mut(channels) {
        for sample in &mut pixel[..colors] {
            *sample = table[usize::from(*sample)];
        }
    }
}

/// Whether there is alpha, in grey and RGB; four channels may also be inks.
pub(crate) fn has_alpha(kind: Kind) -> bool {
    matches!(kind.channels, 2 | 4)
}

/// Puts pixels with alpha on an opaque colour.
pub(crate) fn flatten(from: &Pixels, background: [u8; 3]) -> Result<Pixels> {
    let channels = from.kind.channels;
    let mut to = Pixels::new(
        from.width,
        from.height,
        Kind::of(channels - 1, from.kind.is_16_bit),
    )?;
    if from.kind.is_16_bit {
        for (from, to) in from
            .words()
            .chunks_exact(channels)
            .zip(to.words_mut().chunks_exact_mut(channels - 1))
        {
            let alpha = u64::from(from[channels - 1]);
            for ((to, from), background) in to.iter_mut().zip(from).zip(background) {
                let sum = u64::from(*from) * alpha + u64::from(background) * 257 * (65_535 - alpha);
                *to = u16::try_from((sum + 32_767) / 65_535).unwrap_or(u16::MAX);
            }
        }
    } else {
        for (from, to) in from
            .bytes()
            .chunks_exact(channels)
            .zip(to.bytes_mut().chunks_exact_mut(channels - 1))
        {
            let alpha = u32::from(from[channels - 1]);
            for ((to, from), background) in to.iter_mut().zip(from).zip(background) {
                let sum = u32::from(*from) * alpha + u32::from(background) * (255 - alpha);
                *to = u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX);
            }
        }
    }
    Ok(to)
}

/// Adds opaque alpha.
pub(crate) fn with_alpha(from: &Pixels) -> Result<Pixels> {
    let channels = from.kind.channels;
    let mut to = Pixels::new(
        from.width,
        from.height,
        Kind::of(channels + 1, from.kind.is_16_bit),
    )?;
    fn widen<S: Copy>(from: &[S], to: &mut [S], channels: usize, opaque: S) {
        for (from, to) in from
            .chunks_exact(channels)
            .zip(to.chunks_exact_mut(channels + 1))
        {
            to[..channels].copy_from_slice(from);
            to[channels] = opaque;
        }
    }
    if from.kind.is_16_bit {
        widen(from.words(), to.words_mut(), channels, u16::MAX);
    } else {
        widen(from.bytes(), to.bytes_mut(), channels, u8::MAX);
    }
    Ok(to)
}

/// Whether nothing of it is transparent.
pub(crate) fn is_opaque(pixels: &Pixels) -> bool {
    let channels = pixels.kind.channels;
    if pixels.kind.is_16_bit {
        pixels
            .words()
            .chunks_exact(channels)
            .all(|pixel| pixel[channels - 1] == u16::MAX)
    } else {
        pixels
            .bytes()
            .chunks_exact(channels)
            .all(|pixel| pixel[channels - 1] == u8::MAX)
    }
}

/// A colour as requests write it: `#rgb`, `#rgba`, `#rrggbb` or `#rrggbbaa`.
pub(crate) fn parse(text: &str) -> Result<[u8; 4]> {
    let wrong = || {
        Trouble::new(
            "invalid_background",
            format!(
                "`background` is {text:?}; write it like `#ffffff`, or `#ffffff80` with opacity"
            ),
        )
    };
    let digits = text.strip_prefix('#').ok_or_else(wrong)?;
    let nibbles: Option<Vec<u32>> = digits.chars().map(|digit| digit.to_digit(16)).collect();
    let nibbles = nibbles.ok_or_else(wrong)?;
    let nibbles: Vec<u8> = nibbles
        .into_iter()
        .filter_map(|nibble| u8::try_from(nibble).ok())
        .collect();
    match *nibbles.as_slice() {
        [r, g, b] => Ok([r * 17, g * 17, b * 17, 255]),
        [r, g, b, a] => Ok([r * 17, g * 17, b * 17, a * 17]),
        [r1, r2, g1, g2, b1, b2] => Ok([r1 * 16 + r2, g1 * 16 + g2, b1 * 16 + b2, 255]),
        [r1, r2, g1, g2, b1, b2, a1, a2] => {
            Ok([r1 * 16 + r2, g1 * 16 + g2, b1 * 16 + b2, a1 * 16 + a2])
        }
        _ => Err(wrong()),
    }
}

/// A sample of a plane of luma or chroma, 8 to 12 bits, in what range it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    pub(crate) kr: f64,
    pub(crate) kb: f64,
    /// Green, blue and red themselves, in this order.
    pub(crate) is_identity: bool,
    pub(crate) is_full_range: bool,
    pub(crate) bit_depth: u8,
}

impl Matrix {
    /// Three samples as 16 bits of RGB.
    pub(crate) fn to_rgb(self, y: u16, u: u16, v: u16) -> [u16; 3] {
        let top = f64::from((1_u32 << self.bit_depth) - 1);
        let unit = f64::from(1_u32 << (self.bit_depth - 8));
        let luma = |sample: u16| {
            if self.is_full_range {
                f64::from(sample) / top
            } else {
                (f64::from(sample) - 16.0 * unit) / (219.0 * unit)
            }
        };
        let chroma = |sample: u16| {
            let centred = f64::from(sample) - 128.0 * unit;
            if self.is_full_range {
                centred / top
            } else {
                centred / (224.0 * unit)
            }
        };
        let wide = |value: f64| to_u16(value.clamp(0.0, 1.0) * 65_535.0);
        if self.is_identity {
            return [wide(luma(v)), wide(luma(y)), wide(luma(u))];
        }
        let (y, blue, red) = (luma(y), chroma(u), chroma(v));
        let kg = 1.0 - self.kr - self.kb;
        let r = y + 2.0 * (1.0 - self.kr) * red;
        let b = y + 2.0 * (1.0 - self.kb) * blue;
        let g = (y - self.kr * r - self.kb * b) / kg;
        [wide(r), wide(g), wide(b)]
    }

    /// A sample of luma or alpha alone, in 16 bits.
    pub(crate) fn to_grey(self, y: u16) -> u16 {
        let grey = Self {
            is_identity: false,
            ..self
        };
        grey.to_rgb(y, 128 << (self.bit_depth - 8), 128 << (self.bit_depth - 8))[1]
    }
}

/// 16 bits of sample, in as many as the picture has.
pub(crate) fn store(sample: u16, is_16_bit: bool, to: &mut Vec<u8>) {
    if is_16_bit {
        to.extend_from_slice(&sample.to_ne_bytes());
    } else {
        to.push(narrow_sample(sample));
    }
}
