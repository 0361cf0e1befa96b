//! AVIF files as sources of images.
#![no_main]

use resize::{Format, fuzzing};

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::image(data, |data| fuzzing::file(
    Format::Avif,
    data
)));
