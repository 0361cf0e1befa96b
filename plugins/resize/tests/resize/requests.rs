//! What requests may name, and what they get back.

use std::{fs, os::unix::fs::symlink};

use plugin_api::{
    serde_json::{Value, json},
    testing,
};
use resize::Resizer;

use super::{
    Bench, inline,
    made::{png, png_of},
    photo::photo,
};

fn picture() -> Vec<u8> {
    png_of(&photo(120, 80, 1))
}

#[test]
fn files_are_read_and_written_in_their_folders() {
    let bench = Bench::new();
    bench.write("photo.png", &picture());
    let made =
        bench.resize(json!({ "source": "photo.png", "target": "new/small.jpg", "width": 60 }));
    let data = fs::read(bench.path("new/small.jpg")).unwrap();
    assert_eq!(
        made,
        json!({
            "path": "new/small.jpg", "format": "jpeg", "width": 60, "height": 40, "bytes": data.len(), "frames": 1,
        })
    );
    // What is there is replaced.
    bench.resize(json!({ "source": "photo.png", "target": "new/small.jpg", "width": 30 }));
    assert_eq!(
        bench.identify(&fs::read(bench.path("new/small.jpg")).unwrap())["width"],
        30
    );
}

#[test]
fn the_format_is_named_or_follows_from_target_or_source() {
    let bench = Bench::new();
    bench.write("photo", &picture());
    let format = |args: Value| bench.resize(args)["format"].clone();
    assert_eq!(format(json!({ "source": "photo", "width": 8 })), "png");
    assert_eq!(
        format(json!({ "source": "photo", "width": 8, "target": "a.WEBP" })),
        "webp"
    );
    assert_eq!(
        format(json!({ "source": "photo", "width": 8, "target": "a.bin" })),
        "png"
    );
    assert_eq!(
        format(json!({ "source": "photo", "width": 8, "target": "a.webp", "format": "jpg" })),
        "jpeg"
    );
}

#[test]
fn nothing_outside_is_read_or_written() {
    let bench = Bench::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.png"), picture()).unwrap();
    symlink(outside.path(), bench.path("link")).unwrap();
    symlink(outside.path().join("secret.png"), bench.path("link.png")).unwrap();
    let absolute = outside
        .path()
        .join("secret.png")
        .to_str()
        .unwrap()
        .to_owned();
    for source in [
        "../secret.png",
        "link/secret.png",
        "link.png",
        &absolute,
        "/etc/passwd",
    ] {
        let (kind, ..) = bench.failure("resize", json!({ "source": source, "width": 8 }));
        assert_eq!(kind, "path_not_allowed", "{source}");
    }
    assert_eq!(
        bench.failure("identify", json!({ "source": "" })).0,
        "invalid_path"
    );
    assert_eq!(
        bench.failure("identify", json!({ "source": "none.png" })).0,
        "not_found"
    );
    assert_eq!(
        bench.failure("identify", json!({ "source": "." })).0,
        "not_a_file"
    );
    let target = outside.path().join("new.png").to_str().unwrap().to_owned();
    for target in ["../new.png", "link/new.png", &target] {
        let args = json!({ "source": inline(&picture()), "target": target });
        assert_eq!(
            bench.failure("resize", args).0,
            "path_not_allowed",
            "{target}"
        );
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn without_folders_no_path_is_allowed() {
    let plugin = testing::open::<Resizer>(()).unwrap();
    let error = plugin
        .call("identify", json!({ "source": "photo.png" }))
        .unwrap_err();
    assert_eq!(error.kind(), Some("path_not_allowed"));
    assert!(error.to_string().contains("folders.read"), "{error}");
    let args = json!({ "source": inline(&picture()), "target": "small.png" });
    let error = plugin.call("resize", args).unwrap_err();
    assert_eq!(error.kind(), Some("path_not_allowed"));
    assert!(error.to_string().contains("folders.write"), "{error}");
}

#[test]
fn a_failure_leaves_what_was_there() {
    let bench = Bench::new();
    bench.write("target.png", b"precious");
    let broken = &picture()[..3000];
    let args = json!({ "source": inline(broken), "target": "target.png", "width": 30 });
    assert_eq!(bench.failure("resize", args).0, "broken_image");
    assert_eq!(fs::read(bench.path("target.png")).unwrap(), b"precious");
    assert_eq!(bench.files(), ["target.png"]);
}

#[test]
fn thumbnails_are_made_of_one_decoding_with_progress() {
    let bench = Bench::new();
    bench.write("photo.png", &picture());
    let args = json!({
        "source": "photo.png",
        "targets": [
            { "target": "a.jpg", "width": 60 },
            { "target": "b.webp", "width": 30, "height": 30 },
            { "width": 10, "format": "png" },
            { "target": "c.avif", "width": 20, "quality": 40 },
        ],
    });
    let finished = bench.plugin.prepare("thumbnails", args).run();
    let images = finished.result.unwrap()["images"].clone();
    let sizes: Vec<_> = images
        .as_array()
        .unwrap()
        .iter()
        .map(|made| made["width"].clone())
        .collect();
    assert_eq!(sizes, [60, 30, 10, 20]);
    assert!(images[2]["base64"].is_string());
    let last = finished.progress.last().unwrap();
    assert_eq!((last.done, last.total), (4, 4));
    assert_eq!(bench.files(), ["a.jpg", "b.webp", "c.avif", "photo.png"]);

    // All of them, or none.
    let args = json!({
        "source": "photo.png",
        "targets": [{ "target": "d.jpg" }, { "target": "../e.jpg" }],
    });
    assert_eq!(bench.failure("thumbnails", args).0, "path_not_allowed");
    assert!(!bench.path("d.jpg").exists());
    for second in ["d.jpg", "./d.jpg"] {
        let args = json!({
            "source": "photo.png",
            "targets": [{ "target": "d.jpg", "width": 10 }, { "target": second, "width": 20 }],
        });
        let (kind, message, _) = bench.failure("thumbnails", args);
        assert_eq!(kind, "invalid_targets", "{message}");
        assert!(message.contains(second), "{message}");
        assert!(!bench.path("d.jpg").exists());
    }
    for count in [0, 101] {
        let targets = vec![json!({ "width": 1 }); count];
        let args = json!({ "source": "photo.png", "targets": targets });
        assert_eq!(bench.failure("thumbnails", args).0, "invalid_targets");
    }
}

#[test]
fn identify_reads_headers() {
    let bench = Bench::new();
    let rgba = png(30, 20, png::ColorType::Rgba, &[9; 30 * 20 * 4]);
    let header = bench.identify(&rgba);
    assert_eq!(
        header,
        json!({
            "format": "png", "bytes": rgba.len(), "width": 30, "height": 20, "orientation": 1, "color_space": "rgb",
            "bit_depth": 8, "has_alpha": true, "pages": 1, "is_progressive": false, "has_icc": false,
            "has_exif": false, "has_xmp": false,
        })
    );
    for (format, space) in [
        ("jpeg", "ycbcr"),
        ("webp", "ycbcr"),
        ("avif", "ycbcr"),
        ("gif", "palette"),
    ] {
        let made = bench.convert(&picture(), json!({ "format": format }));
        let header = bench.identify(&made);
        assert_eq!(
            (&header["format"], &header["color_space"]),
            (&json!(format), &json!(space))
        );
        assert_eq!(
            (&header["width"], &header["height"]),
            (&json!(120), &json!(80))
        );
    }
    let ten = bench.identify(include_bytes!("../data/sharp10.avif"));
    assert_eq!(ten["bit_depth"], 10);
}

#[test]
fn misspelt_arguments_are_refused() {
    let bench = Bench::new();
    for args in [
        json!({ "source": "a.png", "widht": 3 }),
        json!({ "source": "a.png", "fit": "crop" }),
        json!({ "source": { "url": "https://example.com" } }),
        json!({}),
    ] {
        let error = bench.plugin.call("resize", &args).unwrap_err();
        assert!(
            error.to_string().contains("invalid arguments"),
            "{args}: {error}"
        );
    }
}

#[test]
fn a_config_that_can_not_work_is_refused() {
    for (config, word) in [
        (json!({ "pixels_max": 0 }), "pixels_max"),
        (
            json!({ "folders": { "read": ["/nowhere/at/all"] } }),
            "/nowhere/at/all",
        ),
        (json!({ "folder": [] }), "folder"),
    ] {
        let error = testing::open::<Resizer>(&config).err().unwrap();
        assert!(
            error.message().contains(word),
            "{config}: {}",
            error.message()
        );
    }
}

#[test]
fn the_functions_explain_themselves() {
    let manifest = Bench::new().plugin.manifest();
    let names: Vec<&str> = manifest
        .functions
        .iter()
        .map(|function| function.name.as_str())
        .collect();
    assert_eq!(names, ["resize", "thumbnails", "identify"]);
    for function in &manifest.functions {
        assert!(function.description.len() > 20, "{}", function.name);
    }
}
