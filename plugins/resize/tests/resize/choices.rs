//! What a request may choose beyond size and format: chroma, progressive files, a length, a part.

use plugin_api::serde_json::json;

use super::{
    Bench, inline,
    made::{decoded, exif, png_of, png_with, read_png},
    photo::{Rgb, photo},
    reference::psnr,
};

/// Red strokes of one pixel on black, as of thin letters.
fn strokes() -> Rgb {
    let pixel = |at: usize| {
        let is_red = (at % 96).is_multiple_of(5) || (at / 96).is_multiple_of(7);
        if is_red { [255, 0, 0] } else { [0; 3] }
    };
    Rgb {
        width: 96,
        height: 64,
        bytes: (0..96 * 64).flat_map(pixel).collect(),
    }
}

#[test]
fn full_chroma_keeps_red_strokes() {
    let bench = Bench::new();
    let picture = strokes();
    let png = png_of(&picture);
    for format in ["avif", "jpeg"] {
        let likeness = |chroma| {
            let args = json!({ "format": format, "quality": 85, "chroma": chroma });
            psnr(&decoded(&bench, &bench.convert(&png, args)).rgb(), &picture)
        };
        let (half, full) = (likeness("half"), likeness("full"));
        assert!(full > half + 5.0, "{format}: {half} dB, {full} dB");
        // From planes, too.
        let jpeg = bench.convert(&png, json!({ "format": "jpeg", "quality": 100 }));
        let args = json!({ "format": format, "quality": 85, "chroma": "full" });
        let found = psnr(
            &decoded(&bench, &bench.convert(&jpeg, args)).rgb(),
            &picture,
        );
        assert!(found > half + 5.0, "{format} of planes: {found} dB");
    }
}

#[test]
fn jpeg_is_progressive_on_request() {
    let bench = Bench::new();
    let png = png_of(&photo(96, 64, 1));
    let plain = bench.convert(&png, json!({ "format": "jpeg" }));
    let args = json!({ "format": "jpeg", "progressive": true });
    let progressive = bench.convert(&png, args);
    assert_eq!(bench.identify(&plain)["is_progressive"], false);
    assert_eq!(bench.identify(&progressive)["is_progressive"], true);
    // The same coefficients in another order.
    assert!(decoded(&bench, &plain).bytes == decoded(&bench, &progressive).bytes);
}

#[test]
fn files_are_no_longer_than_asked_for_and_as_good_as_that_allows() {
    let bench = Bench::new();
    let png = png_of(&photo(320, 200, 1));
    for format in ["jpeg", "webp", "avif"] {
        let best = bench
            .convert(&png, json!({ "format": format, "quality": 95 }))
            .len();
        let least = bench
            .convert(&png, json!({ "format": format, "quality": 1 }))
            .len();
        let wanted = (best + least) / 2;
        let args = json!({ "format": format, "quality": 95, "bytes_max": wanted });
        let made = bench.convert(&png, args).len();
        assert!(
            made <= wanted && made * 10 > wanted * 8,
            "{format}: {made} of {wanted}"
        );
        let args = json!({ "format": format, "quality": 95, "bytes_max": best });
        assert_eq!(bench.convert(&png, args).len(), best, "{format}");
    }
    for format in ["jpeg", "png", "gif"] {
        let args = json!({ "source": inline(&png), "format": format, "bytes_max": 200 });
        let (kind, message, data) = bench.failure("resize", args);
        assert_eq!(
            (kind.as_str(), &data["limit"]),
            ("result_too_large", &json!("bytes_max"))
        );
        assert!(message.contains("bytes"), "{message}");
    }
}

/// 40 by 20, in which every pixel says where it is.
fn map(orientation: u8) -> Vec<u8> {
    let bytes: Vec<u8> = (0..40 * 20)
        .flat_map(|at| [(at % 40 * 6) as u8, (at / 40 * 12) as u8, 0])
        .collect();
    png_with(
        40,
        20,
        png::ColorType::Rgb,
        png::BitDepth::Eight,
        &bytes,
        |info| {
            info.exif_metadata = Some(exif(orientation).into());
        },
    )
}

#[test]
fn a_part_is_cropped_out_of_the_upright_image() {
    let bench = Bench::new();
    for orientation in 1..=8 {
        let upright = read_png(&bench.convert(&map(orientation), json!({})));
        let crop = json!({ "left": 3, "top": 5, "width": 10, "height": 7 });
        let made = read_png(&bench.convert(&map(orientation), json!({ "crop": crop })));
        assert_eq!((made.width, made.height), (10, 7));
        for (x, y) in [(0, 0), (9, 0), (0, 6), (9, 6)] {
            assert_eq!(
                made.pixel(x, y),
                upright.pixel(x + 3, y + 5),
                "{orientation}"
            );
        }
    }
    let args = json!({ "crop": { "left": 0, "top": 0, "width": 20, "height": 20 }, "width": 10 });
    let made = read_png(&bench.convert(&map(1), args));
    assert_eq!((made.width, made.height), (10, 10));
    for crop in [
        [35, 0, 6, 5],
        [0, 0, 0, 5],
        [0, 20, 1, 1],
        [u32::MAX, 0, u32::MAX, 1],
    ] {
        let [left, top, width, height] = crop;
        let crop = json!({ "left": left, "top": top, "width": width, "height": height });
        let args = json!({ "source": inline(&map(1)), "crop": crop });
        assert_eq!(bench.failure("resize", args).0, "invalid_crop");
    }
}

#[test]
fn what_is_looked_at_stays_in_sight() {
    let bench = Bench::new();
    for (x, left) in [(0.0, 0), (0.2, 0), (0.5, 10), (0.7, 18), (1.0, 20)] {
        let args = json!({ "width": 20, "height": 20, "focus": { "x": x, "y": 0.5 } });
        let made = read_png(&bench.convert(&map(1), args));
        let first = made.pixel(0, 0)[0];
        assert_eq!(first, left * 6, "{x}");
    }
    let args = json!({ "source": inline(&map(1)), "focus": { "x": 1.5, "y": 0 } });
    assert_eq!(bench.failure("resize", args).0, "invalid_focus");
}
