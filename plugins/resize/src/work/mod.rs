//! A task from its header to its files: decode once, scale into every target on the way, then finish one by one.

mod animation;
mod canvas;
mod encode;
mod feeder;
mod steps;
mod target;

use plugin_api::Task;

use crate::{
    args::{Chroma, Format, Made, Metadata, OnDamage},
    codec::{self, Data, DecodeOptions, Header, webp},
    color::{self, Profile},
    config::Limits,
    error::{Result, Trouble},
    orientation::Orientation,
    pixels::Picture,
    plan::RequestedSize,
    sharpen,
};

use self::{
    animation::{Animation, Frames},
    encode::encode,
    feeder::Feeder,
    target::{Colors, ResolvedTarget},
};

/// What was reduced less than this isn't sharpened.
const SHARPENED_REDUCTION_MIN: f64 = 2.0;

/// One image to be made, checked.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) path: Option<String>,
    pub(crate) size: RequestedSize,
    /// What the request names; else it is the source's.
    pub(crate) format: Option<Format>,
    pub(crate) quality: Option<u8>,
    pub(crate) chroma: Chroma,
    pub(crate) progressive: bool,
    /// 2 to 256.
    pub(crate) colors: Option<usize>,
    pub(crate) bytes_max: Option<u64>,
    pub(crate) background: Option<[u8; 4]>,
    pub(crate) metadata: Metadata,
    pub(crate) sharpen: f32,
}

/// What holds for all targets of a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) autorotate: bool,
    pub(crate) linear: bool,
    pub(crate) animated: bool,
    pub(crate) on_damage: OnDamage,
}

/// A finished file.
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) size: (usize, usize),
    pub(crate) frames: usize,
    pub(crate) data: Vec<u8>,
}

impl Output {
    pub(crate) fn made(&self) -> Made {
        Made {
            path: None,
            base64: None,
            format: self.format,
            width: self.size.0,
            height: self.size.1,
            bytes: self.data.len(),
            frames: self.frames,
        }
    }
}

/// A source that was found fit to be decoded.
pub(crate) struct Work<'a> {
    data: &'a Data,
    header: Header,
    settings: Settings,
    orientation: Orientation,
    profile: Option<Profile>,
    targets: Vec<ResolvedTarget<'a>>,
    options: DecodeOptions,
}

impl<'a> Work<'a> {
    /// Checks everything that can be checked before a pixel is decoded.
    pub(crate) fn new(
        data: &'a Data,
        targets: &'a [Target],
        settings: Settings,
        limits: &Limits,
    ) -> Result<Self> {
        let header = codec::header(data, limits)?;
        if settings.on_damage == OnDamage::Error {
            header.check_whole()?;
        }
        check_source(&header, settings, limits)?;
        // What the container of AVIF says is part of the picture; EXIF is advice.
        let is_turned = settings.autorotate || header.container_orientation.is_some();
        let orientation = if is_turned {
            Orientation::from_exif(header.orientation())
        } else {
            Orientation::UPRIGHT
        };
        let icc = header.colorimetry.to_icc(header.space.channels());
        let profile = icc
            .as_deref()
            .and_then(|icc| Profile::new(icc, header.space));
        let mut resolved = Vec::new();
        for target in targets {
            resolved.push(ResolvedTarget::new(
                target,
                &header,
                orientation,
                Colors {
                    icc: icc
                        .as_deref()
                        .filter(|icc| color::is_for(icc, header.space)),
                    is_converted: profile.is_some(),
                    is_linear: settings.linear,
                },
                limits,
            )?);
        }
        target::check_work(&resolved, &header, settings, limits)?;
        let options = DecodeOptions {
            // Averages of an eighth are averages of the curve, not of light.
            reduction_max: if settings.linear {
                1.0
            } else {
                resolved
                    .iter()
                    .map(ResolvedTarget::reduction)
                    .fold(f64::INFINITY, f64::min)
            },
            is_packed: settings.linear,
            has_fine_chroma: resolved
                .iter()
                .any(|target| target.is_packed || !target.is_subsampled),
            shows_damage: settings.on_damage == OnDamage::Show,
            memory_max: limits.memory_max,
        };
        let work = Self {
            data,
            header,
            settings,
            orientation,
            profile,
            targets: resolved,
            options,
        };
        work.check_memory(limits)?;
        Ok(work)
    }

    fn check_memory(&self, limits: &Limits) -> Result<()> {
        let pixels = |(width, height): (usize, usize)| width as u64 * height as u64;
        let held: u64 = self
            .targets
            .iter()
            .map(|target| {
                let strip = 2 << 20;
                pixels(target.plan.scaled) * 4 + strip
            })
            .sum();
        let finished = self
            .targets
            .iter()
            .map(|target| pixels(target.plan.canvas) * 12)
            .max();
        // Animations are made side by side.
        let animations: u64 = self
            .targets
            .iter()
            .filter(|target| self.is_animated(target))
            .map(|target| pixels(target.plan.canvas) * Animation::bytes_per_pixel(target.format))
            .sum();
        // Of a file that ends too early, a copy is made without what isn't whole.
        let copies = if self.header.is_cut { 2 } else { 1 };
        let needed = self.data.held() * copies
            + codec::memory(&self.header)
            + held
            + finished.unwrap_or(0)
            + animations;
        if needed > limits.memory_max {
            return Err(Trouble::limit(
                "too_much_memory",
                "this would take too many bytes of memory",
                "memory_max",
                limits.memory_max,
                needed,
            ));
        }
        Ok(())
    }

    fn is_animated(&self, target: &ResolvedTarget<'_>) -> bool {
        target.frames(&self.header, self.settings) > 1
    }

    /// Makes the images; each is handed over as soon as it is there, with its place among the targets.
    pub(crate) fn run(
        &self,
        task: &Task,
        mut done: impl FnMut(usize, Output) -> Result<()>,
    ) -> Result<()> {
        if self.targets.iter().any(|target| self.is_animated(target)) {
            return self.run_animated(task, done);
        }
        let mut feeder = self.feeder(self.targets.iter().collect());
        codec::decode(&self.header, self.data, &self.options, &mut feeder, task)?;
        for (index, target) in self.targets.iter().enumerate() {
            task.check()?;
            let picture = self.finish(feeder.take(index)?, target)?;
            done(index, encode(target, picture, task)?)?;
        }
        Ok(())
    }

    fn run_animated(
        &self,
        task: &Task,
        mut done: impl FnMut(usize, Output) -> Result<()>,
    ) -> Result<()> {
        let mut frames = Frames::open(&self.header, self.data.bytes())?;
        let loops = frames.loops();
        let mut animations: Vec<Option<Animation>> = self
            .targets
            .iter()
            .map(|target| {
                let is_animated = self.is_animated(target);
                is_animated
                    .then(|| Animation::new(target, loops))
                    .transpose()
            })
            .collect::<Result<_>>()?;
        let mut count = 0;
        while let Some(frame) = frames.next(task)? {
            let is_first = count == 0;
            count += 1;
            // The other targets are made of the first frame alone.
            let numbers: Vec<usize> = (0..self.targets.len())
                .filter(|index| is_first || animations[*index].is_some())
                .collect();
            let mut feeder =
                self.feeder(numbers.iter().map(|index| &self.targets[*index]).collect());
            webp::push_frame(&frame.pixels, &mut feeder)?;
            for (place, index) in numbers.into_iter().enumerate() {
                let target = &self.targets[index];
                let picture = self.finish(feeder.take(place)?, target)?;
                match &mut animations[index] {
                    None => done(index, encode(target, picture, task)?)?,
                    Some(animation) => animation.add(picture, frame.duration_ms, task)?,
                }
            }
            task.progress(count, self.header.frames as u64, "frames");
        }
        if count < self.header.frames as u64 {
            return Err(Trouble::broken(
                self.header.format.name(),
                "frames are missing",
            ));
        }
        for (index, animation) in animations.into_iter().enumerate() {
            let Some(animation) = animation else {
                continue;
            };
            let target = &self.targets[index];
            let (data, frames) = animation.finish(&target.attached)?;
            encode::check_len(target, data.len())?;
            let output = Output {
                format: target.format,
                size: target.plan.canvas,
                frames,
                data,
            };
            done(index, output)?;
        }
        Ok(())
    }

    /// What is left to do between scaling and encoding, but for colours.
    fn finish(&self, picture: Picture, target: &ResolvedTarget<'_>) -> Result<Picture> {
        let mut picture = self.orientation.turn(picture)?;
        let strength = target.requested.sharpen;
        if strength > 0.0 && target.reduction() >= SHARPENED_REDUCTION_MIN {
            sharpen::sharpen(&mut picture, strength)?;
        }
        match picture {
            Picture::Packed(pixels) => canvas::composed(pixels, target).map(Picture::Packed),
            planes @ Picture::Planes(_) => Ok(planes),
        }
    }

    fn feeder<'s>(&'s self, targets: Vec<&'s ResolvedTarget<'s>>) -> Feeder<'s> {
        Feeder::new(
            self.settings,
            self.orientation,
            self.profile.as_ref(),
            targets,
        )
    }
}

fn check_source(header: &Header, settings: Settings, limits: &Limits) -> Result<()> {
    let frames = header.frames as u64;
    if settings.animated && frames > limits.frames_max {
        return Err(Trouble::limit(
            "too_many_frames",
            "the source has too many frames",
            "frames_max",
            limits.frames_max,
            frames,
        ));
    }
    let pixels = header
        .pixels()
        .saturating_mul(if settings.animated { frames } else { 1 });
    if pixels > limits.pixels_max {
        return Err(Trouble::limit(
            "too_many_pixels",
            &format!(
                "the source of {} x {} has too many pixels",
                header.width, header.height
            ),
            "pixels_max",
            limits.pixels_max,
            pixels,
        ));
    }
    Ok(())
}
