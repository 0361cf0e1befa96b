//! Files to test with, written and read by other code than the plugin's where there is any.

use std::io::Cursor;

use super::{Bench, photo::Rgb};
use plugin_api::serde_json::json;

/// Pixels of any kind, as PNG has them.
pub(crate) struct Image {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) color: png::ColorType,
    pub(crate) depth: png::BitDepth,
    pub(crate) bytes: Vec<u8>,
}

impl Image {
    pub(crate) fn pixel(&self, x: usize, y: usize) -> &[u8] {
        let len = self.color.samples()
            * if self.depth == png::BitDepth::Sixteen {
                2
            } else {
                1
            };
        &self.bytes[(y * self.width + x) * len..][..len]
    }

    pub(crate) fn rgb(&self) -> Rgb {
        assert_eq!(self.depth, png::BitDepth::Eight);
        let samples = self.color.samples();
        let bytes = match samples {
            3 => self.bytes.clone(),
            4 => self
                .bytes
                .chunks_exact(4)
                .flat_map(|p| [p[0], p[1], p[2]])
                .collect(),
            _ => self
                .bytes
                .chunks_exact(samples)
                .flat_map(|p| [p[0]; 3])
                .collect(),
        };
        Rgb {
            width: self.width,
            height: self.height,
            bytes,
        }
    }
}

pub(crate) fn read_png(data: &[u8]) -> Image {
    let mut decoder = png::Decoder::new(Cursor::new(data));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    bytes.truncate(info.buffer_size());
    Image {
        width: info.width as usize,
        height: info.height as usize,
        color: info.color_type,
        depth: info.bit_depth,
        bytes,
    }
}

pub(crate) fn png(width: usize, height: usize, color: png::ColorType, bytes: &[u8]) -> Vec<u8> {
    png_with(width, height, color, png::BitDepth::Eight, bytes, |_| {})
}

pub(crate) fn png_with(
    width: usize,
    height: usize,
    color: png::ColorType,
    depth: png::BitDepth,
    bytes: &[u8],
    change: impl FnOnce(&mut png::Info<'_>),
) -> Vec<u8> {
    let mut info = png::Info::with_size(width as u32, height as u32);
    info.color_type = color;
    info.bit_depth = depth;
    change(&mut info);
    let mut out = Vec::new();
    let encoder = png::Encoder::with_info(&mut out, info).unwrap();
    encoder
        .write_header()
        .unwrap()
        .write_image_data(bytes)
        .unwrap();
    out
}

pub(crate) fn png_of(picture: &Rgb) -> Vec<u8> {
    png(
        picture.width,
        picture.height,
        png::ColorType::Rgb,
        &picture.bytes,
    )
}

/// A PNG of one row with every index that `depth` bits can hold, and one more row of zeros.
pub(crate) fn indexed_png(depth: u8, palette: &[u8], transparency: Option<&[u8]>) -> Vec<u8> {
    let width = 1_usize << depth;
    let row_len = width * usize::from(depth) / 8;
    let mut bytes = vec![0; row_len.max(1) * 2];
    for index in 0..width {
        let bit = index * usize::from(depth);
        let shift = 8 - usize::from(depth) - bit % 8;
        bytes[bit / 8] |= (index << shift) as u8;
    }
    let depth = png::BitDepth::from_u8(depth).unwrap();
    png_with(width, 2, png::ColorType::Indexed, depth, &bytes, |info| {
        info.palette = Some(palette.to_vec().into());
        info.trns = transparency.map(|alphas| alphas.to_vec().into());
    })
}

/// A chunk of a PNG file: its name and what is in it.
pub(crate) type Chunk = ([u8; 4], Vec<u8>);

pub(crate) fn chunks_of(png: &[u8]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut rest = &png[8..];
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let (name, after) = after.split_first_chunk::<4>().unwrap();
        let (body, after) = after.split_at(u32::from_be_bytes(*len) as usize);
        chunks.push((*name, body.to_vec()));
        rest = &after[4..];
    }
    chunks
}

/// With checksums that are right, whatever is in the chunks.
pub(crate) fn png_of_chunks(chunks: &[Chunk]) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1A\n".to_vec();
    for (name, body) in chunks {
        out.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        let start = out.len();
        out.extend_from_slice(name);
        out.extend_from_slice(body);
        let sum = checksum(&out[start..]);
        out.extend_from_slice(&sum.to_be_bytes());
    }
    out
}

/// CRC-32, a bit at a time.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            sum >> 1 ^ if sum & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    })
}

/// What is in a file of any format, at its full size.
pub(crate) fn decoded(bench: &Bench, data: &[u8]) -> Image {
    read_png(&bench.convert(data, json!({ "format": "png", "autorotate": false })))
}

/// A JPEG file with a segment put in behind its first marker.
pub(crate) fn with_segment(jpeg: &[u8], marker: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &len, body, &jpeg[2..]].concat()
}

/// EXIF with nothing but an orientation.
pub(crate) fn exif(orientation: u8) -> Vec<u8> {
    [
        b"II\x2A\0\x08\0\0\0\x01\0".as_slice(),
        b"\x12\x01\x03\0\x01\0\0\0",
        &[orientation, 0, 0, 0],
        &[0; 4],
    ]
    .concat()
}

/// A profile of matrix and curves whose colours are another's: red is sRGB's green, green is blue, blue is red.
pub(crate) fn swapped_profile() -> Vec<u8> {
    let xyz = |x: f64, y: f64, z: f64| {
        let number = |value: f64| ((value * 65_536.0).round() as i32).to_be_bytes();
        [
            b"XYZ \0\0\0\0".as_slice(),
            &number(x),
            &number(y),
            &number(z),
        ]
        .concat()
    };
    let red = xyz(0.436_065_67, 0.222_488_4, 0.013_916_02);
    let green = xyz(0.385_147_1, 0.716_873_2, 0.097_076_42);
    let blue = xyz(0.143_066_4, 0.060_607_91, 0.714_096_1);
    // The curve of sRGB, as parameters.
    let number = |value: f64| ((value * 65_536.0_f64).round() as i32).to_be_bytes();
    let curve = [
        b"para\0\0\0\0\0\x03\0\0".as_slice(),
        &number(2.4),
        &number(1.0 / 1.055),
        &number(0.055 / 1.055),
        &number(1.0 / 12.92),
        &number(0.040_45),
    ]
    .concat();
    let description = b"desc\0\0\0\0\0\0\0\x08swapped\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let tags: [(&[u8; 4], Vec<u8>); 8] = [
        (b"desc", [description, vec![0; 68]].concat()),
        (b"wtpt", xyz(0.964_202_9, 1.0, 0.824_905_4)),
        (b"rXYZ", green),
        (b"gXYZ", blue),
        (b"bXYZ", red),
        (b"rTRC", curve.clone()),
        (b"gTRC", curve.clone()),
        (b"bTRC", curve),
    ];
    let mut table = u32::try_from(tags.len()).unwrap().to_be_bytes().to_vec();
    let mut bodies = Vec::new();
    let start = 128 + 4 + tags.len() * 12;
    for (name, body) in &tags {
        table.extend_from_slice(*name);
        table.extend_from_slice(&u32::try_from(start + bodies.len()).unwrap().to_be_bytes());
        table.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        bodies.extend_from_slice(body);
        bodies.resize(bodies.len().next_multiple_of(4), 0);
    }
    let len = u32::try_from(start + bodies.len()).unwrap();
    let mut header = vec![0; 128];
    header[..4].copy_from_slice(&len.to_be_bytes());
    header[8..12].copy_from_slice(&[4, 0x20, 0, 0]);
    header[12..24].copy_from_slice(b"mntrRGB XYZ ");
    header[24..36].copy_from_slice(&[0x07, 0xE8, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    header[36..40].copy_from_slice(b"acsp");
    header[68..80].copy_from_slice(&[0, 0, 0xF6, 0xD6, 0, 1, 0, 0, 0, 0, 0xD3, 0x2D]);
    [header, table, bodies].concat()
}

/// A GIF of frames of one colour each, every one with its delay in hundredths of a second.
pub(crate) fn gif(width: u16, height: u16, frames: &[([u8; 3], u16)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = gif::Encoder::new(&mut out, width, height, &[]).unwrap();
    encoder.set_repeat(gif::Repeat::Infinite).unwrap();
    for (color, delay) in frames {
        let pixels = color.repeat(usize::from(width) * usize::from(height));
        let mut frame = gif::Frame::from_rgb(width, height, &pixels);
        frame.delay = *delay;
        encoder.write_frame(&frame).unwrap();
    }
    drop(encoder);
    out
}
