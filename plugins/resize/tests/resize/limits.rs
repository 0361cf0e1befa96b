//! What is too large is refused by its header; what is stopped stops.

use std::{
    fs,
    time::{Duration, Instant},
};

use plugin_api::{serde_json::json, testing::CallError};

use super::{
    Bench, inline,
    made::{gif, png_of, png_with},
    photo::photo,
};

#[test]
fn limits_are_checked_before_decoding_and_say_what_they_are() {
    let bench = Bench::with(json!({
        "pixels_max": 10_000, "target_pixels_max": 5000, "source_len_max": 200_000, "result_len_max": 3000,
    }));
    let small = png_of(&photo(90, 90, 1));
    let large = png_of(&photo(120, 100, 1));
    let (kind, message, data) =
        bench.failure("resize", json!({ "source": inline(&large), "width": 10 }));
    assert_eq!(kind, "too_many_pixels");
    assert!(
        message.contains("12000") && message.contains("pixels_max"),
        "{message}"
    );
    assert_eq!(
        data,
        json!({ "limit": "pixels_max", "allowed": 10_000, "actual": 12_000 })
    );

    let (kind, ..) = bench.failure("resize", json!({ "source": inline(&small), "width": 80 }));
    assert_eq!(kind, "target_too_large");
    let (kind, message, _) =
        bench.failure("resize", json!({ "source": inline(&small), "width": 70 }));
    assert_eq!(kind, "result_too_large");
    assert!(message.contains("target"), "{message}");
    bench.write("long.png", &vec![0; 200_001]);
    for source in [json!("long.png"), inline(&vec![0; 200_003])] {
        let (kind, message, _) = bench.failure("identify", json!({ "source": source }));
        assert_eq!(kind, "file_too_large");
        assert!(message.contains("200"), "{message}");
    }
    // Within all of them.
    bench.convert(&small, json!({ "width": 10 }));
}

#[test]
fn limits_keep_the_names_that_they_had() {
    let bench = Bench::with(json!({ "bytes_max": 10, "result_bytes_max": 10 }));
    let (kind, _, data) = bench.failure("identify", json!({ "source": inline(&[0; 30]) }));
    assert_eq!(kind, "file_too_large");
    assert_eq!(data["limit"], "source_len_max");
}

#[test]
fn memory_is_reckoned_before_it_is_taken() {
    let bench = Bench::with(json!({ "memory_max": 8_000_000 }));
    let interlaced = include_bytes!("../data/interlaced.png");
    bench.convert(interlaced, json!({ "width": 10 }));
    let mut lying = png_with(
        8000,
        8000,
        png::ColorType::Rgb,
        png::BitDepth::Eight,
        &[0; 8000 * 8000 * 3],
        |_| {},
    );
    bench.convert(&lying, json!({ "width": 10 }));
    // The same, interlaced, has to be put together as a whole.
    lying[28] = 1;
    let crc = crc(&lying[12..29]);
    lying[29..33].copy_from_slice(&crc.to_be_bytes());
    let (kind, message, data) =
        bench.failure("resize", json!({ "source": inline(&lying), "width": 10 }));
    assert_eq!(kind, "too_much_memory", "{message}");
    assert_eq!(data["limit"], "memory_max");
}

/// What an animation takes to be read is two canvases, and a frame on its way, whether it has one frame or many: libwebp's
/// `anim_decode.c`, and GIF's own ways of disposal, have it so.
#[test]
fn an_animation_of_one_frame_takes_what_any_takes() {
    let side = 1000_u16;
    let pixels = u64::from(side) * u64::from(side);
    let bench = Bench::new();
    let frame = [([200, 30, 30], 10)];
    let many = gif(side, side, &[frame[0], ([30, 200, 30], 10)]);
    let webp = bench.convert(&many, json!({ "format": "webp", "animated": true }));
    // Of the two frames, the second is taken out.
    let at = webp.windows(4).rposition(|name| name == b"ANMF").unwrap();
    let mut one = webp[..at].to_vec();
    let len = u32::try_from(one.len() - 8).unwrap();
    one[4..8].copy_from_slice(&len.to_le_bytes());
    assert_eq!(bench.identify(&one)["pages"], 1);
    for (name, file) in [
        ("webp", &one),
        ("webp", &webp),
        ("gif", &gif(side, side, &frame)),
    ] {
        let small = Bench::with(json!({ "memory_max": pixels * 8 }));
        let args = json!({ "source": inline(file), "width": 10, "format": "png" });
        let (kind, message, data) = small.failure("resize", args);
        assert_eq!(kind, "too_much_memory", "{name}: {message}");
        assert!(
            data["actual"].as_u64().unwrap() >= pixels * 12,
            "{name}: {data}"
        );
        let enough = Bench::with(json!({ "memory_max": pixels * 24 }));
        enough.convert(file, json!({ "width": 10, "format": "png" }));
    }
}

/// Animations are made side by side, each with canvases of its own.
#[test]
fn animated_targets_count_together() {
    let bench = Bench::with(json!({ "memory_max": 60_000_000 }));
    let source = gif(64, 64, &[([200, 30, 30], 10), ([30, 200, 30], 10)]);
    let targets = |count: usize| {
        let target = json!({ "format": "gif", "width": 500, "height": 500, "fit": "fill" });
        json!({ "source": inline(&source), "animated": true, "targets": vec![target; count] })
    };
    bench.plugin.call("thumbnails", targets(2)).unwrap();
    let (kind, message, data) = bench.failure("thumbnails", targets(20));
    assert_eq!(kind, "too_much_memory", "{message}");
    // What waits and what is shown, of each.
    assert!(data["actual"].as_u64().unwrap() > 20 * 500 * 500 * 8 + 20 * (2 << 20));
}

fn crc(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 * (crc & 1))
        })
    })
}

#[test]
fn targets_fit_into_their_formats() {
    let bench = Bench::new();
    let file = png_of(&photo(20, 10, 1));
    for (format, width) in [("webp", 16_384), ("jpeg", 65_536), ("gif", 65_536)] {
        let args = json!({
            "source": inline(&file), "format": format, "width": width, "height": 1, "fit": "fill",
        });
        let (kind, message, _) = bench.failure("resize", args);
        assert_eq!(kind, "target_too_large", "{format}");
        assert!(message.contains(&(width - 1).to_string()), "{message}");
    }
    for (width, height) in [(0, 1), (1, 0), (u32::MAX, 1)] {
        let args = json!({ "source": inline(&file), "width": width, "height": height });
        assert_eq!(bench.failure("resize", args).0, "invalid_size");
    }
    for (format, quality) in [("jpeg", 0), ("jpeg", 101), ("webp", 102), ("avif", 255)] {
        let args = json!({ "source": inline(&file), "format": format, "quality": quality });
        assert_eq!(bench.failure("resize", args).0, "invalid_quality");
    }
}

#[test]
fn whoever_cancels_need_not_wait() {
    let bench = Bench::new();
    let picture = png_of(&photo(3000, 2000, 1));
    bench.write("large.png", &picture);
    for format in ["jpeg", "png", "webp", "avif"] {
        let target = format!("made.{format}");
        let args = json!({ "source": "large.png", "target": target, "width": 5000, "quality": 95 });
        let running = bench.plugin.prepare("resize", args).start();
        running.cancel();
        let start = Instant::now();
        let result = running.wait().result;
        assert!(matches!(result, Err(CallError::Cancelled(_))), "{format}");
        assert!(start.elapsed() < Duration::from_secs(10), "{format}");
    }
    assert_eq!(bench.files(), ["large.png"]);
}

#[test]
fn time_limits_end_tasks_wherever_they_are() {
    let bench = Bench::new();
    bench.write("large.png", &png_of(&photo(3000, 2000, 1)));
    for format in ["jpeg", "png", "webp", "avif"] {
        for timeout_ms in [1, 20, 100, 300] {
            let target = format!("made.{format}");
            let args =
                json!({ "source": "large.png", "target": target, "width": 6000, "quality": 95 });
            let timeout = Duration::from_millis(timeout_ms);
            let finished = bench.plugin.prepare("resize", args).timeout(timeout).run();
            if finished.result.is_ok() {
                fs::remove_file(bench.path(&target)).unwrap();
            }
        }
    }
    assert_eq!(bench.files(), ["large.png"]);
}
