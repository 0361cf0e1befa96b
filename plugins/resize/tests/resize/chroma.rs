//! Colours of half the size lie where brightness has them, also where a side is odd, however the image is turned.

use plugin_api::serde_json::json;

use super::{
    Bench,
    made::{decoded, exif, with_segment},
    photo::Rgb,
    reference::scaled,
    turbo::{BEST, FULL_CHROMA, jpeg},
};

/// From red to blue, with more green further down, all of them about as bright.
fn ramps(width: usize, height: usize) -> Rgb {
    let part = |at: usize, of: usize| at as f64 / (of - 1) as f64;
    let pixel = |at: usize| {
        let (x, y) = (part(at % width, width), part(at / width, height));
        let (red, green, blue) = (190.0 * (1.0 - x), 60.0 + 60.0 * y, 40.0 + 190.0 * x);
        [red as u8, green as u8, blue as u8]
    };
    Rgb {
        width,
        height,
        bytes: (0..width * height).flat_map(pixel).collect(),
    }
}

/// As EXIF's standard has it: where the first row and the first column of the file are to be seen.
fn turned(file: &Rgb, orientation: u8) -> Rgb {
    let (w, h) = (file.width, file.height);
    let (width, height) = if orientation < 5 { (w, h) } else { (h, w) };
    let mut bytes = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let (x, y) = match orientation {
                2 => (w - 1 - x, y),
                3 => (w - 1 - x, h - 1 - y),
                4 => (x, h - 1 - y),
                5 => (y, x),
                6 => (y, h - 1 - x),
                7 => (w - 1 - y, h - 1 - x),
                8 => (w - 1 - y, x),
                _ => (x, y),
            };
            bytes.extend_from_slice(&file.bytes[(y * w + x) * 3..][..3]);
        }
    }
    Rgb {
        width,
        height,
        bytes,
    }
}

#[test]
fn chroma_lies_where_it_belongs_at_odd_sizes() {
    let bench = Bench::new();
    for size in [(9, 7), (8, 7), (9, 8), (8, 8), (1, 5), (33, 21)] {
        let picture = ramps(size.0 * 41, size.1 * 41);
        for orientation in 1..=8 {
            // libjpeg-turbo's own way from pixels to chroma of half the size.
            let wanted = turned(&scaled(&picture, size.0, size.1), orientation);
            let wanted = decoded(&bench, &jpeg(&wanted, &[BEST])).rgb();
            for (chroma, settings) in [("half", [].as_slice()), ("full", &[FULL_CHROMA])] {
                let settings = [settings, &[BEST]].concat();
                let tag = [b"Exif\0\0".as_slice(), &exif(orientation)].concat();
                let source = with_segment(&jpeg(&picture, &settings), 0xE1, &tag);
                let args = json!({
                    "width": wanted.width, "height": wanted.height, "fit": "fill",
                    "format": "jpeg", "quality": 100, "chroma": "half",
                });
                let found = decoded(&bench, &bench.convert(&source, args)).rgb();
                let pairs = found.bytes.iter().zip(&wanted.bytes);
                let apart = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                assert!(
                    apart <= 14,
                    "{size:?}, {orientation}, {chroma} chroma: {apart}"
                );
            }
        }
    }
}
