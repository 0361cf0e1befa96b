//! Boxes and numbers, read without trusting any length.

use super::wrong;
use crate::error::Result;

/// Whether the file says that it is AVIF.
pub(crate) fn is_avif(data: &[u8]) -> bool {
    let Some(Ok((name, body))) = boxes(data).next() else {
        return false;
    };
    if &name != b"ftyp" || body.len() < 8 {
        return false;
    }
    let (brands, _) = body.as_chunks::<4>();
    brands
        .iter()
        .enumerate()
        .any(|(index, brand)| index != 1 && matches!(brand, b"avif" | b"avis"))
}

/// Walks over boxes.
pub(super) fn boxes(data: &[u8]) -> impl Iterator<Item = Result<([u8; 4], &[u8])>> {
    let mut rest = data;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let next = one_box(rest);
        rest = next.as_ref().map_or(&[], |(_, _, after)| after);
        Some(
            next.map(|(name, body, _)| (name, body))
                .ok_or_else(|| wrong("a box ends too early")),
        )
    })
}

fn one_box(data: &[u8]) -> Option<([u8; 4], &[u8], &[u8])> {
    let mut reader = Reader { data };
    let len = reader.u32()?;
    let name = *reader.data.first_chunk::<4>()?;
    reader.skip(4)?;
    let len = match len {
        0 => data.len(),
        1 => usize::try_from(reader.u64()?).ok()?,
        len => len as usize,
    };
    let header_len = data.len() - reader.data.len();
    let body = data.get(header_len..len)?;
    Some((name, body, data.get(len..)?))
}

#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) data: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.data.split_at_checked(len)?;
        self.data = rest;
        Some(taken)
    }

    pub(super) fn skip(&mut self, len: usize) -> Option<()> {
        self.take(len).map(|_| ())
    }

    pub(super) fn uint(&mut self, len: usize) -> Option<u64> {
        Some(
            self.take(len)?
                .iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        )
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.uint(2).and_then(|value| u16::try_from(value).ok())
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.uint(4).and_then(|value| u32::try_from(value).ok())
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.uint(8)
    }

    /// Version and flags of a full box.
    pub(super) fn version(&mut self) -> Option<u8> {
        let version = self.u8()?;
        self.skip(3)?;
        Some(version)
    }
}
