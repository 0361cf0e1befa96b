//! What travels with an image besides its pixels: found in files, cut to what a request wants, and put into files.

mod exif;
mod iptc;
pub(crate) mod jpeg;
mod tiff;
mod xmp;

use crate::{args::Metadata, orientation::Orientation};

/// What travels with an image, each as its own standard writes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Attached {
    /// TIFF structure, without the `Exif\0\0` that JPEG puts before it.
    pub(crate) exif: Option<Vec<u8>>,
    pub(crate) icc: Option<Vec<u8>>,
    pub(crate) xmp: Option<Vec<u8>>,
    /// Records of IPTC-IIM. JPEG only.
    pub(crate) iptc: Option<Vec<u8>>,
    /// As JPEG and PNG have it besides EXIF.
    pub(crate) density: Option<Density>,
}

/// Pixels per metre, across and down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Density {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

impl Density {
    /// `None` for what is no density.
    pub(crate) fn new(x: f64, y: f64) -> Option<Self> {
        let is_one = |value: f64| value.is_finite() && value > 0.0;
        (is_one(x) && is_one(y)).then_some(Self { x, y })
    }

    fn turned(self, orientation: Orientation) -> Self {
        let is_transposed = orientation.turn_size((1, 2)) == (2, 1);
        if is_transposed {
            Self {
                x: self.y,
                y: self.x,
            }
        } else {
            self
        }
    }
}

/// Longer than any real one.
pub(crate) const ICC_LEN_MAX: usize = 16 << 20;

impl Attached {
    /// How to turn the image, as EXIF numbers it: what EXIF says, or else XMP.
    pub(crate) fn orientation(&self) -> Option<u8> {
        let by_exif = self.exif.as_deref().and_then(exif::orientation);
        by_exif.or_else(|| self.xmp.as_deref().and_then(xmp::orientation))
    }

    /// What of it goes along with an image of `size` that was made of this one, but for the profile.
    pub(crate) fn kept(&self, wanted: Metadata, size: (u32, u32)) -> Self {
        let keeps_place = wanted == Metadata::All;
        match wanted {
            Metadata::Strip => Self::default(),
            Metadata::Rights => Self {
                exif: self.exif.as_deref().and_then(exif::rights),
                xmp: self.filtered_xmp(xmp::Part::Rights),
                iptc: self.iptc.as_deref().and_then(iptc::rights),
                ..Self::default()
            },
            Metadata::Keep | Metadata::All => Self {
                exif: self
                    .exif
                    .as_deref()
                    .and_then(|exif| exif::kept(exif, size, keeps_place)),
                xmp: self.filtered_xmp(if keeps_place {
                    xmp::Part::Everything
                } else {
                    xmp::Part::WithoutPlace
                }),
                iptc: self.iptc.as_deref().map(|records| {
                    if keeps_place {
                        records.to_vec()
                    } else {
                        iptc::without_place(records)
                    }
                }),
                density: self
                    .density
                    .or_else(|| self.exif.as_deref().and_then(exif::density)),
                icc: None,
            },
        }
    }

    fn filtered_xmp(&self, part: xmp::Part) -> Option<Vec<u8>> {
        self.xmp.as_deref().and_then(|xmp| xmp::filtered(xmp, part))
    }

    /// The same for an image that was turned by `orientation`.
    pub(crate) fn turned(mut self, orientation: Orientation) -> Self {
        if orientation == Orientation::UPRIGHT {
            return self;
        }
        self.density = self.density.map(|density| density.turned(orientation));
        self.upright()
    }

    /// The same for an image that stands upright, or says elsewhere how it is to be turned.
    pub(crate) fn upright(mut self) -> Self {
        self.exif = self.exif.map(|exif| exif::upright(&exif).unwrap_or(exif));
        if let Some(xmp) = &mut self.xmp {
            xmp::upright(xmp);
        }
        self
    }
}
