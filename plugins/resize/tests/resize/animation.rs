//! Animations: one frame, or all of them.

use plugin_api::serde_json::json;

use super::{
    Bench, inline,
    made::{decoded, gif},
};

const FRAMES: [([u8; 3], u16); 3] = [([255, 0, 0], 10), ([0, 255, 0], 20), ([0, 0, 255], 30)];

/// What an independent reader finds in a GIF file: each frame laid over those before it, RGBA, and its delay.
fn shown(data: &[u8]) -> Vec<(Vec<u8>, u16)> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(data).unwrap();
    let (width, height) = (usize::from(decoder.width()), usize::from(decoder.height()));
    let mut canvas = vec![0; width * height * 4];
    let mut frames = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        let (left, top) = (usize::from(frame.left), usize::from(frame.top));
        let at = |place: usize| {
            let (x, y) = (
                place % usize::from(frame.width),
                place / usize::from(frame.width),
            );
            ((top + y) * width + left + x) * 4
        };
        for (place, pixel) in frame.buffer.chunks_exact(4).enumerate() {
            if pixel[3] > 0 {
                canvas[at(place)..][..4].copy_from_slice(pixel);
            }
        }
        frames.push((canvas.clone(), frame.delay));
        match frame.dispose {
            gif::DisposalMethod::Background => {
                for place in 0..usize::from(frame.width) * usize::from(frame.height) {
                    canvas[at(place)..][..4].fill(0);
                }
            }
            gif::DisposalMethod::Previous => panic!("nobody writes that here"),
            _ => {}
        }
    }
    frames
}

/// The colours of the middle and the delays.
fn read_gif(data: &[u8]) -> Vec<([u8; 3], u16)> {
    let width = usize::from(u16::from_le_bytes([data[6], data[7]]));
    let height = usize::from(u16::from_le_bytes([data[8], data[9]]));
    let at = (height / 2 * width + width / 2) * 4;
    let frames = shown(data).into_iter();
    frames
        .map(|(canvas, delay)| ([canvas[at], canvas[at + 1], canvas[at + 2]], delay))
        .collect()
}

#[test]
fn animations_stay_animations() {
    let bench = Bench::new();
    let source = gif(40, 20, &FRAMES);
    assert_eq!(bench.identify(&source)["pages"], 3);
    let webp = bench.convert(
        &source,
        json!({ "width": 20, "format": "webp", "animated": true }),
    );
    let header = bench.identify(&webp);
    assert_eq!(
        (&header["pages"], &header["width"], &header["height"]),
        (&json!(3), &json!(20), &json!(10))
    );
    // From GIF directly, and by way of WebP.
    for source in [&source, &webp] {
        let made = bench.convert(
            source,
            json!({ "width": 20, "format": "gif", "animated": true }),
        );
        let frames = read_gif(&made);
        assert_eq!(frames.len(), 3);
        for ((color, delay), (expected, expected_delay)) in frames.iter().zip(FRAMES) {
            assert!(
                color.iter().zip(expected).all(|(a, b)| a.abs_diff(b) < 12),
                "{frames:?}"
            );
            assert_eq!(*delay, expected_delay);
        }
    }
}

#[test]
fn without_being_asked_the_first_frame_is_taken() {
    let bench = Bench::new();
    let source = gif(40, 20, &FRAMES);
    for format in ["gif", "webp", "jpeg", "png", "avif"] {
        let made = bench.convert(&source, json!({ "width": 20, "format": format }));
        assert_eq!(bench.identify(&made)["pages"], 1, "{format}");
        let pixel = decoded(&bench, &made).rgb().bytes[..3].to_vec();
        assert!(pixel[0] > 230 && pixel[1] < 25, "{format}: {pixel:?}");
    }
    // Nor where the format has no animation.
    let made = bench.convert(
        &source,
        json!({ "width": 20, "format": "png", "animated": true }),
    );
    assert_eq!(bench.identify(&made)["pages"], 1);
}

#[test]
fn frames_lie_over_each_other() {
    let bench = Bench::new();
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, 20, 20, &[]).unwrap();
    let mut add = |side: u16, at: u16, color: [u8; 3], dispose| {
        let mut frame = gif::Frame::from_rgb(side, side, &color.repeat(usize::from(side * side)));
        (frame.left, frame.top, frame.dispose, frame.delay) = (at, at, dispose, 5);
        encoder.write_frame(&frame).unwrap();
    };
    add(20, 0, [255, 255, 255], gif::DisposalMethod::Keep);
    add(10, 0, [255, 0, 0], gif::DisposalMethod::Background);
    add(10, 10, [0, 0, 255], gif::DisposalMethod::Previous);
    add(4, 0, [0, 255, 0], gif::DisposalMethod::Keep);
    drop(encoder);
    let made = bench.convert(&file, json!({ "animated": true, "format": "gif" }));
    let mut seen = Vec::new();
    for (canvas, _) in shown(&made) {
        let at = |x: usize, y: usize| canvas[(y * 20 + x) * 4..][..4].to_vec();
        seen.push([at(2, 2), at(7, 7), at(15, 15)]);
    }
    let (white, red, green, blue) = (
        vec![255; 4],
        vec![255, 0, 0, 255],
        vec![0, 255, 0, 255],
        vec![0, 0, 255, 255],
    );
    assert_eq!(seen[0], [white.clone(), white.clone(), white.clone()]);
    assert_eq!(seen[1], [red.clone(), red, white.clone()]);
    // The red part is gone, and shows through.
    assert_eq!((seen[2][0][3], &seen[2][2]), (0, &blue));
    assert_eq!(
        (&seen[3][0], seen[3][1][3], &seen[3][2]),
        (&green, 0, &white)
    );
}

#[test]
fn frames_and_their_pixels_are_limited() {
    let bench = Bench::with(json!({ "frames_max": 5, "pixels_max": 3000 }));
    let many = gif(10, 10, &[([1, 2, 3], 1); 9]);
    let args = json!({ "source": inline(&many), "animated": true });
    let (kind, message, data) = bench.failure("resize", args);
    assert_eq!(kind, "too_many_frames");
    assert_eq!(data["limit"], "frames_max");
    assert!(message.contains('5'), "{message}");
    let large = gif(30, 30, &[([1, 2, 3], 1); 4]);
    let args = json!({ "source": inline(&large), "animated": true });
    let (kind, _, data) = bench.failure("resize", args);
    assert_eq!(
        (kind.as_str(), &data["actual"]),
        ("too_many_pixels", &json!(3600))
    );
    // One frame of it is small enough.
    bench.convert(&large, json!({ "format": "png" }));
}

/// Times in milliseconds, and what a browser that keeps to them needs of a GIF, in hundredths of a second: none below
/// two, and no sum that drifts away.
#[test]
fn times_are_rounded_together_and_are_never_too_short_to_be_kept() {
    let bench = Bench::new();
    // 33, 16, 5 and 0 ms, made by Pillow; the last two look alike to nobody.
    let source = include_bytes!("../data/times.webp");
    let args = json!({ "format": "gif", "animated": true });
    let delays: Vec<u16> = read_gif(&bench.convert(source, args))
        .into_iter()
        .map(|(_, delay)| delay)
        .collect();
    assert_eq!(delays, [3, 2, 2, 2]);
    // A third of a tenth of a second each, thirty times: one second, and not nine tenths.
    let source = include_bytes!("../data/thirds.webp");
    let args = json!({ "format": "gif", "animated": true });
    let frames = read_gif(&bench.convert(source, args));
    assert_eq!(frames.len(), 30);
    let sum: u16 = frames.into_iter().map(|(_, delay)| delay).sum();
    assert!((99..=101).contains(&sum), "{sum}");
    // What browsers show for a tenth of a second lasts as long afterwards.
    let hasty = gif(
        8,
        8,
        &[([255, 0, 0], 0), ([0, 255, 0], 1), ([0, 0, 255], 2)],
    );
    let args = json!({ "format": "gif", "animated": true });
    let frames = read_gif(&bench.convert(&hasty, args));
    let delays: Vec<u16> = frames.into_iter().map(|(_, delay)| delay).collect();
    assert_eq!(delays, [10, 10, 2]);
}

#[test]
fn frames_are_counted_in_the_file_that_was_made() {
    let bench = Bench::new();
    let same = gif(
        8,
        8,
        &[([255, 0, 0], 5), ([255, 0, 0], 5), ([0, 0, 255], 5)],
    );
    for format in ["webp", "gif"] {
        let args = json!({
            "source": inline(&same), "format": format, "animated": true, "target": "made",
        });
        let made = bench.resize(args);
        let file = std::fs::read(bench.path("made")).unwrap();
        assert_eq!(made["frames"], bench.identify(&file)["pages"], "{format}");
    }
}

#[test]
fn frames_beyond_the_image_are_cut_at_its_edge() {
    let bench = Bench::new();
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, 20, 20, &[]).unwrap();
    let mut add = |side: u16, at: u16, color: [u8; 3]| {
        let mut frame = gif::Frame::from_rgb(side, side, &color.repeat(usize::from(side * side)));
        (frame.left, frame.top) = (at, at);
        (frame.dispose, frame.delay) = (gif::DisposalMethod::Background, 5);
        encoder.write_frame(&frame).unwrap();
    };
    add(20, 0, [255, 255, 255]);
    add(30, 10, [255, 0, 0]);
    add(5, 40, [0, 255, 0]);
    drop(encoder);
    assert_eq!(bench.identify(&file)["pages"], 3);
    for format in ["gif", "webp", "png"] {
        let args = json!({ "format": format, "animated": true });
        let header = bench.identify(&bench.convert(&file, args));
        assert_eq!(header["width"], 20, "{format}");
    }
    let made = bench.convert(&file, json!({ "format": "gif", "animated": true }));
    let second = &shown(&made)[1].0;
    assert_eq!(second[(15 * 20 + 15) * 4..][..4], [255, 0, 0, 255]);
}

/// Browsers, Pillow and libvips have it so: many a GIF says less than its first frame needs.
#[test]
fn an_image_has_room_for_its_first_frame() {
    let bench = Bench::new();
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, 40, 40, &[]).unwrap();
    for (at, color) in [((3, 5), [255, 0, 0]), ((9, 9), [0, 0, 255])] {
        let mut frame = gif::Frame::from_rgb(20, 10, &color.repeat(200));
        (frame.left, frame.top) = at;
        encoder.write_frame(&frame).unwrap();
    }
    drop(encoder);
    for (said, size) in [
        ([40, 0, 40, 0], (40, 40)),
        ([8, 0, 8, 0], (23, 15)),
        ([0, 0, 0, 0], (23, 15)),
        ([30, 0, 8, 0], (30, 15)),
    ] {
        file[6..10].copy_from_slice(&said);
        let header = bench.identify(&file);
        assert_eq!(
            (&header["width"], &header["height"]),
            (&json!(size.0), &json!(size.1))
        );
        let first = decoded(&bench, &file);
        assert_eq!((first.width, first.height), size);
        assert_eq!(first.pixel(22, 14), [255, 0, 0, 255]);
        assert_eq!(first.pixel(2, 14), [0; 4]);
    }
}

#[test]
fn colours_beyond_the_table_are_black() {
    let bench = Bench::new();
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, 4, 1, &[255, 0, 0, 0, 255, 0]).unwrap();
    let mut frame = gif::Frame::from_indexed_pixels(4, 1, vec![0, 1, 2, 3], Some(3));
    frame.make_lzw_pre_encoded();
    encoder.write_lzw_pre_encoded_frame(&frame).unwrap();
    drop(encoder);
    let made = decoded(&bench, &file);
    let pixels: Vec<&[u8]> = (0..4).map(|x| made.pixel(x, 0)).collect();
    let (red, green, black) = ([255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 0, 255]);
    assert_eq!(pixels, [&red[..], &green, &black, &[0; 4]]);
}

#[test]
fn extensions_that_nobody_knows_are_skipped() {
    let bench = Bench::new();
    let file = gif(8, 8, &[([255, 0, 0], 5), ([0, 0, 255], 5)]);
    let frame = file.iter().rposition(|byte| *byte == 0x2C).unwrap();
    // Before the extension that belongs to the last frame.
    let at = file[..frame]
        .windows(2)
        .rposition(|pair| pair == [0x21, 0xF9])
        .unwrap();
    let unknown = [&file[..at], &[0x21, 0x2A, 3, 1, 2, 3, 1, 4, 0], &file[at..]].concat();
    let args = json!({ "format": "gif", "animated": true });
    let wanted = bench.convert(&file, args.clone());
    assert!(bench.convert(&unknown, args) == wanted);
}

#[test]
fn the_pixels_of_all_frames_are_work() {
    let bench = Bench::with(json!({ "target_pixels_max": 100_000 }));
    let source = gif(10, 10, &[([1, 2, 3], 5); 30]);
    for format in ["gif", "webp"] {
        let args = json!({
            "source": inline(&source), "animated": true, "format": format, "width": 100,
        });
        let (kind, message, data) = bench.failure("resize", args);
        assert_eq!(kind, "target_too_large", "{message}");
        assert_eq!(
            data,
            json!({ "limit": "target_pixels_max", "allowed": 100_000, "actual": 300_000 })
        );
    }
    // One frame of that size, or all of them at another.
    bench.convert(&source, json!({ "format": "gif", "width": 100 }));
    bench.convert(
        &source,
        json!({ "format": "gif", "width": 50, "animated": true }),
    );
}

#[test]
fn a_file_that_ends_within_a_frame_is_broken_whatever_is_made_of_it() {
    let bench = Bench::new();
    let whole = gif(40, 20, &FRAMES);
    let second = (whole.len() * 5 / 9)..(whole.len() * 5 / 9 + 3);
    for len in second {
        for args in [
            json!({ "format": "png" }),
            json!({ "format": "gif", "animated": true }),
            json!({ "format": "jpeg", "width": 5 }),
        ] {
            let mut args = args;
            args["source"] = inline(&whole[..len]);
            assert_eq!(bench.failure("resize", args).0, "broken_image", "{len}");
        }
    }
    // Without its last byte, no pixel is missing.
    let args = json!({ "format": "gif", "animated": true });
    let made = bench.convert(&whole[..whole.len() - 1], args);
    assert_eq!(read_gif(&made).len(), 3);
}

#[test]
fn frames_are_written_as_what_differs() {
    let bench = Bench::new();
    let (width, height) = (64_u16, 48_u16);
    let background = super::photo::photo(usize::from(width), usize::from(height), 3).bytes;
    let background: Vec<u8> = background.into_iter().map(|byte| byte & 0xC0).collect();
    let mut source = Vec::new();
    let mut encoder = gif::Encoder::new(&mut source, width, height, &[]).unwrap();
    let mut wanted = Vec::new();
    for number in 0..20_usize {
        let mut pixels = background.clone();
        for y in 20..28 {
            for x in number * 2..number * 2 + 8 {
                pixels[(y * usize::from(width) + x) * 3..][..3].copy_from_slice(&[255, 0, 0]);
            }
        }
        encoder
            .write_frame(&gif::Frame::from_rgb(width, height, &pixels))
            .unwrap();
        wanted.push(pixels);
    }
    drop(encoder);
    let made = bench.convert(&source, json!({ "format": "gif", "animated": true }));
    assert!(
        made.len() * 4 < source.len(),
        "{} of {}",
        made.len(),
        source.len()
    );
    let found = shown(&made);
    assert_eq!(found.len(), wanted.len());
    for (number, ((found, _), wanted)) in found.iter().zip(wanted).enumerate() {
        let found: Vec<u8> = found
            .chunks_exact(4)
            .flat_map(|p| [p[0], p[1], p[2]])
            .collect();
        assert!(found == wanted, "frame {number}");
    }
}
