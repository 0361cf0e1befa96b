//! AVIF files whose boxes claim more than there is: each is refused for what it claims, by its header alone.

use plugin_api::serde_json::json;

use super::{Bench, inline, made::png_with, photo::photo};

fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 8).unwrap();
    [&len.to_be_bytes(), name.as_slice(), body].concat()
}

/// With a version, and flags of zero.
fn full(name: &[u8; 4], version: u8, body: &[u8]) -> Vec<u8> {
    boxed(name, &[&[version, 0, 0, 0], body].concat())
}

/// A file with nothing but a list of contents.
fn file(list: &[u8]) -> Vec<u8> {
    [boxed(b"ftyp", b"avif\0\0\0\0avif"), full(b"meta", 0, list)].concat()
}

/// Why the header of a file is refused.
fn reason(bench: &Bench, file: &[u8]) -> String {
    let (kind, message, _) = bench.failure("identify", json!({ "source": inline(file) }));
    assert_eq!(kind, "broken_image", "{message}");
    message
}

fn u16s(numbers: &[u16]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

#[test]
fn parts_without_a_length_are_counted() {
    let bench = Bench::new();
    // Nothing follows the number of an item's parts, as offsets and lengths have no bytes: 16 MiB of them in 80 bytes.
    let items: Vec<u8> = (1..=16).flat_map(|id| u16s(&[id, 0, u16::MAX])).collect();
    let places = full(b"iloc", 0, &[&[0, 0, 0, 16], items.as_slice()].concat());
    let message = reason(&bench, &file(&places));
    assert!(message.contains("list of contents is damaged"), "{message}");
}

#[test]
fn items_that_are_listed_over_and_over_are_counted() {
    let bench = Bench::new();
    let damaged = |list: &[u8]| {
        let message = reason(&bench, &file(list));
        assert!(message.contains("list of contents is damaged"), "{message}");
    };
    let places = full(
        b"iloc",
        0,
        &[&[0, 0, 0, 1], u16s(&[1, 0, 0]).as_slice()].concat(),
    );
    damaged(&places.repeat(20_000));
    let info = full(b"infe", 2, &[u16s(&[1, 0]).as_slice(), b"av01\0"].concat());
    let infos = [u16s(&[20_000]).as_slice(), &info.repeat(20_000)].concat();
    damaged(&full(b"iinf", 0, &infos));
    let owners = [
        20_000_u32.to_be_bytes().as_slice(),
        &[0, 1, 0].repeat(20_000),
    ]
    .concat();
    damaged(&boxed(b"iprp", &full(b"ipma", 0, &owners)));
    let reference = boxed(b"auxl", &u16s(&[2, 1, 1]));
    damaged(&full(b"iref", 0, &reference.repeat(20_000)));
    let many = [u16s(&[2, 20_000]), vec![0; 40_000]].concat();
    damaged(&full(b"iref", 0, &boxed(b"auxl", &many)));
}

#[test]
fn a_list_of_contents_has_a_length() {
    let bench = Bench::with(json!({ "source_len_max": "64MiB" }));
    let list = boxed(b"free", &vec![0; 17 << 20]);
    let message = reason(&bench, &file(&list));
    assert!(
        message.contains("list of contents is too long"),
        "{message}"
    );
}

/// Where the sizes stand that boxes name, in the order of the file.
fn sizes(avif: &[u8]) -> Vec<usize> {
    let places = avif.windows(4).enumerate();
    places
        .filter(|(_, name)| name == b"ispe")
        .map(|(at, _)| at + 8)
        .collect()
}

#[test]
fn the_pictures_of_a_grid_are_no_more_and_no_larger_than_it_needs() {
    let bench = Bench::new();
    let file = include_bytes!("../data/grid_alpha.avif");
    let whole = [0, 0, 0, 128, 0, 0, 0, 64];
    let places: Vec<usize> = sizes(file)
        .into_iter()
        .filter(|at| file[*at..][..8] == whole)
        .collect();
    assert!(!places.is_empty());
    bench.identify(file);
    for (width, height) in [(16_u32, 16_u32), (64, 64), (129, 64), (128, 65), (1, 1)] {
        let mut lying = file.to_vec();
        for at in &places {
            lying[*at..at + 4].copy_from_slice(&width.to_be_bytes());
            lying[at + 4..at + 8].copy_from_slice(&height.to_be_bytes());
        }
        let message = reason(&bench, &lying);
        assert!(message.contains("contradict each other"), "{message}");
    }
    // A grid of 128 x 64 may be cut, as long as each of its pictures is seen.
    let mut smaller = file.to_vec();
    for at in &places {
        smaller[*at + 3] = 65;
    }
    assert_eq!(bench.identify(&smaller)["width"], 65);
}

#[test]
fn transparency_is_as_large_as_its_picture() {
    let bench = Bench::new();
    let rgba: Vec<u8> = photo(32, 32, 1)
        .bytes
        .chunks_exact(3)
        .flat_map(|p| [p[0], p[1], p[2], p[1]])
        .collect();
    let kind = (png::ColorType::Rgba, png::BitDepth::Eight);
    let png = png_with(32, 32, kind.0, kind.1, &rgba, |_| {});
    let avif = bench.convert(&png, json!({ "format": "avif" }));
    let [color, alpha] = sizes(&avif)[..] else {
        panic!("two pictures have two sizes")
    };
    for at in [color, alpha] {
        let mut lying = avif.clone();
        lying[at + 3] = 33;
        let message = reason(&bench, &lying);
        assert!(
            message.contains("transparency has another size"),
            "{message}"
        );
    }
}
