//! What a file says of its colours, in whichever of the four ways it says so, and the profile that says the same.
//!
//! Decoders fill in a [`Colorimetry`]; pixels are converted from its profile, and encoders write that profile. No format
//! has a way of its own beyond this point.

use moxcms::{
    Chromaticity, ColorPrimaries, ColorProfile, DataColorSpace, LocalizableString, ProfileText,
    ToneReprCurve, XyYRepresentable,
};

/// Where colours lie, by the means of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Colorimetry {
    /// Nothing is said, or sRGB.
    #[default]
    Srgb,
    Icc(Vec<u8>),
    /// Numbers of ITU-T H.273, tables 2 and 3.
    Cicp {
        primaries: u16,
        transfer: u16,
    },
    /// PNG's `gAMA` and `cHRM`.
    Gamma {
        /// The exponent that makes light of samples, 1/`gAMA`. `None` where there is none: sRGB's curve.
        exponent: Option<f32>,
        chromaticities: Option<Chromaticities>,
    },
}

/// x and y of CIE 1931.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Chromaticities {
    pub(crate) white: (f32, f32),
    pub(crate) red: (f32, f32),
    pub(crate) green: (f32, f32),
    pub(crate) blue: (f32, f32),
}

const D65: (f32, f32) = (0.3127, 0.3290);

impl Chromaticities {
    const fn new(white: (f32, f32), red: (f32, f32), green: (f32, f32), blue: (f32, f32)) -> Self {
        Self {
            white,
            red,
            green,
            blue,
        }
    }

    const BT_709: Self = Self::new(D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06));

    /// H.273, table 2. Numbers that are reserved, or say nothing, mean what most files are.
    fn of_cicp(primaries: u16) -> Self {
        const C: (f32, f32) = (0.310, 0.316);
        match primaries {
            4 => Self::new(C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
            5 => Self::new(D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
            6 | 7 => Self::new(D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
            8 => Self::new(C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
            9 => Self::new(D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
            11 => Self::new(
                (0.314, 0.351),
                (0.680, 0.320),
                (0.265, 0.690),
                (0.150, 0.060),
            ),
            12 => Self::new(D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
            22 => Self::new(D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
            _ => Self::BT_709,
        }
    }

    /// Whether a matrix can be made of them.
    fn make_sense(self) -> bool {
        let is_point = |(x, y): (f32, f32)| x >= 0.0 && y > 0.0 && x + y <= 1.001;
        let [(rx, ry), (gx, gy), (bx, by)] = [self.red, self.green, self.blue];
        let area = (gx - rx) * (by - ry) - (bx - rx) * (gy - ry);
        [self.white, self.red, self.green, self.blue]
            .into_iter()
            .all(is_point)
            && area.abs() > 0.001
    }
}

/// The numbers of a curve of H.273, table 3, that differ by more than their name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Curve {
    Srgb,
    Power(f32),
    /// The camera's curve of BT.709, BT.601 and BT.2020.
    Camera,
    Pq,
    Hlg,
}

impl Curve {
    fn of_cicp(transfer: u16) -> Self {
        match transfer {
            1 | 6 | 7 | 11 | 12 | 14 | 15 => Self::Camera,
            4 => Self::Power(2.2),
            5 => Self::Power(2.8),
            8 => Self::Power(1.0),
            16 => Self::Pq,
            18 => Self::Hlg,
            _ => Self::Srgb,
        }
    }

    fn to_icc(self) -> ToneReprCurve {
        match self {
            Self::Srgb => ToneReprCurve::Parametric(vec![
                2.4,
                1.0 / 1.055,
                0.055 / 1.055,
                1.0 / 12.92,
                0.040_45,
            ]),
            Self::Power(exponent) => ToneReprCurve::Parametric(vec![exponent]),
            Self::Camera => ToneReprCurve::Parametric(vec![
                1.0 / 0.45,
                1.0 / 1.099,
                0.099 / 1.099,
                1.0 / 4.5,
                0.081,
            ]),
            Self::Pq => table(pq),
            Self::Hlg => table(hlg),
        }
    }
}

fn table(light: fn(f64) -> f64) -> ToneReprCurve {
    let entry = |index: u16| {
        let light = light(f64::from(index) / 4095.0).clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies between 0 and 65,535"
        )]
        let rounded = (light * 65_535.0).round() as u16;
        rounded
    };
    ToneReprCurve::Lut((0..4096).map(entry).collect())
}

/// The light of white paper in pictures of high dynamic range, in candelas per square metre (ITU-R BT.2408). It becomes
/// sRGB's white; what is brighter is cut off.
const PAPER_WHITE: f64 = 203.0;

/// SMPTE ST 2084 (ITU-R BT.2100): up to 10,000 candelas per square metre.
fn pq(sample: f64) -> f64 {
    let (m1, m2) = (2610.0 / 16_384.0, 2523.0 / 32.0);
    let (c1, c2, c3) = (3424.0 / 4096.0, 2413.0 / 128.0, 2392.0 / 128.0);
    let root = sample.powf(1.0 / m2);
    let light = ((root - c1).max(0.0) / (c2 - c3 * root)).powf(1.0 / m1);
    light * 10_000.0 / PAPER_WHITE
}

/// Hybrid log-gamma (ITU-R BT.2100) on a display of 1000 candelas per square metre, whose gamma of 1.2 is taken for
/// each channel.
fn hlg(sample: f64) -> f64 {
    let (a, b, c) = (0.178_832_77, 0.284_668_92, 0.559_910_73);
    let scene = if sample <= 0.5 {
        sample * sample / 3.0
    } else {
        (((sample - c) / a).exp() + b) / 12.0
    };
    scene.powf(1.2) * 1000.0 / PAPER_WHITE
}

impl Colorimetry {
    pub(crate) fn of_icc(icc: Option<Vec<u8>>) -> Self {
        icc.map_or(Self::Srgb, Self::Icc)
    }

    /// What PNG's `gAMA` and `cHRM` say, `gamma` as the file has it. An exponent within a twentieth of 2.2 is sRGB's curve,
    /// as libpng has it: that is what those who write it mean.
    pub(crate) fn of_gamma(gamma: Option<f32>, chromaticities: Option<Chromaticities>) -> Self {
        let exponent = gamma
            .filter(|gamma| (0.05..=10.0).contains(gamma) && (gamma * 2.2 - 1.0).abs() > 0.05)
            .map(|gamma| 1.0 / gamma);
        let chromaticities = chromaticities.filter(|found| found.make_sense());
        if exponent.is_none() && chromaticities.is_none() {
            return Self::Srgb;
        }
        Self::Gamma {
            exponent,
            chromaticities,
        }
    }

    /// What a file of `channels` says, as an ICC profile: its own, or one made here. `None` for sRGB.
    pub(crate) fn to_icc(&self, channels: DataColorSpace) -> Option<Vec<u8>> {
        let (places, curve) = match self {
            Self::Srgb => return None,
            Self::Icc(icc) => return Some(icc.clone()),
            // The camera's curve with BT.709's colours is what video programs write for plain sRGB, and what every
            // viewer shows as such.
            Self::Cicp {
                primaries: 0..=2,
                transfer: 1 | 6,
            } => return None,
            Self::Cicp {
                primaries,
                transfer,
            } => (
                Chromaticities::of_cicp(*primaries),
                Curve::of_cicp(*transfer),
            ),
            Self::Gamma {
                exponent,
                chromaticities,
            } => (
                chromaticities.unwrap_or(Chromaticities::BT_709),
                exponent.map_or(Curve::Srgb, Curve::Power),
            ),
        };
        let is_grey = channels == DataColorSpace::Gray;
        if curve == Curve::Srgb && (is_grey || places == Chromaticities::BT_709) {
            return None;
        }
        made(places, curve, is_grey)
    }
}

fn made(places: Chromaticities, curve: Curve, is_grey: bool) -> Option<Vec<u8>> {
    let point = |(x, y): (f32, f32)| Chromaticity::new(x, y);
    let text = |text: &str| {
        let text = LocalizableString::new("en".to_owned(), "US".to_owned(), text.to_owned());
        Some(ProfileText::Localizable(vec![text]))
    };
    let curve = curve.to_icc();
    // Its class, white and intent stay; colours and curves are put in.
    let mut profile = if is_grey {
        let mut profile = ColorProfile::new_gray_with_gamma(2.2);
        profile.gray_trc = Some(curve);
        profile
    } else {
        let mut profile = ColorProfile::new_srgb();
        let primaries = ColorPrimaries {
            red: point(places.red),
            green: point(places.green),
            blue: point(places.blue),
        };
        profile.update_rgb_colorimetry(point(places.white).to_xyy(), primaries);
        profile.red_trc = Some(curve.clone());
        profile.green_trc = Some(curve.clone());
        profile.blue_trc = Some(curve);
        profile
    };
    profile.cicp = None;
    profile.description = text("as the image says");
    profile.copyright = text("Public Domain");
    profile
        .encode()
        .inspect_err(
            |error| tracing::debug!(%error, "no profile can be made of what the file says"),
        )
        .ok()
}
