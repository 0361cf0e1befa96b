//! A ring of bytes in memory that two processes share: one writes, the other reads, and whoever finds nothing says that
//! it sleeps.
#![expect(
    unsafe_code,
    reason = "memory that two processes share has no safe interface"
)]

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};

use crate::sys;

/// So much may wait in a ring, in bytes: more than the benchmarks have in flight. A power of two.
const CAPACITY: usize = 16 * 1024 * 1024;

/// What stands in front of the bytes; each on a line of the cache that only one side writes.
#[repr(C)]
struct Ends {
    written: Line<AtomicUsize>,
    read: Line<AtomicUsize>,
    reader_sleeps: Line<AtomicU32>,
}

#[repr(C, align(64))]
struct Line<T>(T);

/// One of the two ends; see [`ring`].
struct Shared {
    ends: NonNull<Ends>,
}

/// The end that is written to, by one process.
pub(super) struct Writer(Shared);

/// The end that is read, by one process.
pub(super) struct Reader(Shared);

/// A ring, to be made before the process becomes two; each of them then uses one end and drops the other.
pub(super) fn ring() -> io::Result<(Writer, Reader)> {
    let ends = sys::shared_memory(size_of::<Ends>() + CAPACITY)?.cast();
    Ok((Writer(Shared { ends }), Reader(Shared { ends })))
}

impl Shared {
    fn ends(&self) -> &Ends {
        // SAFETY: the mapping begins with it, at the beginning of a page; zeros are valid, and it is never unmapped.
        unsafe { self.ends.as_ref() }
    }

    /// The place of a byte that is counted from the beginning, and how many follow it without a turn.
    fn place(&self, count: usize) -> (*mut u8, usize) {
        let at = count % CAPACITY;
        // SAFETY: the bytes stand behind the ends, and `at` is below their number.
        let place = unsafe { self.ends.add(1).cast::<u8>().add(at) };
        (place.as_ptr(), CAPACITY - at)
    }
}

impl Writer {
    /// How many bytes can be written now.
    pub(super) fn room(&self) -> usize {
        let ends = self.0.ends();
        let written = ends.written.0.load(Ordering::Relaxed);
        CAPACITY - (written - ends.read.0.load(Ordering::Acquire))
    }

    /// Writes all of it. There must be room.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "whoever writes asks for room");
        let ends = self.0.ends();
        let written = ends.written.0.load(Ordering::Relaxed);
        let (place, before_turn) = self.0.place(written);
        let (first, second) = bytes.split_at(bytes.len().min(before_turn));
        // SAFETY: the reader doesn't touch what it hasn't read, which `room` leaves out, and no one else writes; both
        // parts lie inside, before the turn and behind it.
        unsafe {
            first.as_ptr().copy_to_nonoverlapping(place, first.len());
            let (start, _) = self.0.place(0);
            second.as_ptr().copy_to_nonoverlapping(start, second.len());
        }
        ends.written
            .0
            .store(written + bytes.len(), Ordering::Release);
    }

    /// Whether the reader sleeps and has to be woken; says so once.
    pub(super) fn must_wake(&self) -> bool {
        // Either the reader sees what was written before this, or we see that it sleeps.
        fence(Ordering::SeqCst);
        let sleeps = &self.0.ends().reader_sleeps.0;
        sleeps.load(Ordering::Relaxed) == 1 && sleeps.swap(0, Ordering::AcqRel) == 1
    }

    /// Wakes a reader that sleeps in [`Reader::sleep`], if it does.
    pub(super) fn wake(&self) {
        if self.must_wake() {
            sys::futex_wake(&self.0.ends().reader_sleeps.0);
        }
    }
}

impl Reader {
    /// Appends what is there, `len_max` bytes of it at most, and says how many these are.
    pub(super) fn read(&mut self, len_max: usize, out: &mut Vec<u8>) -> usize {
        let ends = self.0.ends();
        let read = ends.read.0.load(Ordering::Relaxed);
        let len = (ends.written.0.load(Ordering::Acquire) - read).min(len_max);
        let (place, before_turn) = self.0.place(read);
        let first = len.min(before_turn);
        // SAFETY: the writer has written these and touches them no more before they are read; both parts lie inside.
        unsafe {
            out.extend_from_slice(std::slice::from_raw_parts(place, first));
            let (start, _) = self.0.place(0);
            out.extend_from_slice(std::slice::from_raw_parts(start, len - first));
        }
        ends.read.0.store(read + len, Ordering::Release);
        len
    }

    /// Says that the reader is about to sleep; true if it may, since there is nothing to read.
    pub(super) fn may_sleep(&self) -> bool {
        let ends = self.0.ends();
        ends.reader_sleeps.0.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let is_empty =
            ends.written.0.load(Ordering::Acquire) == ends.read.0.load(Ordering::Relaxed);
        if !is_empty {
            self.is_awake();
        }
        is_empty
    }

    /// Says that the reader doesn't sleep any more, whatever woke it.
    pub(super) fn is_awake(&self) {
        self.0.ends().reader_sleeps.0.store(0, Ordering::Relaxed);
    }

    /// Sleeps until there is something to read.
    pub(super) fn sleep(&self) {
        while self.may_sleep() {
            sys::futex_wait(&self.0.ends().reader_sleeps.0, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ends are for two processes, and as good for two threads.
    struct Ours<T>(T);
    // SAFETY: each end is used by one thread, which is what it is made for.
    unsafe impl<T> Send for Ours<T> {}

    #[test]
    fn bytes_come_in_order_past_the_turn() {
        let (mut writer, mut reader) = ring().unwrap();
        let mut out = Vec::new();
        let chunk: Vec<u8> = (0..=250).cycle().take(CAPACITY / 3 + 1).collect();
        for _ in 0..10 {
            writer.write(&chunk);
            assert_eq!(writer.room(), CAPACITY - chunk.len());
            out.clear();
            while reader.read(1000, &mut out) > 0 {}
            assert!(out == chunk);
        }
        assert_eq!(writer.room(), CAPACITY);
    }

    #[test]
    fn only_a_sleeper_is_woken_and_only_once() {
        let (mut writer, mut reader) = ring().unwrap();
        assert!(!writer.must_wake());
        assert!(reader.may_sleep());
        writer.write(b"x");
        assert!(writer.must_wake());
        assert!(!writer.must_wake());
        assert!(!reader.may_sleep());
        assert!(!writer.must_wake());
        assert_eq!(reader.read(9, &mut Vec::new()), 1);
    }

    #[test]
    fn nobody_sleeps_for_ever() {
        const COUNT: u32 = 20_000;
        let (to, from) = ring().unwrap();
        let (back_to, back_from) = ring().unwrap();
        let mut there = Ours((from, back_to));
        let echo = std::thread::spawn(move || {
            let Ours((from, to)) = &mut there;
            for _ in 0..COUNT {
                let mut out = Vec::new();
                from.sleep();
                from.is_awake();
                while out.len() < 4 {
                    from.read(4 - out.len(), &mut out);
                }
                to.write(&out);
                to.wake();
            }
        });
        let (mut to, mut from) = (to, back_from);
        for number in 0..COUNT {
            to.write(&number.to_ne_bytes());
            to.wake();
            let mut out = Vec::new();
            from.sleep();
            from.is_awake();
            while out.len() < 4 {
                from.read(4 - out.len(), &mut out);
            }
            assert_eq!(out, number.to_ne_bytes());
        }
        echo.join().unwrap();
    }
}
