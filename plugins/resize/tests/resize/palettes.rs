//! PNG files with palettes, right ones and wrong ones.

use base64::{Engine, engine::general_purpose::STANDARD};
use plugin_api::serde_json::json;

use super::{
    Bench, inline,
    made::{chunks_of, decoded, indexed_png, png, png_of, png_of_chunks, png_with, read_png},
    photo::Rgb,
};

/// The file with another palette, or none.
fn with_palette(png: &[u8], palette: Option<&[u8]>) -> Vec<u8> {
    let mut chunks = chunks_of(png);
    let at = chunks.iter().position(|(kind, _)| kind == b"PLTE").unwrap();
    match palette {
        Some(palette) => chunks[at].1 = palette.to_vec(),
        None => _ = chunks.remove(at),
    }
    png_of_chunks(&chunks)
}

/// Asserts that all functions refuse a file, in memory and as a file, and say why.
fn assert_broken(bench: &Bench, case: &str, png: &[u8]) {
    bench.write("broken.png", png);
    for source in [inline(png), json!("broken.png")] {
        for (function, args) in [
            ("identify", json!({ "source": source })),
            ("resize", json!({ "source": source, "format": "png" })),
            (
                "resize",
                json!({ "source": source, "width": 1, "linear": true }),
            ),
        ] {
            let (kind, message, _) = bench.failure(function, args);
            assert_eq!(kind, "broken_image", "{case}: {function}: {message}");
            // Some lengths the decoder refuses by itself, by the chunk's name.
            let names_it = message.contains("palette") || message.contains("PLTE");
            assert!(names_it, "{case}: {function}: {message}");
        }
    }
}

#[test]
fn a_palette_of_no_whole_colours_is_an_error() {
    let bench = Bench::new();
    let sample = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAMAAAAoyzS7AAAABFBMVEUBAQEBY8Gi/wAAAApJREFUeJxjYAAAAAIAAUivpHEAAAAASUVORK5CYII=";
    assert_broken(&bench, "four bytes", &STANDARD.decode(sample).unwrap());
    for depth in [1, 2, 4, 8] {
        let whole = indexed_png(depth, &[0; 6], None);
        for len in [0, 1, 2, 4, 5, 7, 767, 769, 771, 772, 1024] {
            let broken = with_palette(&whole, Some(&vec![7; len]));
            assert_broken(&bench, &format!("{len} bytes at {depth} bits"), &broken);
        }
        assert_broken(&bench, "none", &with_palette(&whole, None));
    }
}

#[test]
fn palettes_of_any_length_and_with_any_transparency_are_read() {
    let bench = Bench::new();
    for depth in [1, 2, 4, 8] {
        for colors in [1, 2, 3, 16, 255, 256] {
            let palette: Vec<u8> = (0..colors).flat_map(|n| [n as u8, 99, 200]).collect();
            for alphas in [0, 1, 3, 256, 300] {
                let transparency = vec![128; alphas];
                let transparency = (alphas > 0).then_some(transparency.as_slice());
                let file = indexed_png(depth, &palette, transparency);
                let case = format!("{colors} colours, {alphas} alphas at {depth} bits");
                let image = decoded(&bench, &file);
                // All indices up to the highest stand in the file, one beside the other.
                for x in 0..image.width {
                    let found = &image.pixel(x, 0)[..3];
                    // What is beyond the palette is black.
                    let wanted = if x < colors {
                        [x as u8, 99, 200]
                    } else {
                        [0; 3]
                    };
                    assert_eq!(found, wanted, "{case}: index {x}");
                }
                let alpha = image.pixel(0, 0).get(3).copied().unwrap_or(255);
                // More alphas than colours mean nothing.
                let wanted = if (1..=colors).contains(&alphas) {
                    128
                } else {
                    255
                };
                assert_eq!(alpha, wanted, "{case}");
            }
        }
    }
}

#[test]
fn a_palette_that_only_suggests_colours_is_passed_over() {
    let bench = Bench::new();
    let mut chunks = chunks_of(&png(2, 1, ::png::ColorType::Rgb, &[1, 2, 3, 4, 5, 6]));
    chunks.insert(1, (*b"PLTE", vec![9; 4]));
    let image = decoded(&bench, &png_of_chunks(&chunks));
    assert_eq!(image.bytes, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn palettes_stay_palettes_where_colours_stay_few() {
    let bench = Bench::new();
    for depth in [1, 2, 4, 8] {
        let palette: Vec<u8> = (0..3 << depth).map(|at| (at * 5 % 251) as u8).collect();
        for transparency in [None, Some([0, 128].as_slice())] {
            let source = indexed_png(depth, &palette, transparency);
            let made = bench.convert(&source, json!({ "format": "png" }));
            let kind = &made[24..26];
            assert_eq!(kind, [depth, 3], "{depth} bits");
            let (found, wanted) = (read_png(&made), read_png(&source));
            assert_eq!(found.color, wanted.color);
            // Of what can't be seen, the colour is of no matter.
            let seen = |image: &super::made::Image| -> Vec<Vec<u8>> {
                let pixels = image.bytes.chunks_exact(image.color.samples());
                pixels
                    .map(|pixel| match pixel {
                        [_, _, _, 0] => vec![0; 4],
                        pixel => pixel.to_vec(),
                    })
                    .collect()
            };
            assert_eq!(seen(&found), seen(&wanted), "{depth} bits");
        }
    }
}

/// Red across, green down.
fn gradient() -> Rgb {
    let pixel = |at: usize| [(at % 256) as u8, (at / 256) as u8, 128];
    Rgb {
        width: 256,
        height: 256,
        bytes: (0..256 * 256).flat_map(pixel).collect(),
    }
}

/// Means of four by four pixels, which is how dots of different colours are seen.
fn seen(picture: &Rgb) -> Vec<f64> {
    let (width, height) = (picture.width / 4, picture.height / 4);
    let sum = |x: usize, y: usize, channel: usize| -> f64 {
        let places = (0..16).map(|at| {
            let at = (y * 4 + at / 4) * picture.width + x * 4 + at % 4;
            f64::from(picture.bytes[at * 3 + channel])
        });
        places.sum()
    };
    let means = (0..width * height * 3).map(|at| {
        let (pixel, channel) = (at / 3, at % 3);
        sum(pixel % width, pixel / width, channel) / 16.0
    });
    means.collect()
}

#[test]
fn few_colours_look_like_all_of_them() {
    let bench = Bench::new();
    let picture = gradient();
    let all = png_of(&picture);
    // Below what libvips 8.18 reaches (45.2, 28.9, 20.7), above what Pillow 13 does (38.6, 25.0, 18.7).
    for (colors, likeness_min, depth) in [(256, 44.5, 8), (16, 28.2, 4), (4, 20.0, 2)] {
        let made = bench.convert(&all, json!({ "format": "png", "colors": colors }));
        assert_eq!(made[24..26], [depth, 3]);
        let palette = chunks_of(&made)
            .into_iter()
            .find(|(name, _)| name == b"PLTE")
            .unwrap()
            .1;
        assert!(palette.len() <= colors * 3, "{}", palette.len());
        let (found, wanted) = (seen(&read_png(&made).rgb()), seen(&picture));
        let squares = found.iter().zip(&wanted).map(|(a, b)| (a - b) * (a - b));
        let error = squares.sum::<f64>() / found.len() as f64;
        let likeness = 10.0 * (255.0 * 255.0 / error).log10();
        assert!(likeness > likeness_min, "{colors} colours: {likeness} dB");
    }
}

#[test]
fn colours_that_are_few_enough_stay_exactly() {
    let bench = Bench::new();
    let bytes: Vec<u8> = (0..256 * 4)
        .flat_map(|at| {
            [
                (at % 16 * 17) as u8,
                90,
                (at / 64 * 16) as u8,
                if at % 16 < 8 { 255 } else { 99 },
            ]
        })
        .collect();
    let source = png(64, 16, ::png::ColorType::Rgba, &bytes);
    let made = bench.convert(&source, json!({ "format": "png", "colors": 256 }));
    assert_eq!(made[25], 3, "a palette");
    assert!(read_png(&made).bytes == bytes);
    // Of grey, too, and of 16 bits.
    let grey = png(16, 1, ::png::ColorType::Grayscale, &[7; 16]);
    let made = bench.convert(&grey, json!({ "format": "png", "colors": 2 }));
    assert_eq!(read_png(&made).rgb().bytes, [7; 48]);
    let wide: Vec<u8> = (0..64_u16)
        .flat_map(|at| (at * 1000).to_be_bytes())
        .collect();
    let wide = png_with(
        64,
        1,
        ::png::ColorType::Grayscale,
        ::png::BitDepth::Sixteen,
        &wide,
        |_| {},
    );
    let made = bench.convert(&wide, json!({ "format": "png", "colors": 64 }));
    assert_eq!(made[24..26], [8, 3]);
    for colors in [0, 1, 257, 65_535] {
        let args = json!({ "source": inline(&grey), "format": "png", "colors": colors });
        assert_eq!(bench.failure("resize", args).0, "invalid_colors");
    }
}

/// Whoever writes 255 for white of one bit, as Pillow does, means white: the standard has the other bits ignored.
#[test]
fn of_the_grey_that_is_transparent_only_the_bits_of_a_sample_count() {
    let bench = Bench::new();
    for (depth, key, grey) in [
        (1, 255, 255),
        (1, 1, 255),
        (1, 254, 0),
        (2, 0xFE, 170),
        (4, 0x1F, 255),
        (4, 0x12, 34),
    ] {
        let file = |width, height, bytes: &[u8]| {
            let color = png::ColorType::Grayscale;
            let depth = png::BitDepth::from_u8(depth).unwrap();
            png_with(width, height, color, depth, bytes, |info| {
                info.trns = Some(vec![0, key].into());
            })
        };
        let all: Vec<u8> = (0..=255).collect();
        let made = decoded(&bench, &file(usize::from(8 / depth), 256, &all));
        assert_eq!(made.color, png::ColorType::GrayscaleAlpha);
        let pixels = made.bytes.chunks_exact(2);
        let count = pixels.filter(|pixel| pixel[1] == 0).count();
        assert_eq!(count, (made.bytes.len() / 2) >> depth, "{depth} {key}");

        // One pixel, as it is and as the only one of an interlaced image.
        for is_clear in [true, false] {
            let sample = if is_clear { grey } else { !grey } & 0xF0;
            let one = file(1, 1, &[sample]);
            let mut chunks = chunks_of(&one);
            chunks[0].1[12] = 1;
            for file in [one, png_of_chunks(&chunks)] {
                // What is opaque has no alpha.
                let found = decoded(&bench, &file).color == png::ColorType::GrayscaleAlpha;
                assert_eq!(found, is_clear, "{depth} {key}");
            }
        }
    }
}
