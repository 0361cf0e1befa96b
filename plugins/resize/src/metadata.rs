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

/// The value of the orientation tag, if there is one that means something.
pub(crate) fn exif_orientation(exif: &[u8]) -> Option<u8> {
    let (place, is_little) = orientation_place(exif)?;
    let value = read_u16(exif, place, is_little)?;
    u8::try_from(value)
        .ok()
        .filter(|value| (1..=8).contains(value))
}

/// The same EXIF with the orientation `value`, where it has one.
pub(crate) fn with_orientation(exif: &[u8], value: u8) -> Vec<u8> {
    let mut exif = exif.to_vec();
    if let Some((place, is_little)) = orientation_place(&exif) {
        let bytes = if is_little {
            u16::from(value).to_le_bytes()
        } else {
            u16::from(value).to_be_bytes()
        };
        if let Some(field) = exif.get_mut(place..place + 2) {
            field.copy_from_slice(&bytes);
        }
    }
    exif
}

/// Where the orientation's value stands in the first directory.
fn orientation_place(exif: &[u8]) -> Option<(usize, bool)> {
    let is_little = match exif.get(..4)? {
        [b'I', b'I', 42, 0] => true,
        [b'M', b'M', 0, 42] => false,
        _ => return None,
    };
    let directory = usize::try_from(read_u32(exif, 4, is_little)?).ok()?;
    let entries = usize::from(read_u16(exif, directory, is_little)?);
    (0..entries).find_map(|index| {
        let entry = directory.checked_add(2 + index * 12)?;
        let is_short = read_u16(exif, entry + 2, is_little)? == 3;
        (read_u16(exif, entry, is_little)? == ORIENTATION && is_short)
            .then_some((entry + 8, is_little))
    })
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
    while let Some(&[0xFF, marker]) = data.get(at..at + 2) {
        if marker == 0xFF {
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
