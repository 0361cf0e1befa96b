//! Metadata among the segments of a JPEG file.

use super::{
    Attached, Density, ICC_LEN_MAX,
    iptc::{self, JPEG_PHOTOSHOP},
};
use crate::error::{Result, Trouble};

/// What one stands for, a metre.
const INCHES: f64 = 1.0 / 0.0254;
const CENTIMETRES: f64 = 100.0;

const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
const ICC: &[u8] = b"ICC_PROFILE\0";

/// What a JPEG file holds before its first scan.
pub(crate) fn attached(data: &[u8]) -> Attached {
    let mut attached = Attached::default();
    let mut profile: Vec<Option<&[u8]>> = Vec::new();
    let mut resources = Vec::new();
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
        let Some(len) = length(data, at + 2) else {
            break;
        };
        let Some(body) = data.get(at + 4..at + 2 + len.max(2)) else {
            break;
        };
        match marker {
            0xE1 if body.starts_with(EXIF) && attached.exif.is_none() => {
                attached.exif = Some(body[EXIF.len()..].to_vec());
            }
            0xE1 if body.starts_with(XMP) && attached.xmp.is_none() => {
                attached.xmp = Some(body[XMP.len()..].to_vec());
            }
            // Longer resources go on in the next segment.
            0xED => {
                resources.extend_from_slice(body.strip_prefix(JPEG_PHOTOSHOP).unwrap_or_default());
            }
            0xE0 if attached.density.is_none() => attached.density = jfif_density(body),
            0xE2 if body.starts_with(ICC) => {
                if let [number @ 1..=255, count, part @ ..] = &body[ICC.len()..] {
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
    attached.iptc = iptc::of_resources(&resources);
    attached
}

fn length(data: &[u8], at: usize) -> Option<usize> {
    let bytes = data.get(at..)?.first_chunk::<2>()?;
    Some(usize::from(u16::from_be_bytes(*bytes)))
}

fn jfif_density(body: &[u8]) -> Option<Density> {
    let &[_, _, unit, x0, x1, y0, y1] = body.strip_prefix(b"JFIF\0")?.first_chunk()?;
    let per_metre = match unit {
        1 => INCHES,
        2 => CENTIMETRES,
        _ => return None,
    };
    let density = |high, low| f64::from(u16::from_be_bytes([high, low])) * per_metre;
    Density::new(density(x0, x1), density(y0, y1))
}

/// Unit and numbers that say the same in JFIF's segment: of inches and centimetres, the one that is rounded less.
pub(crate) fn jfif_units(density: Density) -> Option<(u8, u16, u16)> {
    let of = |unit: u8, per_metre: f64| {
        let (x, y) = (density.x / per_metre, density.y / per_metre);
        let error = (x - x.round()).abs() / x + (y - y.round()).abs() / y;
        let number = |value: f64| {
            (1.0..=65_535.0)
                .contains(&value.round())
                .then(|| to_u16(value))
        };
        Some((error, (unit, number(x)?, number(y)?)))
    };
    // A hundredth of a percent is what PNG's whole numbers lose.
    match (of(1, INCHES), of(2, CENTIMETRES)) {
        (Some((inches, _)), Some((centimetres, found))) if centimetres + 1e-4 < inches => {
            Some(found)
        }
        (inches, centimetres) => inches.or(centimetres).map(|(_, found)| found),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer there is"
)]
fn to_u16(value: f64) -> u16 {
    value.round() as u16
}

/// The segments that say the same in a JPEG file, by marker.
pub(crate) fn segments(attached: &Attached) -> Result<Vec<(u8, Vec<u8>)>> {
    let mut segments = Vec::new();
    let resources = attached.iptc.as_deref().map(iptc::to_resources);
    for (marker, prefix, body, name) in [
        (0xE1, EXIF, &attached.exif, "EXIF"),
        (0xE1, XMP, &attached.xmp, "XMP"),
        (0xED, JPEG_PHOTOSHOP, &resources, "IPTC"),
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
        segments.push((marker, [prefix, body].concat()));
    }
    Ok(segments)
}
