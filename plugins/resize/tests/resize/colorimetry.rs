//! What files say of their colours by other means than a profile. The files and the values that are expected of them are
//! made by `data/make.py`, with Pillow and by the formulas of the standards.

use plugin_api::serde_json::json;

use super::{
    Bench,
    made::{Image, decoded, exif, png_of, png_with, read_png, swapped_profile, with_segment},
    photo::Rgb,
};

const P3: [[u8; 3]; 4] = [[216, 69, 17], [0, 173, 80], [95, 58, 208], [128; 3]];

/// A file's name, the file, and the middles of its four squares in sRGB.
type Case = (&'static str, &'static [u8], [[u8; 3]; 4]);

const FILES: [Case; 8] = [
    (
        "AVIF, P3 in the stream",
        include_bytes!("../data/stream.avif"),
        P3,
    ),
    ("AVIF, P3", include_bytes!("../data/p3.avif"), P3),
    (
        "AVIF, BT.2020",
        include_bytes!("../data/bt2020.avif"),
        [[250, 64, 40], [0, 187, 93], [106, 68, 215], [140; 3]],
    ),
    (
        "AVIF, PQ",
        include_bytes!("../data/pq.avif"),
        [[255, 0, 0], [0, 255, 13], [75, 11, 255], [181; 3]],
    ),
    (
        "AVIF, HLG",
        include_bytes!("../data/hlg.avif"),
        [[255, 0, 0], [0, 216, 69], [81, 43, 255], [137; 3]],
    ),
    // Its gamma says something else, and counts less.
    ("PNG, cICP", include_bytes!("../data/cicp.png"), P3),
    (
        "PNG, gAMA",
        include_bytes!("../data/gamma.png"),
        [[229, 152, 110], [133, 213, 160], [160, 133, 229], [188; 3]],
    ),
    (
        "PNG, cHRM",
        include_bytes!("../data/chrm.png"),
        [[228, 80, 37], [0, 170, 84], [99, 60, 203], [128; 3]],
    ),
];

fn assert_squares(case: &str, image: &Image, expected: [[u8; 3]; 4], distance: u8) {
    for (place, expected) in [(8, 8), (24, 8), (8, 24), (24, 24)]
        .into_iter()
        .zip(expected)
    {
        let found = image.pixel(place.0, place.1);
        let is_close = found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.abs_diff(expected) <= distance);
        assert!(is_close, "{case} at {place:?}: {found:?}, not {expected:?}");
    }
}

/// How far a sample may be off: by a step of the file's own, which is many where a curve is steep and colours lie
/// outside of sRGB.
fn distance(case: &str) -> u8 {
    match case {
        "AVIF, PQ" | "AVIF, HLG" => 16,
        case if case.starts_with("AVIF") => 6,
        _ => 2,
    }
}

#[test]
fn whatever_a_file_says_of_its_colours_is_heard() {
    let bench = Bench::new();
    for (case, file, expected) in FILES {
        let distance = distance(case);
        let made = read_png(&bench.convert(file, json!({ "format": "png" })));
        assert_squares(case, &made, expected, distance);
        for format in ["jpeg", "webp", "avif"] {
            let args = json!({ "format": format, "quality": 100 });
            let made = decoded(&bench, &bench.convert(file, args));
            assert_squares(&format!("{case} to {format}"), &made, expected, 24);
        }
    }
}

#[test]
fn colours_that_are_kept_are_described_by_a_profile() {
    let bench = Bench::new();
    for (name, file, expected) in FILES {
        for format in ["png", "jpeg", "webp", "avif"] {
            let case = format!("{name} kept in {format}");
            let args = json!({ "format": format, "metadata": "keep", "quality": 100 });
            let kept = bench.convert(file, args);
            assert_eq!(bench.identify(&kept)["has_icc"], true, "{case}");
            // What it says means the same.
            let distance = if format == "png" {
                distance(name) + 3
            } else {
                30
            };
            assert_squares(&case, &decoded(&bench, &kept), expected, distance);
        }
    }
}

#[test]
fn inks_mean_the_same_whoever_wrote_them() {
    let bench = Bench::new();
    let file = include_bytes!("../data/inks.jpg");
    let made = read_png(&bench.convert(file, json!({ "format": "png" })));
    let expected = [[200, 80, 40], [60, 170, 90], [90, 60, 200], [128; 3]];
    assert_squares("inks without Adobe's marker", &made, expected, 3);
}

#[test]
fn profiles_are_for_the_channels_that_the_target_has() {
    let bench = Bench::new();
    let mut profile = swapped_profile();
    profile[16..20].copy_from_slice(b"GRAY");
    let grey = |profile: Vec<u8>| {
        let pixels = [90; 1024];
        let kind = png::ColorType::Grayscale;
        png_with(32, 32, kind, png::BitDepth::Eight, &pixels, |info| {
            info.icc_profile = Some(profile.into());
        })
    };
    let keep = |format| json!({ "format": format, "metadata": "keep" });
    // Grey stays grey, and its profile stays.
    let made = bench.convert(&grey(profile.clone()), keep("png"));
    assert_eq!(bench.identify(&made)["has_icc"], true);
    // Grey becomes RGB.
    let made = bench.convert(&grey(profile.clone()), keep("webp"));
    assert_eq!(bench.identify(&made)["has_icc"], false);
    let framed = json!({
        "format": "png", "metadata": "keep", "width": 40, "height": 32, "fit": "contain", "background": "#f00",
    });
    let made = bench.convert(&grey(profile), framed);
    assert_eq!(bench.identify(&made)["has_icc"], false);
    // A profile for RGB says nothing of grey.
    let made = bench.convert(&grey(swapped_profile()), keep("png"));
    assert_eq!(bench.identify(&made)["has_icc"], false);
}

#[test]
fn what_was_converted_in_linear_light_has_no_profile() {
    let bench = Bench::new();
    let colors = [200, 80, 40].repeat(1024);
    let kind = png::ColorType::Rgb;
    let file = png_with(32, 32, kind, png::BitDepth::Eight, &colors, |info| {
        info.icc_profile = Some(swapped_profile().into());
    });
    bench.write("file.png", &file);
    // One target that is converted in any case, and one that is not.
    let targets = json!([
        { "target": "strip.png" },
        { "target": "keep.png", "metadata": "keep" },
    ]);
    let args = json!({ "source": "file.png", "linear": true, "targets": targets });
    bench.plugin.call("thumbnails", args).unwrap();
    for name in ["strip.png", "keep.png"] {
        let made = std::fs::read(bench.path(name)).unwrap();
        assert_squares(name, &decoded(&bench, &made), [[40, 200, 80]; 4], 3);
    }
}

/// Files that Pillow turns by a quarter, or that say as much in a place where others look.
const TURNED: [(&str, &[u8]); 4] = [
    ("EXIF behind the pixels", include_bytes!("../data/late.png")),
    (
        "zeros between segments",
        include_bytes!("../data/zeros.jpg"),
    ),
    ("a long number", include_bytes!("../data/long.jpg")),
    ("XMP alone", include_bytes!("../data/xmp.jpg")),
];
const UPRIGHT: [[u8; 3]; 4] = [[90, 60, 200], [200, 80, 40], [128; 3], [60, 170, 90]];
const LYING: [[u8; 3]; 4] = [[200, 80, 40], [60, 170, 90], [90, 60, 200], [128; 3]];

#[test]
fn orientation_is_found_wherever_it_stands() {
    let bench = Bench::new();
    for (case, file) in TURNED {
        assert_eq!(bench.identify(file)["orientation"], 6, "{case}");
        let made = read_png(&bench.convert(file, json!({ "format": "png" })));
        assert_squares(case, &made, UPRIGHT, 3);
        bench.write("file", file);
        bench.resize(json!({ "source": "file", "target": "made.png" }));
        let made = read_png(&std::fs::read(bench.path("made.png")).unwrap());
        assert_squares(case, &made, UPRIGHT, 3);
    }
}

/// As Pillow and libexif read it: cameras write whole numbers of every width, with a sign or without.
#[test]
fn orientation_is_a_whole_number_of_any_kind() {
    let bench = Bench::new();
    let jpeg = bench.convert(
        &png_of(&Rgb {
            width: 32,
            height: 16,
            bytes: (0..32 * 16 * 3).map(|at| (at % 32) as u8).collect(),
        }),
        json!({ "format": "jpeg" }),
    );
    for kind in [1, 3, 4, 6, 8, 9] {
        for is_little in [true, false] {
            let len = match kind {
                1 | 6 => 1,
                3 | 8 => 2,
                _ => 4,
            };
            let number = |value: u32, len: usize| {
                let bytes = value.to_be_bytes()[4 - len..].to_vec();
                if is_little {
                    bytes.into_iter().rev().collect()
                } else {
                    bytes
                }
            };
            let mut value = number(6, len);
            value.resize(4, 0);
            let exif = [
                if is_little {
                    b"II".to_vec()
                } else {
                    b"MM".to_vec()
                },
                number(42, 2),
                number(8, 4),
                number(1, 2),
                number(0x0112, 2),
                number(kind, 2),
                number(1, 4),
                value,
                vec![0; 4],
            ]
            .concat();
            let file = with_segment(&jpeg, 0xE1, &[b"Exif\0\0".as_slice(), &exif].concat());
            let case = format!("type {kind}, {is_little}");
            assert_eq!(bench.identify(&file)["orientation"], 6, "{case}");
            let kept = bench.convert(&file, json!({ "metadata": "keep" }));
            let header = bench.identify(&kept);
            assert_eq!(
                (&header["width"], &header["orientation"]),
                (&json!(16), &json!(1)),
                "{case}"
            );
        }
    }
}

#[test]
fn nothing_turns_an_upright_image_once_more() {
    let bench = Bench::new();
    for (case, file) in TURNED {
        for format in ["png", "jpeg", "webp", "avif"] {
            let case = format!("{case}, to {format}");
            let keep = json!({ "format": format, "metadata": "keep", "quality": 100 });
            let kept = bench.convert(file, keep);
            assert_eq!(bench.identify(&kept)["orientation"], 1, "{case}");
            // Nor does what an XMP reader finds say otherwise.
            let says_six = kept
                .windows(20)
                .any(|window| window == b"tiff:Orientation=\"6\"");
            assert!(!says_six, "{case}");
            // Not turned, and still to be turned.
            let args = json!({
                "format": format, "metadata": "keep", "quality": 100, "autorotate": false,
            });
            let lying = bench.convert(file, args);
            assert_eq!(bench.identify(&lying)["orientation"], 6, "{case}");
            let args = json!({ "format": "png" });
            let made = read_png(&bench.convert(&lying, args));
            assert_squares(&case, &made, UPRIGHT, 24);
        }
        let stripped = bench.convert(file, json!({ "format": "png", "autorotate": false }));
        assert_squares(case, &read_png(&stripped), LYING, 3);
    }
}

#[test]
fn every_orientation_is_the_same_in_avif() {
    let bench = Bench::new();
    let colors: Vec<u8> = (0..32 * 16)
        .flat_map(|at| LYING[at % 32 / 16 + at / 256 * 2])
        .collect();
    let file = |orientation| {
        let kind = png::ColorType::Rgb;
        png_with(32, 16, kind, png::BitDepth::Eight, &colors, |info| {
            info.exif_metadata = Some(exif(orientation).into());
        })
    };
    for orientation in 1..=8 {
        let file = file(orientation);
        let upright = read_png(&bench.convert(&file, json!({ "format": "png" })));
        let keep = json!({
            "format": "avif", "metadata": "keep", "quality": 100, "autorotate": false,
        });
        let avif = bench.convert(&file, keep);
        assert_eq!(bench.identify(&avif)["orientation"], orientation);
        let made = read_png(&bench.convert(&avif, json!({ "format": "png" })));
        assert_eq!((made.width, made.height), (upright.width, upright.height));
        for (x, y) in [(3, 3), (12, 3), (3, 12), (12, 12)] {
            let (found, wanted) = (made.pixel(x, y), upright.pixel(x, y));
            let is_close = found.iter().zip(wanted).all(|(a, b)| a.abs_diff(*b) < 30);
            assert!(is_close, "{orientation}: {found:?} {wanted:?}");
        }
    }
}

#[test]
fn transparency_of_the_pictures_of_a_grid_stays() {
    let bench = Bench::new();
    let file = include_bytes!("../data/grid_alpha.avif");
    assert_eq!(bench.identify(file)["has_alpha"], true);
    let made = decoded(&bench, file);
    // As libavif shows it.
    for (x, expected) in [(32, [200, 80, 40, 250]), (96, [60, 170, 90, 96])] {
        let found = made.pixel(x, 32);
        let is_close = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) < 6);
        assert!(found.len() == 4 && is_close, "{found:?}");
    }
}
