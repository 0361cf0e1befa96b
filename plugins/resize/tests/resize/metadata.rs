//! What travels with an image: rights, place, resolution, and what is no longer so. `described.jpg` is written by
//! libexiv2.

use std::collections::BTreeMap;

use plugin_api::serde_json::{Value, json};

use super::{
    Bench,
    made::{chunks_of, exif, png_with, with_segment},
};

const DESCRIBED: &[u8] = include_bytes!("../data/described.jpg");

const FORMATS: [&str; 4] = ["jpeg", "png", "webp", "avif"];

const RIGHTS: [&str; 6] = [
    "EXIF ARTIST",
    "EXIF COPYRIGHT",
    "XMP ARTIST",
    "XMP &amp; COPYRIGHT",
    "XMP CREDIT",
    "https://example.org/",
];
const REST: [&str; 3] = ["EXIF MAKE", "2024:01:02 03:04:05", "XMP TITLE"];
const PLACES: [&str; 6] = [
    "SECRET AREA",
    "SECRET NOTE",
    "SECRET LATITUDE",
    "SECRET LONGITUDE",
    "SECRET TOWN",
    "SECRET VILLAGE",
];

fn made(bench: &Bench, source: &[u8], format: &str, metadata: &str) -> Vec<u8> {
    let args = json!({ "format": format, "metadata": metadata, "width": 20 });
    bench.convert(source, args)
}

fn place(file: &[u8], text: &[u8]) -> Option<usize> {
    file.windows(text.len()).position(|window| window == text)
}

/// Asserts which of the texts stand in a file.
fn assert_texts(case: &str, file: &[u8], texts: &[&str], expected: bool) {
    for text in texts {
        let is_there = place(file, text.as_bytes()).is_some();
        assert_eq!(is_there, expected, "{case}: {text}");
    }
}

/// The EXIF of a PNG file.
fn exif_of(png: &[u8]) -> Vec<u8> {
    let found = chunks_of(png).into_iter().find(|(name, _)| name == b"eXIf");
    found.unwrap().1
}

/// Type, count and value of all tags of the directory at `at` of little-endian EXIF, and where the next directory is.
fn tags(exif: &[u8], at: u32) -> (BTreeMap<u16, (u16, u32, u32)>, u32) {
    let short = |at: usize| u16::from_le_bytes([exif[at], exif[at + 1]]);
    let long = |at: usize| u32::from(short(at)) | u32::from(short(at + 2)) << 16;
    let at = at as usize;
    let count = usize::from(short(at));
    let entry = |index: usize| {
        let at = at + 2 + index * 12;
        (short(at), (short(at + 2), long(at + 4), long(at + 8)))
    };
    ((0..count).map(entry).collect(), long(at + 2 + count * 12))
}

#[test]
fn rights_stay_and_places_go_as_the_request_says() {
    let bench = Bench::new();
    for format in FORMATS {
        for (metadata, rights, rest, places) in [
            ("strip", false, false, false),
            ("rights", true, false, false),
            ("keep", true, true, false),
            ("all", true, true, true),
        ] {
            let file = made(&bench, DESCRIBED, format, metadata);
            let case = format!("{format}, {metadata}");
            assert_texts(&case, &file, &RIGHTS, rights);
            assert_texts(&case, &file, &REST, rest);
            assert_texts(&case, &file, &PLACES, places);
            // The small image shows what the large one was.
            assert_texts(&case, &file, &["SECRET THUMBNAIL"], false);
            // IPTC has its place in JPEG alone.
            let is_jpeg = format == "jpeg";
            let iptc = ["IPTC COPYRIGHT", "IPTC ARTIST"];
            assert_texts(&case, &file, &iptc, rights && is_jpeg);
            assert_texts(&case, &file, &["IPTC CAPTION"], rest && is_jpeg);
            assert_texts(&case, &file, &["SECRET CITY"], places && is_jpeg);
        }
    }
}

#[test]
fn exif_is_of_the_image_that_was_made() {
    let bench = Bench::new();
    let exif = exif_of(&made(&bench, DESCRIBED, "png", "keep"));
    let (main, next) = tags(&exif, 8);
    assert_eq!(next, 0, "no directory of a small image");
    assert_eq!(main[&0x0112], (3, 1, 1), "upright");
    assert!(!main.contains_key(&0x8825), "no directory of the place");
    let (details, _) = tags(&exif, main[&0x8769].2);
    assert_eq!((details[&0xA002].2, details[&0xA003].2), (20, 20));
    assert!(!details.contains_key(&0x927C), "no notes of the maker");
    let exif = exif_of(&made(&bench, DESCRIBED, "png", "rights"));
    let (main, _) = tags(&exif, 8);
    let numbers: Vec<u16> = main.keys().copied().collect();
    assert_eq!(numbers, [0x013B, 0x8298]);
    let (_, len, at) = main[&0x8298];
    assert_eq!(
        &exif[at as usize..][..len as usize],
        b"EXIF COPYRIGHT\0",
        "{exif:?}"
    );
}

/// Unit and density of a JFIF segment.
fn jfif(jpeg: &[u8]) -> [u8; 5] {
    let at = place(jpeg, b"JFIF\0").unwrap();
    *jpeg[at + 7..].first_chunk().unwrap()
}

fn phys(png: &[u8]) -> Option<Vec<u8>> {
    let chunks = chunks_of(png);
    let found = chunks.into_iter().find(|(name, _)| name == b"pHYs");
    found.map(|(_, body)| body)
}

#[test]
fn resolution_stays_and_turns_with_the_image() {
    let bench = Bench::new();
    let png = made(&bench, DESCRIBED, "png", "keep");
    // 300 by 150 an inch, turned by a quarter: 5,906 and 11,811 a metre.
    let phys = phys(&png).unwrap();
    assert_eq!(phys, [0, 0, 0x17, 0x12, 0, 0, 0x2E, 0x23, 1]);
    assert_eq!(
        jfif(&made(&bench, &png, "jpeg", "keep")),
        [1, 0, 150, 1, 44]
    );
    let jpeg = made(&bench, DESCRIBED, "jpeg", "keep");
    assert_eq!(jfif(&jpeg), [1, 0, 150, 1, 44]);
    for metadata in ["strip", "rights"] {
        let jpeg = made(&bench, DESCRIBED, "jpeg", metadata);
        assert_eq!(jfif(&jpeg), [0, 0, 1, 0, 1], "{metadata}");
        assert_eq!(
            super::metadata::phys(&made(&bench, DESCRIBED, "png", metadata)),
            None
        );
    }
}

/// A JPEG file with these segments.
fn with_segments(bench: &Bench, segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let png = png_with(
        16,
        16,
        png::ColorType::Rgb,
        png::BitDepth::Eight,
        &[90; 16 * 16 * 3],
        |_| {},
    );
    let jpeg = bench.convert(&png, json!({ "format": "jpeg" }));
    segments.iter().fold(jpeg, |jpeg, (marker, body)| {
        with_segment(&jpeg, *marker, body)
    })
}

#[test]
fn centimetres_stay_what_they_are() {
    let bench = Bench::new();
    let plain = with_segments(&bench, &[]);
    let at = place(&plain, b"JFIF\0").unwrap() + 7;
    for density in [[2, 0, 118, 0, 118], [1, 0, 72, 0, 96], [2, 0, 10, 0, 10]] {
        let mut source = plain.clone();
        source[at..at + 5].copy_from_slice(&density);
        assert_eq!(jfif(&made(&bench, &source, "jpeg", "keep")), density);
    }
}

#[test]
fn what_can_not_be_told_apart_does_not_go_along() {
    let bench = Bench::new();
    let xmp = |text: &str| {
        let body = [
            b"http://ns.adobe.com/xap/1.0/\0".as_slice(),
            text.as_bytes(),
        ]
        .concat();
        with_segments(&bench, &[(0xE1, body)])
    };
    let open = "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>";
    let close = "</rdf:RDF></x:xmpmeta>";
    for inside in [
        // Prefixes that nobody declared, other spellings, elements, structures.
        "<rdf:Description exif:GPSLatitude='SECRET'/>",
        "<rdf:Description rdf:about='' GPSLatitude='SECRET'/>",
        "<rdf:Description xmlns:e='http://ns.adobe.com/exif/1.0/'><e:GPSLatitude>SECRET</e:GPSLatitude></rdf:Description>",
        "<rdf:Description xmlns:e='urn:e'><e:inner><rdf:Description gps:x='1' e:GpsLatitude='SECRET'/></e:inner></rdf:Description>",
        "<rdf:Description xmlns:e='urn:e'><e:a><e:gPSPosition><e:b/><e:c>SECRET</e:c></e:gPSPosition></e:a></rdf:Description>",
        // Ends too early, or isn't XML.
        "<rdf:Description e:a='b'>SECRET",
        "<rdf:Description></rdf:Other>SECRET",
        "<rdf:Description e:a='b' c SECRET/>",
    ] {
        let source = xmp(&format!("{open}{inside}{close}"));
        for format in FORMATS {
            for metadata in ["keep", "rights"] {
                let file = made(&bench, &source, format, metadata);
                assert_texts(inside, &file, &["SECRET"], false);
            }
        }
    }
    // A packet that is whole stays as it is.
    let whole = format!(
        "{open}<rdf:Description xmlns:e='urn:e' e:a='\"b\" &lt; c'><e:d>é &amp; f<!-- g --></e:d></rdf:Description>{close}\n"
    );
    let file = made(&bench, &xmp(&whole), "png", "keep");
    assert_texts("whole", &file, &[&whole], true);
    // Where it is cut, the rest reads as before.
    let cut = whole.replace("e:a=", "e:GPSAltitude='SECRET' e:a=");
    let file = made(&bench, &xmp(&cut), "png", "keep");
    assert_texts("cut", &file, &["e:a=\"&quot;b&quot; &lt; c\""], true);
}

#[test]
fn damaged_exif_and_iptc_harm_nothing() {
    let bench = Bench::new();
    let at = place(DESCRIBED, b"Exif\0\0").unwrap();
    let marker = at - 4;
    let len = usize::from(u16::from_be_bytes([DESCRIBED[at - 2], DESCRIBED[at - 1]]));
    let body = &DESCRIBED[at + 6..marker + 2 + len];
    let iptc = place(DESCRIBED, b"8BIM").unwrap();
    let resources = &DESCRIBED[iptc..iptc + 90];
    let check = |case: String, segments: &[(u8, Vec<u8>)]| {
        let source = with_segments(&bench, segments);
        for metadata in ["rights", "keep", "all"] {
            let args: Value = json!({ "format": "jpeg", "metadata": metadata, "width": 8 });
            let file = bench.convert(&source, args);
            if metadata != "all" {
                assert_texts(&case, &file, &["SECRET AREA", "SECRET CITY"], false);
            }
        }
    };
    // Cut anywhere, and with any byte of its directories made the largest, or another tag's.
    for len in (0..body.len()).step_by(7) {
        let exif = [b"Exif\0\0", &body[..len]].concat();
        check(format!("cut to {len}"), &[(0xE1, exif)]);
    }
    for at in 0..body.len().min(420) {
        for value in [0, 255] {
            let mut exif = [b"Exif\0\0", body].concat();
            exif[6 + at] = value;
            // With its tag or the place of its directory changed, the text is just a text.
            let source = with_segments(&bench, &[(0xE1, exif)]);
            for metadata in ["rights", "keep", "all"] {
                let args = json!({ "format": "webp", "metadata": metadata, "width": 8 });
                bench.convert(&source, args);
            }
        }
    }
    for len in 0..resources.len() {
        let body = [b"Photoshop 3.0\0", &resources[..len]].concat();
        check(format!("resources cut to {len}"), &[(0xED, body)]);
    }
}

#[test]
fn directories_in_a_ring_end() {
    let bench = Bench::new();
    // The next directory, and the one of details, is the first.
    let mut ring = exif(1);
    ring[10..22].copy_from_slice(b"\x69\x87\x04\0\x01\0\0\0\x08\0\0\0");
    ring[22] = 8;
    let source = with_segments(&bench, &[(0xE1, [b"Exif\0\0".as_slice(), &ring].concat())]);
    for metadata in ["rights", "keep", "all"] {
        made(&bench, &source, "jpeg", metadata);
    }
}
