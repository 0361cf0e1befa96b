//! What comes out, against scaling by the textbook.

use plugin_api::serde_json::json;

use super::{
    Bench,
    made::{Image, decoded, png, png_of, png_with, read_png},
    photo::{Rgb, photo},
    reference::{psnr, scaled, ssim, ssim_rgb},
};

fn check(case: &str, made: &Rgb, expected: &Rgb, psnr_min: f64, ssim_min: f64) {
    let (psnr, ssim) = (psnr(made, expected), ssim(made, expected));
    assert!(
        psnr >= psnr_min && ssim >= ssim_min,
        "{case}: PSNR {psnr:.2}, SSIM {ssim:.4}"
    );
}

#[test]
fn png_is_scaled_as_the_textbook_has_it() {
    let bench = Bench::new();
    for (width, height, to) in [
        (640, 480, (160, 120)),
        (640, 480, (77, 58)),
        (641, 479, (640, 478)),
        (200, 150, (500, 375)),
        (1500, 40, (100, 3)),
        (33, 1200, (11, 400)),
        (300, 200, (1, 1)),
    ] {
        let picture = photo(width, height, 3);
        let args = json!({ "width": to.0, "height": to.1, "fit": "fill" });
        let made = read_png(&bench.convert(&png_of(&picture), args)).rgb();
        let expected = scaled(&picture, to.0, to.1);
        let psnr = psnr(&made, &expected);
        assert!(psnr > 48.0, "{width} x {height} to {to:?}: PSNR {psnr:.2}");
    }
}

#[test]
fn rows_that_pass_in_strips_leave_no_seams() {
    let bench = Bench::new();
    // Wide enough for many strips.
    let picture = photo(3000, 900, 5);
    let args = json!({ "width": 1000 });
    let made = read_png(&bench.convert(&png_of(&picture), args)).rgb();
    let expected = scaled(&picture, 1000, 300);
    assert!(ssim_rgb(&made, &expected) > 0.995);
    for y in 0..300 {
        let row = |picture: &Rgb| Rgb {
            width: 1000,
            height: 1,
            bytes: picture.bytes[y * 3000..][..3000].to_vec(),
        };
        let psnr = psnr(&row(&made), &row(&expected));
        assert!(psnr > 46.0, "row {y}: PSNR {psnr:.2}");
    }
}

#[test]
fn lossy_formats_come_close() {
    let bench = Bench::new();
    let picture = photo(1200, 800, 11);
    let file = png_of(&picture);
    let jpeg = bench.convert(&file, json!({ "format": "jpeg", "quality": 95 }));
    let webp = bench.convert(&file, json!({ "format": "webp", "quality": 95 }));
    let avif = bench.convert(&file, json!({ "format": "avif", "quality": 90 }));
    let lossless = bench.convert(&file, json!({ "format": "webp", "quality": 101 }));
    // Widths on both sides of each reduction while decoding.
    for width in [1200, 700, 600, 500, 300, 290, 150, 140, 75] {
        let expected = scaled(&picture, width, width * 2 / 3);
        let args =
            json!({ "width": width, "height": width * 2 / 3, "fit": "fill", "format": "png" });
        for (name, source) in [
            ("jpeg", &jpeg),
            ("webp", &webp),
            ("avif", &avif),
            ("lossless", &lossless),
        ] {
            let made = read_png(&bench.convert(source, args.clone())).rgb();
            let (psnr, ssim) = if name == "lossless" {
                (48.0, 0.999)
            } else {
                (30.0, 0.93)
            };
            check(&format!("{name} to {width}"), &made, &expected, psnr, ssim);
        }
        for (format, ssim) in [("jpeg", 0.85), ("webp", 0.8), ("avif", 0.8)] {
            let args = json!({
                "width": width, "height": width * 2 / 3, "fit": "fill", "format": format, "quality": 90,
            });
            let made = decoded(&bench, &bench.convert(&jpeg, args)).rgb();
            check(
                &format!("jpeg to {format} {width}"),
                &made,
                &expected,
                28.0,
                ssim,
            );
        }
    }
}

#[test]
fn large_avif_files_are_grids_without_seams() {
    let bench = Bench::new();
    let file = png_of(&photo(300, 150, 17));
    // An odd size, with alpha and without: the last pictures of the grid reach beyond the whole.
    let args = |format| json!({ "width": 2301, "height": 1151, "fit": "fill", "format": format, "quality": 80 });
    let expected = read_png(&bench.convert(&file, args("png"))).rgb();
    let made = bench.convert(&file, args("avif"));
    assert!(made.windows(4).any(|name| name == b"grid"));
    let image = decoded(&bench, &made).rgb();
    check("grid", &image, &expected, 34.0, 0.95);
    let args = json!({
        "width": 2301, "height": 1400, "fit": "contain", "format": "avif", "quality": 80,
    });
    let image = decoded(&bench, &bench.convert(&file, args));
    assert_eq!((image.width, image.height), (2301, 1400));
    let opacity = |x, y| image.pixel(x, y)[3];
    assert!(opacity(10, 10) < 8 && opacity(2290, 1390) < 8);
    assert!(opacity(1150, 700) > 247 && opacity(2290, 700) > 247);
}

#[test]
fn cropping_takes_the_very_pixels() {
    let bench = Bench::new();
    let picture = photo(900, 600, 13);
    let jpeg = bench.convert(
        &png_of(&picture),
        json!({ "format": "jpeg", "quality": 97 }),
    );
    let whole = decoded(&bench, &jpeg).rgb();
    for (position, left) in [("left", 0), ("center", 150), ("right", 300)] {
        let cropped = Rgb {
            width: 600,
            height: 600,
            bytes: whole
                .bytes
                .chunks_exact(2700)
                .flat_map(|row| row[left * 3..(left + 600) * 3].to_vec())
                .collect(),
        };
        for width in [600, 300, 151] {
            let args =
                json!({ "width": width, "height": width, "position": position, "format": "png" });
            let made = read_png(&bench.convert(&jpeg, args)).rgb();
            check(position, &made, &scaled(&cropped, width, width), 30.0, 0.95);
        }
    }
}

#[test]
fn sixteen_bits_stay_sixteen() {
    let bench = Bench::new();
    let (width, height) = (256, 128);
    // A gradient too fine for 8 bits.
    let bytes: Vec<u8> = (0..height)
        .flat_map(|_| (0..width).flat_map(|x| (20_000 + x * 16_u16).to_be_bytes()))
        .collect();
    let file = png_with(
        width.into(),
        height,
        png::ColorType::Grayscale,
        png::BitDepth::Sixteen,
        &bytes,
        |_| {},
    );
    let image = read_png(&bench.convert(&file, json!({ "width": 64 })));
    assert_eq!(image.depth, png::BitDepth::Sixteen);
    let samples: Vec<u16> = image
        .bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    for (x, sample) in samples[64 * 10 + 4..64 * 10 + 60].iter().enumerate() {
        let expected = 20_000 + (x as u16 + 4) * 64 + 24;
        assert!(
            sample.abs_diff(expected) < 12,
            "{x}: {sample}, not {expected}"
        );
    }
    for format in ["jpeg", "webp", "avif"] {
        let made = bench.convert(&file, json!({ "width": 64, "format": format }));
        let grey = decoded(&bench, &made).rgb().bytes[64 * 10 * 3 + 96];
        assert!(grey.abs_diff(86) < 4, "{format}: {grey}");
    }
}

#[test]
fn interlaced_files_are_the_same_pictures() {
    let bench = Bench::new();
    let data = include_bytes!("../data/interlaced.png");
    let plain = include_bytes!("../data/plain.png");
    assert_eq!(bench.identify(data)["is_progressive"], true);
    let pixels = |data: &[u8], args| read_png(&bench.convert(data, args)).bytes;
    for args in [json!({}), json!({ "width": 20 })] {
        assert!(pixels(data, args.clone()) == pixels(plain, args));
    }
    let progressive = include_bytes!("../data/progressive.jpg");
    let baseline = include_bytes!("../data/baseline.jpg");
    assert_eq!(bench.identify(progressive)["is_progressive"], true);
    assert_eq!(bench.identify(baseline)["is_progressive"], false);
    for width in [64, 32, 20, 16, 8] {
        let args = json!({ "width": width, "format": "png" });
        let psnr = psnr(
            &read_png(&bench.convert(progressive, args.clone())).rgb(),
            &read_png(&bench.convert(baseline, args)).rgb(),
        );
        assert!(psnr > 40.0, "{width}: {psnr}");
    }
}

#[test]
fn transparent_pixels_leave_no_halo() {
    let bench = Bench::new();
    // A white disc; what is transparent around it is bright green.
    let mut bytes = Vec::new();
    for y in 0..200_i32 {
        for x in 0..200_i32 {
            let inside = (x - 100).pow(2) + (y - 100).pow(2) < 80 * 80;
            bytes.extend_from_slice(if inside {
                &[255, 255, 255, 255]
            } else {
                &[0, 255, 0, 0]
            });
        }
    }
    let file = png(200, 200, png::ColorType::Rgba, &bytes);
    for format in ["png", "webp"] {
        for linear in [false, true] {
            let args = json!({ "width": 50, "format": format, "quality": 100, "linear": linear });
            let image = decoded(&bench, &bench.convert(&file, args));
            assert_eq!(image.color, png::ColorType::Rgba);
            let mut edge = 0;
            for pixel in image.bytes.chunks_exact(4).filter(|pixel| pixel[3] > 8) {
                let whites = pixel[..3].iter().all(|sample| *sample > 243);
                assert!(whites, "{format}: {pixel:?}");
                edge += usize::from(pixel[3] < 250);
            }
            assert!(edge > 20, "{format}: the edge is not smooth");
        }
    }
    let args = json!({ "width": 50, "format": "jpeg", "quality": 100, "background": "#ff0000" });
    let image = decoded(&bench, &bench.convert(&file, args));
    assert!(image.pixel(1, 1)[0] > 250 && image.pixel(1, 1)[1] < 8);
}

#[test]
fn linear_light_averages_light() {
    let bench = Bench::new();
    // Black and white lines, which look like half the light from afar: 188 of 255.
    let bytes: Vec<u8> = (0..64)
        .flat_map(|y| [if y % 2 == 0 { 255 } else { 0 }; 64 * 3])
        .collect();
    let file = png(64, 64, png::ColorType::Rgb, &bytes);
    let jpeg = bench.convert(&file, json!({ "format": "jpeg", "quality": 100 }));
    let middle = |file: &[u8], linear| {
        let args = json!({ "width": 8, "linear": linear, "format": "png" });
        let image = read_png(&bench.convert(file, args));
        image.pixel(4, 4)[0]
    };
    for file in [&file, &jpeg] {
        assert!(middle(file, false).abs_diff(128) < 4);
        assert!(middle(file, true).abs_diff(188) < 4);
    }
}

#[test]
fn sharpening_makes_edges_steeper_and_only_after_strong_reduction() {
    let bench = Bench::new();
    let bytes: Vec<u8> = (0..128)
        .flat_map(|_| (0..128).flat_map(|x| [if x < 61 { 60 } else { 190 }; 3]))
        .collect();
    let file = png(128, 128, png::ColorType::Rgb, &bytes);
    let made = |width: u32, sharpen: u32| {
        read_png(&bench.convert(&file, json!({ "width": width, "sharpen": sharpen }))).bytes
    };
    let spread = |bytes: &[u8]| bytes.iter().max().unwrap() - bytes.iter().min().unwrap();
    assert!(spread(&made(32, 3)) > spread(&made(32, 0)));
    assert!(made(100, 3) == made(100, 0));
    let (kind, ..) = bench.failure(
        "resize",
        json!({ "source": super::inline(&file), "sharpen": 11 }),
    );
    assert_eq!(kind, "invalid_sharpen");
}

#[test]
fn grey_stays_grey() {
    let bench = Bench::new();
    let bytes: Vec<u8> = (0..64 * 64).map(|at| (at % 64 * 4) as u8).collect();
    let file = png(64, 64, png::ColorType::Grayscale, &bytes);
    for format in ["png", "jpeg", "webp", "avif", "gif"] {
        let made = bench.convert(&file, json!({ "width": 32, "format": format }));
        let image: Image = decoded(&bench, &made);
        if matches!(format, "png" | "jpeg" | "avif") {
            assert_eq!(bench.identify(&made)["color_space"], "grey", "{format}");
            assert_eq!(image.color, png::ColorType::Grayscale, "{format}");
        }
        let rgb = image.rgb();
        for x in 2..30 {
            let pixel = &rgb.bytes[(32 * 16 + x) * 3..][..3];
            let expected = (x * 8 + 2) as u8;
            let close = pixel.iter().all(|sample| sample.abs_diff(expected) < 9);
            assert!(close, "{format} {x}: {pixel:?}, not {expected}");
        }
    }
}

/// The picture of which `quarter.jpg` and `tall.jpg` were made.
fn waves() -> Rgb {
    let pixel = |at: usize| {
        let (x, y) = ((at % 320) as f64, (at / 320) as f64);
        [x / 9.0, y / 11.0, (x + y) / 13.0].map(|phase| (128.0 + 100.0 * phase.sin()).round() as u8)
    };
    Rgb {
        width: 320,
        height: 240,
        bytes: (0..320 * 240).flat_map(pixel).collect(),
    }
}

#[test]
fn chroma_of_any_shape_is_as_fine_as_the_target() {
    let bench = Bench::new();
    for (name, file) in [
        ("4:1:1", include_bytes!("../data/quarter.jpg").as_slice()),
        ("4:4:0", include_bytes!("../data/tall.jpg")),
    ] {
        for width in [320, 200, 160, 120, 80, 60, 42] {
            let height = width * 3 / 4;
            let wanted = scaled(&waves(), width, height);
            for args in [
                json!({ "width": width, "height": height, "fit": "fill", "format": "png" }),
                json!({ "width": width, "height": height, "fit": "fill", "format": "jpeg", "quality": 95 }),
            ] {
                let found = decoded(&bench, &bench.convert(file, args)).rgb();
                let likeness = psnr(&found, &wanted);
                assert!(likeness > 32.0, "{name} to {width}: {likeness} dB");
            }
        }
    }
}
