//! A bounded buffer in front of a thread of its own: who logs never waits for who reads.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// Bytes of lines that may wait to be written.
const WAITING_LEN_MAX: usize = 4 * 1024 * 1024;
/// What is written to may be in non-blocking mode, by whoever shares it with us: how soon it is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(10);
/// How often a thread that has nothing to write looks for what else there is to tell.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Default)]
pub(super) struct Writer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is a line.
    filled: Condvar,
    /// There is none, and none is being written.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Box<[u8]>>,
    /// Bytes of all of them.
    len: usize,
    is_writing: bool,
    /// Lines that were dropped since the start.
    dropped: u64,
    /// Whether some were dropped of which the log doesn't tell yet.
    has_gap: bool,
}

impl Writer {
    /// Starts the thread that writes to `out`. `tell_of_gap` is given the number of lines that were dropped since the
    /// start, when `out` takes lines again; `look` is called now and then. Both may push lines.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        tell_of_gap: impl Fn(u64) + Send + 'static,
        look: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let writer = Self::default();
        let writing = writer.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writing.run(out, tell_of_gap, look))?;
        Ok(writer)
    }

    /// Has a line written, newline included, or drops it where there is no room for it.
    pub(super) fn push(&self, line: &[u8]) {
        let mut queue = self.queue();
        // The longest line there is has room where no other one waits.
        if queue.len > 0 && queue.len + line.len() > WAITING_LEN_MAX {
            queue.drop_line();
            return;
        }
        queue.len += line.len();
        queue.lines.push_back(line.into());
        drop(queue);
        self.0.filled.notify_one();
    }

    /// Waits until all lines are written or dropped, for `wait` at most.
    pub(super) fn flush(&self, wait: Duration) {
        let _ = self
            .0
            .emptied
            .wait_timeout_while(self.queue(), wait, |queue| !queue.is_done());
    }

    pub(super) fn lines_dropped(&self) -> u64 {
        self.queue().dropped
    }

    fn run(&self, mut out: impl Write, tell_of_gap: impl Fn(u64), look: impl Fn()) {
        let mut is_torn = false;
        let mut looked = Instant::now();
        loop {
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                look();
            }
            let Some(line) = self.next() else { continue };
            let is_written = write_line(&mut out, &line, &mut is_torn);
            if let Some(dropped) = self.done(is_written) {
                tell_of_gap(dropped);
            }
        }
    }

    /// The next line; none where it is time to look for what else there is.
    fn next(&self) -> Option<Box<[u8]>> {
        let waited = self
            .0
            .filled
            .wait_timeout_while(self.queue(), LOOK, |queue| queue.lines.is_empty());
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let line = queue.lines.pop_front()?;
        queue.len -= line.len();
        queue.is_writing = true;
        Some(line)
    }

    /// The line in hand is done with. Gives the lines dropped since the start if that should be told now.
    fn done(&self, is_written: bool) -> Option<u64> {
        let mut queue = self.queue();
        queue.is_writing = false;
        if !is_written {
            queue.drop_line();
        }
        if queue.is_done() {
            self.0.emptied.notify_all();
        }
        // Not before there is room for what is told.
        let tells = queue.has_gap && is_written && queue.len <= WAITING_LEN_MAX / 2;
        tells.then(|| {
            queue.has_gap = false;
            queue.dropped
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.0.queue)
    }
}

impl Queue {
    fn drop_line(&mut self) {
        self.dropped += 1;
        self.has_gap = true;
    }

    fn is_done(&self) -> bool {
        self.lines.is_empty() && !self.is_writing
    }
}

/// Writes a line, after a newline where the one before `is_torn`. False: it, or a part of it, is lost.
fn write_line(out: &mut impl Write, line: &[u8], is_torn: &mut bool) -> bool {
    let end_of_torn: &[u8] = if *is_torn { b"\n" } else { b"" };
    for mut rest in [end_of_torn, line] {
        while !rest.is_empty() {
            match out.write(rest) {
                Ok(0) => return false,
                Ok(len) => {
                    *is_torn = rest[len - 1] != b'\n';
                    rest = &rest[len..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(TRY_AGAIN),
                Err(_) => return false,
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long anything may take; none of it takes a hundredth.
    const DEADLINE: Duration = Duration::from_secs(60);

    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    enum Mode {
        #[default]
        Works,
        /// As a disk that is full, or a pipe whose reader has gone.
        Fails,
        /// As a pipe that nobody reads.
        Blocks,
    }

    #[derive(Clone, Default)]
    struct Out(Arc<OutState>);

    #[derive(Default)]
    struct OutState {
        mode: Mutex<Mode>,
        changed: Condvar,
        written: Mutex<Vec<u8>>,
    }

    impl Out {
        fn set(&self, mode: Mode) {
            *self.0.mode.lock().unwrap() = mode;
            self.0.changed.notify_all();
        }

        fn written(&self) -> String {
            String::from_utf8(self.0.written.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mode = self.0.mode.lock().unwrap();
            let mode = self
                .0
                .changed
                .wait_while(mode, |mode| *mode == Mode::Blocks)
                .unwrap();
            if *mode == Mode::Fails {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A writer that tells of gaps as the log does: by a line.
    fn writer(out: &Out) -> Writer {
        let told: Arc<std::sync::OnceLock<Writer>> = Arc::default();
        let telling = Arc::clone(&told);
        let writer = Writer::start(
            out.clone(),
            move |dropped| {
                let writer = telling.get().expect("it is set before a line is pushed");
                writer.push(format!("{dropped} are missing\n").as_bytes());
            },
            || (),
        );
        told.get_or_init(|| writer.unwrap()).clone()
    }

    #[test]
    fn lines_are_written_in_order() {
        let out = Out::default();
        let writer = writer(&out);
        let lines: Vec<String> = (0..1000).map(|number| format!("{number}\n")).collect();
        for line in &lines {
            writer.push(line.as_bytes());
        }
        writer.flush(DEADLINE);
        assert_eq!(out.written(), lines.concat());
        assert_eq!(writer.lines_dropped(), 0);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_once_it_works_again() {
        let out = Out::default();
        let writer = writer(&out);
        out.set(Mode::Fails);
        for _ in 0..3 {
            writer.push(b"lost\n");
        }
        writer.flush(DEADLINE);
        assert_eq!(writer.lines_dropped(), 3);
        out.set(Mode::Works);
        for _ in 0..2 {
            writer.push(b"written\n");
            writer.flush(DEADLINE);
        }
        let deadline = Instant::now() + DEADLINE;
        while out.written().lines().count() < 3 {
            assert!(Instant::now() < deadline, "{}", out.written());
            thread::yield_now();
        }
        let told = out.written();
        assert_eq!(told.matches("3 are missing\n").count(), 1, "{told}");
        assert_eq!(writer.lines_dropped(), 3);
    }

    #[test]
    fn who_logs_never_waits_for_a_reader_and_what_waits_is_bounded() {
        let out = Out::default();
        let writer = writer(&out);
        out.set(Mode::Blocks);
        let line = |number: usize| format!("{number:01000}\n");
        let pushed = 2 * WAITING_LEN_MAX / line(0).len();
        for number in 0..pushed {
            writer.push(line(number).as_bytes());
        }
        // It is not waited for beyond the time given.
        writer.flush(Duration::from_millis(1));
        let dropped = usize::try_from(writer.lines_dropped()).unwrap();
        let kept = pushed - dropped;
        assert!(kept * line(0).len() <= WAITING_LEN_MAX + line(0).len());
        assert!(kept * line(0).len() > WAITING_LEN_MAX / 2);
        out.set(Mode::Works);
        let told = format!("{dropped} are missing");
        let deadline = Instant::now() + DEADLINE;
        while !out.written().contains(&told) {
            assert!(Instant::now() < deadline, "nobody told of the gap");
            writer.flush(Duration::from_millis(10));
        }
        writer.flush(DEADLINE);
        let written = out.written();
        let lines: Vec<&str> = written.lines().filter(|line| *line != told).collect();
        let expected: Vec<String> = (0..kept).map(line).collect();
        assert!(
            lines
                .iter()
                .zip(&expected)
                .all(|(got, wanted)| wanted.trim_end() == *got),
            "what was kept is the beginning, in order"
        );
        assert_eq!(lines.len(), kept);
        assert_eq!(written.lines().count(), kept + 1, "told once");
    }

    #[test]
    fn a_line_longer_than_all_room_is_written_where_no_other_waits() {
        let out = Out::default();
        let writer = writer(&out);
        writer.push(&vec![b'x'; 2 * WAITING_LEN_MAX]);
        writer.flush(DEADLINE);
        assert_eq!(out.written().len(), 2 * WAITING_LEN_MAX);
    }

    /// Does as it is told, then works.
    struct Scripted {
        script: VecDeque<io::Result<usize>>,
        written: Vec<u8>,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = self.script.pop_front().unwrap_or(Ok(bytes.len()))?;
            self.written.extend_from_slice(&bytes[..len]);
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_written_whole_in_pieces_and_later() {
        let mut out = Scripted {
            script: VecDeque::from([
                Ok(1),
                Err(io::ErrorKind::WouldBlock.into()),
                Err(io::ErrorKind::Interrupted.into()),
                Ok(2),
            ]),
            written: Vec::new(),
        };
        assert!(write_line(&mut out, b"in pieces\n", &mut false));
        assert_eq!(out.written, b"in pieces\n");
    }

    #[test]
    fn the_line_after_a_torn_one_begins_a_line() {
        let full = || Err(io::ErrorKind::StorageFull.into());
        let mut out = Scripted {
            script: VecDeque::from([Ok(4), full(), full()]),
            written: Vec::new(),
        };
        let mut is_torn = false;
        assert!(!write_line(&mut out, b"torn in two\n", &mut is_torn));
        assert!(!write_line(&mut out, b"lost\n", &mut is_torn));
        assert!(write_line(&mut out, b"whole\n", &mut is_torn));
        assert!(write_line(&mut out, b"the next\n", &mut is_torn));
        assert_eq!(out.written, b"torn\nwhole\nthe next\n");
    }
}
