//! Two streams of bytes in memory that the host and one worker share, one each way.
//!
//! Who writes copies bytes into the ring, and wakes the reader only if that sleeps; who reads copies them out, and wakes a
//! writer only if that waits for room. So where both are busy, nothing of this is a system call. A worker sleeps on a word
//! of the ring (`futex`); the host has many workers, and sleeps on a descriptor that each of them rings (its bell).
//!
//! Each side keeps its own position to itself, and believes the other's only within bounds: a plugin that writes over the
//! ring breaks its own link, and nothing else. What was written stays there to be read when its writer has died.

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use bytes::{BufMut, BytesMut};

use super::futex;
use super::memory::{Plain, Shared};

/// Bytes that one stream holds. A power of two, so that positions may wrap around.
pub(crate) const RING_LEN: usize = 256 * 1024;
const MASK: usize = RING_LEN - 1;

/// Words that one side writes, apart from those of the other: they would share a line of the processors' caches.
#[derive(Debug)]
#[repr(C, align(128))]
struct Apart<T>(T);

#[derive(Debug)]
#[repr(C)]
struct Ring {
    writer: Apart<WriterWords>,
    reader: Apart<ReaderWords>,
    bytes: Apart<UnsafeCell<[u8; RING_LEN]>>,
}

#[derive(Debug)]
#[repr(C)]
struct WriterWords {
    /// Bytes that were ever written, modulo 2^32.
    written: AtomicU32,
    /// 1: the writer waits for room.
    sleeps: AtomicU32,
}

#[derive(Debug)]
#[repr(C)]
struct ReaderWords {
    /// Bytes that were ever read, modulo 2^32.
    read: AtomicU32,
    /// 1: the reader waits for bytes.
    sleeps: AtomicU32,
    /// 1: somebody has to read although the usual reader is busy with something else.
    urgent: AtomicU32,
}

/// Both streams of a link.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Rings {
    to_worker: Ring,
    to_host: Ring,
}

#[expect(unsafe_code, reason = "only a promise; see the SAFETY comment")]
// SAFETY: `repr(C)`, zeros are two empty rings, all words are atomics, and the bytes are copied by raw pointers alone.
unsafe impl Plain for Rings {}
#[expect(unsafe_code, reason = "only a promise; see the SAFETY comment")]
// SAFETY: the words are atomics. Of the bytes, the writer touches those that are not written yet, and the reader those
// that are; there is one of each (`Writer`, `Reader` are not cloned, and change nothing without `&mut`).
unsafe impl Sync for Rings {}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToWorker,
    ToHost,
}

impl Way {
    fn ring(self, rings: &Rings) -> &Ring {
        match self {
            Self::ToWorker => &rings.to_worker,
            Self::ToHost => &rings.to_host,
        }
    }
}

/// The other side has written nonsense over the ring: there is no way to find the next byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Torn;

impl std::fmt::Display for Torn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("its memory was written over")
    }
}

/// The end at which a stream is written.
#[derive(Debug)]
pub(crate) struct Writer {
    rings: Arc<Shared<Rings>>,
    way: Way,
    written: u32,
}

/// The end at which a stream is read.
#[derive(Debug)]
pub(crate) struct Reader {
    rings: Arc<Shared<Rings>>,
    way: Way,
    read: u32,
}

/// The host's ends of a link's streams.
pub(crate) fn ends_of_host(rings: Shared<Rings>) -> (Writer, Reader) {
    ends(rings, Way::ToWorker, Way::ToHost)
}

/// The worker's ends of a link's streams.
pub(crate) fn ends_of_worker(rings: Shared<Rings>) -> (Writer, Reader) {
    ends(rings, Way::ToHost, Way::ToWorker)
}

fn ends(rings: Shared<Rings>, written: Way, read: Way) -> (Writer, Reader) {
    let rings = Arc::new(rings);
    let writer = Writer {
        rings: Arc::clone(&rings),
        way: written,
        written: 0,
    };
    let reader = Reader {
        rings,
        way: read,
        read: 0,
    };
    (writer, reader)
}

impl Writer {
    fn ring(&self) -> &Ring {
        self.way.ring(&self.rings)
    }

    /// Copies in as many bytes as there is room for: how many those are. The reader is to be woken afterwards if it
    /// sleeps ([`Writer::reader_sleeps`]).
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let ring = self.ring();
        let read = ring.reader.0.read.load(Ordering::Acquire);
        // A position that can't be: no room, until the time limits end this worker.
        let room = RING_LEN.saturating_sub(self.written.wrapping_sub(read) as usize);
        let len = bytes.len().min(room);
        let at = self.written as usize & MASK;
        let first = len.min(RING_LEN - at);
        let into = ring.bytes.0.get().cast::<u8>();
        #[expect(unsafe_code, reason = "shared memory; see the SAFETY comment")]
        // SAFETY: both copies end within the ring (`at < RING_LEN`, `first <= RING_LEN - at`, `len <= RING_LEN`), whose
        // unread part they do not touch; `&mut self` is the only writer.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), into.add(at), first);
            std::ptr::copy_nonoverlapping(bytes[first..].as_ptr(), into, len - first);
        }
        self.written = self.written.wrapping_add(u32_of(len));
        let words = &self.ring().writer.0;
        words.written.store(self.written, Ordering::Release);
        len
    }

    /// Whether the reader sleeps. Says so once: whoever hears it wakes the reader.
    pub(crate) fn reader_sleeps(&self) -> bool {
        // What was written is to be seen by a reader that goes to sleep just now, or that to be seen here.
        fence(Ordering::SeqCst);
        take(&self.ring().reader.0.sleeps)
    }

    /// Wakes the reader, where that is a worker which sleeps ([`Writer::reader_sleeps`]).
    pub(crate) fn wake_reader(&self) {
        futex::wake(&self.ring().reader.0.sleeps);
    }

    /// Has a worker read although its usual reader is busy with a task.
    pub(crate) fn urge(&self) {
        let urgent = &self.ring().reader.0.urgent;
        if urgent.swap(1, Ordering::SeqCst) == 0 {
            futex::wake(urgent);
        }
    }

    /// The writer is about to wait for room. False: there is some.
    pub(crate) fn sleep(&self) -> bool {
        let ring = self.ring();
        ring.writer.0.sleeps.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let read = ring.reader.0.read.load(Ordering::Acquire);
        if (self.written.wrapping_sub(read) as usize) < RING_LEN {
            ring.writer.0.sleeps.store(0, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Waits until there may be room, after [`Writer::sleep`]: for a worker.
    pub(crate) fn wait(&self) {
        futex::wait(&self.ring().writer.0.sleeps, 1);
    }
}

impl Reader {
    fn ring(&self) -> &Ring {
        self.way.ring(&self.rings)
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes wait.
    fn len(&self) -> usize {
        let written = self.ring().writer.0.written.load(Ordering::Acquire);
        written.wrapping_sub(self.read) as usize
    }

    /// Moves all bytes that are there to `out`: how many those are. A writer that waits for room is to be woken afterwards
    /// ([`Reader::writer_sleeps`]).
    ///
    /// # Errors
    /// The other side has written over the ring.
    pub(crate) fn read(&mut self, out: &mut BytesMut) -> Result<usize, Torn> {
        let len = self.len();
        if len == 0 {
            return Ok(0);
        }
        if len > RING_LEN {
            return Err(Torn);
        }
        let at = self.read as usize & MASK;
        let first = len.min(RING_LEN - at);
        out.reserve(len);
        let from = self.ring().bytes.0.get().cast::<u8>();
        let into = out.chunk_mut().as_mut_ptr();
        #[expect(unsafe_code, reason = "shared memory; see the SAFETY comment")]
        // SAFETY: both copies lie within the ring (`at < RING_LEN`, `first <= RING_LEN - at`, `len <= RING_LEN`), in the
        // part that the writer leaves alone until it is read, and within the room that was reserved. If the other process
        // breaks that rule, wrong bytes are copied: they are checked like any others.
        unsafe {
            std::ptr::copy_nonoverlapping(from.add(at), into, first);
            std::ptr::copy_nonoverlapping(from, into.add(first), len - first);
            out.advance_mut(len);
        }
        self.read = self.read.wrapping_add(u32_of(len));
        let words = &self.ring().reader.0;
        words.read.store(self.read, Ordering::Release);
        Ok(len)
    }

    /// Whether the writer waits for room. Says so once: whoever hears it wakes the writer.
    pub(crate) fn writer_sleeps(&self) -> bool {
        fence(Ordering::SeqCst);
        take(&self.ring().writer.0.sleeps)
    }

    /// Wakes the writer, where that is a worker which sleeps ([`Reader::writer_sleeps`]).
    pub(crate) fn wake_writer(&self) {
        futex::wake(&self.ring().writer.0.sleeps);
    }

    /// The reader is about to wait for bytes. False: there are some.
    pub(crate) fn sleep(&self) -> bool {
        let sleeps = &self.ring().reader.0.sleeps;
        sleeps.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.is_empty() {
            return true;
        }
        sleeps.store(0, Ordering::Relaxed);
        false
    }

    /// The reader is awake: nobody needs to wake it.
    pub(crate) fn awake(&self) {
        self.ring().reader.0.sleeps.store(0, Ordering::Relaxed);
    }

    /// Waits until there may be bytes, or [`Poke::poke`] is called, after [`Reader::sleep`]: for a worker.
    pub(crate) fn wait(&self) {
        futex::wait(&self.ring().reader.0.sleeps, 1);
    }

    /// A way to reach whoever reads here, in the worker itself.
    pub(crate) fn poke(&self) -> Poke {
        Poke {
            rings: Arc::clone(&self.rings),
        }
    }
}

/// Reaches a worker's readers from another of its threads.
#[derive(Debug)]
pub(crate) struct Poke {
    rings: Arc<Shared<Rings>>,
}

impl Poke {
    fn words(&self) -> &ReaderWords {
        &self.rings.to_worker.reader.0
    }

    /// Wakes the reader if it sleeps.
    pub(crate) fn poke(&self) {
        let sleeps = &self.words().sleeps;
        fence(Ordering::SeqCst);
        if take(sleeps) {
            futex::wake(sleeps);
        }
    }

    /// Waits until the host wants somebody to read at once.
    pub(crate) fn wait_urgent(&self) {
        while self.words().urgent.load(Ordering::SeqCst) == 0 {
            futex::wait(&self.words().urgent, 0);
        }
    }

    /// Somebody reads now: what is written from here on is urgent anew.
    pub(crate) fn urgent_heard(&self) {
        self.words().urgent.store(0, Ordering::SeqCst);
        // Before the reader looks what is written.
        fence(Ordering::SeqCst);
    }
}

/// Whether the flag was raised; it is not any more.
fn take(flag: &AtomicU32) -> bool {
    flag.load(Ordering::Relaxed) != 0 && flag.swap(0, Ordering::SeqCst) != 0
}

fn u32_of(len: usize) -> u32 {
    u32::try_from(len).expect("no more than a ring holds")
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    /// The worker's writer, and the host's reader, of one ring.
    fn stream() -> (Writer, Reader) {
        let (host, fd) = Shared::<Rings>::create("test").unwrap();
        let worker = Shared::map(&fd).unwrap();
        (ends_of_worker(worker).0, ends_of_host(host).1)
    }

    fn text(len: usize) -> Vec<u8> {
        (0..251).cycle().take(len).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_whatever_the_pieces(pieces in prop::collection::vec((0..2 * RING_LEN, any::<bool>()), 0..40)) {
            let (mut writer, mut reader) = stream();
            let (mut sent, mut seen) = (0, BytesMut::new());
            let all = text(pieces.iter().map(|(len, _)| len).sum());
            for (len, reads) in pieces {
                let wrote = writer.write(&all[sent..sent + len]);
                prop_assert!(wrote <= len);
                sent += wrote;
                if reads {
                    reader.read(&mut seen).unwrap();
                }
            }
            reader.read(&mut seen).unwrap();
            prop_assert_eq!(&seen[..], &all[..sent]);
        }
    }

    #[test]
    fn a_full_ring_takes_nothing_until_it_is_read() {
        let (mut writer, mut reader) = stream();
        assert_eq!(writer.write(&text(RING_LEN + 1)), RING_LEN);
        assert_eq!(writer.write(b"x"), 0);
        assert!(writer.sleep());
        let mut seen = BytesMut::new();
        assert_eq!(reader.read(&mut seen), Ok(RING_LEN));
        assert!(reader.writer_sleeps());
        assert!(!reader.writer_sleeps(), "it is said once");
        assert_eq!(writer.write(b"x"), 1);
    }

    #[test]
    fn who_sleeps_is_woken_whatever_comes_between() {
        const LEN: usize = 20 * 1024 * 1024;
        let (host, fd) = Shared::<Rings>::create("test").unwrap();
        // Both by futex: of the host's ends one stands in for the worker's here.
        let (mut writer, _) = ends_of_host(host);
        let (_, mut reader) = ends_of_worker(Shared::map(&fd).unwrap());
        let all = text(LEN);
        let expected = all.clone();
        let writing = thread::spawn(move || {
            let mut sent = 0;
            while sent < LEN {
                let end = LEN.min(sent + 1 + sent % 70_000);
                let wrote = writer.write(&all[sent..end]);
                sent += wrote;
                if writer.reader_sleeps() {
                    writer.wake_reader();
                }
                if wrote == 0 && writer.sleep() {
                    writer.wait();
                }
            }
        });
        let mut seen = BytesMut::new();
        while seen.len() < LEN {
            let len = reader.read(&mut seen).unwrap();
            if reader.writer_sleeps() {
                reader.wake_writer();
            }
            if len == 0 && reader.sleep() {
                reader.wait();
                reader.awake();
            }
        }
        writing.join().unwrap();
        assert!(seen == expected[..], "in their order, each once");
    }

    #[test]
    fn a_ring_that_was_written_over_is_torn_and_no_worse() {
        let (mut writer, mut reader) = stream();
        writer.write(b"something");
        let words = &reader.ring().writer.0;
        words.written.store(u32::MAX / 2, Ordering::Release);
        assert_eq!(reader.read(&mut BytesMut::new()), Err(Torn));
        let read = &writer.ring().reader.0.read;
        read.store(12_345_678, Ordering::Release);
        assert_eq!(writer.write(b"more"), 0);
    }

    #[test]
    fn what_is_urgent_is_heard_before_and_after_somebody_waits() {
        let (host, fd) = Shared::<Rings>::create("test").unwrap();
        let (writer, _) = ends_of_host(host);
        let (_, reader) = ends_of_worker(Shared::map(&fd).unwrap());
        let poke = reader.poke();
        writer.urge();
        poke.wait_urgent();
        poke.urgent_heard();
        let waiting = thread::spawn(move || poke.wait_urgent());
        writer.urge();
        waiting.join().unwrap();
    }
}
