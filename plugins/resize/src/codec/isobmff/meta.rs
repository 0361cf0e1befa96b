//! The list of contents: items, where they lie, their properties, and how they refer to each other.

use super::boxes::{Reader, boxes};

#[derive(Default)]
pub(super) struct Item {
    pub(super) id: u32,
    pub(super) kind: [u8; 4],
    pub(super) content_type: Vec<u8>,
    pub(super) in_idat: bool,
    pub(super) is_external: bool,
    pub(super) extents: Vec<(u64, u64)>,
    pub(super) properties: Vec<usize>,
}

#[derive(Default)]
pub(super) struct Meta<'a> {
    pub(super) primary: u32,
    pub(super) items: Vec<Item>,
    pub(super) properties: Vec<([u8; 4], &'a [u8])>,
    pub(super) references: Vec<([u8; 4], u32, Vec<u32>)>,
    pub(super) idat: &'a [u8],
    /// How often items are listed, how many parts they have, and how many references there are.
    listed_len: usize,
    extents_len: usize,
    referred_len: usize,
}

/// More items than any picture needs, and more parts of all of them together.
const ITEMS_MAX: usize = 4096;
const EXTENTS_MAX: usize = 1 << 13;
/// Each has a name, a place and properties.
const LISTED_MAX: usize = 4 * ITEMS_MAX;
/// A picture of a grid is referred to as a part, and by its transparency, which is a part as well.
const REFERENCES_MAX: usize = 4 * ITEMS_MAX;
/// A longer list of contents is none, in bytes: what is read of it takes several times as much.
pub(super) const META_LEN_MAX: usize = 16 << 20;

pub(super) fn read_meta(body: &[u8]) -> Option<Meta<'_>> {
    let mut reader = Reader { data: body };
    reader.version()?;
    let mut meta = Meta::default();
    for next in boxes(reader.data) {
        let (name, body) = next.ok()?;
        let mut reader = Reader { data: body };
        match &name {
            b"pitm" => {
                let version = reader.version()?;
                meta.primary = if version == 0 {
                    u32::from(reader.u16()?)
                } else {
                    reader.u32()?
                };
            }
            b"iinf" => read_items(reader, &mut meta)?,
            b"iloc" => read_locations(reader, &mut meta)?,
            b"iref" => read_references(reader, &mut meta)?,
            b"iprp" => read_properties(body, &mut meta)?,
            b"idat" => meta.idat = body,
            _ => {}
        }
    }
    Some(meta)
}

fn item(meta: &mut Meta<'_>, id: u32) -> Option<usize> {
    if let Some(place) = meta.items.iter().position(|item| item.id == id) {
        return Some(place);
    }
    if meta.items.len() >= ITEMS_MAX {
        return None;
    }
    meta.items.push(Item {
        id,
        ..Item::default()
    });
    Some(meta.items.len() - 1)
}

/// Adds to a length; nothing where that becomes too much.
fn add_up(len: &mut usize, more: usize, len_max: usize) -> Option<()> {
    *len = len.checked_add(more)?;
    (*len <= len_max).then_some(())
}

fn read_items<'a>(mut reader: Reader<'a>, meta: &mut Meta<'a>) -> Option<()> {
    let version = reader.version()?;
    reader.skip(if version == 0 { 2 } else { 4 })?;
    for next in boxes(reader.data) {
        let (name, body) = next.ok()?;
        let mut reader = Reader { data: body };
        if &name != b"infe" {
            continue;
        }
        let version = reader.version()?;
        if version < 2 {
            continue;
        }
        let id = if version == 2 {
            u32::from(reader.u16()?)
        } else {
            reader.u32()?
        };
        reader.skip(2)?;
        let kind = *reader.data.first_chunk::<4>()?;
        reader.skip(4)?;
        let mut texts = reader.data.split(|byte| *byte == 0).skip(1);
        add_up(&mut meta.listed_len, 1, LISTED_MAX)?;
        let place = item(meta, id)?;
        meta.items[place].kind = kind;
        meta.items[place].content_type = texts.next().unwrap_or_default().to_vec();
    }
    Some(())
}

fn read_locations<'a>(mut reader: Reader<'a>, meta: &mut Meta<'a>) -> Option<()> {
    let version = reader.version()?;
    let sizes = reader.u16()?;
    let [offset_len, length_len, base_len, index_len] =
        [12, 8, 4, 0].map(|shift| usize::from(sizes >> shift & 15));
    let count = if version < 2 {
        u32::from(reader.u16()?)
    } else {
        reader.u32()?
    };
    add_up(&mut meta.listed_len, count as usize, LISTED_MAX)?;
    for _ in 0..count {
        let id = if version < 2 {
            u32::from(reader.u16()?)
        } else {
            reader.u32()?
        };
        let method = if version == 0 { 0 } else { reader.u16()? & 15 };
        let reference = reader.u16()?;
        let base = reader.uint(base_len)?;
        let extents = reader.u16()?;
        add_up(&mut meta.extents_len, usize::from(extents), EXTENTS_MAX)?;
        let place = item(meta, id)?;
        meta.items[place].in_idat = method == 1;
        meta.items[place].is_external = method > 1 || reference != 0;
        for _ in 0..extents {
            if version > 0 {
                reader.uint(index_len)?;
            }
            let offset = reader.uint(offset_len)?;
            let len = reader.uint(length_len)?;
            meta.items[place]
                .extents
                .push((base.checked_add(offset)?, len));
        }
    }
    Some(())
}

fn read_references<'a>(mut reader: Reader<'a>, meta: &mut Meta<'a>) -> Option<()> {
    let version = reader.version()?;
    for next in boxes(reader.data) {
        let (name, body) = next.ok()?;
        let mut reader = Reader { data: body };
        let id = |reader: &mut Reader<'_>| {
            if version == 0 {
                reader.u16().map(u32::from)
            } else {
                reader.u32()
            }
        };
        let from = id(&mut reader)?;
        let len = reader.u16()?;
        add_up(&mut meta.referred_len, 1 + usize::from(len), REFERENCES_MAX)?;
        let to: Option<Vec<u32>> = (0..len).map(|_| id(&mut reader)).collect();
        meta.references.push((name, from, to?));
    }
    Some(())
}

fn read_properties<'a>(body: &'a [u8], meta: &mut Meta<'a>) -> Option<()> {
    for next in boxes(body) {
        let (name, body) = next.ok()?;
        let mut reader = Reader { data: body };
        match &name {
            b"ipco" => {
                for property in boxes(body) {
                    meta.properties.push(property.ok()?);
                }
            }
            b"ipma" => {
                let version = reader.u8()?;
                let is_wide = reader.uint(3)? & 1 != 0;
                let count = reader.u32()?;
                add_up(&mut meta.listed_len, count as usize, LISTED_MAX)?;
                for _ in 0..count {
                    let id = if version == 0 {
                        u32::from(reader.u16()?)
                    } else {
                        reader.u32()?
                    };
                    let place = item(meta, id)?;
                    for _ in 0..reader.u8()? {
                        let index = if is_wide {
                            usize::from(reader.u16()? & 0x7FFF)
                        } else {
                            usize::from(reader.u8()? & 0x7F)
                        };
                        meta.items[place].properties.push(index);
                    }
                }
            }
            _ => {}
        }
    }
    Some(())
}
