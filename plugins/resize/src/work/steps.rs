//! What is done to pixels before and after they are scaled: lists of steps, made once the decoder has said what it hands
//! over.

use fast_image_resize::{
    MulDiv,
    images::Image,
    pixels::{U16x2, U16x4},
};

use crate::{
    color::{self, Profile, Space},
    error::{Result, Trouble},
    pixels::{Kind, Pixels},
    scale::to_u32,
};

/// One thing that is done to pixels.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    /// Inks that are stored the other way round become what they are.
    Invert,
    /// Colours, or inks, become sRGB by the file's profile.
    Convert(&'a Profile),
    /// Inks become sRGB by the simple formula.
    MixInks,
    /// 8 bits become 16.
    Widen,
    /// 16 bits become 8.
    Narrow,
    ToLight,
    FromLight,
    /// Colours are multiplied by alpha, and divided by it again.
    Multiply,
    Divide,
}

impl Step<'_> {
    fn apply(self, mut pixels: Pixels) -> Result<Pixels> {
        match self {
            Self::Convert(profile) => return profile.to_srgb(&pixels),
            Self::MixInks => return color::cmyk_to_rgb(&pixels),
            Self::Widen if !pixels.kind.is_16_bit => return pixels.to_16_bit(),
            Self::Narrow if pixels.kind.is_16_bit => return pixels.to_8_bit(),
            Self::Widen | Self::Narrow => {}
            Self::Invert => color::invert(&mut pixels),
            Self::ToLight => color::to_light(&mut pixels),
            Self::FromLight => color::from_light(&mut pixels),
            Self::Multiply => multiply(&mut pixels)?,
            Self::Divide => divide(&mut pixels)?,
        }
        Ok(pixels)
    }
}

/// Takes the steps, one after another.
pub(super) fn take(steps: &[Step<'_>], pixels: Pixels) -> Result<Pixels> {
    steps
        .iter()
        .try_fold(pixels, |pixels, step| step.apply(pixels))
}

/// What the steps depend on: pixels as they are decoded, and how they are to be scaled.
#[derive(Clone, Copy)]
pub(super) struct Colors<'a> {
    pub(super) kind: Kind,
    pub(super) space: Space,
    /// The file's profile, if any target needs it.
    pub(super) profile: Option<&'a Profile>,
    pub(super) is_linear: bool,
}

impl<'a> Colors<'a> {
    fn is_inks(self) -> bool {
        self.space.is_inks()
    }

    /// Whether there is alpha, by which colours are multiplied while they are scaled.
    fn has_alpha(self) -> bool {
        color::has_alpha(self.kind) && !self.is_inks()
    }

    /// What pixels are scaled in.
    pub(super) fn working_kind(self) -> Kind {
        let channels = if self.is_inks() {
            3
        } else {
            self.kind.channels
        };
        let is_16_bit = self.kind.is_16_bit || self.is_linear || self.has_alpha();
        Kind::of(channels, is_16_bit)
    }

    /// What is done before pixels are scaled, for all targets alike.
    pub(super) fn before(self) -> Vec<Step<'a>> {
        let mut steps = Vec::new();
        // Two inks halved are a quarter of the light: between red and black made of all inks, there is no black in red.
        if self.is_linear || self.is_inks() {
            steps.extend(self.to_srgb());
        }
        if self.is_linear || self.has_alpha() {
            steps.push(Step::Widen);
        }
        if self.is_linear {
            steps.push(Step::ToLight);
        }
        if self.has_alpha() {
            steps.push(Step::Multiply);
        }
        steps
    }

    /// What is done after they were scaled, for a target that keeps the file's profile or not, and its 16 bits or not.
    pub(super) fn after(self, keeps_profile: bool, keeps_16_bits: bool) -> Vec<Step<'a>> {
        let mut steps = Vec::new();
        if self.has_alpha() {
            steps.push(Step::Divide);
        }
        if self.is_linear {
            steps.push(Step::FromLight);
        }
        if !(self.kind.is_16_bit && keeps_16_bits) {
            steps.push(Step::Narrow);
        }
        // In linear light, colours were converted before, and inks are in any case.
        if !self.is_linear && !self.is_inks() && !keeps_profile {
            steps.extend(self.to_srgb());
        }
        steps
    }

    fn to_srgb(self) -> Vec<Step<'a>> {
        let mut steps = Vec::new();
        if self.space.is_inks() {
            steps.push(Step::Invert);
        }
        match self.profile {
            Some(profile) => steps.push(Step::Convert(profile)),
            None if self.is_inks() => steps.push(Step::MixInks),
            None => {}
        }
        steps
    }
}

/// 16 bits of grey and alpha, or of RGB and alpha.
fn image(pixels: &mut Pixels) -> Result<Image<'_>> {
    let (width, height) = (to_u32(pixels.width), to_u32(pixels.height));
    let kind = pixels.kind.pixel_type();
    Image::from_slice_u8(width, height, pixels.bytes_mut(), kind)
        .map_err(|error| Trouble::encoding("scaled", error))
}

fn multiply(pixels: &mut Pixels) -> Result<()> {
    let mut image = image(pixels)?;
    let done = if let Some(mut grey) = image.typed_image_mut::<U16x2>() {
        MulDiv::new().multiply_alpha_inplace_typed(&mut grey)
    } else if let Some(mut colors) = image.typed_image_mut::<U16x4>() {
        MulDiv::new().multiply_alpha_inplace_typed(&mut colors)
    } else {
        Ok(())
    };
    done.map_err(|error| Trouble::encoding("scaled", error))
}

fn divide(pixels: &mut Pixels) -> Result<()> {
    let mut image = image(pixels)?;
    let done = if let Some(mut grey) = image.typed_image_mut::<U16x2>() {
        MulDiv::new().divide_alpha_inplace_typed(&mut grey)
    } else if let Some(mut colors) = image.typed_image_mut::<U16x4>() {
        MulDiv::new().divide_alpha_inplace_typed(&mut colors)
    } else {
        Ok(())
    };
    done.map_err(|error| Trouble::encoding("scaled", error))
}
