//! EXIF, XMP, and the segments of JPEG files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::within(data, resize::fuzzing::tags));
