//! Broken and hostile files: each ends in an error or a result, soon, and nothing is left behind.

use std::time::{Duration, Instant};

use plugin_api::{
    serde_json::{Value, json},
    testing::CallError,
};

use super::{
    Bench, inline,
    made::{
        chunks_of, exif, gif, png_of, png_of_chunks, png_with, read_png, swapped_profile,
        with_segment,
    },
    photo::photo,
    turbo,
};

/// A file of each kind that is decoded differently.
fn corpus(bench: &Bench) -> Vec<(&'static str, Vec<u8>)> {
    let picture = photo(97, 61, 1);
    let png = png_of(&picture);
    let rgba: Vec<u8> = picture
        .bytes
        .chunks_exact(3)
        .flat_map(|p| [p[0], p[1], p[2], p[1]])
        .collect();
    let rgba = png_with(
        97,
        61,
        png::ColorType::Rgba,
        png::BitDepth::Eight,
        &rgba,
        |info| {
            info.icc_profile = Some(swapped_profile().into());
            info.exif_metadata = Some(exif(6).into());
        },
    );
    let jpeg = bench.convert(&png, json!({ "format": "jpeg" }));
    let tagged = with_segment(&jpeg, 0xE1, &[b"Exif\0\0".as_slice(), &exif(6)].concat());
    let icc = [b"ICC_PROFILE\0\x01\x01".as_slice(), &swapped_profile()].concat();
    let tagged = with_segment(&tagged, 0xE2, &icc);
    let gif = gif(
        30,
        20,
        &[([255, 0, 0], 10), ([0, 255, 0], 20), ([0, 0, 255], 30)],
    );
    let keep =
        |format, quality| json!({ "format": format, "metadata": "keep", "quality": quality });
    let animated = json!({ "format": "webp", "animated": true });
    vec![
        (
            "interlaced png",
            include_bytes!("../data/interlaced.png").to_vec(),
        ),
        (
            "progressive jpeg",
            include_bytes!("../data/progressive.jpg").to_vec(),
        ),
        ("cmyk jpeg", include_bytes!("../data/cmyk.jpg").to_vec()),
        (
            "avif of 10 bits",
            include_bytes!("../data/sharp10.avif").to_vec(),
        ),
        ("webp", bench.convert(&tagged, keep("webp", 80))),
        ("lossless webp", bench.convert(&png, keep("webp", 101))),
        ("webp with alpha", bench.convert(&rgba, keep("webp", 80))),
        ("animated webp", bench.convert(&gif, animated)),
        ("avif", bench.convert(&tagged, keep("avif", 60))),
        ("avif with alpha", bench.convert(&rgba, keep("avif", 60))),
        ("png with alpha", rgba),
        ("jpeg", tagged),
        ("gif", gif),
        ("png", png),
    ]
}

pub(crate) const KINDS: [&str; 8] = [
    "broken_image",
    "unsupported_format",
    "unsupported_feature",
    "too_many_pixels",
    "too_many_frames",
    "too_much_memory",
    "out_of_memory",
    "target_too_large",
];

/// Runs all that there is to run on a file, and tells what came of resizing.
fn run(bench: &Bench, case: &str, data: &[u8]) -> Result<Value, String> {
    let start = Instant::now();
    let calls = [
        ("identify", json!({ "source": inline(data) })),
        (
            "resize",
            json!({ "source": inline(data), "width": 12, "format": "jpeg" }),
        ),
        (
            "resize",
            json!({ "source": inline(data), "animated": true, "target": "made.webp", "width": 30 }),
        ),
        (
            "resize",
            json!({ "source": inline(data), "width": 12, "format": "png", "linear": true }),
        ),
    ];
    let mut last = Err(String::new());
    for (function, args) in calls {
        let result = bench.plugin.call(function, args);
        match &result {
            Ok(_) => {}
            Err(CallError::Failed { kind, message, .. }) => {
                assert!(KINDS.contains(&kind.as_str()), "{case}: {kind}: {message}");
                assert!(message.len() < 400, "{case}: {message}");
            }
            Err(other) => panic!("{case}: {other:?}"),
        }
        last = result.map_err(|error| error.kind().unwrap_or_default().to_owned());
    }
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{case} took {:?}",
        start.elapsed()
    );
    last
}

#[test]
fn truncated_files_are_errors() {
    let bench = Bench::with(json!({ "memory_max": 64_000_000 }));
    for (name, file) in corpus(&bench) {
        assert!(run(&bench, name, &file).is_ok(), "{name} itself");
        let step = (file.len() / 60).max(1);
        for len in (0..file.len())
            .step_by(step)
            .chain(file.len().saturating_sub(8)..file.len())
        {
            let case = format!("{name}, {len} of {} bytes", file.len());
            let result = run(&bench, &case, &file[..len]);
            // Nobody misses the very end of a file: its last marker, checksum or padding.
            if len + 24 < file.len() && !name.contains("gif") {
                assert!(result.is_err(), "{case}: {result:?}");
            }
        }
    }
    assert!(
        bench.files().iter().all(|name| name == "made.webp"),
        "{:?}",
        bench.files()
    );
}

/// Numbers that look like chance, the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

#[test]
fn files_with_wrong_bytes_end_in_an_error_or_a_result() {
    let bench = Bench::with(json!({ "memory_max": 64_000_000, "pixels_max": 4_000_000 }));
    let mut chance = Chance(4);
    for (name, file) in corpus(&bench) {
        for round in 0..60 {
            let mut broken = file.clone();
            for _ in 0..1 + chance.below(4) {
                // Headers are what lies best.
                let end = if round % 2 == 0 {
                    broken.len()
                } else {
                    broken.len().min(200)
                };
                let at = chance.below(end);
                broken[at] = match chance.below(4) {
                    0 => 0,
                    1 => 0xFF,
                    _ => broken[at] ^ 1 << chance.below(8),
                };
            }
            let _ = run(&bench, &format!("{name}, round {round}"), &broken);
        }
    }
}

#[test]
fn what_is_no_image_is_told_so() {
    let bench = Bench::new();
    for data in [
        b"".as_slice(),
        b"GIF",
        b"<svg/>",
        b"\x89PNG",
        b"BM1234",
        &[0; 100],
        b"RIFF\0\0\0\0WAVE",
    ] {
        assert_eq!(
            run(&bench, "no image", data).unwrap_err(),
            "unsupported_format"
        );
    }
    let args = json!({ "source": { "base64": "no base64!" } });
    assert_eq!(bench.failure("resize", args).0, "invalid_base64");
}

#[test]
fn headers_that_lie_are_found_out() {
    let bench = Bench::with(json!({ "memory_max": 200_000_000 }));
    let png = png_of(&photo(64, 64, 1));
    let jpeg = bench.convert(&png, json!({ "format": "jpeg" }));
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xFF, 0xC0])
        .unwrap();
    for (width, height, expected) in [
        (0, 64, "broken_image"),
        (64, 0, "broken_image"),
        (65_535, 65_535, "broken_image too_many_pixels"),
        // Few enough to be decoded, which is what shows the lie.
        (1200, 1200, "broken_image"),
    ] {
        let mut lying = jpeg.clone();
        lying[frame + 5..frame + 7].copy_from_slice(&u16::to_be_bytes(height));
        lying[frame + 7..frame + 9].copy_from_slice(&u16::to_be_bytes(width));
        let kind = run(&bench, "jpeg", &lying).unwrap_err();
        assert!(expected.contains(&kind), "{width} x {height}: {kind}");
    }
    let mut gif = gif(30, 20, &[([255, 0, 0], 10)]);
    gif[6..10].copy_from_slice(&[0xFF; 4]);
    assert_eq!(run(&bench, "gif", &gif).unwrap_err(), "too_many_pixels");
    // There is room for the first frame.
    for said in [[0; 4], [5, 0, 5, 0]] {
        gif[6..10].copy_from_slice(&said);
        run(&bench, "gif", &gif).unwrap();
    }
    // One that is larger than any image may be.
    let frame = gif
        .windows(9)
        .position(|at| at == [0x2C, 0, 0, 0, 0, 30, 0, 20, 0]);
    let frame = frame.unwrap();
    gif[frame + 5..frame + 9].copy_from_slice(&[0xFF; 4]);
    assert_eq!(run(&bench, "gif", &gif).unwrap_err(), "too_many_pixels");
    let webp = bench.convert(&png, json!({ "format": "webp" }));
    let start = webp
        .windows(3)
        .position(|bytes| bytes == [0x9D, 0x01, 0x2A])
        .unwrap();
    let mut lying = webp.clone();
    lying[start + 3..start + 7].copy_from_slice(&[0xFF, 0x3F, 0xFF, 0x3F]);
    assert_eq!(run(&bench, "webp", &lying).unwrap_err(), "too_many_pixels");
    lying[start + 3..start + 7].copy_from_slice(&[0, 2, 0, 2]);
    assert_eq!(run(&bench, "webp", &lying).unwrap_err(), "broken_image");
    let avif = bench.convert(&png, json!({ "format": "avif" }));
    let size = avif.windows(4).position(|bytes| bytes == b"ispe").unwrap();
    for (side, expected) in [
        (0_u32, "broken_image"),
        (1 << 20, "too_many_pixels"),
        (512, "broken_image"),
    ] {
        let mut lying = avif.clone();
        lying[size + 8..size + 12].copy_from_slice(&side.to_be_bytes());
        lying[size + 12..size + 16].copy_from_slice(&side.to_be_bytes());
        assert_eq!(run(&bench, "avif", &lying).unwrap_err(), expected, "{side}");
    }
}

#[test]
fn a_wrong_checksum_is_an_error() {
    let bench = Bench::new();
    let mut png = png_of(&photo(64, 64, 1));
    // That of the header.
    png[30] ^= 1;
    assert_eq!(run(&bench, "png", &png).unwrap_err(), "broken_image");
    let (_, message, _) = bench.failure("identify", json!({ "source": inline(&png) }));
    let is_plain = message.contains(" IHDR ") && !message.contains(['{', '}']);
    assert!(is_plain, "{message}");
    // That of the pixels, before they were compressed: where the chunk's own is right, it is all that tells.
    for file in [
        png_of(&photo(64, 64, 1)),
        include_bytes!("../data/interlaced.png").to_vec(),
    ] {
        let mut chunks = chunks_of(&file);
        let (_, last) = chunks
            .iter_mut()
            .rfind(|(name, _)| name == b"IDAT")
            .unwrap();
        *last.last_mut().unwrap() ^= 1;
        let file = png_of_chunks(&chunks);
        let verdicts = verdicts(&bench, &file);
        assert!(verdicts.iter().all(|is_ok| !is_ok), "{verdicts:?}");
        let args = json!({ "source": inline(&file), "format": "png", "on_damage": "show" });
        bench.resize(args);
    }
}

/// Whoever wrote no end left out no pixel.
#[test]
fn a_png_file_without_its_last_chunk_is_whole() {
    let bench = Bench::new();
    // Of two sides of every kind, as some passes of small interlaced images are empty.
    let mut files = vec![
        png_of(&photo(64, 64, 1)),
        include_bytes!("../data/interlaced.png").to_vec(),
    ];
    files.extend((1..=9).map(|width| interlaced(width, 10 - width)));
    for file in files {
        let mut chunks = chunks_of(&file);
        let end = chunks.pop().unwrap();
        assert_eq!(&end.0, b"IEND");
        let endless = png_of_chunks(&chunks);
        for len in [endless.len(), endless.len() + 4, endless.len() + 11] {
            let verdicts = verdicts(&bench, &file[..len]);
            assert!(verdicts.iter().all(|is_ok| *is_ok), "{len}: {verdicts:?}");
        }
        bench.write("endless.png", &endless);
        let from_file = bench.resize(json!({ "source": "endless.png", "format": "png" }));
        let whole = bench.resize(json!({ "source": inline(&file), "format": "png" }));
        assert_eq!(from_file["base64"], whole["base64"]);
        // Without anything of its last rows, it isn't.
        let (_, pixels) = chunks.last_mut().unwrap();
        pixels.truncate(pixels.len() / 2);
        let cut = png_of_chunks(&chunks);
        let verdicts = verdicts(&bench, &cut);
        assert!(verdicts.iter().all(|is_ok| !is_ok), "{verdicts:?}");
    }
}

/// A grey interlaced PNG file whose pixels are all alike, so that no row depends on another.
fn interlaced(width: usize, height: usize) -> Vec<u8> {
    let passes = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ];
    let mut rows = Vec::new();
    for (x, y, across, down) in passes {
        let columns = (x..width).step_by(across).count();
        for _ in (y..height).step_by(down).filter(|_| columns > 0) {
            rows.push(0);
            rows.extend(vec![77; columns]);
        }
    }
    let plain = png_with(
        rows.len(),
        1,
        png::ColorType::Grayscale,
        png::BitDepth::Eight,
        &vec![0; rows.len()],
        |_| {},
    );
    let mut chunks = chunks_of(&plain);
    let header = &mut chunks[0].1;
    header[..4].copy_from_slice(&u32::try_from(width).unwrap().to_be_bytes());
    header[4..8].copy_from_slice(&u32::try_from(height).unwrap().to_be_bytes());
    header[12] = 1;
    chunks.retain(|(name, _)| name != b"IDAT");
    chunks.insert(1, (*b"IDAT", stored(&rows)));
    png_of_chunks(&chunks)
}

/// Bytes as zlib has them uncompressed, with their Adler-32.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap();
    let (low, high) = bytes.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    [
        &[0x78, 0x01, 0x01],
        len.to_le_bytes().as_slice(),
        &(!len).to_le_bytes(),
        bytes,
        &(high << 16 | low).to_be_bytes(),
    ]
    .concat()
}

#[test]
fn wrong_tables_of_codes_are_an_error() {
    let bench = Bench::new();
    let jpeg = bench.convert(&png_of(&photo(64, 64, 1)), json!({ "format": "jpeg" }));
    let table = jpeg
        .windows(2)
        .position(|pair| pair == [0xFF, 0xC4])
        .unwrap();
    for fill in [0, 1, 0x7F, 0xFF] {
        let mut broken = jpeg.clone();
        broken[table + 5..table + 21].fill(fill);
        assert_eq!(
            run(&bench, "codes", &broken).unwrap_err(),
            "broken_image",
            "{fill}"
        );
    }
}

#[test]
fn compressed_texts_and_profiles_burst_nothing() {
    let bench = Bench::with(json!({ "memory_max": 64_000_000 }));
    let zeros = vec![0; 300 << 20];
    let mut bomb = png_with(
        8,
        8,
        png::ColorType::Grayscale,
        png::BitDepth::Eight,
        &[9; 64],
        |info| {
            info.icc_profile = Some(zeros.into());
        },
    );
    assert!(bomb.len() < 2_000_000);
    // Either is fine: it is refused, or the profile is not looked at.
    let _ = run(&bench, "profile", &bomb);
    // The same as a compressed text.
    let at = bomb.windows(4).position(|bytes| bytes == b"iCCP").unwrap();
    bomb[at..at + 4].copy_from_slice(b"zTXt");
    let _ = run(&bench, "text", &bomb);
}

#[test]
fn many_scans_and_many_frames_end() {
    let bench = Bench::with(json!({ "frames_max": 1000 }));
    let jpeg = include_bytes!("../data/progressive.jpg");
    let last_scan = (0..jpeg.len() - 1)
        .rfind(|at| jpeg[*at..at + 2] == [0xFF, 0xDA])
        .unwrap();
    let scan = &jpeg[last_scan..jpeg.len() - 2];
    let many = [
        &jpeg[..jpeg.len() - 2],
        &scan.repeat(5000),
        &jpeg[jpeg.len() - 2..],
    ]
    .concat();
    let kind = run(&bench, "scans", &many).unwrap_err();
    assert_eq!(kind, "broken_image");
    let endless = gif(2, 2, &vec![([1, 2, 3], 1); 5000]);
    let args = json!({ "source": inline(&endless), "animated": true });
    assert_eq!(bench.failure("resize", args).0, "too_many_frames");
}

/// Whether an image can be made of a file at each of many sizes, and in each format.
fn verdicts(bench: &Bench, file: &[u8]) -> Vec<bool> {
    let mut verdicts = Vec::new();
    for width in [96, 48, 47, 24, 12, 5] {
        for format in ["png", "jpeg", "webp", "gif"] {
            for linear in [false, true] {
                let args = json!({
                    "source": inline(file), "width": width, "format": format, "linear": linear,
                });
                verdicts.push(bench.plugin.call("resize", args).is_ok());
            }
        }
    }
    verdicts
}

#[test]
fn the_same_damage_has_the_same_end_at_every_size() {
    let bench = Bench::new();
    let png = png_of(&photo(96, 64, 1));
    let baseline = bench.convert(&png, json!({ "format": "jpeg" }));
    let fine = bench.convert(&png, json!({ "format": "jpeg", "quality": 95 }));
    let progressive = include_bytes!("../data/progressive.jpg").to_vec();
    for (name, file) in [
        ("baseline", baseline),
        ("4:4:4", fine),
        ("progressive", progressive),
    ] {
        let end = file.len() - 2;
        assert_eq!(file[end..], [0xFF, 0xD9], "{name}");
        // Only the marker of the end is missing, or half of it: all pixels are there.
        for len in [end, end + 1] {
            let verdicts = verdicts(&bench, &file[..len]);
            assert!(verdicts.iter().all(|is_ok| *is_ok), "{name}: {verdicts:?}");
        }
        for len in [end - 40, end / 2 + 200, end * 3 / 4] {
            let verdicts = verdicts(&bench, &file[..len]);
            let case = format!("{name}, {len} of {end} bytes: {verdicts:?}");
            assert!(verdicts.iter().all(|is_ok| !is_ok), "{case}");
        }
    }
}

#[test]
fn a_wrong_header_has_the_same_end_at_every_size() {
    let bench = Bench::new();
    let picture = photo(64, 40, 1);
    let own_codes = bench.convert(&png_of(&picture), json!({ "format": "jpeg" }));
    // Many of the standard's codes are used by no picture of this size.
    let usual_codes = turbo::jpeg(&picture, &[]);
    for file in [own_codes, usual_codes] {
        let scan = file.windows(2).position(|two| two == [0xFF, 0xDA]);
        // All that stands before the scan: tables, the frame, its components, and which tables these have.
        for place in 2..scan.unwrap() + 14 {
            for bit in 0..8 {
                let mut wrong = file.clone();
                wrong[place] ^= 1 << bit;
                let verdicts = [64, 32, 16, 8, 3].map(|width| {
                    let args = json!({ "source": inline(&wrong), "width": width });
                    bench.plugin.call("resize", args).is_ok()
                });
                let case = format!("bit {bit} of byte {place}: {verdicts:?}");
                assert!(verdicts.iter().all(|is_ok| *is_ok == verdicts[0]), "{case}");
            }
        }
    }
}

#[test]
fn formats_that_are_not_read_or_written_are_named() {
    let bench = Bench::new();
    for (data, name) in [
        (b"II\x2A\0\x08\0\0\0".as_slice(), "TIFF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"<?xml version='1.0'?><svg/>", "SVG"),
        (b"BM\x10\0\0\0\0\0\0\0\x36\0", "BMP"),
    ] {
        let args = json!({ "source": inline(data) });
        let (kind, message, _) = bench.failure("identify", args);
        assert_eq!(kind, "unsupported_format");
        assert!(message.contains(name), "{message}");
    }
    let png = png_of(&photo(8, 8, 1));
    for ending in ["tiff", "heic", "BMP", "svg"] {
        let target = format!("o.{ending}");
        let args = json!({ "source": inline(&png), "target": target });
        let (kind, message, _) = bench.failure("resize", args);
        assert_eq!(kind, "unsupported_format");
        assert!(message.contains(&ending.to_lowercase()), "{message}");
        // Whoever names the format means it.
        bench.resize(json!({ "source": inline(&png), "target": target, "format": "png" }));
    }
    let source = json!({ "base64": "data:image/png;base64,iVBORw0KGgo=" });
    let (kind, message, _) = bench.failure("resize", json!({ "source": source }));
    assert_eq!(kind, "invalid_base64");
    assert!(message.contains("`data:` URL"), "{message}");
    let source = json!({ "base64": "iVBO*w0K" });
    let (_, message, _) = bench.failure("resize", json!({ "source": source }));
    assert!(
        message.contains("character at 4") && !message.contains("42"),
        "{message}"
    );
}

#[test]
fn damage_is_shown_where_that_is_asked_for() {
    let bench = Bench::new();
    let picture = photo(96, 64, 1);
    let png = png_of(&picture);
    let jpeg = bench.convert(&png, json!({ "format": "jpeg", "quality": 95 }));
    let gif = gif(
        30,
        20,
        &[([255, 0, 0], 10), ([0, 255, 0], 20), ([0, 0, 255], 30)],
    );
    for (name, file, share) in [
        ("png", &png, 2),
        (
            "interlaced",
            &include_bytes!("../data/interlaced.png").to_vec(),
            2,
        ),
        ("jpeg", &jpeg, 2),
        (
            "progressive",
            &include_bytes!("../data/progressive.jpg").to_vec(),
            2,
        ),
        ("gif", &gif, 2),
    ] {
        let cut = &file[..file.len() - file.len() / share + 5];
        for width in [60, 30, 12, 7] {
            for format in ["png", "jpeg", "gif"] {
                let case = format!("{name} to {width}, {format}");
                let mut args = json!({
                    "source": inline(cut), "width": width, "format": format,
                });
                let (kind, ..) = bench.failure("resize", args.clone());
                assert_eq!(kind, "broken_image", "{case}");
                args["on_damage"] = json!("show");
                assert_eq!(bench.resize(args)["width"], width, "{case}");
            }
        }
    }
    // The upper rows are those of the whole file.
    let args = json!({ "format": "png", "on_damage": "show" });
    for file in [&png, &jpeg] {
        let whole = bench.convert(file, args.clone());
        let shown = bench.convert(&file[..file.len() / 2], args.clone());
        let (whole, shown) = (read_png(&whole), read_png(&shown));
        assert!(whole.bytes[..96 * 3 * 16] == shown.bytes[..96 * 3 * 16]);
        assert!(whole.bytes != shown.bytes);
    }
    // Of an animation, the frames that are whole.
    let args = json!({ "format": "gif", "animated": true, "on_damage": "show" });
    let made = bench.convert(&gif[..gif.len() * 3 / 4], args);
    assert_eq!(bench.identify(&made)["pages"], 2);
    // Nothing at all is shown of a header.
    let args = json!({ "source": inline(&jpeg[..60]), "on_damage": "show" });
    assert_eq!(bench.failure("resize", args).0, "broken_image");
}

#[test]
fn webp_is_shown_as_far_as_it_goes() {
    let bench = Bench::new();
    let picture = photo(96, 64, 1);
    let png = png_of(&picture);
    let rgba: Vec<u8> = picture
        .bytes
        .chunks_exact(3)
        .flat_map(|p| [p[0], p[1], p[2], 255 - p[1] / 2])
        .collect();
    let (color, depth) = (png::ColorType::Rgba, png::BitDepth::Eight);
    let transparent = png_with(96, 64, color, depth, &rgba, |_| {});
    for (case, source, quality, nothing) in [
        ("lossy", &png, 90, [0_u8, 0, 0].as_slice()),
        ("lossless", &png, 101, &[0, 0, 0]),
        ("lossy, transparent", &transparent, 90, &[0, 0, 0, 0]),
        ("lossless, transparent", &transparent, 101, &[0, 0, 0, 0]),
    ] {
        let file = bench.convert(source, json!({ "format": "webp", "quality": quality }));
        // A transparent one has its transparency first, as a part of its own.
        let pixels = file
            .windows(4)
            .position(|name| name == b"VP8 " || name == b"VP8L")
            .unwrap();
        let cut = &file[..file.len() - (file.len() - pixels) / 4];
        for (function, args) in [
            ("identify", json!({ "source": inline(cut) })),
            ("resize", json!({ "source": inline(cut), "width": 40 })),
        ] {
            let (kind, message, _) = bench.failure(function, args);
            assert_eq!(kind, "broken_image", "{case}: {message}");
        }
        for args in [
            json!({ "format": "png", "on_damage": "show" }),
            json!({ "format": "png", "on_damage": "show", "linear": true }),
        ] {
            let whole = read_png(&bench.convert(&file, args.clone()));
            let shown = read_png(&bench.convert(cut, args));
            assert_eq!(whole.color, shown.color, "{case}");
            let upper = 96 * whole.color.samples() * 12;
            assert!(whole.bytes[..upper] == shown.bytes[..upper], "{case}");
            let last = shown.pixel(95, 63);
            assert_eq!(last, nothing, "{case}");
        }
        // Of nothing but a header, there is nothing to show.
        let args = json!({ "source": inline(&file[..34]), "on_damage": "show" });
        assert_eq!(bench.failure("resize", args).0, "broken_image", "{case}");
    }
}

#[test]
fn of_a_webp_animation_the_whole_frames_are_shown() {
    let bench = Bench::new();
    let colors = [[255, 0, 0], [0, 255, 0], [0, 0, 255]];
    let frames = colors.map(|color| (color, 10));
    let animated = json!({ "format": "webp", "animated": true, "quality": 101 });
    let file = bench.convert(&gif(40, 30, &frames), animated);
    let starts: Vec<usize> = (0..file.len() - 4)
        .filter(|at| &file[*at..at + 4] == b"ANMF")
        .collect();
    assert_eq!(starts.len(), 3);
    for (cut, count) in [(file.len() - 1, 2), (starts[2] + 9, 2), (starts[1] + 20, 1)] {
        let cut = &file[..cut];
        let args = json!({ "source": inline(cut), "format": "gif", "animated": true });
        assert_eq!(bench.failure("resize", args.clone()).0, "broken_image");
        let args =
            json!({ "format": "webp", "animated": true, "on_damage": "show", "quality": 101 });
        let made = bench.convert(cut, args);
        assert_eq!(bench.identify(&made)["pages"], count);
        // The first frame alone, too.
        let still = bench.convert(cut, json!({ "format": "png", "on_damage": "show" }));
        assert_eq!(&read_png(&still).rgb().bytes[..3], [255, 0, 0]);
    }
    let args = json!({ "source": inline(&file[..starts[0] + 10]), "on_damage": "show" });
    assert_eq!(bench.failure("resize", args).0, "broken_image");
}

/// AVIF decodes whole pictures or none.
#[test]
fn damaged_avif_is_refused_either_way() {
    let bench = Bench::new();
    let avif = bench.convert(&png_of(&photo(96, 64, 1)), json!({ "format": "avif" }));
    for on_damage in ["error", "show"] {
        let cut = inline(&avif[..avif.len() - 50]);
        let args = json!({ "source": cut, "on_damage": on_damage });
        assert_eq!(bench.failure("resize", args).0, "broken_image");
    }
}

/// Stray bytes before a restart marker are passed over, by Pillow as by all others.
#[test]
fn stray_bytes_between_restarts_change_nothing() {
    let bench = Bench::new();
    let strayed = include_bytes!("../data/strayed.jpg");
    let at = strayed
        .windows(4)
        .position(|bytes| bytes == [0x11, 0x22, 0xFF, 0xD3])
        .unwrap();
    let clean = [&strayed[..at], &strayed[at + 2..]].concat();
    for width in [96, 48, 24, 12, 11] {
        let args = json!({ "width": width, "format": "png" });
        let found = read_png(&bench.convert(strayed, args.clone()));
        let wanted = read_png(&bench.convert(&clean, args));
        // Two decoders may have reduced them, each in its way; but nothing lies elsewhere.
        let pairs = found.bytes.iter().zip(&wanted.bytes);
        let sum: u32 = pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        let mean = f64::from(sum) / found.bytes.len() as f64;
        assert!(mean < 8.0, "{width}: {mean}");
    }
}
