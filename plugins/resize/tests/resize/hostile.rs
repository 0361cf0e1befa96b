//! The bytes of small files are changed one by one, and their ends cut off: what comes of it is a result or a documented
//! error, and no decoder panics, not even one that is caught.

use plugin_api::{serde_json::json, testing::CallError};

use super::{
    Bench,
    broken::KINDS,
    inline,
    made::{
        Chunk, chunks_of, gif, indexed_png, png_of, png_of_chunks, png_with, swapped_profile,
        with_segment,
    },
    photo::{Rgb, photo},
    turbo::{ARITHMETIC, LOSSLESS, PROGRESSIVE, jpeg},
};

/// What a byte becomes.
const CHANGES: [fn(u8) -> u8; 5] = [
    |_| 0,
    |_| 0xFF,
    |b| b ^ 1,
    |b| b ^ 0x80,
    |b| b.wrapping_add(3),
];

/// In longer files, the places where something is changed are spread evenly.
const PLACES_MAX: usize = 300;

/// Runs all that reads a file; whether anything came of it.
fn read(bench: &Bench, case: &str, file: &[u8]) -> bool {
    let source = inline(file);
    let mut calls = vec![
        ("identify", json!({ "source": source })),
        ("resize", json!({ "source": source, "format": "png" })),
        (
            "resize",
            json!({ "source": source, "width": 2, "format": "jpeg" }),
        ),
        // Past wrong checksums, too.
        (
            "resize",
            json!({ "source": source, "format": "png", "on_damage": "show" }),
        ),
    ];
    if file.starts_with(b"GIF") || file.starts_with(b"RIFF") {
        let args = json!({ "source": source, "width": 2, "format": "gif", "animated": true });
        calls.push(("resize", args));
    }
    let mut is_read = false;
    for (function, args) in calls {
        match bench.plugin.call(function, args) {
            Ok(_) => is_read |= function == "resize",
            Err(CallError::Failed { kind, message, .. }) => {
                assert!(KINDS.contains(&kind.as_str()), "{case}: {kind}: {message}");
                assert!(
                    !message.contains("can't make sense of it"),
                    "{case}: {message}"
                );
            }
            Err(other) => panic!("{case}: {other}"),
        }
    }
    is_read
}

/// Changes and cuts `file` everywhere; `whole` makes a file of what has been changed. Tells how many of the changed files
/// could be read.
fn change(bench: &Bench, name: &str, file: &[u8], whole: impl Fn(&[u8]) -> Vec<u8>) -> usize {
    let mut read_count = 0;
    let mut read = |case: &str, file: &[u8]| read_count += usize::from(read(bench, case, file));
    let step = file.len().div_ceil(PLACES_MAX);
    for at in (0..file.len()).step_by(step.max(1)) {
        for (number, new) in CHANGES.iter().enumerate() {
            let mut changed = file.to_vec();
            changed[at] = new(file[at]);
            if changed[at] != file[at] {
                read(
                    &format!("{name}, byte {at}, change {number}"),
                    &whole(&changed),
                );
            }
        }
        read(&format!("{name}, {at} bytes"), &whole(&file[..at]));
    }
    let longer = [file, &[0x55; 5]].concat();
    read(&format!("{name}, longer"), &whole(&longer));
    read_count
}

fn bench() -> Bench {
    Bench::with(json!({ "memory_max": 64_000_000, "pixels_max": 1_000_000, "frames_max": 100 }))
}

fn small() -> Rgb {
    photo(11, 7, 1)
}

/// The same with each chunk of a PNG file, and with chunks that are missing, elsewhere or there twice. The checksums are
/// right, or nothing would be looked at.
fn change_chunks(bench: &Bench, name: &str, file: &[u8]) -> usize {
    let chunks = chunks_of(file);
    let with = |index: usize, body: &[u8]| {
        let mut chunks: Vec<Chunk> = chunks.clone();
        chunks[index].1 = body.to_vec();
        png_of_chunks(&chunks)
    };
    let mut read_count = 0;
    for (index, (kind, body)) in chunks.iter().enumerate() {
        let case = format!("{name}, {}", kind.escape_ascii());
        read_count += change(bench, &case, body, |body| with(index, body));
        let mut without = chunks.clone();
        let chunk = without.remove(index);
        read(bench, &format!("{case} missing"), &png_of_chunks(&without));
        for to in 0..chunks.len() {
            let mut moved = without.clone();
            moved.insert(to, chunk.clone());
            read(bench, &format!("{case} at {to}"), &png_of_chunks(&moved));
            moved.insert(index, chunk.clone());
            let case = format!("{case} twice, at {to}");
            read(bench, &case, &png_of_chunks(&moved));
        }
    }
    read_count
}

/// Asserts that the changes got further than to the header.
fn assert_reached(name: &str, read_count: usize) {
    assert!(read_count > 50, "{name}: only {read_count} could be read");
}

#[test]
fn png() {
    let bench = bench();
    let grey: Vec<u8> = (0..8 * 4).collect();
    let (color, depth) = (::png::ColorType::Grayscale, ::png::BitDepth::Sixteen);
    let grey = png_with(4, 4, color, depth, &grey, |info| {
        info.trns = Some(vec![0, 1].into());
        info.icc_profile = Some(swapped_profile()[..200].to_vec().into());
    });
    let interlaced = include_bytes!("../data/interlaced.png").to_vec();
    let files = [
        ("rgb", png_of(&small())),
        ("interlaced", interlaced),
        ("1 bit", indexed_png(1, &[1, 2, 3, 4, 5, 6], None)),
        ("2 bits", indexed_png(2, &[9; 12], Some(&[0, 128]))),
        ("4 bits", indexed_png(4, &[9; 48], Some(&[7; 16]))),
        ("16 bits of grey with a profile", grey),
    ];
    for (name, file) in &files {
        assert_reached(name, change_chunks(&bench, name, file));
        change(&bench, name, file, <[u8]>::to_vec);
    }
}

fn two_frames() -> Vec<u8> {
    gif(5, 4, &[([255, 0, 0], 10), ([0, 255, 0], 20)])
}

#[test]
fn gif_files() {
    let count = change(&bench(), "gif", &two_frames(), <[u8]>::to_vec);
    assert_reached("gif", count);
}

#[test]
fn jpeg_files() {
    let bench = bench();
    let picture = photo(19, 17, 1);
    for (name, settings) in [
        ("baseline", [].as_slice()),
        ("progressive", &[PROGRESSIVE]),
        ("arithmetic", &[ARITHMETIC]),
    ] {
        let count = change(&bench, name, &jpeg(&picture, settings), <[u8]>::to_vec);
        assert_reached(name, count);
    }
    let lossless = jpeg(&picture, &[LOSSLESS]);
    change(&bench, "lossless", &lossless, <[u8]>::to_vec);
}

#[test]
fn webp_and_avif() {
    let bench = bench();
    let png = png_of(&small());
    let (lossy, lossless) = (
        json!({ "format": "webp" }),
        json!({ "format": "webp", "quality": 101 }),
    );
    let animated = json!({ "format": "webp", "animated": true });
    for (name, file) in [
        ("lossy", bench.convert(&png, lossy)),
        ("lossless", bench.convert(&png, lossless)),
        ("animated", bench.convert(&two_frames(), animated)),
        ("avif", bench.convert(&png, json!({ "format": "avif" }))),
    ] {
        assert_reached(name, change(&bench, name, &file, <[u8]>::to_vec));
    }
}

#[test]
fn colour_profiles() {
    let picture = jpeg(&small(), &[]);
    let count = change(&bench(), "profile", &swapped_profile(), |profile| {
        let body = [b"ICC_PROFILE\0\x01\x01", profile].concat();
        with_segment(&picture, 0xE2, &body)
    });
    assert_reached("profile", count);
}
