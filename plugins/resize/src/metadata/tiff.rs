//! The TIFF structure of EXIF: numbers, directories and their entries, read without trusting any place or length, and
//! taken out without moving what is left.

pub(super) const BYTE: u16 = 1;
pub(super) const ASCII: u16 = 2;
const SHORT: u16 = 3;
const LONG: u16 = 4;
/// The same with a sign: the values that mean something here are the same in both.
const SIGNED_BYTE: u16 = 6;
const SIGNED_SHORT: u16 = 8;
const SIGNED_LONG: u16 = 9;

/// Entries of a directory have this many bytes: tag, type, count, and the value or its place.
const ENTRY_LEN: usize = 12;

/// EXIF that begins as it should.
#[derive(Clone)]
pub(super) struct Tiff {
    pub(super) bytes: Vec<u8>,
    is_little: bool,
}

/// An entry of a directory.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// Where it stands.
    at: usize,
    pub(super) tag: u16,
    pub(super) kind: u16,
    count: usize,
}

impl Tiff {
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let is_little = match bytes.get(..4)? {
            [b'I', b'I', 42, 0] => true,
            [b'M', b'M', 0, 42] => false,
            _ => return None,
        };
        Some(Self {
            bytes: bytes.to_vec(),
            is_little,
        })
    }

    /// Where the first directory is.
    pub(super) fn first(&self) -> Option<usize> {
        self.place(4)
    }

    /// The entries of the directory at `directory`; `None` where it doesn't lie within the bytes.
    pub(super) fn entries(&self, directory: usize) -> Option<Vec<Entry>> {
        let count = usize::from(self.short(directory)?);
        let first = directory.checked_add(2)?;
        self.bytes.get(first..)?.get(..count * ENTRY_LEN)?;
        let entry = |index: usize| {
            let at = first + index * ENTRY_LEN;
            Some(Entry {
                at,
                tag: self.short(at)?,
                kind: self.short(at + 2)?,
                count: self.place(at + 4)?,
            })
        };
        (0..count).map(entry).collect()
    }

    pub(super) fn find(&self, directory: usize, tag: u16) -> Option<Entry> {
        let entries = self.entries(directory)?;
        entries.into_iter().find(|entry| entry.tag == tag)
    }

    /// Where the place of the directory after this one stands.
    pub(super) fn next_at(&self, directory: usize) -> Option<usize> {
        let count = usize::from(self.short(directory)?);
        let at = directory.checked_add(2 + count * ENTRY_LEN)?;
        self.bytes.get(at..)?.get(..4).map(|_| at)
    }

    /// The bytes of a value, which may lie anywhere.
    pub(super) fn range(&self, entry: Entry) -> Option<std::ops::Range<usize>> {
        let len = entry.count.checked_mul(match entry.kind {
            SHORT | SIGNED_SHORT => 2,
            LONG | SIGNED_LONG | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => 1,
        })?;
        let start = if len <= 4 {
            entry.at + 8
        } else {
            self.place(entry.at + 8)?
        };
        let end = start.checked_add(len)?;
        self.bytes.get(start..end).map(|_| start..end)
    }

    pub(super) fn value(&self, entry: Entry) -> Option<&[u8]> {
        self.bytes.get(self.range(entry)?)
    }

    /// The first whole number of a value.
    pub(super) fn number(&self, entry: Entry) -> Option<u32> {
        let start = self.range(entry).filter(|range| !range.is_empty())?.start;
        match entry.kind {
            BYTE | SIGNED_BYTE => self.bytes.get(start).copied().map(u32::from),
            SHORT | SIGNED_SHORT => self.short(start).map(u32::from),
            LONG | SIGNED_LONG | 13 => self.long(start),
            _ => None,
        }
    }

    /// The first fraction of a value.
    pub(super) fn fraction(&self, entry: Entry) -> Option<f64> {
        let start = self.range(entry).filter(|range| range.len() >= 8)?.start;
        let (above, below) = (self.long(start)?, self.long(start + 4)?);
        (entry.kind == 5 && below > 0).then(|| f64::from(above) / f64::from(below))
    }

    /// Writes a whole number, if its type has room for it.
    pub(super) fn set_number(&mut self, entry: Entry, value: u32) {
        let bytes = match (entry.kind, u8::try_from(value), u16::try_from(value)) {
            (BYTE | SIGNED_BYTE, Ok(value), _) => vec![value],
            (SHORT | SIGNED_SHORT, _, Ok(value)) if self.is_little => value.to_le_bytes().to_vec(),
            (SHORT | SIGNED_SHORT, _, Ok(value)) => value.to_be_bytes().to_vec(),
            (LONG | SIGNED_LONG, ..) if self.is_little => value.to_le_bytes().to_vec(),
            (LONG | SIGNED_LONG, ..) => value.to_be_bytes().to_vec(),
            _ => return,
        };
        let range = self.range(entry);
        let room = range.and_then(|range| self.bytes.get_mut(range)?.get_mut(..bytes.len()));
        if let Some(room) = room {
            room.copy_from_slice(&bytes);
        }
    }

    /// Takes an entry out of its directory, and fills its value with zeros. Everything else stays where it is, as
    /// places are told from the beginning.
    pub(super) fn remove(&mut self, directory: usize, tag: u16) {
        while let Some(entry) = self.find(directory, tag) {
            let Some(next_at) = self.next_at(directory) else {
                return;
            };
            if let Some(range) = self.range(entry) {
                self.bytes[range].fill(0);
            }
            let end = next_at + 4;
            self.bytes.copy_within(entry.at + ENTRY_LEN..end, entry.at);
            self.bytes[end - ENTRY_LEN..end].fill(0);
            let Some(count) = self.short(directory) else {
                return;
            };
            let count = count.saturating_sub(1);
            let count = if self.is_little {
                count.to_le_bytes()
            } else {
                count.to_be_bytes()
            };
            self.bytes[directory..directory + 2].copy_from_slice(&count);
        }
    }

    /// Fills a directory and the values of its entries with zeros.
    pub(super) fn wipe(&mut self, directory: usize) {
        let Some(entries) = self.entries(directory) else {
            return;
        };
        for entry in entries.iter().copied() {
            if let Some(range) = self.range(entry) {
                self.bytes[range].fill(0);
            }
        }
        let end = directory + 2 + entries.len() * ENTRY_LEN;
        self.bytes[directory..end].fill(0);
    }

    /// The place of a directory, as it stands at `at`.
    pub(super) fn directory_at(&self, at: usize) -> Option<usize> {
        self.place(at)
    }

    fn place(&self, at: usize) -> Option<usize> {
        usize::try_from(self.long(at)?).ok()
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk::<2>()?;
        Some(if self.is_little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk::<4>()?;
        Some(if self.is_little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    }
}
