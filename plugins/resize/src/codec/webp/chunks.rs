//! The chunks that a file is made of.

use crate::{
    error::{Result, Trouble},
    metadata::Attached,
};

const ALPHA: u8 = 0x10;

const ICC: u8 = 0x20;

const EXIF: u8 = 0x08;

const XMP: u8 = 0x04;

/// The chunks of a file, as far as they are whole.
pub(super) struct Chunks<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = ([u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.rest.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        let body = rest.get(..len)?;
        self.rest = rest.get(len + len % 2..).unwrap_or_default();
        Some((*name, body))
    }
}

pub(super) fn chunks(data: &[u8]) -> Chunks<'_> {
    Chunks {
        rest: data.get(12..).unwrap_or_default(),
    }
}

/// A file of those chunks that are whole.
pub(super) fn whole_part(data: &[u8]) -> Result<Vec<u8>> {
    let mut contents = Vec::new();
    for (name, body) in chunks(data) {
        write_chunk(&mut contents, &name, body)?;
    }
    riff(&contents)
}

/// Puts profile, EXIF and XMP into a finished file.
pub(super) fn attach(
    file: &[u8],
    attached: &Attached,
    (width, height): (usize, usize),
) -> Result<Vec<u8>> {
    if (&attached.icc, &attached.exif, &attached.xmp) == (&None, &None, &None) {
        return Ok(file.to_vec());
    }
    let mut flags = 0;
    let mut image = Vec::new();
    for (name, body) in chunks(file) {
        match &name {
            b"VP8X" => flags |= body.first().copied().unwrap_or(0),
            b"VP8L" => {
                // The bit that says whether there is alpha, after the signature and two sizes.
                if body.get(4).is_some_and(|byte| byte & 0x10 != 0) {
                    flags |= ALPHA;
                }
                write_chunk(&mut image, &name, body)?;
            }
            _ => write_chunk(&mut image, &name, body)?,
        }
    }
    let mut contents = Vec::new();
    for (part, flag) in [
        (&attached.icc, ICC),
        (&attached.exif, EXIF),
        (&attached.xmp, XMP),
    ] {
        if part.is_some() {
            flags |= flag;
        }
    }
    let side = |len: usize| {
        let [a, b, c, _] = crate::scale::to_u32(len.saturating_sub(1)).to_le_bytes();
        [a, b, c]
    };
    let [w0, w1, w2] = side(width);
    let [h0, h1, h2] = side(height);
    write_chunk(
        &mut contents,
        b"VP8X",
        &[flags, 0, 0, 0, w0, w1, w2, h0, h1, h2],
    )?;
    if let Some(icc) = &attached.icc {
        write_chunk(&mut contents, b"ICCP", icc)?;
    }
    contents.extend_from_slice(&image);
    if let Some(exif) = &attached.exif {
        write_chunk(&mut contents, b"EXIF", exif)?;
    }
    if let Some(xmp) = &attached.xmp {
        write_chunk(&mut contents, b"XMP ", xmp)?;
    }
    riff(&contents)
}

/// A file of these chunks.
fn riff(chunks: &[u8]) -> Result<Vec<u8>> {
    let len = u32::try_from(chunks.len() + 4)
        .map_err(|_| Trouble::encoding("WebP", "it would be longer than 4 GiB"))?;
    Ok([b"RIFF", &len.to_le_bytes(), b"WEBP".as_slice(), chunks].concat())
}

fn write_chunk(out: &mut Vec<u8>, name: &[u8; 4], body: &[u8]) -> Result<()> {
    let len = u32::try_from(body.len())
        .map_err(|_| Trouble::encoding("WebP", "a part would be longer than 4 GiB"))?;
    out.extend_from_slice(name);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(body);
    if body.len() % 2 == 1 {
        out.push(0);
    }
    Ok(())
}
