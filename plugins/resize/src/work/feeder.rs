//! Takes decoded rows, prepares them once, and hands them to the scalers of all targets.

use std::mem;

use crate::{
    args::Format,
    codec::{Layout, Plane, Sink},
    color::{self, Profile},
    error::{Result, Trouble},
    orientation::Orientation,
    pixels::{Kind, Picture, Pixels},
    scale::{Region, Scaler, to_f64},
};

use super::{
    Settings,
    steps::{self, Colors, Step},
    target::ResolvedTarget,
};

pub(super) struct Feeder<'a> {
    settings: Settings,
    orientation: Orientation,
    profile: Option<&'a Profile>,
    targets: Vec<&'a ResolvedTarget<'a>>,
    rows: Rows<'a>,
    /// One for each target, once the decoder has begun.
    scaled: Vec<Scaled<'a>>,
}

/// What is done to rows before they are scaled.
enum Rows<'a> {
    AsTheyAre,
    /// Planes whose samples don't use their full range.
    Stretched,
    /// Pixels of this kind and width.
    Prepared {
        kind: Kind,
        width: usize,
        steps: Vec<Step<'a>>,
    },
}

/// A target on its way.
struct Scaled<'a> {
    /// For each plane; one for pixels side by side.
    scalers: Vec<Scaler>,
    is_planes: bool,
    /// What is done when all rows are there.
    steps: Vec<Step<'a>>,
}

impl<'a> Feeder<'a> {
    pub(super) fn new(
        settings: Settings,
        orientation: Orientation,
        profile: Option<&'a Profile>,
        targets: Vec<&'a ResolvedTarget<'a>>,
    ) -> Self {
        Self {
            settings,
            orientation,
            profile,
            targets,
            rows: Rows::AsTheyAre,
            scaled: Vec::new(),
        }
    }

    /// The scaled image of the target at `index`, in the colours that it is to have.
    pub(super) fn take(&mut self, index: usize) -> Result<Picture> {
        let nothing = || Trouble::broken("source", "nothing was decoded");
        let scaled = self.scaled.get_mut(index).ok_or_else(nothing)?;
        let scalers = mem::take(&mut scaled.scalers);
        let mut planes = scalers
            .into_iter()
            .map(Scaler::finish)
            .collect::<Result<Vec<_>>>()?;
        let pixels = match (scaled.is_planes, self.targets[index].is_packed) {
            (true, false) => return Ok(Picture::Planes(planes)),
            (true, true) => color::planes_to_packed(planes)?,
            (false, _) => planes.pop().ok_or_else(nothing)?,
        };
        steps::take(&scaled.steps, pixels).map(Picture::Packed)
    }

    fn begin_packed(
        &mut self,
        colors: Colors<'a>,
        size: (usize, usize),
        factor: f64,
    ) -> Result<()> {
        let steps = colors.before();
        if !steps.is_empty() {
            self.rows = Rows::Prepared {
                kind: colors.kind,
                width: size.0,
                steps,
            };
        }
        for target in &self.targets {
            let (plan, kind) = (&target.plan, colors.working_kind());
            let region = plan.region.times(factor, factor);
            self.scaled.push(Scaled {
                scalers: vec![Scaler::new(kind, size, region, plan.scaled)?],
                is_planes: false,
                steps: colors.after(target.attached.icc.is_some(), target.format == Format::Png),
            });
        }
        Ok(())
    }

    fn begin_planes(&mut self, planes: &[Plane], is_full_range: bool) -> Result<()> {
        if !is_full_range {
            self.rows = Rows::Stretched;
        }
        for target in &self.targets {
            let (plan, mut scalers) = (&target.plan, Vec::new());
            for (number, plane) in planes.iter().enumerate() {
                let is_half = number > 0 && target.is_subsampled && !target.is_packed;
                let (region, to) = if is_half {
                    halved(plan.region, plan.scaled, self.orientation)
                } else {
                    (plan.region, plan.scaled)
                };
                let region = region.times(plane.factor.0, plane.factor.1);
                let size = (plane.width, plane.height);
                scalers.push(Scaler::new(Kind::of(1, false), size, region, to)?);
            }
            let profile = self.profile.filter(|_| target.attached.icc.is_none());
            self.scaled.push(Scaled {
                scalers,
                is_planes: true,
                steps: profile.map(Step::Convert).into_iter().collect(),
            });
        }
        Ok(())
    }
}

impl Sink for Feeder<'_> {
    fn begin(&mut self, layout: &Layout) -> Result<()> {
        // Whatever a decoder handed over that gave up is forgotten.
        self.rows = Rows::AsTheyAre;
        self.scaled.clear();
        match layout {
            Layout::Packed {
                kind,
                width,
                height,
                factor,
                space,
            } => {
                let colors = Colors {
                    kind: *kind,
                    space: *space,
                    profile: self.profile,
                    is_linear: self.settings.linear,
                };
                self.begin_packed(colors, (*width, *height), *factor)
            }
            Layout::Planes {
                planes,
                is_full_range,
            } => self.begin_planes(planes, *is_full_range),
        }
    }

    fn rows(&mut self, plane: usize, bytes: &[u8]) -> Result<()> {
        let prepared: Pixels;
        let stretched: Vec<u8>;
        let bytes = match &self.rows {
            Rows::AsTheyAre => bytes,
            Rows::Stretched => {
                stretched = stretch(plane, bytes);
                &stretched
            }
            Rows::Prepared { kind, width, steps } => {
                prepared = steps::take(steps, copied(*kind, *width, bytes)?)?;
                prepared.bytes()
            }
        };
        for scaled in &mut self.scaled {
            if let Some(scaler) = scaled.scalers.get_mut(plane) {
                scaler.push(bytes)?;
            }
        }
        Ok(())
    }
}

/// Rows as pixels of their own.
fn copied(kind: Kind, width: usize, bytes: &[u8]) -> Result<Pixels> {
    let height = bytes.len() / (width * kind.bytes()).max(1);
    let mut pixels = Pixels::new(width, height, kind)?;
    let len = pixels.bytes().len();
    pixels.bytes_mut().copy_from_slice(&bytes[..len]);
    Ok(pixels)
}

/// Samples that use their full range.
fn stretch(plane: usize, bytes: &[u8]) -> Vec<u8> {
    let ranges = &*color::TO_FULL;
    let table = if plane == 0 {
        &ranges.luma
    } else {
        &ranges.chroma
    };
    bytes
        .iter()
        .map(|sample| table[usize::from(*sample)])
        .collect()
}

/// Where chroma of half the size comes from: a sample stands for two pixels, counted from where the upright image begins.
/// Of an odd number of pixels, the last one reaches a pixel beyond the end, which in the file may be the beginning. A lone
/// pixel has one to itself.
fn halved(
    region: Region,
    (width, height): (usize, usize),
    orientation: Orientation,
) -> (Region, (usize, usize)) {
    let half = (width.div_ceil(2), height.div_ceil(2));
    let beyond = |len: f64, pixels: usize| match pixels % 2 {
        0 => 0.0,
        _ if pixels == 1 => 0.0,
        _ => len / to_f64(pixels),
    };
    let (x, y) = (beyond(region.width, width), beyond(region.height, height));
    let (reverses_x, reverses_y) = orientation.reverses();
    let region = Region {
        x: if reverses_x { region.x - x } else { region.x },
        y: if reverses_y { region.y - y } else { region.y },
        width: region.width + x,
        height: region.height + y,
    };
    (region, half)
}
