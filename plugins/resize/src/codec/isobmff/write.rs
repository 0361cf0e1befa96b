//! A file, written.

use super::Nclx;
use crate::orientation::Orientation;

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
