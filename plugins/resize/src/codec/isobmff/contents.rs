//! What is read of a file: its pictures and what is said of them.

use super::{
    Nclx,
    boxes::{Reader, boxes},
    meta::{Item, META_LEN_MAX, Meta, read_meta},
    wrong,
};
use crate::error::{Result, Trouble};

/// A picture of a grid may have this many pixels where the whole has fewer: tiles of 512 x 512 are common.
const TILE_PIXELS_MAX: u64 = 1 << 20;

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
