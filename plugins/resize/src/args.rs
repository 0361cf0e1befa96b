//! What the functions take, and what they result in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The arguments of `resize`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = &r#"{"source":"photo.jpg","target":"small.webp","width":800}"#)]
pub struct Resize {
    /// The image: the path of a file, or `{"base64": "…"}`.
    pub source: Source,
    /// The path to write to. Without it, the image is in the result, as base64.
    #[serde(default)]
    pub target: Option<String>,
    /// How wide it becomes, in pixels. With only one of width and height, the other follows.
    #[serde(default)]
    #[schemars(example = 800)]
    #[schemars(extend("x-primary" = true))]
    pub width: Option<u32>,
    /// How high it becomes, in pixels.
    #[serde(default)]
    #[schemars(extend("x-primary" = true))]
    pub height: Option<u32>,
    /// What to do when width and height have another shape than the image.
    #[serde(default)]
    #[schemars(extend("x-primary" = true))]
    pub fit: Fit,
    /// Which part stays with `cover`, and where the image goes with `contain`.
    #[serde(default)]
    pub position: Position,
    /// The part of the upright image to take, instead of all of it.
    #[serde(default)]
    pub crop: Option<Crop>,
    /// What is to stay in sight with `cover`, instead of a `position`.
    #[serde(default)]
    pub focus: Option<Focus>,
    /// Whether small images are made larger.
    #[serde(default = "yes")]
    pub enlarge: bool,
    /// The format; by default that of the target's ending, or else that of the source.
    #[serde(default)]
    #[schemars(extend("x-primary" = true))]
    pub format: Option<Format>,
    /// 1 to 100, of jpeg, webp and avif; by default 80, for avif 50. For webp, 101 stands for lossless.
    #[serde(default)]
    #[schemars(range(min = 1, max = 101), example = 80)]
    pub quality: Option<u8>,
    /// How finely colours are stored beside brightness, for jpeg and avif. By default in full for jpeg from quality 90 on.
    #[serde(default)]
    pub chroma: Chroma,
    /// Whether a jpeg shows before it is whole. Usually a little smaller.
    #[serde(default)]
    pub progressive: bool,
    /// The most colours of a png or of a gif's frame, 2 to 256: the nearest ones. By default all of a png, and 256 of a gif.
    #[serde(default)]
    #[schemars(range(min = 2, max = 256))]
    pub colors: Option<u16>,
    /// The most bytes of the file: jpeg, webp and avif are made with less quality until they fit.
    #[serde(default)]
    #[schemars(range(min = 1), example = 100_000)]
    pub bytes_max: Option<u64>,
    /// The colour around the image with `contain`, and behind transparent parts: `#rgb`, `#rgba`, `#rrggbb`,
    /// `#rrggbbaa`. By default transparent where the format can be, or else white.
    #[serde(default)]
    #[schemars(example = "#ffffff")]
    pub background: Option<String>,
    /// What becomes of EXIF, XMP, IPTC, resolution and colour profile.
    #[serde(default)]
    pub metadata: Metadata,
    /// Whether the image is turned as its EXIF orientation says.
    #[serde(default = "yes")]
    pub autorotate: bool,
    /// Whether to scale in linear light: slower, and right for fine bright details on dark.
    #[serde(default)]
    pub linear: bool,
    /// How much to sharpen what was reduced to half its size or less, 0 to 10. 1 is mild.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    pub sharpen: f32,
    /// Whether all frames of an animation are taken, for webp and gif; else the first one.
    #[serde(default)]
    pub animated: bool,
    /// What becomes of a file that is damaged, or ends too early.
    #[serde(default)]
    pub on_damage: OnDamage,
}

/// The arguments of `thumbnails`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Thumbnails {
    /// The image: the path of a file, or `{"base64": "…"}`.
    pub source: Source,
    /// What to make of it, 1 to 100.
    pub targets: Vec<Thumbnail>,
    /// Whether the image is turned as its EXIF orientation says.
    #[serde(default = "yes")]
    pub autorotate: bool,
    /// Whether to scale in linear light: slower, and right for fine bright details on dark.
    #[serde(default)]
    pub linear: bool,
    /// Whether all frames of an animation are taken, for webp and gif; else the first one.
    #[serde(default)]
    pub animated: bool,
    /// What becomes of a file that is damaged, or ends too early.
    #[serde(default)]
    pub on_damage: OnDamage,
}

/// One of the images that `thumbnails` makes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Thumbnail {
    /// The path to write to. Without it, the image is in the result, as base64.
    #[serde(default)]
    pub target: Option<String>,
    /// How wide it becomes, in pixels. With only one of width and height, the other follows.
    #[serde(default)]
    #[schemars(example = 200)]
    #[schemars(extend("x-primary" = true))]
    pub width: Option<u32>,
    /// How high it becomes, in pixels.
    #[serde(default)]
    #[schemars(extend("x-primary" = true))]
    pub height: Option<u32>,
    /// What to do when width and height have another shape than the image.
    #[serde(default)]
    pub fit: Fit,
    /// Which part stays with `cover`, and where the image goes with `contain`.
    #[serde(default)]
    pub position: Position,
    /// The part of the upright image to take, instead of all of it.
    #[serde(default)]
    pub crop: Option<Crop>,
    /// What is to stay in sight with `cover`, instead of a `position`.
    #[serde(default)]
    pub focus: Option<Focus>,
    /// Whether small images are made larger.
    #[serde(default = "yes")]
    pub enlarge: bool,
    /// The format; by default that of the target's ending, or else that of the source.
    #[serde(default)]
    #[schemars(extend("x-primary" = true))]
    pub format: Option<Format>,
    /// 1 to 100, of jpeg, webp and avif; by default 80, for avif 50. For webp, 101 stands for lossless.
    #[serde(default)]
    #[schemars(range(min = 1, max = 101))]
    pub quality: Option<u8>,
    /// How finely colours are stored beside brightness, for jpeg and avif. By default in full for jpeg from quality 90 on.
    #[serde(default)]
    pub chroma: Chroma,
    /// Whether a jpeg shows before it is whole. Usually a little smaller.
    #[serde(default)]
    pub progressive: bool,
    /// The most colours of a png or of a gif's frame, 2 to 256: the nearest ones. By default all of a png, and 256 of a gif.
    #[serde(default)]
    #[schemars(range(min = 2, max = 256))]
    pub colors: Option<u16>,
    /// The most bytes of the file: jpeg, webp and avif are made with less quality until they fit.
    #[serde(default)]
    #[schemars(range(min = 1), example = 100_000)]
    pub bytes_max: Option<u64>,
    /// The colour around the image with `contain`, and behind transparent parts: `#rgb`, `#rgba`, `#rrggbb`,
    /// `#rrggbbaa`. By default transparent where the format can be, or else white.
    #[serde(default)]
    pub background: Option<String>,
    /// What becomes of EXIF, XMP, IPTC, resolution and colour profile.
    #[serde(default)]
    pub metadata: Metadata,
    /// How much to sharpen what was reduced to half its size or less, 0 to 10. 1 is mild.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    pub sharpen: f32,
}

/// The arguments of `identify`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identify {
    /// The image: the path of a file, or `{"base64": "…"}`.
    pub source: Source,
}

/// Where an image comes from.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Source {
    /// The path of a file, in a folder that the plugin's config allows.
    #[schemars(title = "a path")]
    Path(String),
    /// The file itself.
    #[schemars(title = "a file")]
    Inline(Inline),
}

/// A file within the request.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inline {
    /// The file's bytes.
    pub base64: String,
}

/// What to do when width and height have another shape than the image.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Fill width and height, and crop what sticks out.
    #[default]
    Cover,
    /// Show everything, with background where the image doesn't reach.
    Contain,
    /// Stretch.
    Fill,
    /// As large as fits into width and height.
    Inside,
    /// As small as covers width and height.
    Outside,
}

/// A part of an image, in pixels of the upright image.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crop {
    /// Pixels to the left of it.
    pub left: u32,
    /// Pixels above it.
    pub top: u32,
    /// Its width, from 1 on.
    pub width: u32,
    /// Its height, from 1 on.
    pub height: u32,
}

/// A point of the upright image, before anything is cropped.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Focus {
    /// From 0, the left edge, to 1, the right one.
    pub x: f64,
    /// From 0, the upper edge, to 1, the lower one.
    pub y: f64,
}

/// A place in an image.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// The middle.
    #[default]
    #[serde(alias = "centre")]
    Center,
    /// The middle of the upper edge.
    Top,
    /// The upper right corner.
    TopRight,
    /// The middle of the right edge.
    Right,
    /// The lower right corner.
    BottomRight,
    /// The middle of the lower edge.
    Bottom,
    /// The lower left corner.
    BottomLeft,
    /// The middle of the left edge.
    Left,
    /// The upper left corner.
    TopLeft,
}

impl Position {
    /// How much of what is too much goes to the left of it, and above it.
    pub(crate) fn shares(self) -> (f64, f64) {
        match self {
            Self::Center => (0.5, 0.5),
            Self::Top => (0.5, 0.0),
            Self::TopRight => (1.0, 0.0),
            Self::Right => (1.0, 0.5),
            Self::BottomRight => (1.0, 1.0),
            Self::Bottom => (0.5, 1.0),
            Self::BottomLeft => (0.0, 1.0),
            Self::Left => (0.0, 0.5),
            Self::TopLeft => (0.0, 0.0),
        }
    }
}

/// A format of images.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JPEG.
    #[serde(alias = "jpg")]
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    Webp,
    /// AVIF.
    Avif,
    /// GIF.
    Gif,
}

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Webp => "WebP",
            Self::Avif => "AVIF",
            Self::Gif => "GIF",
        }
    }

    /// By the ending of a path, if it says anything; an error where it names a format of images that is not written.
    pub(crate) fn of_path(path: &str) -> Result<Option<Self>, String> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let Some((_, ending)) = name.rsplit_once('.') else {
            return Ok(None);
        };
        let ending = ending.to_ascii_lowercase();
        Ok(Some(match ending.as_str() {
            "jpg" | "jpeg" | "jpe" | "jfif" => Self::Jpeg,
            "png" => Self::Png,
            "webp" => Self::Webp,
            "avif" => Self::Avif,
            "gif" => Self::Gif,
            "tif" | "tiff" | "heic" | "heif" | "bmp" | "jxl" | "jp2" | "svg" | "ico" | "psd"
            | "tga" | "ppm" | "exr" | "pdf" | "apng" => return Err(ending),
            _ => return Ok(None),
        }))
    }
}

/// What becomes of a file that is damaged, or ends too early.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDamage {
    /// It is an error.
    #[default]
    Error,
    /// It is shown as far as it goes: jpeg, png, webp, and the whole frames of an animation. Others are errors.
    Show,
}

/// How finely colours are stored beside brightness.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Chroma {
    /// By format and quality.
    #[default]
    Auto,
    /// Half as wide and high (4:2:0).
    Half,
    /// Every pixel (4:4:4): right for text and red edges.
    Full,
}

/// What becomes of EXIF, XMP, IPTC, resolution and colour profile.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Metadata {
    /// None of it stays, and colours are converted to sRGB.
    #[default]
    Strip,
    /// Who made it and whose it is stays, and nothing else; colours are converted to sRGB.
    Rights,
    /// All of it stays but where it was taken, as far as the format takes it, and colours stay in their profile.
    Keep,
    /// As `keep`, and with the place.
    All,
}

/// An image that was made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Made {
    /// The path that was written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The file itself, if no path was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Its format.
    pub format: Format,
    /// Its width in pixels.
    pub width: usize,
    /// Its height in pixels.
    pub height: usize,
    /// Its length in bytes.
    pub bytes: usize,
    /// How many frames it has.
    pub frames: usize,
}

/// What `thumbnails` results in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ThumbnailsMade {
    /// The images, in the order of the targets.
    pub images: Vec<Made>,
}

/// What `identify` results in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Identified {
    /// The file's format.
    pub format: Format,
    /// The file's length in bytes.
    pub bytes: u64,
    /// Width in pixels, as they lie in the file.
    pub width: u32,
    /// Height in pixels, as they lie in the file.
    pub height: u32,
    /// How the image is to be turned, as EXIF numbers it: 1 is upright, and 5 to 8 exchange width and height.
    pub orientation: u8,
    /// `grey`, `rgb`, `ycbcr`, `cmyk`, `ycck` or `palette`.
    pub color_space: String,
    /// Bits of each channel.
    pub bit_depth: u8,
    /// Whether parts may be transparent.
    pub has_alpha: bool,
    /// Pages or frames.
    pub pages: u32,
    /// Whether it shows before it is whole: progressive JPEG, interlaced PNG and GIF.
    pub is_progressive: bool,
    /// Whether there is a colour profile.
    pub has_icc: bool,
    /// Whether there is EXIF.
    pub has_exif: bool,
    /// Whether there is XMP.
    pub has_xmp: bool,
}

fn yes() -> bool {
    true
}
