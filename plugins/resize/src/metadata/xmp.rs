//! XMP: what it says of orientation, and what of it goes along with an image that was made.

use quick_xml::{
    NsReader, Writer,
    events::{BytesStart, Event, attributes::Attribute},
    name::{NamespaceResolver, QName, ResolveResult},
};

const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const DC: &str = "http://purl.org/dc/elements/1.1/";
const XMP: &str = "http://ns.adobe.com/xap/1.0/";
const TIFF: &str = "http://ns.adobe.com/tiff/1.0/";
const EXIF: &str = "http://ns.adobe.com/exif/1.0/";
const PHOTOSHOP: &str = "http://ns.adobe.com/photoshop/1.0/";
const IPTC_CORE: &str = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/";
const IPTC_EXTENSION: &str = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/";
/// All of what is said in these is about rights: XMP's own, PLUS, Creative Commons.
const RIGHTS: [&str; 3] = [
    "http://ns.adobe.com/xap/1.0/rights/",
    "http://ns.useplus.org/ldf/xmp/1.0/",
    "http://creativecommons.org/ns#",
];
/// What is said in these is about further pictures in the same file, which don't go along: depth, gain maps, motion.
const OF_FURTHER_PICTURES: [&str; 3] = [
    "http://ns.google.com/photos/",
    "http://ns.adobe.com/hdr-gain-map/",
    "http://ns.adobe.com/xmp/note/",
];

/// What of a packet goes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Who made it, and whose it is.
    Rights,
    WithoutPlace,
    Everything,
}

impl Part {
    /// Whether a property of the whole image stays.
    fn has_property(self, namespace: &str, name: &str) -> bool {
        match self {
            Self::Rights => says_rights(namespace, name),
            Self::WithoutPlace => !is_stale(namespace, name) && !says_place(namespace, name),
            Self::Everything => !is_stale(namespace, name),
        }
    }

    /// Whether what stands within a property stays.
    fn has_inner(self, name: &str) -> bool {
        self == Self::Everything || !is_position(name)
    }
}

fn says_rights(namespace: &str, name: &str) -> bool {
    match namespace {
        DC => matches!(name, "creator" | "rights"),
        PHOTOSHOP => matches!(name, "AuthorsPosition" | "Credit" | "Source"),
        IPTC_CORE => name == "CreatorContactInfo",
        _ => RIGHTS.contains(&namespace),
    }
}

/// By the names of all who write them: `exif:GPSLatitude`, `drone-dji:GpsLongitude`.
fn is_position(name: &str) -> bool {
    name.get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("gps"))
}

fn says_place(namespace: &str, name: &str) -> bool {
    is_position(name)
        || match namespace {
            PHOTOSHOP => matches!(name, "City" | "State" | "Country"),
            IPTC_CORE => matches!(name, "Location" | "CountryCode"),
            IPTC_EXTENSION => matches!(name, "LocationCreated" | "LocationShown"),
            _ => false,
        }
}

/// What is no longer so of an image that was made of another: its size, small images of it, what else was in the file.
fn is_stale(namespace: &str, name: &str) -> bool {
    match namespace {
        TIFF => matches!(name, "ImageWidth" | "ImageLength"),
        EXIF => matches!(name, "PixelXDimension" | "PixelYDimension"),
        XMP => name == "Thumbnails",
        _ => OF_FURTHER_PICTURES
            .iter()
            .any(|other| namespace.starts_with(other)),
    }
}

/// Where the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Rdf,
    /// What is said of the whole image stands in there.
    Description,
    Other,
}

/// The part of a packet that goes along; of rights, if it says any. `None` as well where it can't be told apart.
pub(super) fn filtered(xmp: &[u8], part: Part) -> Option<Vec<u8>> {
    let mut reader = NsReader::from_str(std::str::from_utf8(xmp).ok()?);
    let mut writer = Writer::new(Vec::new());
    let mut levels: Vec<Level> = Vec::new();
    let mut says_something = false;
    // How deep the reader is in what is left out.
    let mut dropped = 0_usize;
    loop {
        let event = reader.read_event().ok()?;
        match event {
            Event::Eof => break,
            Event::DocType(_) => {}
            Event::Start(start) => {
                if dropped > 0 || !stays(&start, reader.resolver(), &levels, part) {
                    dropped += 1;
                    continue;
                }
                let level = level(&start, reader.resolver(), levels.last().copied());
                says_something |= levels.last() == Some(&Level::Description);
                let (start, has_attributes) = cut(&start, reader.resolver(), level, part)?;
                says_something |= has_attributes;
                levels.push(level);
                writer.write_event(Event::Start(start)).ok()?;
            }
            Event::Empty(start) => {
                if dropped > 0 || !stays(&start, reader.resolver(), &levels, part) {
                    continue;
                }
                let level = level(&start, reader.resolver(), levels.last().copied());
                says_something |= levels.last() == Some(&Level::Description);
                let (start, has_attributes) = cut(&start, reader.resolver(), level, part)?;
                says_something |= has_attributes;
                writer.write_event(Event::Empty(start)).ok()?;
            }
            Event::End(_) if dropped > 0 => dropped -= 1,
            Event::End(end) => {
                levels.pop();
                writer.write_event(Event::End(end)).ok()?;
            }
            event => {
                if dropped == 0 {
                    writer.write_event(event).ok()?;
                }
            }
        }
    }
    let is_wanted = says_something || part != Part::Rights;
    (is_wanted && levels.is_empty()).then(|| writer.into_inner())
}

/// The namespace and the name within it.
fn resolved<'n>(
    resolver: &NamespaceResolver,
    name: QName<'n>,
    is_element: bool,
) -> (String, &'n str) {
    let (namespace, local) = if is_element {
        resolver.resolve_element(name)
    } else {
        resolver.resolve_attribute(name)
    };
    let namespace = match namespace {
        ResolveResult::Bound(namespace) => namespace.into_inner().to_owned(),
        ResolveResult::Unbound | ResolveResult::Unknown(_) => String::new(),
    };
    (namespace, local.into_inner())
}

fn level(start: &BytesStart<'_>, resolver: &NamespaceResolver, around: Option<Level>) -> Level {
    let (namespace, name) = resolved(resolver, start.name(), true);
    match (namespace.as_str(), name, around) {
        (RDF, "RDF", _) => Level::Rdf,
        (RDF, "Description", Some(Level::Rdf)) => Level::Description,
        _ => Level::Other,
    }
}

fn stays(
    start: &BytesStart<'_>,
    resolver: &NamespaceResolver,
    levels: &[Level],
    part: Part,
) -> bool {
    let (namespace, name) = resolved(resolver, start.name(), true);
    match levels.last() {
        Some(Level::Description) => part.has_property(&namespace, name),
        _ => part.has_inner(name),
    }
}

/// The element without those of its attributes that don't go along, and whether it says anything of the image by
/// attributes. `None` where attributes can't be read.
fn cut<'n>(
    start: &BytesStart<'n>,
    resolver: &NamespaceResolver,
    level: Level,
    part: Part,
) -> Option<(BytesStart<'n>, bool)> {
    let mut kept = BytesStart::new(start.name().into_inner().to_owned());
    let (mut says_something, mut is_whole) = (false, true);
    // Looking for those that come twice takes the square of their number.
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.ok()?;
        let (namespace, name) = resolved(resolver, attribute.key, false);
        let prefix = attribute.key.prefix();
        let is_syntax = attribute.key.as_namespace_binding().is_some()
            || prefix.is_some_and(|prefix| prefix.is_xml())
            || namespace == RDF;
        let stays = if is_syntax {
            true
        } else if level == Level::Description && prefix.is_some() {
            let stays = part.has_property(&namespace, name);
            says_something |= stays;
            stays
        } else {
            part.has_inner(name)
        };
        is_whole &= stays;
        if stays {
            // It may have stood between single quotes.
            let value = attribute.value.replace('"', "&quot;");
            kept.push_attribute(Attribute {
                key: attribute.key,
                value: value.into(),
            });
        }
    }
    let kept = if is_whole { start.clone() } else { kept };
    Some((kept, says_something))
}

pub(super) fn orientation(xmp: &[u8]) -> Option<u8> {
    let digit = *xmp.get(orientation_place(xmp)?)?;
    Some(digit - b'0')
}

/// The same for an image that is turned upright.
pub(super) fn upright(xmp: &mut [u8]) {
    if let Some(place) = orientation_place(xmp) {
        xmp[place] = b'1';
    }
}

/// Where the digit stands, of `tiff:Orientation="6"` or `<tiff:Orientation>6</tiff:Orientation>`.
fn orientation_place(xmp: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"tiff:Orientation";
    let mut at = 0;
    while let Some(found) = xmp
        .get(at..)?
        .windows(NAME.len())
        .position(|window| window == NAME)
    {
        at += found + NAME.len();
        let mut place = at;
        let mut is_opened = false;
        while let Some(b'=' | b'"' | b'\'' | b'>' | b' ' | b'\t' | b'\r' | b'\n') = xmp.get(place) {
            is_opened |= matches!(xmp[place], b'"' | b'\'' | b'>');
            place += 1;
        }
        let is_alone = matches!(
            xmp.get(place + 1),
            Some(b'"' | b'\'' | b'<' | b' ' | b'\r' | b'\n')
        );
        if is_opened && is_alone && matches!(xmp.get(place), Some(b'1'..=b'8')) {
            return Some(place);
        }
    }
    None
}
