//! EXIF: what it says of orientation and resolution, and what of it goes along with an image that was made.

use super::{
    Density,
    tiff::{ASCII, BYTE, Tiff},
};

const IMAGE_WIDTH: u16 = 0x0100;
const IMAGE_HEIGHT: u16 = 0x0101;
const ORIENTATION: u16 = 0x0112;
const RESOLUTION_X: u16 = 0x011A;
const RESOLUTION_Y: u16 = 0x011B;
const RESOLUTION_UNIT: u16 = 0x0128;
const ARTIST: u16 = 0x013B;
const COPYRIGHT: u16 = 0x8298;
/// XMP, IPTC and Photoshop's settings as TIFF has them: in other files they have places of their own.
const OTHERS: [u16; 3] = [0x02BC, 0x83BB, 0x8649];
const EXIF_DIRECTORY: u16 = 0x8769;
const GPS_DIRECTORY: u16 = 0x8825;
const INTEROPERABILITY_DIRECTORY: u16 = 0xA005;
/// A camera's own notes, which nobody else can read: among what some of them hold is the name of the place.
const MAKER_NOTE: u16 = 0x927C;
const PIXELS_X: u16 = 0xA002;
const PIXELS_Y: u16 = 0xA003;
/// UTF-8, of EXIF 3.0.
const TEXT: u16 = 129;

/// The orientation in the first directory, if there is one that means something.
pub(super) fn orientation(exif: &[u8]) -> Option<u8> {
    let tiff = Tiff::new(exif)?;
    let entry = tiff.find(tiff.first()?, ORIENTATION)?;
    let value = tiff.number(entry)?;
    u8::try_from(value)
        .ok()
        .filter(|value| (1..=8).contains(value))
}

pub(super) fn density(exif: &[u8]) -> Option<Density> {
    let tiff = Tiff::new(exif)?;
    let directory = tiff.first()?;
    let resolution = |tag| tiff.fraction(tiff.find(directory, tag)?);
    let unit = tiff.find(directory, RESOLUTION_UNIT);
    // Inches, where it says nothing.
    let per_metre = match unit.and_then(|unit| tiff.number(unit)).unwrap_or(2) {
        2 => 1.0 / 0.0254,
        3 => 100.0,
        _ => return None,
    };
    let (x, y) = (resolution(RESOLUTION_X)?, resolution(RESOLUTION_Y)?);
    Density::new(x * per_metre, y * per_metre)
}

/// The same for an image that is turned upright.
pub(super) fn upright(exif: &[u8]) -> Option<Vec<u8>> {
    let mut tiff = Tiff::new(exif)?;
    if let Some(entry) = tiff.find(tiff.first()?, ORIENTATION) {
        tiff.set_number(entry, 1);
    }
    Some(tiff.bytes)
}

/// What goes along with an image of another size: everything but the small image, which shows what the large one was,
/// and, unless `keeps_place`, where it was taken. `None` where that can't be told apart.
pub(super) fn kept(exif: &[u8], size: (u32, u32), keeps_place: bool) -> Option<Vec<u8>> {
    let mut tiff = Tiff::new(exif)?;
    let main = tiff.first()?;
    tiff.entries(main)?;
    if let Some(at) = tiff.next_at(main) {
        let small = u32_place(&tiff, at);
        tiff.bytes[at..at + 4].fill(0);
        if let Some(small) = small {
            wipe_small_image(&mut tiff, small);
        }
    }
    for tag in OTHERS {
        tiff.remove(main, tag);
    }
    let exif_directory = pointed(&tiff, main, EXIF_DIRECTORY);
    let directories = [
        Some(main),
        exif_directory,
        exif_directory.and_then(|exif| pointed(&tiff, exif, INTEROPERABILITY_DIRECTORY)),
    ];
    for directory in directories.into_iter().flatten() {
        if !keeps_place {
            if let Some(gps) = pointed(&tiff, directory, GPS_DIRECTORY) {
                tiff.wipe(gps);
            }
            tiff.remove(directory, GPS_DIRECTORY);
            tiff.remove(directory, MAKER_NOTE);
        }
        for (tag, side) in [
            (IMAGE_WIDTH, size.0),
            (IMAGE_HEIGHT, size.1),
            (PIXELS_X, size.0),
            (PIXELS_Y, size.1),
        ] {
            if let Some(entry) = tiff.find(directory, tag) {
                tiff.set_number(entry, side);
            }
        }
    }
    Some(tiff.bytes)
}

/// EXIF that says who made the image, and whose it is, if it says either.
pub(super) fn rights(exif: &[u8]) -> Option<Vec<u8>> {
    let tiff = Tiff::new(exif)?;
    let main = tiff.first()?;
    let found: Vec<(u16, u16, Vec<u8>)> = [ARTIST, COPYRIGHT]
        .into_iter()
        .filter_map(|tag| {
            let entry = tiff.find(main, tag)?;
            let text = tiff.value(entry)?;
            let says_something = text.iter().any(|byte| !matches!(byte, 0 | b' '));
            let is_text = matches!(entry.kind, ASCII | TEXT | BYTE);
            (is_text && says_something).then(|| (tag, entry.kind, text.to_vec()))
        })
        .collect();
    (!found.is_empty()).then(|| directory_of(&found))
}

/// A structure of one directory with these texts.
fn directory_of(texts: &[(u16, u16, Vec<u8>)]) -> Vec<u8> {
    let long = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    let count = u16::try_from(texts.len()).unwrap_or(0);
    let mut out = [b"II\x2A\0\x08\0\0\0".as_slice(), &count.to_le_bytes()].concat();
    let start = out.len() + texts.len() * 12 + 4;
    let mut values = Vec::new();
    for (tag, kind, text) in texts {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&long(text.len()));
        if text.len() <= 4 {
            out.extend_from_slice(text);
            out.resize(out.len() + 4 - text.len(), 0);
        } else {
            out.extend_from_slice(&long(start + values.len()));
            values.extend_from_slice(text);
            // Values begin at even places.
            values.resize(values.len().next_multiple_of(2), 0);
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&values);
    out
}

/// The directory that an entry points to.
fn pointed(tiff: &Tiff, directory: usize, tag: u16) -> Option<usize> {
    let entry = tiff.find(directory, tag)?;
    usize::try_from(tiff.number(entry)?).ok()
}

fn u32_place(tiff: &Tiff, at: usize) -> Option<usize> {
    tiff.directory_at(at).filter(|place| *place != 0)
}

/// Fills the small image with zeros, and what is said of it.
fn wipe_small_image(tiff: &mut Tiff, directory: usize) {
    const START: u16 = 0x0201;
    const LEN: u16 = 0x0202;
    let number = |tag| usize::try_from(tiff.number(tiff.find(directory, tag)?)?).ok();
    if let (Some(start), Some(len)) = (number(START), number(LEN))
        && let Some(end) = start.checked_add(len)
        && let Some(image) = tiff.bytes.get_mut(start..end)
    {
        image.fill(0);
    }
    if let Some(gps) = pointed(tiff, directory, GPS_DIRECTORY) {
        tiff.wipe(gps);
    }
    tiff.wipe(directory);
}
