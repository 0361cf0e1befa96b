//! A task from its header to its files: decode once, scale into every target on the way, then finish one by one.

use fast_image_resize::{
    MulDiv,
    images::Image,
    pixels::{U16x2, U16x4},
};
use plugin_api::Task;

use crate::{
    args::{Format, Made, Metadata},
    codec::{self, Data, Header, Layout, Sink, Wish, avif, gif, jpeg, png, webp},
    color::{self, Profile, Space},
    config::Limits,
    error::{Result, Trouble},
    metadata::{self, Attached},
    orientation::Orientation,
    pixels::{Kind, Picture, Pixels},
    plan::{Plan, RequestedSize},
    scale::{Region, Scaler, to_f64},
    sharpen,
};

/// One image to be made, checked.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) path: Option<String>,
    pub(crate) size: RequestedSize,
    /// What the request names; else it is the source's.
    pub(crate) format: Option<Format>,
    pub(crate) quality: Option<u8>,
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

/// A target with everything that follows from the source.
struct Course<'a> {
    target: &'a Target,
    format: Format,
    quality: u8,
    plan: Plan,
    /// Pixels side by side are needed at the end, because planes can't be converted, padded or written so.
    is_packed: bool,
    /// Chroma has half the size.
    is_subsampled: bool,
    attached: Attached,
}

/// A source that was found fit to be decoded.
pub(crate) struct Work<'a> {
    data: &'a Data,
    header: Header,
    settings: Settings,
    orientation: Orientation,
    profile: Option<Profile>,
    courses: Vec<Course<'a>>,
    wish: Wish,
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
        check_source(&header, settings, limits)?;
        // What the container of AVIF says is part of the picture; EXIF is advice.
        let is_turned = settings.autorotate || header.container_orientation.is_some();
        let orientation = if is_turned {
            Orientation::from_exif(header.orientation())
        } else {
            Orientation::UPRIGHT
        };
        let needs_profile = targets
            .iter()
            .any(|target| target.metadata == Metadata::Strip)
            || matches!(header.space, Space::Cmyk(_) | Space::Ycck(_))
            || targets
                .iter()
                .any(|target| target.format == Some(Format::Gif));
        let profile = header
            .attached
            .icc
            .as_deref()
            .filter(|_| needs_profile)
            .and_then(|icc| Profile::new(icc, header.space));
        let mut courses = Vec::new();
        for target in targets {
            let is_converted = profile.is_some();
            courses.push(Course::new(
                target,
                &header,
                orientation,
                is_converted,
                limits,
            )?);
        }
        let reduction = |course: &Course<'_>| {
            let (region, scaled) = (course.plan.region, course.plan.scaled);
            (region.width / to_f64(scaled.0)).min(region.height / to_f64(scaled.1))
        };
        let wish = Wish {
            // Averages of an eighth are averages of the curve, not of light.
            reduction_max: if settings.linear {
                1.0
            } else {
                courses.iter().map(reduction).fold(f64::INFINITY, f64::min)
            },
            is_packed: settings.linear,
            has_fine_chroma: courses
                .iter()
                .any(|course| course.is_packed || !course.is_subsampled),
            memory_max: limits.memory_max,
        };
        let work = Self {
            data,
            header,
            settings,
            orientation,
            profile,
            courses,
            wish,
        };
        work.check_memory(limits)?;
        Ok(work)
    }

    fn check_memory(&self, limits: &Limits) -> Result<()> {
        let pixels = |(width, height): (usize, usize)| width as u64 * height as u64;
        let held: u64 = self
            .courses
            .iter()
            .map(|course| {
                let strip = 2 << 20;
                pixels(course.plan.scaled) * 4 + strip
            })
            .sum();
        let finished = self
            .courses
            .iter()
            .map(|course| pixels(course.plan.canvas) * 12)
            .max();
        let needed = self.data.held()
            + codec::memory(&self.header, &self.wish)
            + held
            + finished.unwrap_or(0);
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

    fn is_animated(&self, course: &Course<'_>) -> bool {
        self.settings.animated
            && self.header.frames > 1
            && matches!(course.format, Format::Webp | Format::Gif)
    }

    /// Makes the images; each is handed over as soon as it is there, with its place among the targets.
    pub(crate) fn run(
        &self,
        task: &Task,
        mut done: impl FnMut(usize, Output) -> Result<()>,
    ) -> Result<()> {
        if self.courses.iter().any(|course| self.is_animated(course)) {
            return self.run_animated(task, done);
        }
        let mut feeder = Feeder::new(self, self.courses.iter().collect());
        codec::decode(&self.header, self.data, &self.wish, &mut feeder, task)?;
        for (index, course) in self.courses.iter().enumerate() {
            task.check()?;
            let picture = self.finish(feeder.take(index)?, course, &feeder)?;
            done(index, self.encode(course, picture, task)?)?;
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
        let mut animations: Vec<Option<Animation>> = Vec::new();
        for course in &self.courses {
            let size = course.plan.canvas;
            animations.push(match course.format {
                _ if !self.is_animated(course) => None,
                Format::Gif => Some(Animation::Gif(gif::Animation::new(size, Some(loops))?)),
                _ => Some(Animation::Webp(webp::Animation::new(
                    size,
                    loops,
                    course.quality,
                )?)),
            });
        }
        let mut count = 0;
        while let Some(frame) = frames.next(task)? {
            let is_first = count == 0;
            count += 1;
            let numbers: Vec<usize> = (0..self.courses.len())
                .filter(|index| is_first || animations[*index].is_some())
                .collect();
            let courses = numbers.iter().map(|index| &self.courses[*index]).collect();
            let mut feeder = Feeder::new(self, courses);
            webp::push_frame(&frame.pixels, &mut feeder)?;
            for (place, index) in numbers.into_iter().enumerate() {
                let course = &self.courses[index];
                let picture = self.finish(feeder.take(place)?, course, &feeder)?;
                match &mut animations[index] {
                    None => done(index, self.encode(course, picture, task)?)?,
                    Some(animation) => animation.add(&rgba(picture)?, frame.duration_ms, task)?,
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
            let (course, frames) = (&self.courses[index], self.header.frames);
            let data = match animation {
                None => continue,
                Some(Animation::Gif(animation)) => animation.finish()?,
                Some(Animation::Webp(animation)) => animation.finish(&course.attached)?,
            };
            let size = course.plan.canvas;
            done(
                index,
                Output {
                    format: course.format,
                    size,
                    frames,
                    data,
                },
            )?;
        }
        Ok(())
    }

    /// What is left to do between scaling and encoding.
    fn finish(
        &self,
        picture: Picture,
        course: &Course<'_>,
        feeder: &Feeder<'_>,
    ) -> Result<Picture> {
        let picture = match picture {
            Picture::Planes(planes) if !course.is_packed => Picture::Planes(planes),
            Picture::Planes(planes) => {
                let pixels = color::planes_to_packed(planes)?;
                Picture::Packed(self.converted(pixels, course)?)
            }
            Picture::Packed(pixels) => Picture::Packed(self.finish_packed(pixels, course, feeder)?),
        };
        let mut picture = self.orientation.turn(picture)?;
        let (region, scaled) = (course.plan.region, course.plan.scaled);
        let reduction = (region.width / to_f64(scaled.0)).min(region.height / to_f64(scaled.1));
        if course.target.sharpen > 0.0 && reduction >= 2.0 {
            sharpen::sharpen(&mut picture, course.target.sharpen)?;
        }
        match picture {
            Picture::Packed(pixels) => Ok(Picture::Packed(composed(pixels, course)?)),
            planes @ Picture::Planes(_) => Ok(planes),
        }
    }

    fn finish_packed(
        &self,
        mut pixels: Pixels,
        course: &Course<'_>,
        feeder: &Feeder<'_>,
    ) -> Result<Pixels> {
        let Some(Layout::Packed { kind, space, .. }) = feeder.layout() else {
            return Err(Trouble::broken("source", "nothing was decoded"));
        };
        if feeder.has_alpha() {
            unmultiply(&mut pixels)?;
        }
        if self.settings.linear {
            color::from_light(&mut pixels);
        }
        if pixels.kind.is_16_bit && !(kind.is_16_bit && course.format == Format::Png) {
            pixels = pixels.to_8_bit()?;
        }
        // Scaled in linear light, colours have been converted before.
        if self.settings.linear {
            return Ok(pixels);
        }
        match space {
            Space::Cmyk(_) | Space::Ycck(_) => self.inks_to_rgb(pixels, *space),
            _ => self.converted(pixels, course),
        }
    }

    fn inks_to_rgb(&self, mut pixels: Pixels, space: Space) -> Result<Pixels> {
        if matches!(space, Space::Cmyk(true) | Space::Ycck(true)) {
            color::invert(&mut pixels);
        }
        match &self.profile {
            Some(profile) => profile.to_srgb(&pixels),
            None => color::cmyk_to_rgb(&pixels),
        }
    }

    fn converted(&self, pixels: Pixels, course: &Course<'_>) -> Result<Pixels> {
        match &self.profile {
            Some(profile) if course.attached.icc.is_none() => profile.to_srgb(&pixels),
            _ => Ok(pixels),
        }
    }

    fn encode(&self, course: &Course<'_>, picture: Picture, task: &Task) -> Result<Output> {
        let (attached, quality) = (&course.attached, course.quality);
        let data = match course.format {
            Format::Jpeg => {
                let settings = jpeg::Settings {
                    quality,
                    is_subsampled: course.is_subsampled,
                };
                jpeg::encode(&picture, settings, attached, task)?
            }
            Format::Png => png::encode(&packed(picture)?, attached, task)?,
            Format::Webp => {
                let picture = match picture {
                    Picture::Packed(pixels) if pixels.kind.channels < 3 => {
                        Picture::Packed(color::grey_to_rgb(&pixels)?)
                    }
                    picture => picture,
                };
                webp::encode(&picture, quality, attached, task)?
            }
            Format::Avif => avif::encode(&picture, quality, attached, task)?,
            Format::Gif => {
                let mut animation = gif::Animation::new(course.plan.canvas, None)?;
                animation.add(&rgba(picture)?, 0, task)?;
                animation.finish()?
            }
        };
        Ok(Output {
            format: course.format,
            size: course.plan.canvas,
            frames: 1,
            data,
        })
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

impl<'a> Course<'a> {
    fn new(
        target: &'a Target,
        header: &Header,
        orientation: Orientation,
        is_converted: bool,
        limits: &Limits,
    ) -> Result<Self> {
        let format = target.format.unwrap_or(header.format);
        let plan = Plan::new(&target.size, (header.width, header.height), orientation);
        check_target(&plan, format, limits)?;
        let quality = quality(target.quality, format)?;
        let is_kept = target.metadata == Metadata::Keep;
        let mut attached = if is_kept {
            header.attached.clone()
        } else {
            Attached::default()
        };
        if orientation != Orientation::UPRIGHT {
            attached.exif = attached
                .exif
                .map(|exif| metadata::with_orientation(&exif, 1));
        }
        // GIF has no place for profiles, and inks are converted in any case.
        if format == Format::Gif || matches!(header.space, Space::Cmyk(_) | Space::Ycck(_)) {
            attached.icc = None;
        }
        let is_packed = matches!(format, Format::Png | Format::Gif)
            || quality > 100
            || plan.has_padding(orientation)
            || (is_converted && attached.icc.is_none());
        let is_subsampled = match format {
            Format::Jpeg => quality < 90,
            Format::Webp | Format::Avif => true,
            Format::Png | Format::Gif => false,
        };
        Ok(Self {
            target,
            format,
            quality,
            plan,
            is_packed,
            is_subsampled,
            attached,
        })
    }
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

fn packed(picture: Picture) -> Result<Pixels> {
    match picture {
        Picture::Packed(pixels) => Ok(pixels),
        Picture::Planes(planes) => color::planes_to_packed(planes),
    }
}

/// Four channels of 8 bits.
fn rgba(picture: Picture) -> Result<Pixels> {
    let mut pixels = packed(picture)?;
    if pixels.kind.is_16_bit {
        pixels = pixels.to_8_bit()?;
    }
    if pixels.kind.channels < 3 {
        pixels = color::grey_to_rgb(&pixels)?;
    }
    if pixels.kind.channels == 3 {
        color::with_alpha(&pixels)
    } else {
        Ok(pixels)
    }
}

/// Puts the image on its canvas, and transparent parts on the background.
fn composed(mut pixels: Pixels, course: &Course<'_>) -> Result<Pixels> {
    let background = course.target.background;
    let is_opaque_format = course.format == Format::Jpeg;
    if color::has_alpha(pixels.kind) {
        let solid = background.filter(|[.., alpha]| *alpha == 255 || is_opaque_format);
        let solid = solid.or(is_opaque_format.then_some([255; 4]));
        if color::is_opaque(&pixels) {
            pixels = color::flatten(&pixels, [0; 3])?;
        } else if let Some([r, g, b, _]) = solid {
            if pixels.kind.channels == 2 && !(r == g && g == b) {
                pixels = color::grey_to_rgb(&pixels)?;
            }
            pixels = color::flatten(&pixels, [r, g, b])?;
        }
    }
    let canvas = course.plan.canvas;
    if (pixels.width, pixels.height) == canvas {
        return Ok(pixels);
    }
    let background = background.unwrap_or(if is_opaque_format { [255; 4] } else { [0; 4] });
    padded(
        pixels,
        canvas,
        course.plan.offset,
        background,
        is_opaque_format,
    )
}

fn padded(
    mut pixels: Pixels,
    (width, height): (usize, usize),
    (left, top): (usize, usize),
    [r, g, b, a]: [u8; 4],
    is_opaque_format: bool,
) -> Result<Pixels> {
    if pixels.kind.channels < 3 && !(r == g && g == b) {
        pixels = color::grey_to_rgb(&pixels)?;
    }
    if a < 255 && !is_opaque_format && !color::has_alpha(pixels.kind) {
        pixels = color::with_alpha(&pixels)?;
    }
    let kind = pixels.kind;
    let wide = |sample: u8| {
        if kind.is_16_bit {
            (u16::from(sample) * 257).to_ne_bytes().to_vec()
        } else {
            vec![sample]
        }
    };
    let samples: &[u8] = match kind.channels {
        1 => &[r],
        2 => &[r, a],
        3 => &[r, g, b],
        _ => &[r, g, b, a],
    };
    let pixel: Vec<u8> = samples.iter().flat_map(|sample| wide(*sample)).collect();
    let mut canvas = Pixels::new(width, height, kind)?;
    for to in canvas.bytes_mut().chunks_exact_mut(pixel.len()) {
        to.copy_from_slice(&pixel);
    }
    let (stride, left) = (pixels.stride(), left * kind.bytes());
    for y in 0..pixels.height {
        canvas.rows_mut(top + y, 1)[left..left + stride].copy_from_slice(pixels.row(y));
    }
    Ok(canvas)
}

enum Frames<'a> {
    Gif(Box<gif::Frames<'a>>),
    Webp(webp::Frames<'a>),
}

impl<'a> Frames<'a> {
    fn open(header: &Header, data: &'a [u8]) -> Result<Self> {
        codec::guarded(header.format, || {
            Ok(match header.format {
                Format::Gif => Self::Gif(Box::new(gif::Frames::open(header, data)?)),
                _ => Self::Webp(webp::Frames::open(header, data)?),
            })
        })
    }

    fn loops(&self) -> u16 {
        match self {
            Self::Gif(frames) => frames.loops(),
            Self::Webp(frames) => frames.loops(),
        }
    }

    fn next(&mut self, task: &Task) -> Result<Option<webp::Frame>> {
        match self {
            Self::Gif(frames) => codec::guarded(Format::Gif, || frames.next(task)),
            Self::Webp(frames) => codec::guarded(Format::Webp, || frames.next(task)),
        }
    }
}

enum Animation {
    Gif(gif::Animation),
    Webp(webp::Animation),
}

impl Animation {
    fn add(&mut self, pixels: &Pixels, duration_ms: u32, task: &Task) -> Result<()> {
        match self {
            Self::Gif(animation) => animation.add(pixels, duration_ms, task),
            Self::Webp(animation) => animation.add(pixels, duration_ms, task),
        }
    }
}

/// Takes decoded rows, prepares them once, and hands them to the scalers of all targets.
struct Feeder<'a> {
    work: &'a Work<'a>,
    courses: Vec<&'a Course<'a>>,
    layout: Option<Layout>,
    /// For each target, for each plane.
    scalers: Vec<Vec<Option<Scaler>>>,
}

impl<'a> Feeder<'a> {
    fn new(work: &'a Work<'a>, courses: Vec<&'a Course<'a>>) -> Self {
        Self {
            work,
            courses,
            layout: None,
            scalers: Vec::new(),
        }
    }

    fn layout(&self) -> Option<&Layout> {
        self.layout.as_ref()
    }

    /// Whether what is scaled has alpha, and then was multiplied by it.
    fn has_alpha(&self) -> bool {
        match &self.layout {
            Some(Layout::Packed { kind, space, .. }) => {
                color::has_alpha(*kind) && !matches!(space, Space::Cmyk(_) | Space::Ycck(_))
            }
            _ => false,
        }
    }

    /// What pixels are scaled in.
    fn working_kind(&self, kind: Kind, space: Space) -> Kind {
        let is_inks = matches!(space, Space::Cmyk(_) | Space::Ycck(_));
        let is_light = self.work.settings.linear;
        let channels = if is_inks && is_light {
            3
        } else {
            kind.channels
        };
        Kind::of(channels, kind.is_16_bit || is_light || self.has_alpha())
    }

    fn scaler(
        kind: Kind,
        size: (usize, usize),
        region: Region,
        to: (usize, usize),
    ) -> Result<Option<Scaler>> {
        Scaler::new(kind, size, region, to).map(Some)
    }

    /// The result for the target at `index`.
    fn take(&mut self, index: usize) -> Result<Picture> {
        let mut planes = Vec::new();
        for scaler in &mut self.scalers[index] {
            if let Some(scaler) = scaler.take() {
                planes.push(scaler.finish()?);
            }
        }
        match self.layout {
            Some(Layout::Planes { .. }) => Ok(Picture::Planes(planes)),
            _ => planes
                .pop()
                .map(Picture::Packed)
                .ok_or_else(|| Trouble::broken("source", "nothing was decoded")),
        }
    }

    fn prepare(&self, bytes: &[u8], kind: Kind, width: usize, space: Space) -> Result<Pixels> {
        let height = bytes.len() / (width * kind.bytes()).max(1);
        let mut pixels = Pixels::new(width, height, kind)?;
        let len = pixels.bytes().len();
        pixels.bytes_mut().copy_from_slice(&bytes[..len]);
        if self.work.settings.linear {
            pixels = match space {
                Space::Cmyk(_) | Space::Ycck(_) => self.work.inks_to_rgb(pixels, space)?,
                _ => match &self.work.profile {
                    Some(profile) => profile.to_srgb(&pixels)?,
                    None => pixels,
                },
            };
        }
        if !pixels.kind.is_16_bit {
            pixels = pixels.to_16_bit()?;
        }
        if self.work.settings.linear {
            color::to_light(&mut pixels);
        }
        if self.has_alpha() {
            multiply(&mut pixels)?;
        }
        Ok(pixels)
    }
}

/// 16 bits of grey and alpha, or of RGB and alpha.
fn image(pixels: &mut Pixels) -> Result<Image<'_>> {
    let (width, height) = (
        crate::scale::to_u32(pixels.width),
        crate::scale::to_u32(pixels.height),
    );
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

fn unmultiply(pixels: &mut Pixels) -> Result<()> {
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

impl Sink for Feeder<'_> {
    fn begin(&mut self, layout: &Layout) -> Result<()> {
        self.layout = Some(layout.clone());
        let mut scalers = Vec::new();
        for course in &self.courses {
            let (plan, scaled) = (&course.plan, course.plan.scaled);
            let mut of_target = Vec::new();
            match layout {
                Layout::Packed {
                    kind,
                    width,
                    height,
                    factor,
                    space,
                } => {
                    let kind = self.working_kind(*kind, *space);
                    let region = plan.region.times(*factor, *factor);
                    of_target.push(Self::scaler(kind, (*width, *height), region, scaled)?);
                }
                Layout::Planes { planes, .. } => {
                    for (number, plane) in planes.iter().enumerate() {
                        let is_half = number > 0 && course.is_subsampled && !course.is_packed;
                        let (region, to) = if is_half {
                            halved(plan.region, scaled)
                        } else {
                            (plan.region, scaled)
                        };
                        let region = region.times(plane.factor.0, plane.factor.1);
                        let size = (plane.width, plane.height);
                        of_target.push(Self::scaler(Kind::of(1, false), size, region, to)?);
                    }
                }
            }
            scalers.push(of_target);
        }
        self.scalers = scalers;
        Ok(())
    }

    fn rows(&mut self, plane: usize, bytes: &[u8]) -> Result<()> {
        let prepared;
        let ranged: Vec<u8>;
        let bytes = match &self.layout {
            Some(Layout::Packed {
                kind, width, space, ..
            }) if self.work.settings.linear || self.has_alpha() => {
                prepared = self.prepare(bytes, *kind, *width, *space)?;
                prepared.bytes()
            }
            Some(Layout::Planes {
                is_full_range: false,
                ..
            }) => {
                let ranges = &*color::TO_FULL;
                let table = if plane == 0 {
                    &ranges.luma
                } else {
                    &ranges.chroma
                };
                ranged = bytes
                    .iter()
                    .map(|sample| table[usize::from(*sample)])
                    .collect();
                &ranged
            }
            _ => bytes,
        };
        for scalers in &mut self.scalers {
            if let Some(Some(scaler)) = scalers.get_mut(plane) {
                scaler.push(bytes)?;
            }
        }
        Ok(())
    }
}

/// Where chroma of half the size comes from: of an odd number of pixels, its last sample stands for one pixel only.
fn halved(region: Region, (width, height): (usize, usize)) -> (Region, (usize, usize)) {
    let half = (width.div_ceil(2), height.div_ceil(2));
    let stretch = |half: usize, whole: usize| to_f64(half * 2) / to_f64(whole);
    let region = Region {
        width: region.width * stretch(half.0, width),
        height: region.height * stretch(half.1, height),
        ..region
    };
    (region, half)
}
