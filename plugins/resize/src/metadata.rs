//! EXIF, ICC profiles and XMP: found in files, and put into files.

use crate::error::{Result, Trouble};

/// What travels with an image, each as its own standard writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attached {
    /// TIFF structure, without the `Exif\0\0` that JPEG puts before it.
    pub(crate) exif: Option<Vec<u8>>,
    pub(crate) icc: Option<Vec<u8>>,
    pub(crate) xmp: Option<Vec<u8>>,
}

/// Longer than any real one.
pub(crate) const ICC_LEN_MAX: usize = 16 << 20;

const ORIENTATION: u16 = 0x0112;
/// EXIF's types of whole numbers.
const BYTE: u16 = 1;
const SHORT: u16 = 3;
const LONG: u16 = 4;

impl Attached {
    /// How to turn the image, as EXIF numbers it: what EXIF says, or else XMP.
    pub(crate) fn orientation(&self) -> Option<u8> {
        let by_exif = self.exif.as_deref().and_then(exif_orientation);
        by_exif.or_else(|| self.xmp.as_deref().and_then(xmp_orientation))
    }

    /// The same for an image that is turned upright, or says elsewhere how it is to be turned.
    pub(crate) fn upright(mut self) -> Self {
        if let Some(exif) = &mut self.exif {
            set_exif_orientation(exif, 1);
        }
        if let Some(xmp) = &mut self.xmp
            && let Some(place) = xmp_orientation_place(xmp)
        {
            xmp[place] = b'1';
        }
        self
    }
}

/// The value of the orientation tag, if there is one that means something.
fn exif_orientation(exif: &[u8]) -> Option<u8> {
    let field = orientation_field(exif)?;
    let value = match field.kind {
        BYTE => u32::from(*exif.get(field.at)?),
        SHORT => u32::from(read_u16(exif, field.at, field.is_little)?),
        _ => read_u32(exif, field.at, field.is_little)?,
    };
    u8::try_from(value)
        .ok()
        .filter(|value| (1..=8).contains(value))
}

/// Writes the orientation where there is one.
fn set_exif_orientation(exif: &mut [u8], value: u8) {
    let Some(field) = orientation_field(exif) else {
        return;
    };
    let short = u16::from(value);
    let long = u32::from(value);
    let bytes = match (field.kind, field.is_little) {
        (BYTE, _) => vec![value],
        (SHORT, true) => short.to_le_bytes().to_vec(),
        (SHORT, false) => short.to_be_bytes().to_vec(),
        (_, true) => long.to_le_bytes().to_vec(),
        (_, false) => long.to_be_bytes().to_vec(),
    };
    if let Some(place) = exif.get_mut(field.at..field.at + bytes.len()) {
        place.copy_from_slice(&bytes);
    }
}

/// Where and how the orientation's value stands.
struct Field {
    at: usize,
    kind: u16,
    is_little: bool,
}

/// The orientation in the first directory.
fn orientation_field(exif: &[u8]) -> Option<Field> {
    let is_little = match exif.get(..4)? {
        [b'I', b'I', 42, 0] => true,
        [b'M', b'M', 0, 42] => false,
        _ => return None,
    };
    let directory = usize::try_from(read_u32(exif, 4, is_little)?).ok()?;
    let entries = usize::from(read_u16(exif, directory, is_little)?);
    (0..entries).find_map(|index| {
        let entry = directory.checked_add(2 + index * 12)?;
        let kind = read_u16(exif, entry + 2, is_little)?;
        let is_number = matches!(kind, BYTE | SHORT | LONG);
        (read_u16(exif, entry, is_little)? == ORIENTATION && is_number).then_some(Field {
            at: entry + 8,
            kind,
            is_little,
        })
    })
}

fn xmp_orientation(xmp: &[u8]) -> Option<u8> {
    let digit = *xmp.get(xmp_orientation_place(xmp)?)?;
    Some(digit - b'0')
}

/// Where the digit stands, of `tiff:Orientation="6"` or `<tiff:Orientation>6</tiff:Orientation>`.
fn xmp_orientation_place(xmp: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"tiff:Orientation";
    let mut at = 0;
    while let Some(found) = xmp
        .get(at..)?
        .windows(NAME.len())
        .position(|window| window == NAME)
    {
        at += found + NAME.len();
        let mut place = at;
        let mut is_opened = false;
        while let Some(b'=' | b'"' | b'\'' | b'>' | b' ' | b'\t' | b'\r' | b'\n') = xmp.get(place) {
            is_opened |= matches!(xmp[place], b'"' | b'\'' | b'>');
            place += 1;
        }
        let is_alone = matches!(
            xmp.get(place + 1),
            Some(b'"' | b'\'' | b'<' | b' ' | b'\r' | b'\n')
        );
        if is_opened && is_alone && matches!(xmp.get(place), Some(b'1'..=b'8')) {
            return Some(place);
        }
    }
    None
}

fn read_u16(data: &[u8], at: usize, is_little: bool) -> Option<u16> {
    let bytes = data.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(if is_little {
        u16::from_le_bytes(bytes)
    } else {
        u16::from_be_bytes(bytes)
    })
}

fn read_u32(data: &[u8], at: usize, is_little: bool) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(if is_little {
        u32::from_le_bytes(bytes)
    } else {
        u32::from_be_bytes(bytes)
    })
}

const JPEG_EXIF: &[u8] = b"Exif\0\0";
const JPEG_XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const JPEG_ICC: &[u8] = b"ICC_PROFILE\0";

/// What a JPEG file holds before its first scan.
pub(crate) fn of_jpeg(data: &[u8]) -> Attached {
    let mut attached = Attached::default();
    let mut profile: Vec<Option<&[u8]>> = Vec::new();
    let mut at = 2;
    while let Some(&[first, marker]) = data.get(at..at + 2) {
        // What lies between segments is passed over, as every decoder does.
        if first != 0xFF || matches!(marker, 0x00 | 0xFF) {
            at += 1;
            continue;
        }
        if matches!(marker, 0x01 | 0xD0..=0xD7) {
            at += 2;
            continue;
        }
        // The scan begins, or the file ends.
        if matches!(marker, 0xDA | 0xD9) {
            break;
        }
        let Some(len) = read_u16(data, at + 2, false).map(usize::from) else {
            break;
        };
        let Some(body) = data.get(at + 4..at + 2 + len.max(2)) else {
            break;
        };
        match marker {
            0xE1 if body.starts_with(JPEG_EXIF) && attached.exif.is_none() => {
                attached.exif = Some(body[JPEG_EXIF.len()..].to_vec());
            }
            0xE1 if body.starts_with(JPEG_XMP) && attached.xmp.is_none() => {
                attached.xmp = Some(body[JPEG_XMP.len()..].to_vec());
            }
            0xE2 if body.starts_with(JPEG_ICC) => {
                if let [number @ 1..=255, count, part @ ..] = &body[JPEG_ICC.len()..] {
                    profile.resize(profile.len().max(usize::from(*count)), None);
                    if let Some(place) = profile.get_mut(usize::from(*number) - 1) {
                        *place = Some(part);
                    }
                }
            }
            _ => {}
        }
        at += 2 + len.max(2);
    }
    // A profile with a part missing is of no use.
    if !profile.is_empty() {
        let parts: Option<Vec<&[u8]>> = profile.into_iter().collect();
        attached.icc = parts
            .map(|parts| parts.concat())
            .filter(|icc| icc.len() <= ICC_LEN_MAX);
    }
    attached
}

/// The segments that say the same in a JPEG file, by marker.
pub(crate) fn jpeg_segments(attached: &Attached) -> Result<Vec<(u8, Vec<u8>)>> {
    let mut segments = Vec::new();
    for (prefix, body, name) in [
        (JPEG_EXIF, &attached.exif, "EXIF"),
        (JPEG_XMP, &attached.xmp, "XMP"),
    ] {
        let Some(body) = body else { continue };
        if prefix.len() + body.len() > 65_533 {
            return Err(Trouble::encoding(
                "JPEG",
                format_args!(
                    "its {name} has {} bytes, and there is room for 65,000",
                    body.len()
                ),
            ));
        }
        segments.push((0xE1, [prefix, body].concat()));
    }
    Ok(segments)
}
