//! A target once the source is known: its format, its size, and what it takes along.

use crate::{
    args::{Chroma, Format, Metadata},
    codec::{Header, avif, gif, png, webp},
    color::Space,
    config::Limits,
    error::{Result, Trouble},
    metadata::Attached,
    orientation::Orientation,
    plan::Plan,
    scale::{to_f64, to_u32},
};

use super::{Settings, Target};

/// A target with everything that follows from the source.
pub(super) struct ResolvedTarget<'a> {
    pub(super) requested: &'a Target,
    pub(super) format: Format,
    pub(super) quality: u8,
    pub(super) plan: Plan,
    /// Pixels side by side are needed at the end, because planes can't be converted, padded or written so.
    pub(super) is_packed: bool,
    /// PNG: the source has a palette, and so may the target.
    pub(super) has_palette: bool,
    /// Chroma has half the size.
    pub(super) is_subsampled: bool,
    pub(super) attached: Attached,
}

/// What the source says of its colours, and what happens to them.
#[derive(Clone, Copy)]
pub(super) struct Colors<'a> {
    /// A profile for the channels that the source has.
    pub(super) icc: Option<&'a [u8]>,
    /// It makes a difference, and can be converted from.
    pub(super) is_converted: bool,
    pub(super) is_linear: bool,
}

impl<'a> ResolvedTarget<'a> {
    pub(super) fn new(
        requested: &'a Target,
        header: &Header,
        orientation: Orientation,
        colors: Colors<'_>,
        limits: &Limits,
    ) -> Result<Self> {
        let format = requested.format.unwrap_or(header.format);
        check_crop(
            requested,
            orientation.turn_size((header.width, header.height)),
        )?;
        let plan = Plan::new(&requested.size, (header.width, header.height), orientation);
        check_target(&plan, format, limits)?;
        let quality = quality(requested.quality, format)?;
        let is_kept = matches!(requested.metadata, Metadata::Keep | Metadata::All);
        let canvas = (to_u32(plan.canvas.0), to_u32(plan.canvas.1));
        let attached = header.attached.kept(requested.metadata, canvas);
        let mut attached = attached.turned(orientation);
        // In linear light, colours are converted before they are scaled.
        let keeps_profile = is_kept
            && !(colors.is_linear && colors.is_converted)
            && has_place(requested, header, format, &plan, orientation);
        attached.icc = colors.icc.filter(|_| keeps_profile).map(<[u8]>::to_vec);
        let is_packed = matches!(format, Format::Png | Format::Gif)
            || quality > 100
            || plan.has_padding(orientation)
            || (colors.is_converted && attached.icc.is_none());
        let is_subsampled = match format {
            Format::Jpeg | Format::Avif => match requested.chroma {
                Chroma::Auto => format == Format::Avif || quality < 90,
                Chroma::Half => true,
                Chroma::Full => false,
            },
            Format::Webp => true,
            Format::Png | Format::Gif => false,
        };
        Ok(Self {
            requested,
            format,
            quality,
            plan,
            is_packed,
            has_palette: header.space == Space::Palette,
            is_subsampled,
            attached,
        })
    }

    /// PNG: how colours are written.
    pub(super) fn colors(&self) -> png::Colors {
        match self.requested.colors {
            Some(count) => png::Colors::AtMost(count),
            None if self.has_palette => png::Colors::AllByNumber,
            None => png::Colors::All,
        }
    }

    /// GIF: the most colours of a frame.
    pub(super) fn colors_max(&self) -> usize {
        self.requested.colors.unwrap_or(256)
    }

    /// How many frames are made: all, if that was asked for and the format has them.
    pub(super) fn frames(&self, header: &Header, settings: Settings) -> usize {
        if settings.animated && matches!(self.format, Format::Webp | Format::Gif) {
            header.frames
        } else {
            1
        }
    }

    /// How many pixels of the source become one, in the direction in which it is fewer.
    pub(super) fn reduction(&self) -> f64 {
        let (region, scaled) = (self.plan.region, self.plan.scaled);
        (region.width / to_f64(scaled.0)).min(region.height / to_f64(scaled.1))
    }
}

/// Whether the file's profile can stay: GIF has no place for one, inks become colours in any case, and a profile for grey
/// says nothing of grey that became RGB.
fn has_place(
    requested: &Target,
    header: &Header,
    format: Format,
    plan: &Plan,
    orientation: Orientation,
) -> bool {
    if format == Format::Gif || header.space.is_inks() {
        return false;
    }
    if header.space != Space::Grey {
        return true;
    }
    let is_colored = requested
        .background
        .is_some_and(|[r, g, b, _]| !(r == g && g == b));
    let shows_background = header.has_alpha || plan.has_padding(orientation);
    let has_palette = format == Format::Png && requested.colors.is_some();
    format != Format::Webp && !has_palette && !(is_colored && shows_background)
}

fn check_crop(requested: &Target, (width, height): (usize, usize)) -> Result<()> {
    let Some(crop) = requested.size.crop else {
        return Ok(());
    };
    let is_inside = |start: u32, len: u32, whole: usize| {
        len > 0 && u64::from(start) + u64::from(len) <= whole as u64
    };
    if is_inside(crop.left, crop.width, width) && is_inside(crop.top, crop.height, height) {
        return Ok(());
    }
    Err(Trouble::new(
        "invalid_crop",
        format!(
            "`crop` of {} x {} at {}, {} doesn't lie within the upright image of {width} x {height}",
            crop.width, crop.height, crop.left, crop.top
        ),
    ))
}

/// The pixels that are made of all frames together: it is they that take the time.
pub(super) fn check_work(
    targets: &[ResolvedTarget<'_>],
    header: &Header,
    settings: Settings,
    limits: &Limits,
) -> Result<()> {
    for target in targets {
        let frames = target.frames(header, settings) as u64;
        let (width, height) = target.plan.canvas;
        let pixels = (width as u64 * height as u64).saturating_mul(frames);
        if pixels > limits.target_pixels_max {
            return Err(Trouble::limit(
                "target_too_large",
                &format!("{frames} frames of {width} x {height} have too many pixels together"),
                "target_pixels_max",
                limits.target_pixels_max,
                pixels,
            ));
        }
    }
    Ok(())
}

fn check_target(plan: &Plan, format: Format, limits: &Limits) -> Result<()> {
    let (width, height) = plan.canvas;
    let side_max = match format {
        Format::Jpeg | Format::Gif => gif::SIDE_MAX,
        Format::Webp => webp::SIDE_MAX,
        Format::Avif => avif::SIDE_MAX,
        Format::Png => 1 << 24,
    };
    let side = width.max(height);
    if side > side_max {
        return Err(Trouble::new(
            "target_too_large",
            format!(
                "a target of {width} x {height} doesn't fit into {}: its sides have at most {side_max} pixels",
                format.name()
            ),
        ));
    }
    let pixels = (width as u64).saturating_mul(height as u64);
    if pixels > limits.target_pixels_max {
        return Err(Trouble::limit(
            "target_too_large",
            &format!("a target of {width} x {height} has too many pixels"),
            "target_pixels_max",
            limits.target_pixels_max,
            pixels,
        ));
    }
    Ok(())
}

fn quality(wanted: Option<u8>, format: Format) -> Result<u8> {
    let highest = if format == Format::Webp { 101 } else { 100 };
    match wanted {
        None if format == Format::Avif => Ok(50),
        None => Ok(80),
        Some(quality) if (1..=highest).contains(&quality) => Ok(quality),
        Some(quality) => Err(Trouble::new(
            "invalid_quality",
            format!(
                "`quality` is {quality}; for {} it is 1 to {highest}",
                format.name()
            ),
        )),
    }
}
