//! Ways to go wrong that take more than a line.

use std::{
    hint, mem, ptr,
    time::{Duration, Instant},
};

const CHUNK_BYTES: usize = 16 << 20;

#[expect(clippy::panic, reason = "misbehaving is this fixture's purpose")]
pub(crate) fn panic(message: &str) -> ! {
    panic!("{message}")
}

pub(crate) fn segfault() {
    // Not null, which a debug build would check.
    let nowhere = ptr::without_provenance_mut::<u64>(8);
    #[expect(unsafe_code, reason = "misbehaving is this fixture's purpose")]
    // SAFETY: none: nothing is mapped there, and that is the point.
    unsafe {
        nowhere.write_volatile(1);
    }
}

#[expect(
    unconditional_recursion,
    reason = "misbehaving is this fixture's purpose"
)]
pub(crate) fn recur(depth: u64) -> u64 {
    let frame = hint::black_box([depth; 64]);
    recur(depth + 1) + hint::black_box(frame)[0]
}

/// Keeps a core busy for `duration`, or for ever.
pub(crate) fn spin(duration: Option<Duration>) {
    let start = Instant::now();
    while duration.is_none_or(|duration| start.elapsed() < duration) {
        hint::spin_loop();
    }
}

/// Takes `bytes` for good, or all there is, and writes to every page.
pub(crate) fn hog(bytes: Option<usize>) {
    let mut left = bytes.unwrap_or(usize::MAX);
    while left > 0 {
        let len = left.min(CHUNK_BYTES);
        mem::forget(hint::black_box(vec![1_u8; len]));
        left -= len;
    }
}
