//! GIF files of few colours: how near they come, and how long they get.

use plugin_api::serde_json::{Value, json};

use super::{
    Bench,
    made::{decoded, png, png_of},
    photo::{Rgb, photo},
    reference::{psnr, scaled},
};

/// A frame as an independent reader finds it: how many colours its table has that differ, whether the table is its own,
/// and what is shown, RGBA.
struct Seen {
    colors: usize,
    has_own_table: bool,
    pixels: Vec<u8>,
}

fn seen(data: &[u8]) -> Vec<Seen> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    let mut decoder = options.read_info(data).unwrap();
    let (width, height) = (usize::from(decoder.width()), usize::from(decoder.height()));
    let shared = decoder.global_palette().map(<[u8]>::to_vec);
    let mut canvas = vec![0; width * height * 4];
    let mut frames = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        let table = frame.palette.clone().or_else(|| shared.clone()).unwrap();
        let mut used = std::collections::HashSet::new();
        for (at, number) in frame.buffer.iter().enumerate() {
            if Some(*number) == frame.transparent {
                continue;
            }
            let color = &table[usize::from(*number) * 3..][..3];
            used.insert(color.to_vec());
            let (x, y) = (at % usize::from(frame.width), at / usize::from(frame.width));
            let (x, y) = (x + usize::from(frame.left), y + usize::from(frame.top));
            let pixel = &mut canvas[(y * width + x) * 4..][..4];
            pixel[..3].copy_from_slice(color);
            pixel[3] = 255;
        }
        frames.push(Seen {
            colors: used.len(),
            has_own_table: frame.palette.is_some(),
            pixels: canvas.clone(),
        });
        assert_eq!(frame.dispose, gif::DisposalMethod::Keep);
    }
    frames
}

fn rgb(frame: &Seen, width: usize) -> Rgb {
    let pixels = frame.pixels.chunks_exact(4);
    let bytes: Vec<u8> = pixels.flat_map(|p| [p[0], p[1], p[2]]).collect();
    Rgb {
        height: bytes.len() / 3 / width,
        width,
        bytes,
    }
}

/// Means of four by four pixels, which is how dots of different colours are seen.
fn means(picture: &Rgb) -> Rgb {
    let (width, height) = (picture.width / 4, picture.height / 4);
    let mean = |at: usize| {
        let (pixel, channel) = (at / 3, at % 3);
        let (x, y) = (pixel % width * 4, pixel / width * 4);
        let places = (0..16).map(|at| (y + at / 4) * picture.width + x + at % 4);
        let sum: u32 = places
            .map(|at| u32::from(picture.bytes[at * 3 + channel]))
            .sum();
        ((sum + 8) / 16) as u8
    };
    Rgb {
        width,
        height,
        bytes: (0..width * height * 3).map(mean).collect(),
    }
}

#[test]
fn few_colours_look_like_all_of_them() {
    let bench = Bench::new();
    let picture = photo(256, 192, 7);
    let source = png_of(&picture);
    for (colors, likeness_min) in [
        (Value::Null, LIKENESS[0]),
        (json!(16), LIKENESS[1]),
        (json!(4), LIKENESS[2]),
    ] {
        let args = json!({ "format": "gif", "colors": colors });
        let made = seen(&bench.convert(&source, args)).remove(0);
        let most = colors.as_u64().unwrap_or(256) as usize;
        assert!(made.colors <= most, "{} of {colors}", made.colors);
        let likeness = psnr(&means(&rgb(&made, 256)), &means(&picture));
        assert!(likeness > likeness_min, "{colors} colours: {likeness} dB");
    }
}

/// For all colours, 16 and 4.
const LIKENESS: [f64; 3] = [40.0, 28.0, 20.0];

#[test]
fn colours_that_are_few_enough_stay_exactly() {
    let bench = Bench::new();
    // 15 colours, and what is transparent.
    let bytes: Vec<u8> = (0..64 * 16)
        .flat_map(|at: usize| match at / 4 % 16 {
            15 => [9, 9, 9, 0],
            n => [(n * 17) as u8, 90, 255 - (n * 3) as u8, 255],
        })
        .collect();
    let source = png(64, 16, ::png::ColorType::Rgba, &bytes);
    for colors in [15, 16, 256] {
        let made = bench.convert(&source, json!({ "format": "gif", "colors": colors }));
        let found = seen(&made).remove(0);
        let wanted = bytes.chunks_exact(4);
        let wanted: Vec<u8> = wanted
            .flat_map(|p| {
                if p[3] == 0 {
                    [0; 4]
                } else {
                    [p[0], p[1], p[2], 255]
                }
            })
            .collect();
        assert!(found.pixels == wanted, "{colors}");
    }
    // Transparency stays where there is room for two colours only.
    let made = bench.convert(&source, json!({ "format": "gif", "colors": 2 }));
    let found = seen(&made).remove(0);
    assert_eq!(found.colors, 2);
    let alphas = found.pixels.iter().skip(3).step_by(4);
    let wanted = bytes.iter().skip(3).step_by(4);
    assert!(alphas.eq(wanted));
}

/// A part of a picture that moves across it, each frame with a table of its own: all pixels change.
fn moving(frames: usize, (width, height): (u16, u16)) -> (Vec<u8>, Vec<Rgb>) {
    let (w, h) = (usize::from(width), usize::from(height));
    let whole = photo(w + frames * 3, h, 21);
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, width, height, &[]).unwrap();
    let mut pictures = Vec::new();
    for number in 0..frames {
        let rows = whole.bytes.chunks_exact(whole.width * 3);
        let bytes: Vec<u8> = rows
            .flat_map(|row| row[number * 9..][..w * 3].iter().copied())
            .collect();
        encoder
            .write_frame(&gif::Frame::from_rgb(width, height, &bytes))
            .unwrap();
        pictures.push(Rgb {
            width: w,
            height: h,
            bytes,
        });
    }
    drop(encoder);
    (file, pictures)
}

#[test]
fn animations_with_a_table_for_each_frame_shrink_and_share_one() {
    let bench = Bench::new();
    let (source, pictures) = moving(12, (160, 120));
    for (colors, len_share, likeness_min) in [(256, 0.7, 36.0), (64, 0.5, 30.0)] {
        let args = json!({ "format": "gif", "animated": true, "width": 120, "colors": colors });
        let made = bench.convert(&source, args);
        let share = made.len() as f64 / source.len() as f64;
        assert!(
            share < len_share,
            "{colors}: {} of {}",
            made.len(),
            source.len()
        );
        let frames = seen(&made);
        assert_eq!(frames.len(), pictures.len());
        let own = frames.iter().filter(|frame| frame.has_own_table).count();
        assert!(own <= 2, "{own} tables");
        for (number, (frame, picture)) in frames.iter().zip(&pictures).enumerate() {
            assert!(frame.colors <= colors, "{}", frame.colors);
            let wanted = scaled(picture, 120, 90);
            let likeness = psnr(&means(&rgb(frame, 120)), &means(&wanted));
            assert!(
                likeness > likeness_min,
                "{colors}, frame {number}: {likeness} dB"
            );
        }
    }
}

#[test]
fn a_new_scene_gets_colours_of_its_own() {
    let bench = Bench::new();
    let mut file = Vec::new();
    let (width, height) = (96, 64);
    let mut encoder = gif::Encoder::new(&mut file, width, height, &[]).unwrap();
    // A title of two colours, a red scene, a blue one.
    let title: Vec<u8> = (0..96 * 64)
        .flat_map(|at| if at % 96 < 48 { [0; 3] } else { [255; 3] })
        .collect();
    let scene = |channel: usize, seed: u32| {
        let mut bytes = photo(96, 64, seed).bytes;
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = if at % 3 == channel { *byte } else { *byte / 4 };
        }
        bytes
    };
    let pictures = [title, scene(0, 3), scene(0, 3), scene(2, 5), scene(2, 5)];
    for bytes in &pictures {
        encoder
            .write_frame(&gif::Frame::from_rgb_speed(width, height, bytes, 1))
            .unwrap();
    }
    drop(encoder);
    let made = bench.convert(&file, json!({ "format": "gif", "animated": true }));
    let frames = seen(&made);
    let title = rgb(&frames[0], 96);
    assert!(title.bytes == pictures[0]);
    for (number, (frame, bytes)) in frames.iter().zip(pictures).enumerate().skip(1) {
        let wanted = Rgb {
            width: 96,
            height: 64,
            bytes,
        };
        let likeness = psnr(&means(&rgb(frame, 96)), &means(&wanted));
        assert!(likeness > 34.0, "frame {number}: {likeness} dB");
    }
}

#[test]
fn colours_of_a_gif_are_2_to_256() {
    let bench = Bench::new();
    let source = png_of(&photo(32, 32, 1));
    for colors in [2, 3, 255, 256] {
        let made = bench.convert(&source, json!({ "format": "gif", "colors": colors }));
        assert!(seen(&made)[0].colors <= colors);
        assert_eq!(decoded(&bench, &made).width, 32);
    }
}
