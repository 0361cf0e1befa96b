//! JPEG files by the type of their frame: those that can't be read are refused, by every function and at every size.

use plugin_api::serde_json::json;

use super::{
    Bench, inline,
    made::{decoded, png_of},
    photo::photo,
    reference::psnr,
    turbo::{ARITHMETIC, LOSSLESS, PROGRESSIVE, jpeg},
};

/// Where the number of the frame's type stands.
fn frame_type(jpeg: &[u8]) -> usize {
    let is_frame =
        |pair: &[u8]| pair[0] == 0xFF && (0xC0..=0xCF).contains(&pair[1]) && pair[1] != 0xC4;
    jpeg.windows(2).position(is_frame).unwrap() + 1
}

/// Asserts that all functions, at all sizes, refuse a file for the same reason.
fn assert_refused(bench: &Bench, case: &str, jpeg: &[u8], reason: &str) {
    let mut calls = vec![("identify", json!({ "source": inline(jpeg) }))];
    for format in ["jpeg", "png"] {
        for width in [320, 160, 80, 40, 39, 1] {
            for linear in [false, true] {
                let args = json!({ "source": inline(jpeg), "width": width, "format": format, "linear": linear });
                calls.push(("resize", args));
            }
        }
    }
    for (function, args) in calls {
        let (kind, message, _) = bench.failure(function, args);
        assert_eq!(
            (kind.as_str(), message.as_str()),
            ("unsupported_feature", reason),
            "{case}: {function}"
        );
    }
}

#[test]
fn lossless_files_are_refused() {
    let bench = Bench::new();
    let lossless = jpeg(&photo(320, 200, 5), &[LOSSLESS]);
    let at = frame_type(&lossless);
    assert_eq!(lossless[at], 0xC3);
    let reason = "JPEG files with lossless compression (frame type SOF3) can't be read";
    assert_refused(&bench, "lossless", &lossless, reason);
    // Stray bytes between segments keep nobody from finding the frame.
    let strayed = [&lossless[..at - 1], &[0, 0, 0], &lossless[at - 1..]].concat();
    assert_refused(&bench, "lossless, with stray bytes", &strayed, reason);
    let mut arithmetic = lossless;
    arithmetic[at] = 0xCB;
    let reason = "JPEG files with lossless compression (frame type SOF11) can't be read";
    assert_refused(&bench, "lossless, arithmetic", &arithmetic, reason);
}

#[test]
fn frames_that_nobody_writes_are_refused() {
    let bench = Bench::new();
    let mut jpeg = jpeg(&photo(320, 200, 5), &[]);
    let at = frame_type(&jpeg);
    assert_eq!(jpeg[at], 0xC0);
    for number in [5, 6, 7, 13, 14, 15] {
        jpeg[at] = 0xC0 + number;
        let reason =
            format!("JPEG files with a rare way of coding (frame type SOF{number}) can't be read");
        assert_refused(&bench, &format!("SOF{number}"), &jpeg, &reason);
    }
}

#[test]
fn arithmetic_coding_is_read_at_every_size() {
    let bench = Bench::new();
    let picture = photo(320, 200, 5);
    let png = png_of(&picture);
    for (settings, number) in [
        ([ARITHMETIC].as_slice(), 9),
        (&[ARITHMETIC, PROGRESSIVE], 10),
    ] {
        let file = jpeg(&picture, settings);
        assert_eq!(file[frame_type(&file)], 0xC0 + number);
        for width in [320, 160, 80, 40, 39] {
            let args = json!({ "width": width, "format": "png" });
            let found = decoded(&bench, &bench.convert(&file, args.clone())).rgb();
            let wanted = decoded(&bench, &bench.convert(&png, args)).rgb();
            let likeness = psnr(&found, &wanted);
            assert!(likeness > 30.0, "SOF{number} to {width}: {likeness} dB");
        }
    }
}
