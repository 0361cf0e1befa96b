//! PNG by the crate `png`: rows as they are inflated, in 8 or 16 bits.

use std::{
    borrow::Cow,
    io::{BufRead, BufReader, Cursor, ErrorKind, Read, Seek, SeekFrom},
};

use plugin_api::Task;
use png::{BitDepth, ColorType, DecodingError, Transformations};

use crate::{
    args::Format,
    codec::{Data, DecodeOptions, Header, Layout, Sink, palette::Palette},
    color::Space,
    colorimetry::{Chromaticities, Colorimetry},
    error::{Result, Trouble},
    metadata::{Attached, Density, ICC_LEN_MAX},
    pixels::{Kind, Pixels},
    scale::to_u32,
};

/// How colours are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colors {
    /// As they are.
    All,
    /// As they are, by their numbers where there are few enough.
    AllByNumber,
    /// The nearest among this many, 2 to 256.
    AtMost(usize),
}

const XMP: &str = "XML:com.adobe.xmp";
/// What compressed text and profiles may grow to.
const CHUNKS_LEN_MAX: usize = 64 << 20;

fn wrong(error: &DecodingError) -> Trouble {
    match error {
        DecodingError::LimitsExceeded => Trouble::new(
            "too_much_memory",
            "a row, the profile or a text of the PNG file takes more memory than it may".to_owned(),
        ),
        error => Trouble::broken("PNG", with_names(error.to_string())),
    }
}

/// The decoder's sentence with the names of chunks in place of what Rust shows of them.
fn with_names(mut sentence: String) -> String {
    const BEGIN: &str = "ChunkType { type: ";
    while let Some(begin) = sentence.find(BEGIN) {
        let shown = &sentence[begin + BEGIN.len()..];
        let (Some(name), Some(end)) = (shown.find(", critical: "), shown.find(" }")) else {
            break;
        };
        sentence = [&sentence[..begin], &shown[..name], &shown[end + 2..]].concat();
    }
    sentence
}

/// A file that is read piece by piece: it may be longer than all that has to be held of it.
trait Input: BufRead + Seek {}
impl<T: BufRead + Seek> Input for T {}

type Reader<'a> = png::Reader<Box<dyn Input + 'a>>;

/// Unless damage is shown, pixels that aren't those that were compressed are an error, which only their checksum tells.
fn open(data: &Data, bytes_max: usize, shows_damage: bool) -> Result<Reader<'_>> {
    let input: Box<dyn Input + '_> = match data {
        Data::Bytes(bytes) => Box::new(Cursor::new(bytes.as_slice())),
        Data::File { file, .. } => {
            let mut file = file;
            file.rewind().map_err(|error| wrong(&error.into()))?;
            Box::new(BufReader::with_capacity(64 << 10, file))
        }
    };
    let mut options = png::DecodeOptions::default();
    options.set_ignore_adler32(shows_damage);
    let mut decoder = png::Decoder::new_with_options(input, options);
    decoder.set_limits(png::Limits { bytes: bytes_max });
    decoder.set_transformations(Transformations::EXPAND);
    let reader = decoder.read_info().map_err(|error| wrong(&error))?;
    check_palette(reader.info())?;
    Ok(reader)
}

/// The decoder sees to it that a palette is not too long, and panics later on colours that are not whole.
fn check_palette(info: &png::Info<'_>) -> Result<()> {
    if info.color_type != ColorType::Indexed {
        return Ok(());
    }
    let Some(palette) = &info.palette else {
        return Err(Trouble::broken("PNG", "it has no palette"));
    };
    if !palette.len().is_multiple_of(3) {
        let reason = format!(
            "its palette has {} bytes, not three for each colour",
            palette.len()
        );
        return Err(Trouble::broken("PNG", reason));
    }
    Ok(())
}

/// In the order of PNG's third edition: `cICP`, `iCCP`, `sRGB`, `gAMA` and `cHRM`.
fn colorimetry(info: &png::Info<'_>) -> Colorimetry {
    let cicp = info.coding_independent_code_points;
    if let Some(cicp) = cicp.filter(|cicp| cicp.matrix_coefficients == 0) {
        return Colorimetry::Cicp {
            primaries: cicp.color_primaries.into(),
            transfer: cicp.transfer_function.into(),
        };
    }
    if let Some(icc) = info.icc_profile.as_deref()
        && icc.len() <= ICC_LEN_MAX
    {
        return Colorimetry::Icc(icc.to_vec());
    }
    if info.srgb.is_some() {
        return Colorimetry::Srgb;
    }
    let point = |(x, y): (png::ScaledFloat, png::ScaledFloat)| (x.into_value(), y.into_value());
    let chromaticities = info.chrm_chunk.map(|found| Chromaticities {
        white: point(found.white),
        red: point(found.red),
        green: point(found.green),
        blue: point(found.blue),
    });
    let gamma = info.gama_chunk.map(png::ScaledFloat::into_value);
    Colorimetry::of_gamma(gamma, chromaticities)
}

/// The longest EXIF that is looked for behind the pixels, in bytes.
const LATE_LEN_MAX: u32 = 1 << 20;

/// EXIF that stands behind the pixels, where nothing that decodes them would come to it. What is damaged there is
/// passed over.
fn late_exif(data: &Data) -> Option<Vec<u8>> {
    match data {
        Data::Bytes(bytes) => find_exif(&mut Cursor::new(bytes.as_slice())),
        Data::File { file, .. } => find_exif(&mut BufReader::new(file)),
    }
}

fn find_exif(input: &mut (impl Read + Seek)) -> Option<Vec<u8>> {
    input.seek(SeekFrom::Start(8)).ok()?;
    loop {
        let mut head = [0; 8];
        input.read_exact(&mut head).ok()?;
        let [a, b, c, d, name @ ..] = head;
        let len = u32::from_be_bytes([a, b, c, d]);
        match &name {
            b"eXIf" if len <= LATE_LEN_MAX => {
                let mut body = vec![0; len as usize];
                input.read_exact(&mut body).ok()?;
                return Some(body);
            }
            b"IEND" => return None,
            // And the checksum.
            _ => input.seek_relative(i64::from(len) + 4).ok()?,
        }
    }
}

pub(crate) fn header(data: &Data) -> Result<Header> {
    // First, as a file has one position, and the decoder begins at its start.
    let late_exif = late_exif(data);
    let reader = open(data, CHUNKS_LEN_MAX, false)?;
    let info = reader.info();
    let exif = info.exif_metadata.as_deref().map(<[u8]>::to_vec);
    let attached = Attached {
        exif: exif.or(late_exif),
        icc: None,
        xmp: info
            .utf8_text
            .iter()
            .find(|text| text.keyword == XMP)
            .and_then(|text| text.get_text().ok())
            .map(String::into_bytes),
        iptc: None,
        density: info.pixel_dims.and_then(|found| match found.unit {
            png::Unit::Meter => Density::new(found.xppu.into(), found.yppu.into()),
            png::Unit::Unspecified => None,
        }),
    };
    Ok(Header {
        format: Format::Png,
        width: info.width as usize,
        height: info.height as usize,
        space: match info.color_type {
            ColorType::Grayscale | ColorType::GrayscaleAlpha => Space::Grey,
            ColorType::Indexed => Space::Palette,
            _ => Space::Rgb,
        },
        bit_depth: info.bit_depth as u8,
        has_alpha: info.trns.is_some()
            || matches!(info.color_type, ColorType::GrayscaleAlpha | ColorType::Rgba),
        frames: 1,
        is_cut: false,
        is_progressive: info.interlaced,
        colorimetry: colorimetry(info),
        attached,
        container_orientation: None,
        frame_pixels: None,
        is_lossless: true,
    })
}

fn kind(header: &Header) -> Kind {
    let colors = if header.space == Space::Grey { 1 } else { 3 };
    Kind::of(
        colors + usize::from(header.has_alpha),
        header.bit_depth == 16,
    )
}

pub(crate) fn memory(header: &Header) -> u64 {
    let bytes = kind(header).bytes() as u64;
    let whole = if header.is_progressive {
        header.pixels() * bytes
    } else {
        0
    };
    whole + header.width as u64 * bytes * 64 + (1 << 20)
}

pub(crate) fn decode(
    data: &Data,
    options: &DecodeOptions,
    sink: &mut dyn Sink,
    task: &Task,
) -> Result<()> {
    let memory_max = usize::try_from(options.memory_max).unwrap_or(usize::MAX);
    let mut reader = open(data, memory_max, options.shows_damage)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let is_interlaced = reader.info().interlaced;
    let (color_type, depth) = reader.output_color_type();
    let (channels, space) = match color_type {
        ColorType::Grayscale => (1, Space::Grey),
        ColorType::GrayscaleAlpha => (2, Space::Grey),
        ColorType::Rgb | ColorType::Indexed => (3, Space::Rgb),
        ColorType::Rgba => (4, Space::Rgb),
    };
    let kind = Kind::of(channels, depth == BitDepth::Sixteen);
    let key = missed_key(reader.info());
    sink.begin(&Layout::Packed {
        kind,
        width,
        height,
        factor: 1.0,
        space,
    })?;
    if is_interlaced {
        let mut whole = decode_interlaced(&mut reader, kind, (width, height), options, task)?;
        if let Some(key) = key {
            clear(whole.bytes_mut(), key);
        }
        return sink.rows(0, whole.bytes());
    }
    let mut changed = Vec::new();
    let mut done = 0_usize;
    loop {
        let row = match reader.next_row() {
            Ok(None) => break,
            Ok(Some(row)) => row,
            Err(error) if done == height && is_end(&error) => break,
            Err(error) if options.shows_damage && done > 0 => {
                tracing::debug!(%error, "the rest of the rows is left empty");
                break;
            }
            Err(error) => return Err(wrong(&error)),
        };
        if done.is_multiple_of(16) {
            task.check()?;
        }
        done += 1;
        if !kind.is_16_bit && key.is_none() {
            sink.rows(0, row.data())?;
            continue;
        }
        changed.clear();
        changed.extend_from_slice(row.data());
        match key {
            Some(key) => clear(&mut changed, key),
            None => to_native(&mut changed),
        }
        sink.rows(0, &changed)?;
    }
    if options.shows_damage {
        let empty = vec![0; width * kind.bytes()];
        for _ in done..height {
            sink.rows(0, &empty)?;
        }
    } else if done != height {
        return Err(Trouble::broken("PNG", "rows are missing"));
    }
    Ok(())
}

/// Whether a file ends where something should follow. Where all rows are there, that is of no use to anybody.
fn is_end(error: &DecodingError) -> bool {
    matches!(error, DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof)
}

/// How many rows the passes of an interlaced image have together.
fn interlaced_rows(width: usize, height: usize) -> usize {
    // Where each begins, and how far its rows are apart.
    const PASSES: [(usize, usize, usize); 7] = [
        (0, 0, 8),
        (4, 0, 8),
        (0, 4, 8),
        (2, 0, 4),
        (0, 2, 4),
        (1, 0, 2),
        (0, 1, 2),
    ];
    PASSES
        .into_iter()
        .filter(|(x, _, _)| width > *x)
        .map(|(_, y, step)| height.saturating_sub(y).div_ceil(step))
        .sum()
}

/// The rows of all passes, put together.
fn decode_interlaced(
    reader: &mut Reader<'_>,
    kind: Kind,
    (width, height): (usize, usize),
    options: &DecodeOptions,
    task: &Task,
) -> Result<Pixels> {
    let mut whole = Pixels::new(width, height, kind)?;
    let stride = whole.stride();
    let bits = u8::try_from(kind.bytes() * 8).unwrap_or(64);
    let (mut done, all) = (0, interlaced_rows(width, height));
    loop {
        let row = match reader.next_interlaced_row() {
            Ok(None) => break,
            Ok(Some(row)) => row,
            Err(error) if done == all && is_end(&error) => break,
            Err(_) if options.shows_damage && done > 0 => break,
            Err(error) => return Err(wrong(&error)),
        };
        if done.is_multiple_of(16) {
            task.check()?;
        }
        done += 1;
        let png::InterlaceInfo::Adam7(info) = row.interlace() else {
            return Err(Trouble::broken("PNG", "rows are out of order"));
        };
        png::expand_interlaced_row(whole.bytes_mut(), stride, row.data(), info, bits);
    }
    if kind.is_16_bit {
        to_native(whole.bytes_mut());
    }
    Ok(whole)
}

/// The grey that is transparent, as 8 bits, where the decoder misses it: of less than 8 bits, the others of the key in
/// the file mean nothing (PNG's third edition, 11.3.1.1), and it compares them all.
fn missed_key(info: &png::Info<'_>) -> Option<u8> {
    let depth = info.bit_depth as u8;
    if info.color_type != ColorType::Grayscale || depth >= 8 {
        return None;
    }
    let (key, most) = (*info.trns.as_deref()?.last()?, (1 << depth) - 1);
    (key > most).then(|| (key & most) * (255 / most))
}

/// Makes pixels of grey and alpha transparent whose grey is `key`.
fn clear(bytes: &mut [u8], key: u8) {
    let (pixels, _) = bytes.as_chunks_mut::<2>();
    for pixel in pixels {
        if pixel[0] == key {
            pixel[1] = 0;
        }
    }
}

/// Turns samples from network order into the machine's.
fn to_native(bytes: &mut [u8]) {
    let (samples, _) = bytes.as_chunks_mut::<2>();
    for sample in samples {
        *sample = u16::from_be_bytes(*sample).to_ne_bytes();
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer there is"
)]
fn to_whole(value: f64) -> u32 {
    value.round() as u32
}

/// Where `colors` allows it, colours are written by their numbers.
pub(crate) fn encode(
    pixels: &Pixels,
    colors: Colors,
    attached: &Attached,
    task: &Task,
) -> Result<Vec<u8>> {
    let palette = match colors {
        Colors::All => None,
        Colors::AllByNumber => Palette::of(pixels, 256)?,
        Colors::AtMost(count) => Some(Palette::nearest(pixels, count)?),
    };
    let failed = |error: png::EncodingError| Trouble::encoding("PNG", error);
    let mut out = Vec::new();
    let mut info = png::Info::with_size(to_u32(pixels.width), to_u32(pixels.height));
    info.color_type = match pixels.kind.channels {
        1 => ColorType::Grayscale,
        2 => ColorType::GrayscaleAlpha,
        3 => ColorType::Rgb,
        _ => ColorType::Rgba,
    };
    info.bit_depth = if pixels.kind.is_16_bit {
        BitDepth::Sixteen
    } else {
        BitDepth::Eight
    };
    if let Some(palette) = &palette {
        info.color_type = ColorType::Indexed;
        info.bit_depth = palette.depth;
        info.palette = Some(palette.colors.as_slice().into());
        let is_opaque = palette.alphas.iter().all(|alpha| *alpha == 255);
        info.trns = (!is_opaque).then(|| palette.alphas.as_slice().into());
    }
    info.icc_profile = attached.icc.as_deref().map(Cow::Borrowed);
    info.exif_metadata = attached.exif.as_deref().map(Cow::Borrowed);
    info.pixel_dims = attached.density.map(|density| png::PixelDimensions {
        xppu: to_whole(density.x),
        yppu: to_whole(density.y),
        unit: png::Unit::Meter,
    });
    let mut encoder = png::Encoder::with_info(&mut out, info).map_err(failed)?;
    // Where rows are filtered, what deflate looks for beyond level 5 is rarely there: it takes a sixteenth of the whole
    // work, for one percent of the length.
    let level = if palette.is_some() { 6 } else { 5 };
    encoder.set_deflate_compression(png::DeflateCompression::Level(level));
    // Neighbouring numbers say nothing of each other.
    encoder.set_filter(match palette {
        Some(_) => png::Filter::NoFilter,
        None => png::Filter::Adaptive,
    });
    if let Some(xmp) = attached
        .xmp
        .as_deref()
        .and_then(|xmp| std::str::from_utf8(xmp).ok())
    {
        encoder
            .add_itxt_chunk(XMP.to_owned(), xmp.to_owned())
            .map_err(failed)?;
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    let mut stream = writer.stream_writer().map_err(failed)?;
    let mut swapped = Vec::new();
    for y in 0..pixels.height {
        if y % 16 == 0 {
            task.check()?;
        }
        let row = match &palette {
            Some(palette) => &palette.rows[y],
            None => pixels.row(y),
        };
        let write = |stream: &mut png::StreamWriter<'_, _>, row: &[u8]| {
            std::io::Write::write_all(stream, row).map_err(|error| Trouble::encoding("PNG", error))
        };
        if pixels.kind.is_16_bit {
            swapped.clear();
            swapped.extend_from_slice(row);
            to_native(&mut swapped);
            write(&mut stream, &swapped)?;
        } else {
            write(&mut stream, row)?;
        }
    }
    stream.finish().map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(out)
}
