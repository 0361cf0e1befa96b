//! A bound on the memory that one input may cost: AddressSanitizer tells of all that is taken, also by C libraries.

use std::ffi::{c_int, c_void};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// It begins in the middle: what was taken before anything is counted may be given back.
static HELD: AtomicUsize = AtomicUsize::new(usize::MAX / 2);
static HELD_MAX: AtomicUsize = AtomicUsize::new(0);

/// What any input may cost, in bytes.
const BASE: usize = 256 * 1024;
/// What it may cost beside that, for each of its bytes: copies, and text that is longer than what it tells of.
const FACTOR: usize = 64;

unsafe extern "C" {
    fn __sanitizer_install_malloc_and_free_hooks(
        taken: extern "C" fn(*const c_void, usize),
        given_back: extern "C" fn(*const c_void),
    ) -> c_int;
    fn __sanitizer_get_allocated_size(address: *const c_void) -> usize;
}

/// Runs `work` on `data`.
///
/// # Panics
/// Where it holds more memory at once than input of that length may cost: a length that is claimed by the input, and not
/// that of the input, was believed.
pub fn within(data: &[u8], work: impl FnOnce(&[u8])) {
    bounded(data, BASE, work);
}

/// Runs `work` on an image.
///
/// # Panics
/// Where it holds more memory at once than the plugin is told to take.
#[cfg(feature = "resize")]
pub fn image(data: &[u8], work: impl FnOnce(&[u8])) {
    let memory_max = usize::try_from(resize::fuzzing::MEMORY_MAX).expect("it is a length");
    bounded(data, memory_max, work);
}

fn bounded(data: &[u8], base: usize, work: impl FnOnce(&[u8])) {
    static COUNTED: Once = Once::new();
    COUNTED.call_once(|| {
        // SAFETY: both count, and neither takes memory.
        let number = unsafe { __sanitizer_install_malloc_and_free_hooks(taken, given_back) };
        assert_ne!(number, 0, "memory can't be counted");
    });
    let before = HELD.load(Relaxed);
    HELD_MAX.store(before, Relaxed);
    work(data);
    let cost = HELD_MAX.load(Relaxed).saturating_sub(before);
    let cost_max = base + FACTOR * data.len();
    assert!(
        cost <= cost_max,
        "{} bytes cost {cost} bytes of memory, of {cost_max} at most",
        data.len()
    );
}

extern "C" fn taken(_address: *const c_void, len: usize) {
    let held = HELD.fetch_add(len, Relaxed) + len;
    HELD_MAX.fetch_max(held, Relaxed);
}

extern "C" fn given_back(address: *const c_void) {
    // SAFETY: it is about to be given back, and so was taken.
    let len = unsafe { __sanitizer_get_allocated_size(address) };
    HELD.fetch_sub(len, Relaxed);
}
