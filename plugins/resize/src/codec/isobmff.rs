//! The boxes of an AVIF file: read without trusting any length, and written.

use crate::{
    error::{Result, Trouble},
    orientation::Orientation,
};

fn wrong(reason: &str) -> Trouble {
    Trouble::broken("AVIF", reason)
}

/// What is read of a file.
#[derive(Debug, Default)]
pub(crate) struct Contents<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The bit streams of the picture: one, or those of a grid.
    pub(crate) color: Picture<'a>,
    pub(crate) alpha: Option<Picture<'a>>,
    pub(crate) is_premultiplied: bool,
    pub(crate) icc: Option<Vec<u8>>,
    pub(crate) nclx: Option<Nclx>,
    pub(crate) exif: Option<Vec<u8>>,
    pub(crate) xmp: Option<Vec<u8>>,
    /// Quarters to turn against the clock, and then what to exchange: 0 top and bottom, 1 left and right.
    pub(crate) turns: u8,
    pub(crate) mirror: Option<u8>,
    /// Whether there is a property for either.
    pub(crate) is_oriented: bool,
    pub(crate) bit_depth: u8,
    pub(crate) is_monochrome: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Picture<'a> {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    pub(crate) tiles: Vec<Tile<'a>>,
}

impl Picture<'_> {
    /// Asserts that the pictures are of one size, and no more or larger than the whole needs (MIAF, 7.3.11.4.2).
    fn check_grid(&self, (width, height): (u32, u32)) -> Result<()> {
        let size = |tile: &Tile<'_>| (u64::from(tile.width), u64::from(tile.height));
        let (across, down) = self.tiles.first().map_or((0, 0), size);
        let covers = |side: u64, count: usize, whole: u32| {
            let count = count as u64;
            side * count >= u64::from(whole) && side * (count - 1) < u64::from(whole)
        };
        let pixels_max = (u64::from(width) * u64::from(height)).max(TILE_PIXELS_MAX);
        let fits = self.tiles.iter().all(|tile| size(tile) == (across, down))
            && covers(across, self.columns, width)
            && covers(down, self.rows, height)
            && across * down <= pixels_max;
        if !fits {
            return Err(wrong("its size and that of its grid contradict each other"));
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Tile<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) data: std::borrow::Cow<'a, [u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nclx {
    pub(crate) primaries: u16,
    pub(crate) transfer: u16,
    pub(crate) matrix: u16,
    pub(crate) is_full_range: bool,
}

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
fn boxes(data: &[u8]) -> impl Iterator<Item = Result<([u8; 4], &[u8])>> {
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
struct Reader<'a> {
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.data.split_at_checked(len)?;
        self.data = rest;
        Some(taken)
    }

    fn skip(&mut self, len: usize) -> Option<()> {
        self.take(len).map(|_| ())
    }

    fn uint(&mut self, len: usize) -> Option<u64> {
        Some(
            self.take(len)?
                .iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        )
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.uint(2).and_then(|value| u16::try_from(value).ok())
    }

    fn u32(&mut self) -> Option<u32> {
        self.uint(4).and_then(|value| u32::try_from(value).ok())
    }

    fn u64(&mut self) -> Option<u64> {
        self.uint(8)
    }

    /// Version and flags of a full box.
    fn version(&mut self) -> Option<u8> {
        let version = self.u8()?;
        self.skip(3)?;
        Some(version)
    }
}

#[derive(Default)]
struct Item {
    id: u32,
    kind: [u8; 4],
    content_type: Vec<u8>,
    in_idat: bool,
    is_external: bool,
    extents: Vec<(u64, u64)>,
    properties: Vec<usize>,
}

#[derive(Default)]
struct Meta<'a> {
    primary: u32,
    items: Vec<Item>,
    properties: Vec<([u8; 4], &'a [u8])>,
    references: Vec<([u8; 4], u32, Vec<u32>)>,
    idat: &'a [u8],
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
const META_LEN_MAX: usize = 16 << 20;
/// A picture of a grid may have this many pixels where the whole has fewer: tiles of 512 x 512 are common.
const TILE_PIXELS_MAX: u64 = 1 << 20;

/// Reads a file.
pub(crate) fn read(data: &[u8]) -> Result<Contents<'_>> {
    for next in boxes(data) {
        let (name, body) = next?;
        if &name == b"meta" {
            if body.len() > META_LEN_MAX {
                return Err(wrong("its list of contents is too long"));
            }
            let meta = read_meta(body).ok_or_else(|| wrong("its list of contents is damaged"))?;
            return contents(data, &meta);
        }
    }
    Err(wrong("it has no list of contents"))
}

fn read_meta(body: &[u8]) -> Option<Meta<'_>> {
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

impl<'a> Meta<'a> {
    fn item(&self, id: u32) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    fn properties_of(&self, item: &Item) -> impl Iterator<Item = ([u8; 4], &'a [u8])> {
        item.properties
            .iter()
            .filter_map(|index| self.properties.get(index.checked_sub(1)?).copied())
    }

    fn size_of(&self, item: &Item) -> Option<(u32, u32)> {
        let (_, body) = self.properties_of(item).find(|(name, _)| name == b"ispe")?;
        let mut reader = Reader { data: body };
        reader.version()?;
        Some((reader.u32()?, reader.u32()?))
    }

    fn data_of(&self, file: &'a [u8], item: &Item) -> Option<std::borrow::Cow<'a, [u8]>> {
        let source = if item.in_idat { self.idat } else { file };
        if item.is_external {
            return None;
        }
        let part = |(offset, len): &(u64, u64)| {
            let start = usize::try_from(*offset).ok()?;
            let rest = source.get(start..)?;
            match usize::try_from(*len).ok()? {
                0 => Some(rest),
                len => rest.get(..len),
            }
        };
        match item.extents.as_slice() {
            [] => None,
            [extent] => part(extent).map(std::borrow::Cow::Borrowed),
            extents => {
                // Extents may overlap; together they are no longer than the file.
                let mut joined = Vec::new();
                for extent in extents {
                    joined.extend_from_slice(part(extent)?);
                    if joined.len() > source.len() {
                        return None;
                    }
                }
                Some(joined.into())
            }
        }
    }

    fn referred(&self, kind: &[u8; 4], from: u32) -> Option<&[u32]> {
        let found = self
            .references
            .iter()
            .find(|(name, id, _)| name == kind && *id == from)?;
        Some(&found.2)
    }

    fn referring(&self, kind: &[u8; 4], to: u32) -> impl Iterator<Item = &Item> {
        self.references
            .iter()
            .filter(move |(name, _, ids)| name == kind && ids.contains(&to))
            .filter_map(|(_, from, _)| self.item(*from))
    }

    /// The picture that is the transparency of the item `id`.
    fn alpha_of(&self, id: u32) -> Option<&Item> {
        const NAMES: [&[u8]; 2] = [
            b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha",
            b"urn:mpeg:hevc:2015:auxid:1",
        ];
        self.referring(b"auxl", id).find(|item| {
            self.properties_of(item).any(|(kind, body)| {
                let name = body.get(4..).unwrap_or_default();
                &kind == b"auxC" && NAMES.iter().any(|known| name.starts_with(known))
            })
        })
    }

    fn is_premultiplied(&self, id: u32, alpha: u32) -> bool {
        self.referred(b"prem", id)
            .is_some_and(|ids| ids.contains(&alpha))
    }

    fn picture(&self, file: &'a [u8], item: &Item) -> Result<Picture<'a>> {
        // Data that lies in pieces is put together. Pictures that share some of it would take more than the file has.
        let mut left = file.len();
        let mut tile = |item: &Item| {
            let (width, height) = self
                .size_of(item)
                .ok_or_else(|| wrong("a size is missing"))?;
            let data = self
                .data_of(file, item)
                .ok_or_else(|| wrong("a picture's data is missing"))?;
            if let std::borrow::Cow::Owned(joined) = &data {
                left = left
                    .checked_sub(joined.len())
                    .ok_or_else(|| wrong("its pictures share their data"))?;
            }
            Ok(Tile {
                width,
                height,
                data,
            })
        };
        match &item.kind {
            b"av01" => Ok(Picture {
                columns: 1,
                rows: 1,
                tiles: vec![tile(item)?],
            }),
            b"grid" => {
                let layout = self.data_of(file, item);
                let (columns, rows) = match layout.as_deref() {
                    Some([_, _, rows, columns, ..]) => {
                        (usize::from(*columns) + 1, usize::from(*rows) + 1)
                    }
                    _ => return Err(wrong("its grid is damaged")),
                };
                let ids = self.referred(b"dimg", item.id).unwrap_or_default();
                if ids.len() != columns * rows {
                    return Err(wrong("its grid lacks pictures"));
                }
                let tiles = ids.iter().map(|id| match self.item(*id) {
                    Some(item) if &item.kind == b"av01" => tile(item),
                    _ => Err(wrong("its grid lacks pictures")),
                });
                let picture = Picture {
                    columns,
                    rows,
                    tiles: tiles.collect::<Result<_>>()?,
                };
                let whole = self.size_of(item);
                picture.check_grid(whole.ok_or_else(|| wrong("its size is missing"))?)?;
                Ok(picture)
            }
            _ => Err(Trouble::unsupported("AVIF", "pictures that are not AV1")),
        }
    }
}

fn contents<'a>(file: &'a [u8], meta: &Meta<'a>) -> Result<Contents<'a>> {
    let primary = meta
        .item(meta.primary)
        .ok_or_else(|| wrong("it has no picture"))?;
    let (width, height) = meta
        .size_of(primary)
        .ok_or_else(|| wrong("its size is missing"))?;
    let mut contents = Contents {
        width,
        height,
        bit_depth: 8,
        ..Contents::default()
    };
    let first_tile = meta
        .referred(b"dimg", primary.id)
        .and_then(|ids| meta.item(*ids.first()?));
    let properties = meta.properties_of(primary).chain(
        first_tile
            .into_iter()
            .flat_map(|tile| meta.properties_of(tile)),
    );
    for (name, body) in properties {
        let mut reader = Reader { data: body };
        match &name {
            b"colr" => read_color(reader, &mut contents),
            b"irot" => {
                contents.turns = body.first().copied().unwrap_or(0) & 3;
                contents.is_oriented = true;
            }
            b"imir" => {
                contents.mirror = body.first().map(|axis| axis & 1);
                contents.is_oriented = true;
            }
            b"clap" => return Err(Trouble::unsupported("AVIF", "a clean aperture")),
            b"av1C" => {
                if let (Some(()), Some(flags)) = (reader.skip(2), reader.u8()) {
                    contents.bit_depth = match flags >> 5 & 3 {
                        0 | 1 => 8,
                        2 => 10,
                        _ => 12,
                    };
                    contents.is_monochrome = flags >> 4 & 1 == 1;
                }
            }
            _ => {}
        }
    }
    contents.color = meta.picture(file, primary)?;
    if let Some(alpha) = meta.alpha_of(primary.id) {
        if meta.size_of(alpha) != Some((width, height)) {
            return Err(wrong("its transparency has another size"));
        }
        contents.alpha = Some(meta.picture(file, alpha)?);
        contents.is_premultiplied = meta.is_premultiplied(primary.id, alpha.id);
    }
    if contents.alpha.is_none() {
        read_alpha_of_tiles(file, meta, primary, &mut contents)?;
    }
    for item in meta.referring(b"cdsc", primary.id) {
        let is_known = match &item.kind {
            b"Exif" => contents.exif.is_some(),
            _ => contents.xmp.is_some(),
        };
        // The first of each counts.
        if is_known {
            continue;
        }
        let data = meta.data_of(file, item);
        match (&item.kind, data) {
            (b"Exif", Some(data)) => {
                // Four bytes say how far the TIFF structure is.
                let skip = data
                    .first_chunk::<4>()
                    .map_or(0, |len| u32::from_be_bytes(*len)) as usize;
                contents.exif = skip
                    .checked_add(4)
                    .and_then(|at| data.get(at..))
                    .map(<[u8]>::to_vec);
            }
            (b"mime", Some(data)) if item.content_type == b"application/rdf+xml" => {
                contents.xmp = Some(data.to_vec());
            }
            (b"Exif" | b"mime", None) => return Err(wrong("its metadata ends too early")),
            _ => {}
        }
    }
    Ok(contents)
}

/// The transparency of a grid whose pictures have one each, instead of the grid itself.
fn read_alpha_of_tiles<'a>(
    file: &'a [u8],
    meta: &Meta<'a>,
    grid: &Item,
    contents: &mut Contents<'a>,
) -> Result<()> {
    if &grid.kind != b"grid" {
        return Ok(());
    }
    let ids = meta.referred(b"dimg", grid.id).unwrap_or_default();
    let mut tiles = Vec::new();
    for id in ids {
        let Some(alpha) = meta.alpha_of(*id) else {
            continue;
        };
        contents.is_premultiplied |= meta.is_premultiplied(*id, alpha.id);
        let picture = meta.picture(file, alpha)?;
        if &alpha.kind != b"av01" {
            return Err(Trouble::unsupported("AVIF", "grids within grids"));
        }
        tiles.extend(picture.tiles);
    }
    if tiles.is_empty() {
        return Ok(());
    }
    if tiles.len() != ids.len() {
        let what = "a grid of which some pictures are transparent and others are not";
        return Err(Trouble::unsupported("AVIF", what));
    }
    let alpha = Picture {
        columns: contents.color.columns,
        rows: contents.color.rows,
        tiles,
    };
    alpha.check_grid((contents.width, contents.height))?;
    contents.alpha = Some(alpha);
    Ok(())
}

fn read_color(mut reader: Reader<'_>, contents: &mut Contents<'_>) {
    match reader.take(4) {
        Some(b"nclx") => {
            let read = |reader: &mut Reader<'_>| {
                Some(Nclx {
                    primaries: reader.u16()?,
                    transfer: reader.u16()?,
                    matrix: reader.u16()?,
                    is_full_range: reader.u8()? & 0x80 != 0,
                })
            };
            contents.nclx = contents.nclx.or_else(|| read(&mut reader));
        }
        Some(b"prof" | b"rICC") if contents.icc.is_none() => {
            contents.icc = Some(reader.data.to_vec());
        }
        _ => {}
    }
}

// ---- writing ----

/// A file to be.
pub(crate) struct File<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) nclx: Nclx,
    pub(crate) icc: Option<&'a [u8]>,
    pub(crate) exif: Option<&'a [u8]>,
    pub(crate) xmp: Option<&'a [u8]>,
    /// How whoever shows it is to turn it.
    pub(crate) orientation: Orientation,
    pub(crate) color: Encoded,
    pub(crate) alpha: Option<Encoded>,
}

/// One picture, or a grid of them, all of one size.
pub(crate) struct Encoded {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    pub(crate) tile: (u32, u32),
    pub(crate) tiles: Vec<Vec<u8>>,
    pub(crate) is_monochrome: bool,
    pub(crate) is_444: bool,
}

struct NewItem {
    kind: [u8; 4],
    content_type: Option<&'static str>,
    data: Vec<u8>,
    is_hidden: bool,
    /// Numbers of properties from 1 on; the highest bit says that readers must know it.
    properties: Vec<u8>,
}

fn new_box(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 8).unwrap_or(u32::MAX);
    [&len.to_be_bytes(), name.as_slice(), body].concat()
}

fn full_box(name: &[u8; 4], version: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    new_box(name, &[&[version, 0, 0, flags], body].concat())
}

fn id(index: usize) -> [u8; 2] {
    u16::try_from(index + 1).unwrap_or(u16::MAX).to_be_bytes()
}

#[derive(Default)]
struct Writer {
    items: Vec<NewItem>,
    properties: Vec<u8>,
    properties_len: u8,
    references: Vec<u8>,
}

impl Writer {
    fn property(&mut self, property: &[u8]) -> u8 {
        self.properties.extend_from_slice(property);
        self.properties_len += 1;
        self.properties_len
    }

    fn refer(&mut self, kind: &[u8; 4], from: usize, to: &[usize]) {
        let count = u16::try_from(to.len()).unwrap_or(u16::MAX).to_be_bytes();
        let to: Vec<u8> = to.iter().flat_map(|index| id(*index)).collect();
        let body = [id(from).as_slice(), &count, &to].concat();
        self.references.extend_from_slice(&new_box(kind, &body));
    }

    /// Adds a picture, and gives its number. `extra`: properties of the whole; `tile_extra`: of each tile of a grid.
    fn picture(
        &mut self,
        encoded: Encoded,
        (width, height): (u32, u32),
        extra: &[u8],
        tile_extra: &[u8],
    ) -> usize {
        let size = |(width, height): (u32, u32)| {
            full_box(
                b"ispe",
                0,
                0,
                &[width.to_be_bytes(), height.to_be_bytes()].concat(),
            )
        };
        let (mono, is_444) = (encoded.is_monochrome, encoded.is_444);
        // Marker and version, profile and level (31: whatever), depth and subsampling, nothing.
        let profile = u8::from(is_444) << 5 | 31;
        let flags = u8::from(mono) << 4 | if is_444 { 0 } else { 0b1100 };
        let config = self.property(&new_box(b"av1C", &[0x81, profile, flags, 0])) | 0x80;
        let bits: &[u8] = if mono { &[1, 8] } else { &[3, 8, 8, 8] };
        let channels = self.property(&full_box(b"pixi", 0, 0, bits));
        let whole = self.property(&size((width, height)));
        if encoded.tiles.len() == 1 {
            let data = encoded.tiles.into_iter().next().unwrap_or_default();
            let properties = [&[whole, config, channels], extra].concat();
            return self.add(*b"av01", data, false, properties);
        }
        let side = |len: u32| len.to_be_bytes();
        let count = |len: usize| u8::try_from(len.saturating_sub(1)).unwrap_or(u8::MAX);
        let mut layout = vec![0, 1, count(encoded.rows), count(encoded.columns)];
        layout.extend_from_slice(&side(width));
        layout.extend_from_slice(&side(height));
        let grid = self.add(
            *b"grid",
            layout,
            false,
            [&[whole, channels], extra].concat(),
        );
        let tile = self.property(&size(encoded.tile));
        let tiles: Vec<usize> = encoded
            .tiles
            .into_iter()
            .map(|data| {
                self.add(
                    *b"av01",
                    data,
                    true,
                    [&[tile, config, channels], tile_extra].concat(),
                )
            })
            .collect();
        self.refer(b"dimg", grid, &tiles);
        grid
    }

    fn add(&mut self, kind: [u8; 4], data: Vec<u8>, is_hidden: bool, properties: Vec<u8>) -> usize {
        self.items.push(NewItem {
            kind,
            content_type: None,
            data,
            is_hidden,
            properties,
        });
        self.items.len() - 1
    }
}

/// Writes a file.
pub(crate) fn write(file: File<'_>) -> Vec<u8> {
    let size = (file.width, file.height);
    let mut writer = Writer::default();
    let mut extra = Vec::new();
    let mut nclx = b"nclx".to_vec();
    for number in [file.nclx.primaries, file.nclx.transfer, file.nclx.matrix] {
        nclx.extend_from_slice(&number.to_be_bytes());
    }
    nclx.push(u8::from(file.nclx.is_full_range) << 7);
    extra.push(writer.property(&new_box(b"colr", &nclx)));
    if let Some(icc) = file.icc {
        extra.push(writer.property(&new_box(b"colr", &[b"prof", icc].concat())));
    }
    let (turns, mirror) = file.orientation.to_turns();
    let tile_extra = extra.clone();
    // Readers that know nothing of these must not show the picture.
    if turns > 0 {
        extra.push(writer.property(&new_box(b"irot", &[turns])) | 0x80);
    }
    if let Some(axis) = mirror {
        extra.push(writer.property(&new_box(b"imir", &[axis])) | 0x80);
    }
    let primary = writer.picture(file.color, size, &extra, &tile_extra);
    if let Some(alpha) = file.alpha {
        let urn = full_box(
            b"auxC",
            0,
            0,
            b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0",
        );
        let auxiliary = writer.property(&urn);
        // Transparency is turned with its picture.
        let turning = &extra[tile_extra.len()..];
        let alpha = writer.picture(alpha, size, &[&[auxiliary], turning].concat(), &[auxiliary]);
        writer.refer(b"auxl", alpha, &[primary]);
    }
    if let Some(exif) = file.exif {
        let exif = writer.add(*b"Exif", [&[0; 4], exif].concat(), true, Vec::new());
        writer.refer(b"cdsc", exif, &[primary]);
    }
    if let Some(xmp) = file.xmp {
        let xmp = writer.add(*b"mime", xmp.to_vec(), true, Vec::new());
        writer.items[xmp].content_type = Some("application/rdf+xml");
        writer.refer(b"cdsc", xmp, &[primary]);
    }
    let ftyp = new_box(b"ftyp", b"avif\0\0\0\0avifmif1miaf");
    // Offsets don't change the length of the list that holds them.
    let meta_len = meta(&writer, primary, 0).len();
    let start = ftyp.len() + meta_len + 8;
    let mut out = ftyp;
    out.extend_from_slice(&meta(&writer, primary, start));
    let data: Vec<u8> = writer
        .items
        .iter()
        .flat_map(|item| item.data.iter().copied())
        .collect();
    out.extend_from_slice(&new_box(b"mdat", &data));
    out
}

fn meta(writer: &Writer, primary: usize, start: usize) -> Vec<u8> {
    let count = u16::try_from(writer.items.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    let (mut infos, mut locations, mut associations) = (count.to_vec(), vec![0x44, 0], Vec::new());
    locations.extend_from_slice(&count);
    let mut associated = 0_u32;
    let mut offset = start;
    for (index, item) in writer.items.iter().enumerate() {
        let mut info = [id(index).as_slice(), &[0, 0], &item.kind, &[0]].concat();
        if let Some(content_type) = item.content_type {
            info.extend_from_slice(content_type.as_bytes());
            info.push(0);
        }
        infos.extend_from_slice(&full_box(b"infe", 2, u8::from(item.is_hidden), &info));
        locations.extend_from_slice(&id(index));
        locations.extend_from_slice(&[0, 0, 0, 1]);
        for number in [offset, item.data.len()] {
            locations.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
        }
        offset += item.data.len();
        if !item.properties.is_empty() {
            associated += 1;
            associations.extend_from_slice(&id(index));
            associations.push(u8::try_from(item.properties.len()).unwrap_or(u8::MAX));
            associations.extend_from_slice(&item.properties);
        }
    }
    let handler = [&[0; 4], b"pict".as_slice(), &[0; 12], b"\0"].concat();
    let mut body = full_box(b"hdlr", 0, 0, &handler);
    body.extend_from_slice(&full_box(b"pitm", 0, 0, &id(primary)));
    body.extend_from_slice(&full_box(b"iloc", 0, 0, &locations));
    body.extend_from_slice(&full_box(b"iinf", 0, 0, &infos));
    if !writer.references.is_empty() {
        body.extend_from_slice(&full_box(b"iref", 0, 0, &writer.references));
    }
    let ipma = full_box(
        b"ipma",
        0,
        0,
        &[associated.to_be_bytes().as_slice(), &associations].concat(),
    );
    let iprp = [new_box(b"ipco", &writer.properties), ipma].concat();
    body.extend_from_slice(&new_box(b"iprp", &iprp));
    full_box(b"meta", 0, 0, &body)
}
