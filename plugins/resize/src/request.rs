//! From arguments to work, and from finished files to results.

use std::io::{Read, Write};

use base64::{DecodeError, Engine, engine::general_purpose::STANDARD};
use kit::files::NewFile;
use plugin_api::Task;

use crate::{
    args::{
        Focus, Format, Identified, Identify, Made, Resize, Source, Thumbnail, Thumbnails,
        ThumbnailsMade,
    },
    codec::{self, Data},
    color,
    colorimetry::Colorimetry,
    config::{Checked, Limits},
    error::{Result, Trouble},
    plan::RequestedSize,
    work::{Output, Settings, Target, Work},
};

/// The most targets of one task.
const TARGETS_MAX: usize = 100;
/// The longest side, in pixels, that any format takes.
const SIDE_MAX: u32 = 1 << 24;

pub(crate) fn resize(checked: &Checked, args: Resize, task: &Task) -> Result<Made> {
    let settings = Settings {
        autorotate: args.autorotate,
        linear: args.linear,
        animated: args.animated,
        on_damage: args.on_damage,
    };
    let target = target(Thumbnail {
        target: args.target,
        width: args.width,
        height: args.height,
        fit: args.fit,
        position: args.position,
        crop: args.crop,
        focus: args.focus,
        enlarge: args.enlarge,
        format: args.format,
        quality: args.quality,
        chroma: args.chroma,
        progressive: args.progressive,
        colors: args.colors,
        bytes_max: args.bytes_max,
        background: args.background,
        metadata: args.metadata,
        sharpen: args.sharpen,
    })?;
    let mut made = run(checked, args.source, &[target], settings, task)?;
    made.pop()
        .ok_or_else(|| Trouble::encoding("target", "nothing was made"))
}

pub(crate) fn thumbnails(
    checked: &Checked,
    args: Thumbnails,
    task: &Task,
) -> Result<ThumbnailsMade> {
    if args.targets.is_empty() || args.targets.len() > TARGETS_MAX {
        return Err(Trouble::new(
            "invalid_targets",
            format!(
                "`targets` has {} entries; there must be 1 to {TARGETS_MAX}",
                args.targets.len()
            ),
        ));
    }
    let settings = Settings {
        autorotate: args.autorotate,
        linear: args.linear,
        animated: args.animated,
        on_damage: args.on_damage,
    };
    let targets = args
        .targets
        .into_iter()
        .map(target)
        .collect::<Result<Vec<_>>>()?;
    Ok(ThumbnailsMade {
        images: run(checked, args.source, &targets, settings, task)?,
    })
}

pub(crate) fn identify(checked: &Checked, args: Identify, task: &Task) -> Result<Identified> {
    let data = read(checked, args.source)?;
    task.check()?;
    let header = codec::header(
        &data,
        &Limits {
            frames_max: u64::from(u32::MAX),
            ..checked.limits
        },
    )?;
    header.check_whole()?;
    Ok(Identified {
        format: header.format,
        bytes: data.len(),
        width: crate::scale::to_u32(header.width),
        height: crate::scale::to_u32(header.height),
        orientation: header.orientation(),
        color_space: header.space.name().to_owned(),
        bit_depth: header.bit_depth,
        has_alpha: header.has_alpha,
        pages: crate::scale::to_u32(header.frames),
        is_progressive: header.is_progressive,
        has_icc: matches!(header.colorimetry, Colorimetry::Icc(_)),
        has_exif: header.attached.exif.is_some(),
        has_xmp: header.attached.xmp.is_some(),
    })
}

fn target(args: Thumbnail) -> Result<Target> {
    let side = |name: &str, side: Option<u32>| match side {
        Some(side @ 1..=SIDE_MAX) => Ok(Some(side as usize)),
        None => Ok(None),
        Some(side) => Err(Trouble::new(
            "invalid_size",
            format!("`{name}` is {side}; it must be 1 to {SIDE_MAX}"),
        )),
    };
    if !(0.0..=10.0).contains(&args.sharpen) {
        return Err(Trouble::new(
            "invalid_sharpen",
            format!("`sharpen` is {}; it must be 0 to 10", args.sharpen),
        ));
    }
    if let Some(colors) = args.colors
        && !(2..=256).contains(&colors)
    {
        return Err(Trouble::new(
            "invalid_colors",
            format!("`colors` is {colors}; it must be 2 to 256"),
        ));
    }
    if let Some(Focus { x, y }) = args.focus
        && !((0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y))
    {
        return Err(Trouble::new(
            "invalid_focus",
            format!("`focus` is {x}, {y}; both must be 0 to 1"),
        ));
    }
    let by_path = || {
        match args.target.as_deref().map(Format::of_path) {
        None => Ok(None),
        Some(found) => found.map_err(|ending| {
            Trouble::new(
                "unsupported_format",
                format!("`target` ends with .{ending}, which can't be written; name a `format`, or end it with .jpg, .png, .webp, .avif or .gif"),
            )
        }),
    }
    };
    let format = args
        .format
        .map_or_else(by_path, |format| Ok(Some(format)))?;
    Ok(Target {
        size: RequestedSize {
            width: side("width", args.width)?,
            height: side("height", args.height)?,
            fit: args.fit,
            position: args.position,
            crop: args.crop,
            focus: args.focus,
            enlarge: args.enlarge,
        },
        format,
        path: args.target,
        quality: args.quality,
        chroma: args.chroma,
        progressive: args.progressive,
        colors: args.colors.map(usize::from),
        bytes_max: args.bytes_max,
        background: args.background.as_deref().map(color::parse).transpose()?,
        metadata: args.metadata,
        sharpen: args.sharpen,
    })
}

fn too_long(len_max: u64, len: u64) -> Trouble {
    Trouble::limit(
        "file_too_large",
        "the source has too many bytes",
        "source_len_max",
        len_max,
        len,
    )
}

fn read(checked: &Checked, source: Source) -> Result<Data> {
    let len_max = checked.limits.source_len_max;
    let inline = match source {
        Source::Path(path) => return read_file(checked, &path),
        Source::Inline(inline) => inline.base64,
    };
    let len = inline.len() as u64 / 4 * 3;
    if len > len_max {
        return Err(too_long(len_max, len));
    }
    if inline.starts_with("data:") {
        return Err(Trouble::new(
            "invalid_base64",
            "the source is a `data:` URL; leave out everything up to its comma",
        ));
    }
    STANDARD.decode(inline).map(Data::Bytes).map_err(|error| {
        // The library's own words name bytes by their numbers.
        let what = match error {
            DecodeError::InvalidByte(place, _) => {
                format!("the character at {place} doesn't belong there")
            }
            DecodeError::InvalidPadding => "it has the wrong number of `=` at its end".to_owned(),
            _ => "it ends too early".to_owned(),
        };
        Trouble::new(
            "invalid_base64",
            format!("the source is not base64: {what}"),
        )
    })
}

fn read_file(checked: &Checked, path: &str) -> Result<Data> {
    let len_max = checked.limits.source_len_max;
    let mut file = checked.folders.read.open_file(path)?;
    let fault =
        |error: std::io::Error| kit::Trouble::io(format_args!("{path} can't be read"), &error);
    let len = file.metadata().map_err(fault)?.len();
    if len > len_max {
        return Err(too_long(len_max, len));
    }
    let mut bytes = Vec::new();
    (&mut file).take(8).read_to_end(&mut bytes).map_err(fault)?;
    if codec::sniff(&bytes) == Some(Format::Png) {
        return Ok(Data::File { file, len });
    }
    bytes
        .try_reserve_exact(usize::try_from(len).unwrap_or(usize::MAX).saturating_sub(8))
        .map_err(|_| Trouble::no_memory("read the source"))?;
    // It may grow while it is read.
    file.take(len_max.saturating_add(1).saturating_sub(8))
        .read_to_end(&mut bytes)
        .map_err(fault)?;
    if bytes.len() as u64 > len_max {
        return Err(too_long(len_max, bytes.len() as u64));
    }
    Ok(Data::Bytes(bytes))
}

fn run(
    checked: &Checked,
    source: Source,
    targets: &[Target],
    settings: Settings,
    task: &Task,
) -> Result<Vec<Made>> {
    let data = read(checked, source)?;
    task.check()?;
    let work = Work::new(&data, targets, settings, &checked.limits)?;
    // Paths that can't be written to are found out before the work is done.
    let mut files: Vec<Option<NewFile>> = Vec::new();
    for target in targets {
        let Some(path) = &target.path else {
            files.push(None);
            continue;
        };
        let file = checked.folders.write.create(path)?;
        // However the paths are written: the second file would replace the first.
        if files
            .iter()
            .flatten()
            .any(|other| other.path() == file.path())
        {
            let message = format!("two of the `targets` have the path {path:?}");
            return Err(Trouble::new("invalid_targets", message));
        }
        files.push(Some(file));
    }
    let total = targets.len();
    let mut made: Vec<Option<Made>> = targets.iter().map(|_| None).collect();
    let mut finished = Vec::new();
    let mut inline_len = 0;
    work.run(task, |index, output| {
        made[index] = Some(match files[index].take() {
            Some(mut file) => {
                file.write_all(&output.data)
                    .map_err(|error| file.error(&error))?;
                finished.push(file);
                Made {
                    path: targets[index].path.clone(),
                    ..output.made()
                }
            }
            None => {
                inline_len += output.data.len() as u64;
                inline(&output, inline_len, &checked.limits)?
            }
        });
        let count = made.iter().flatten().count();
        task.progress(
            count as u64,
            total as u64,
            &format!("{count} of {total} made"),
        );
        Ok(())
    })?;
    task.check()?;
    kit::files::commit_all(finished)?;
    Ok(made.into_iter().flatten().collect())
}

fn inline(output: &Output, inline_len: u64, limits: &Limits) -> Result<Made> {
    if inline_len > limits.result_len_max {
        return Err(Trouble::limit(
            "result_too_large",
            "the image has too many bytes to be returned; name a `target` to write it to",
            "result_len_max",
            limits.result_len_max,
            inline_len,
        ));
    }
    Ok(Made {
        base64: Some(STANDARD.encode(&output.data)),
        ..output.made()
    })
}
