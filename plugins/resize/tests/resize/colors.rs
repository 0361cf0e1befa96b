//! Profiles, inks, grey, metadata.

use plugin_api::serde_json::json;

use super::{
    Bench,
    made::{decoded, exif, png, png_with, read_png, swapped_profile, with_segment},
};

/// One colour, as PNG with a profile.
fn tagged(color: [u8; 3]) -> Vec<u8> {
    let bytes = color.repeat(32 * 32);
    png_with(
        32,
        32,
        png::ColorType::Rgb,
        png::BitDepth::Eight,
        &bytes,
        |info| {
            info.icc_profile = Some(swapped_profile().into());
        },
    )
}

fn close(pixel: &[u8], expected: [u8; 3], distance: u8) -> bool {
    pixel
        .iter()
        .zip(expected)
        .all(|(a, b)| a.abs_diff(b) <= distance)
}

#[test]
fn colours_are_converted_to_srgb_or_keep_their_profile() {
    let bench = Bench::new();
    let png = tagged([200, 80, 40]);
    assert_eq!(bench.identify(&png)["has_icc"], true);
    let keep = |format| json!({ "format": format, "metadata": "keep", "quality": 100 });
    let sources = [
        ("png", png.clone()),
        ("jpeg", bench.convert(&png, keep("jpeg"))),
        ("webp", bench.convert(&png, keep("webp"))),
        ("avif", bench.convert(&png, keep("avif"))),
    ];
    for (name, source) in &sources {
        assert_eq!(bench.identify(source)["has_icc"], true, "{name}");
        for format in ["png", "jpeg", "webp", "avif"] {
            for linear in [false, true] {
                let args = json!({
                    "width": 16, "format": format, "quality": 100, "linear": linear,
                });
                let made = bench.convert(source, args);
                let case = format!("{name} to {format}, linear: {linear}");
                assert_eq!(bench.identify(&made)["has_icc"], false, "{case}");
                // Red was green, green was blue, blue was red.
                let image = decoded(&bench, &made);
                let pixel = &image.rgb().bytes[..3].to_vec();
                assert!(close(pixel, [40, 200, 80], 6), "{case}: {pixel:?}");
            }
        }
        let made = bench.convert(
            source,
            json!({ "width": 16, "format": "png", "metadata": "keep" }),
        );
        let pixel = read_png(&made).pixel(8, 8).to_vec();
        assert!(close(&pixel, [200, 80, 40], 6), "{name} kept: {pixel:?}");
    }
    let gif = bench.convert(&png, json!({ "format": "gif", "metadata": "keep" }));
    let pixel = decoded(&bench, &gif).rgb().bytes[..3].to_vec();
    assert!(close(&pixel, [40, 200, 80], 6), "gif: {pixel:?}");
}

#[test]
fn a_profile_that_is_none_is_passed_over() {
    let bench = Bench::new();
    let bytes = [200, 80, 40].repeat(32 * 32);
    for profile in [vec![0; 200], vec![], swapped_profile()[..180].to_vec()] {
        let file = png_with(
            32,
            32,
            png::ColorType::Rgb,
            png::BitDepth::Eight,
            &bytes,
            |info| {
                info.icc_profile = Some(profile.into());
            },
        );
        let made = read_png(&bench.convert(&file, json!({ "width": 16 })));
        assert_eq!(made.pixel(3, 3), [200, 80, 40]);
    }
    // One for other channels than there are.
    let file = png_with(
        32,
        32,
        png::ColorType::Grayscale,
        png::BitDepth::Eight,
        &[90; 1024],
        |info| {
            info.icc_profile = Some(swapped_profile().into());
        },
    );
    assert_eq!(
        read_png(&bench.convert(&file, json!({ "width": 16 }))).pixel(3, 3),
        [90]
    );
}

#[test]
fn inks_become_colours() {
    let bench = Bench::new();
    let file = include_bytes!("../data/cmyk.jpg");
    let header = bench.identify(file);
    assert_eq!(header["color_space"], "cmyk");
    for format in ["png", "jpeg", "webp", "avif"] {
        for metadata in ["strip", "keep"] {
            for linear in [false, true] {
                let args = json!({
                    "width": 32, "format": format, "metadata": metadata, "linear": linear, "quality": 95,
                });
                let image = decoded(&bench, &bench.convert(file, args)).rgb();
                let at = |x: usize, y: usize| &image.bytes[(y * 32 + x) * 3..][..3];
                let [cyan, magenta, yellow, black] = [at(8, 8), at(24, 8), at(8, 24), at(24, 24)];
                let case = format!(
                    "{format} {metadata} {linear}: {cyan:?} {magenta:?} {yellow:?} {black:?}"
                );
                assert!(close(cyan, [189, 255, 243], 12), "{case}");
                assert!(close(magenta, [246, 34, 255], 24), "{case}");
                assert!(close(yellow, [251, 255, 10], 24), "{case}");
                assert!(black.iter().all(|sample| *sample < 60), "{case}");
            }
        }
    }
}

/// Pillow and libvips make colours of inks before they scale; else the edge would be darker than both of its sides' middle.
#[test]
fn inks_are_mixed_before_they_are_scaled() {
    let bench = Bench::new();
    let file = include_bytes!("../data/edge.jpg");
    let whole = bench.convert(file, json!({ "format": "png" }));
    for width in [40, 33, 50] {
        let args = json!({ "width": width, "height": 16, "fit": "fill", "format": "png" });
        let found = read_png(&bench.convert(file, args.clone()));
        let wanted = read_png(&bench.convert(&whole, args));
        let pairs = found.bytes.iter().zip(&wanted.bytes);
        let most = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(most <= 4, "{width}: {most}");
    }
}

#[test]
fn metadata_is_kept_or_stripped() {
    let bench = Bench::new();
    let pixels = png(16, 16, png::ColorType::Rgb, &[120; 16 * 16 * 3]);
    let xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>";
    let jpeg = bench.convert(&pixels, json!({ "format": "jpeg" }));
    let jpeg = with_segment(&jpeg, 0xE1, &[b"Exif\0\0".as_slice(), &exif(3)].concat());
    let jpeg = with_segment(
        &jpeg,
        0xE1,
        &[b"http://ns.adobe.com/xap/1.0/\0".as_slice(), xmp].concat(),
    );
    let icc = [b"ICC_PROFILE\0\x01\x01".as_slice(), &swapped_profile()].concat();
    let source = with_segment(&jpeg, 0xE2, &icc);
    let mut source = source;
    // Round through every format that takes them.
    for format in ["jpeg", "png", "webp", "avif", "jpeg"] {
        let stripped = bench.convert(&source, json!({ "format": format }));
        source = bench.convert(&source, json!({ "format": format, "metadata": "keep" }));
        for (file, expected) in [(&source, true), (&stripped, false)] {
            let header = bench.identify(file);
            for key in ["has_exif", "has_icc", "has_xmp"] {
                assert_eq!(header[key], expected, "{format} {key}");
            }
        }
        assert!(
            source.windows(xmp.len()).any(|window| window == xmp),
            "{format}"
        );
        // It was turned upright on the first round, and its EXIF says so.
        assert_eq!(bench.identify(&source)["orientation"], 1);
    }
    let transparent = png(16, 16, png::ColorType::Rgba, &[0; 16 * 16 * 4]);
    let webp = bench.convert(
        &transparent,
        json!({ "format": "webp", "metadata": "keep" }),
    );
    assert_eq!(bench.identify(&webp)["has_alpha"], true);
}

#[test]
fn files_of_other_programs_are_read() {
    let bench = Bench::new();
    let plain = read_png(include_bytes!("../data/plain.png")).rgb();
    for file in [
        include_bytes!("../data/sharp.avif").as_slice(),
        include_bytes!("../data/baseline.jpg"),
    ] {
        let made = decoded(&bench, file).rgb();
        let psnr = super::reference::psnr(&made, &plain);
        assert!(psnr > 30.0, "{psnr}");
    }
}

#[test]
fn alpha_survives_every_format_that_has_it() {
    let bench = Bench::new();
    let bytes: Vec<u8> = (0..64 * 64)
        .flat_map(|at| [200, 100, 50, if at % 64 < 32 { 255 } else { 100 }])
        .collect();
    let png = png(64, 64, png::ColorType::Rgba, &bytes);
    let mut source = png;
    for format in ["webp", "avif", "png"] {
        source = bench.convert(&source, json!({ "format": format, "quality": 95 }));
        assert_eq!(bench.identify(&source)["has_alpha"], true, "{format}");
        let image = decoded(&bench, &source);
        for (x, alpha) in [(8, 255), (56, 100)] {
            let pixel = image.pixel(x, 32);
            assert!(pixel[3].abs_diff(alpha) < 6, "{format}: {pixel:?}");
            assert!(
                close(&pixel[..3], [200, 100, 50], 12),
                "{format}: {pixel:?}"
            );
        }
    }
}
