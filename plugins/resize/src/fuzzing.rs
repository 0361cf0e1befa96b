//! What must hold of a file of each format, and of the parts that formats share, whatever is in them. The fuzzers in
//! `tests/fuzz` run it.

use plugin_api::{Task, testing};

use crate::{
    args::{Chroma, Fit, Format, Metadata, OnDamage, Position},
    codec::{self, Data, isobmff},
    color::{Profile, Space},
    config::{Limits, ResizeConfig},
    error::Trouble,
    metadata::{self, Attached},
    pixels::{Kind, Pixels},
    plan::RequestedSize,
    work::{Settings, Target, Work},
};

/// What a task may take here: a picture of a megapixel would only be slow.
const PIXELS_MAX: u64 = 1 << 16;
/// The most memory for a task, in bytes; what is held beside that is the input and what is told of it.
pub const MEMORY_MAX: u64 = 64 << 20;

/// The sides that are asked for, in pixels: one that is decoded as it is, and those that may be decoded at half its size,
/// a quarter or an eighth.
const WIDTHS: [Option<usize>; 4] = [None, Some(40), Some(9), Some(1)];

/// What a file may be refused for.
const REFUSALS: [&str; 8] = [
    "broken_image",
    "encoding_failed",
    "invalid_profile",
    "target_too_large",
    "too_many_frames",
    "too_many_pixels",
    "too_much_memory",
    "unsupported_feature",
];

/// Reads a file of this format. Its first byte says what is wanted of it, and is none of the file.
///
/// # Panics
/// Where its header doesn't hold together; where it is refused for what isn't its fault, or refused at one size and made
/// at another; where a damaged file is shown that would be made whole otherwise, or refused when it is to be shown while
/// it is whole; where what was made isn't what the task said.
pub fn file(format: Format, data: &[u8]) {
    let Some((how, file)) = data.split_first() else {
        return;
    };
    if codec::sniff(file) != Some(format) {
        return;
    }
    let source = Data::Bytes(file.to_vec());
    let limits = limits();
    let header = match codec::header(&source, &limits) {
        Ok(header) => header,
        Err(trouble) => return expect_refusal(&trouble),
    };
    assert_eq!(header.format, format);
    assert!(
        header.width > 0 && header.height > 0 && header.frames > 0,
        "{header:?}"
    );
    assert!((1..=8).contains(&header.orientation()), "{header:?}");

    let task = testing::task();
    let how = Wanted(*how);
    let verdicts = [how.width(), Some(2)].map(|width| made(&source, how, width, &limits, &task));
    let [Some(first), Some(second)] = verdicts else {
        return;
    };
    assert_eq!(
        first, second,
        "the same damage, the same verdict: {header:?}"
    );
    if how.settings().on_damage == OnDamage::Error && first {
        let shown = Wanted(how.0 | Wanted::SHOW);
        let verdict = made(&source, shown, how.width(), &limits, &task);
        assert_ne!(
            verdict,
            Some(false),
            "a file that is whole is shown: {header:?}"
        );
    }
}

/// Reads the boxes of an AVIF file, without its pictures.
pub fn boxes(data: &[u8]) {
    match isobmff::read(data) {
        Ok(contents) => {
            let tiles = contents.color.tiles.len();
            assert_eq!(tiles, contents.color.columns * contents.color.rows);
        }
        Err(trouble) => expect_refusal(&trouble),
    }
    let _ = isobmff::is_avif(data);
}

/// Reads EXIF, XMP, and a JPEG file's segments.
///
/// # Panics
/// Where an image that was turned upright says something else.
pub fn tags(data: &[u8]) {
    let bytes = || Some(data.to_vec());
    let exif = Attached {
        exif: bytes(),
        ..Attached::default()
    };
    let xmp = Attached {
        xmp: bytes(),
        ..Attached::default()
    };
    for attached in [exif, xmp, metadata::jpeg::attached(data)] {
        let upright = attached.clone().upright();
        // Numbers that meant nothing may be 1 now, too.
        assert_eq!(upright.orientation().unwrap_or(1), 1, "{attached:?}");
        assert!(attached.orientation().is_none() || upright.orientation().is_some());
        for wanted in [Metadata::Rights, Metadata::Keep, Metadata::All] {
            // What is too long for JPEG is an error.
            let _ = metadata::jpeg::segments(&attached.kept(wanted, (8, 6)));
        }
    }
}

/// Converts pixels by a profile. The first byte says of which kind they are.
pub fn profile(data: &[u8]) {
    let Some((kind, icc)) = data.split_first() else {
        return;
    };
    let is_16_bit = kind & 8 != 0;
    let (space, channels) = match kind & 7 {
        0 => (Space::Grey, 1),
        1 => (Space::Grey, 2),
        2 => (Space::Rgb, 3),
        3 => (Space::Rgb, 4),
        4 => (Space::YCbCr, 3),
        _ => (Space::Cmyk, 4),
    };
    let Some(profile) = Profile::new(icc, space) else {
        return;
    };
    let Ok(mut pixels) = Pixels::new(16, 2, Kind::of(channels, is_16_bit && space != Space::Cmyk))
    else {
        return;
    };
    for (sample, value) in pixels
        .bytes_mut()
        .iter_mut()
        .zip((0_u8..=255).step_by(5).cycle())
    {
        *sample = value;
    }
    match profile.to_srgb(&pixels) {
        Ok(converted) => assert_eq!((converted.width, converted.height), (16, 2)),
        Err(trouble) => expect_refusal(&trouble),
    }
}

/// What a byte asks for.
#[derive(Clone, Copy)]
struct Wanted(u8);

impl Wanted {
    const SHOW: u8 = 1;

    fn settings(self) -> Settings {
        Settings {
            autorotate: true,
            linear: self.0 & 2 != 0,
            animated: self.0 & 4 != 0,
            on_damage: if self.0 & Self::SHOW == 0 {
                OnDamage::Error
            } else {
                OnDamage::Show
            },
        }
    }

    fn metadata(self) -> Metadata {
        if self.0 & 8 == 0 {
            Metadata::Strip
        } else {
            Metadata::Keep
        }
    }

    fn width(self) -> Option<usize> {
        WIDTHS[usize::from(self.0 >> 4 & 3)]
    }

    fn format(self) -> Format {
        [Format::Png, Format::Jpeg, Format::Webp, Format::Gif][usize::from(self.0 >> 6)]
    }

    fn target(self, width: Option<usize>) -> Target {
        Target {
            path: None,
            size: RequestedSize {
                width,
                height: None,
                fit: Fit::Cover,
                position: Position::Center,
                crop: None,
                focus: None,
                enlarge: false,
            },
            format: Some(self.format()),
            quality: None,
            chroma: Chroma::Auto,
            progressive: false,
            colors: None,
            bytes_max: None,
            background: None,
            metadata: self.metadata(),
            sharpen: 0.0,
        }
    }
}

/// Whether a target was made of it; `None` where something else than the file's damage kept it from that.
fn made(
    source: &Data,
    how: Wanted,
    width: Option<usize>,
    limits: &Limits,
    task: &Task,
) -> Option<bool> {
    let targets = [how.target(width)];
    let mut outputs = Vec::new();
    let outcome = Work::new(source, &targets, how.settings(), limits).and_then(|work| {
        work.run(task, |_, output| {
            outputs.push(output);
            Ok(())
        })
    });
    if let Err(trouble) = outcome {
        expect_refusal(&trouble);
        return (kind(&trouble) == "broken_image").then_some(false);
    }
    let [output] = outputs.as_slice() else {
        panic!("{} files of one target", outputs.len());
    };
    let again = codec::header(&Data::Bytes(output.data.clone()), limits);
    let again = again.unwrap_or_else(|trouble| panic!("what was made can't be read: {trouble:?}"));
    assert_eq!(again.format, how.format());
    assert_eq!((again.width, again.height), output.size);
    assert_eq!(again.frames, output.frames);
    Some(true)
}

fn kind(trouble: &Trouble) -> &str {
    match trouble {
        Trouble::Told(told) => told.kind,
        Trouble::Stopped(_) => "stopped",
    }
}

fn expect_refusal(trouble: &Trouble) {
    assert!(REFUSALS.contains(&kind(trouble)), "{trouble:?}");
}

fn limits() -> Limits {
    let defaults = ResizeConfig::default();
    Limits {
        pixels_max: PIXELS_MAX,
        target_pixels_max: PIXELS_MAX,
        source_len_max: defaults.source_len_max,
        frames_max: 32,
        memory_max: MEMORY_MAX,
        result_len_max: defaults.result_len_max,
    }
}
