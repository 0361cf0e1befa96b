//! Which pixels end up where.

use plugin_api::serde_json::json;

use super::{
    Bench, inline,
    made::{Image, decoded, exif, png, read_png, with_segment},
};

/// Four quarters: red, green, blue, white. 64 x 32.
fn quarters() -> Vec<u8> {
    let mut bytes = Vec::new();
    for y in 0..32 {
        for x in 0..64 {
            bytes.extend_from_slice(match (x < 32, y < 16) {
                (true, true) => &[255, 0, 0],
                (false, true) => &[0, 255, 0],
                (true, false) => &[0, 0, 255],
                (false, false) => &[255, 255, 255],
            });
        }
    }
    png(64, 32, png::ColorType::Rgb, &bytes)
}

fn name(pixel: &[u8]) -> char {
    match (pixel[0] > 127, pixel[1] > 127, pixel[2] > 127) {
        (true, false, false) => 'r',
        (false, true, false) => 'g',
        (false, false, true) => 'b',
        (true, true, true) => 'w',
        (false, false, false) => 'k',
        _ => '?',
    }
}

/// The colours near the four corners: upper left, upper right, lower left, lower right.
fn corners(image: &Image) -> String {
    let (right, bottom) = (
        image.width - 1 - image.width / 8,
        image.height - 1 - image.height / 8,
    );
    let (left, top) = (image.width / 8, image.height / 8);
    [(left, top), (right, top), (left, bottom), (right, bottom)]
        .map(|(x, y)| name(image.pixel(x, y)))
        .iter()
        .collect()
}

#[test]
fn every_orientation_of_every_format_stands_upright() {
    let bench = Bench::new();
    // What is stored as rgbw comes out like this.
    let upright = [
        "rgbw", "grwb", "wbgr", "bwrg", "rbgw", "brwg", "wgbr", "gwrb",
    ];
    let jpeg = bench.convert(&quarters(), json!({ "format": "jpeg", "quality": 95 }));
    for (orientation, expected) in (1..=8).zip(upright) {
        let turned = with_segment(
            &jpeg,
            0xE1,
            &[b"Exif\0\0".as_slice(), &exif(orientation)].concat(),
        );
        assert_eq!(bench.identify(&turned)["orientation"], orientation);
        let mut files = vec![("jpeg", turned)];
        for format in ["png", "webp"] {
            let args = json!({ "format": format, "metadata": "keep", "autorotate": false });
            let file = bench.convert(&files[0].1, args);
            assert_eq!(
                bench.identify(&file)["orientation"],
                orientation,
                "{format}"
            );
            files.push((format, file));
        }
        let size = if orientation < 5 { (32, 16) } else { (16, 32) };
        for (source, file) in &files {
            for format in ["jpeg", "png", "webp", "avif"] {
                // Odd sizes too, where chroma of half the size has a pixel that stands for less.
                for (width, height) in [size, (31, 17)] {
                    let args = json!({
                        "format": format, "width": width, "height": height, "fit": "fill", "quality": 95,
                        "metadata": "keep",
                    });
                    let made = bench.convert(file, args);
                    let case = format!("{source} to {format}, orientation {orientation}");
                    assert_eq!(bench.identify(&made)["orientation"], 1, "{case}");
                    let image = decoded(&bench, &made);
                    assert_eq!((image.width, image.height), (width, height), "{case}");
                    assert_eq!(corners(&image), expected, "{case}");
                }
            }
        }
    }
}

#[test]
fn without_autorotate_pixels_stay_as_they_lie() {
    let bench = Bench::new();
    let jpeg = bench.convert(&quarters(), json!({ "format": "jpeg" }));
    let turned = with_segment(&jpeg, 0xE1, &[b"Exif\0\0".as_slice(), &exif(6)].concat());
    let made = bench.convert(
        &turned,
        json!({ "width": 32, "autorotate": false, "metadata": "keep" }),
    );
    assert_eq!(bench.identify(&made)["orientation"], 6);
    assert_eq!(corners(&decoded(&bench, &made)), "rgbw");
}

#[test]
fn every_fit_has_its_size_and_shows_its_part() {
    let bench = Bench::new();
    let file = quarters();
    // Wanted size, fit, size that comes out, corners.
    let cases = [
        (Some(16), None, "cover", (16, 8), "rgbw"),
        (None, Some(16), "cover", (32, 16), "rgbw"),
        (Some(20), Some(20), "cover", (20, 20), "rgbw"),
        (Some(20), Some(20), "fill", (20, 20), "rgbw"),
        (Some(20), Some(20), "inside", (20, 10), "rgbw"),
        (Some(20), Some(20), "outside", (40, 20), "rgbw"),
        (Some(20), Some(20), "contain", (20, 20), "kkkk"),
        (Some(128), Some(128), "inside", (128, 64), "rgbw"),
        (Some(1), Some(1), "cover", (1, 1), ""),
        (Some(1000), Some(1), "fill", (1000, 1), ""),
        (None, None, "cover", (64, 32), "rgbw"),
    ];
    for format in ["jpeg", "png", "webp", "avif"] {
        for (width, height, fit, size, expected) in cases {
            let args = json!({
                "format": format, "width": width, "height": height, "fit": fit, "quality": 95,
                "background": "#000000",
            });
            let image = decoded(&bench, &bench.convert(&file, args));
            let case = format!("{format} {width:?} {height:?} {fit}");
            assert_eq!((image.width, image.height), size, "{case}");
            if !expected.is_empty() {
                assert_eq!(corners(&image), expected, "{case}");
            }
        }
    }
}

#[test]
fn position_chooses_the_part_and_the_place() {
    let bench = Bench::new();
    let file = quarters();
    let cases = [
        ("left", "rrbb"),
        ("right", "ggww"),
        ("top", "rgbw"),
        ("center", "rgbw"),
        ("top_left", "rrbb"),
        ("bottom_right", "ggww"),
    ];
    for (position, expected) in cases {
        // The part that stays is a square of half the width.
        let args = json!({ "width": 16, "height": 16, "position": position });
        assert_eq!(
            corners(&read_png(&bench.convert(&file, args))),
            expected,
            "{position}"
        );
    }
    let places = [
        ("top", "rgkk"),
        ("bottom", "kkbw"),
        ("bottom_left", "kkbw"),
        ("top_right", "rgkk"),
    ];
    for (position, expected) in places {
        let args = json!({
            "width": 32, "height": 32, "fit": "contain", "position": position, "background": "#000",
        });
        let image = read_png(&bench.convert(&file, args));
        assert_eq!(corners(&image), expected, "{position}");
    }
}

#[test]
fn small_images_stay_small_where_that_is_wanted() {
    let bench = Bench::new();
    let size = |args| {
        let image = read_png(&bench.convert(&quarters(), args));
        (image.width, image.height)
    };
    assert_eq!(size(json!({ "width": 200, "enlarge": false })), (64, 32));
    assert_eq!(
        size(json!({ "width": 200, "height": 20, "enlarge": false })),
        (64, 20)
    );
    assert_eq!(size(json!({ "width": 32, "enlarge": false })), (32, 16));
    assert_eq!(
        size(json!({ "width": 200, "height": 100, "fit": "contain", "enlarge": false })),
        (200, 100)
    );
}

#[test]
fn the_colour_around_is_the_one_that_was_asked_for() {
    let bench = Bench::new();
    let contain = |background: Option<&str>, format: &str| {
        let args = json!({
            "width": 32, "height": 32, "fit": "contain", "background": background, "format": format,
            "quality": 100,
        });
        let image = decoded(&bench, &bench.convert(&quarters(), args));
        image.pixel(1, 1).to_vec()
    };
    assert_eq!(contain(None, "png"), [0, 0, 0, 0]);
    assert_eq!(contain(None, "webp")[3], 0);
    assert_eq!(contain(None, "jpeg"), [255, 255, 255]);
    assert_eq!(contain(Some("#f00"), "png"), [255, 0, 0]);
    assert_eq!(contain(Some("#ff000080"), "png"), [255, 0, 0, 128]);
    let (kind, message, _) = bench.failure(
        "resize",
        json!({ "source": inline(&quarters()), "background": "red" }),
    );
    assert_eq!(kind, "invalid_background");
    assert!(message.contains("#ffffff"), "{message}");
}
