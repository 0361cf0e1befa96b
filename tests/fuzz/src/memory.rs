//! A bound on the memory that one input may cost: the allocator counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static HELD_MAX: AtomicUsize = AtomicUsize::new(0);

/// What any input may cost, in bytes.
const BASE: usize = 256 * 1024;
/// What it may cost beside that, for each of its bytes: copies, and text that is longer than what it tells of.
const FACTOR: usize = 64;

/// Runs `work` on `data`.
///
/// # Panics
/// Where it holds more memory at once than input of that length may cost: a length that is claimed by the input, and not
/// that of the input, was believed.
pub fn within(data: &[u8], work: impl FnOnce(&[u8])) {
    let before = HELD.load(Relaxed);
    HELD_MAX.store(before, Relaxed);
    work(data);
    let cost = HELD_MAX.load(Relaxed).saturating_sub(before);
    let cost_max = BASE + FACTOR * data.len();
    assert!(
        cost <= cost_max,
        "{} bytes cost {cost} bytes of memory, of {cost_max} at most",
        data.len()
    );
}

/// The system's allocator, with the sum of what it has given.
struct Counting;

// SAFETY: all of it is the system's allocator; counting doesn't allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        HELD_MAX.fetch_max(held, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(address, layout) }
    }
}
