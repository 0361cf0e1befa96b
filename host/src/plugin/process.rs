//! One worker as a process: started, listened to, killed, reaped.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{
    Pid, PidfdFlags, Resource, Signal, getpid, getrlimit, kill_process_group, pidfd_open,
};
use service::life;
use service::rate::{self, Rate, Sample};
use service::shortage;
use service::supervise::caught;
use service::sync::lock;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Interest};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::level_filters::LevelFilter;

use super::outcome::Exit;
use crate::children::{self, Own};
use crate::link::{
    Begin, Bell, Board, FRAME_LEN_MAX_EXTRA, LINK_VERSION, Open, Reader, Sending, Shared, ToHost,
    ToWorker, WorkerFrames, ends_of_host, send_fds,
};

/// What workers are: this very program, so that both ends of a link are of one build.
const PROGRAM: &str = "/proc/self/exe";
/// Longest printed line that is logged, in bytes.
const PRINTED_LINE_LEN_MAX: u64 = 8 * 1024;
/// Printed lines a second and stream that are logged; the rest are counted and left out.
const PRINTED_LINES_PER_SECOND_MAX: u32 = 200;
/// A longer printed line counts as several of this length, in bytes.
const PRINTED_LINE_LEN_USUAL: usize = 512;
/// How long the end of a killed process is waited for. Only one that hangs in the kernel takes longer than a moment.
const KILL_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long the last printed lines of a dead worker are waited for.
const PRINTED_WAIT_MAX: Duration = Duration::from_millis(200);

/// What a worker needs to begin with.
#[derive(Debug)]
pub(crate) struct Spec {
    /// Name of the plugin, for the log.
    pub(crate) plugin: String,
    /// The library, as a file that nobody can change any more.
    pub(crate) library: Arc<OwnedFd>,
    pub(crate) open: Open,
}

#[cfg(test)]
impl Spec {
    /// Of a library that no worker could load.
    pub(crate) fn made_up() -> Self {
        Self {
            plugin: "p".to_owned(),
            library: Arc::new(std::fs::File::open("/dev/null").unwrap().into()),
            open: Open {
                file: "libp.so".to_owned(),
                config: "{}".to_owned(),
                slots: None,
                result_len_max: 1024,
                memory_max: None,
                open_files_max: None,
                log_level: 0,
            },
        }
    }
}

/// Why a worker could not be started.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// The system is out of something, for now.
    Short(String),
    /// Trying again won't help.
    Refused(String),
}

impl From<io::Error> for NotStarted {
    fn from(error: io::Error) -> Self {
        match shortage::describe(&error) {
            Some(why) => Self::Short(why),
            None => Self::Refused(error.to_string()),
        }
    }
}

/// What is known of a worker from its own word, or from its end.
#[derive(Debug)]
pub(crate) enum WorkerEvent {
    Said(ToHost),
    /// The process has ended, and so has everything it had started. `broken`: why the host had given it up before.
    Exited {
        exit: Exit,
        broken: Option<String>,
    },
}

/// Whoever listens to a worker. Neither call may block.
pub(crate) trait Listens: Send + Sync + 'static {
    /// Takes all frames. All that the worker sent before it died comes before its end.
    fn said(&self, frames: &mut Vec<ToHost>);
    /// The last that is heard.
    fn exited(&self, exited: WorkerEvent);
}

/// The host's hold on a worker.
#[derive(Debug)]
pub(crate) struct Process {
    link: Arc<LinkEnd>,
    pub(crate) board: Arc<Board>,
    pub(crate) pid: u32,
}

#[derive(Debug)]
struct LinkEnd {
    outgoing: Mutex<Outgoing>,
    /// Tasks that the worker runs at once; 0 until it has said so.
    slots: AtomicU32,
    kill: Notify,
}

#[derive(Debug)]
struct Outgoing {
    sending: Sending,
    /// Something of it has to be read also while the worker runs a task.
    is_urgent: bool,
}

impl Process {
    /// Adds a frame to those that [`Process::flush`] sends.
    pub(crate) fn push(&self, frame: &ToWorker) {
        let mut outgoing = lock(&self.link.outgoing);
        outgoing.sending.push(|out| frame.encode_head(out));
        // With one slot, a call that finds it taken has to wait for it anyway.
        let waits = matches!(frame, ToWorker::Call(_)) && self.link.slots.load(Relaxed) == 1;
        outgoing.is_urgent |= !waits;
    }

    /// Sends what was pushed; what the ring doesn't take now is sent when it does.
    pub(crate) fn flush(&self) {
        lock(&self.link.outgoing).send();
    }

    /// Kills the worker, and all processes that it has started.
    pub(crate) fn kill(&self) {
        self.link.kill.notify_one();
    }
}

impl Drop for Process {
    /// Nobody holds it any more: a worker is never left behind.
    fn drop(&mut self) {
        self.kill();
    }
}

impl Outgoing {
    fn send(&mut self) {
        let written = self.sending.write();
        if written.wakes {
            self.sending.writer().wake_reader();
        } else if self.is_urgent {
            self.sending.writer().urge();
        }
        // What is left may be what is urgent. The worker rings when there is room.
        self.is_urgent &= !written.is_all;
    }
}

/// Starts a worker, to which `listens` listens once the listener is started. It dies with that at the latest.
///
/// Must be called within a tokio runtime. Blocks for the milliseconds that starting a process takes.
pub(crate) fn spawn<L: Listens>(
    spec: &Spec,
    listens: L,
) -> Result<(Process, Listener<L>), NotStarted> {
    let (host_end, worker_end) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(io::Error::from)?;
    let mut command = Command::new(PROGRAM);
    command
        .arg("worker")
        .arg(&spec.plugin)
        .stdin(Stdio::from(worker_end))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own: Ctrl-C in the host's terminal must not hit workers that finish their tasks.
        .process_group(0)
        .kill_on_drop(true);
    let started = children::spawn(&mut command);
    // The worker's end is its own now.
    drop(command);
    let child = started.map_err(not_started)?;
    Ok(attach(child, host_end, spec, listens)?)
}

fn not_started(error: io::Error) -> NotStarted {
    if error.kind() == io::ErrorKind::NotFound && !Path::new(PROGRAM).exists() {
        return NotStarted::Refused(format!(
            "{error}: workers are started from {PROGRAM}, and /proc is not mounted"
        ));
    }
    error.into()
}

/// The memory that workers may really have, where that is less than they should: no more than the host's own hard limit.
pub(crate) fn memory_allowed(open: &Open) -> Option<u64> {
    let hard = getrlimit(Resource::Data).maximum?;
    open.memory_max
        .is_some_and(|wanted| hard < wanted)
        .then_some(hard)
}

/// Hands a process that was started just now what it needs.
fn attach<L: Listens>(
    (mut child, own): (Child, Own),
    socket: OwnedFd,
    spec: &Spec,
    listens: L,
) -> io::Result<(Process, Listener<L>)> {
    let pid = child
        .id()
        .ok_or_else(|| io::Error::other("the worker ended at once"))?;
    let (board, board_fd) = Board::create()?;
    let (rings, rings_fd) = Shared::create("rings")?;
    let bell = Bell::create()?;
    let begin = Begin {
        library: spec.library.as_fd(),
        board: board_fd.as_fd(),
        rings: rings_fd.as_fd(),
        bell: bell.as_fd(),
        host: own_pidfd(),
    };
    match send_fds(socket.as_fd(), &begin) {
        // It has died already, and how it did is the reason that counts: the listener tells it, as for any other worker.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        sent => sent?,
    }
    let (writer, reader) = ends_of_host(rings);
    let outgoing = Outgoing {
        sending: Sending::new(writer),
        is_urgent: false,
    };
    let link = Arc::new(LinkEnd {
        outgoing: Mutex::new(outgoing),
        slots: AtomicU32::new(0),
        kill: Notify::new(),
    });
    let board = Arc::new(board);
    let process = Process {
        link: Arc::clone(&link),
        board: Arc::clone(&board),
        pid,
    };
    let open = Open {
        log_level: log_level(),
        open_files_max: life::descriptor_limit_before(),
        ..spec.open.clone()
    };
    let open = serde_json::to_vec(&open).map_err(io::Error::other)?;
    process.push(&ToWorker::Open(open.into()));
    process.flush();

    let printed = [
        child
            .stdout
            .take()
            .map(|out| tokio::spawn(log_printed(out, "stdout", spec.plugin.clone(), pid))),
        child
            .stderr
            .take()
            .map(|err| tokio::spawn(log_printed(err, "stderr", spec.plugin.clone(), pid))),
    ];
    let listener = Listener {
        link,
        bell: watched(bell)?,
        reader,
        // A descriptor less, where nobody needs it.
        _socket: own_pidfd().is_none().then_some(socket),
        board,
        child,
        _own: own,
        pid,
        frames: WorkerFrames::new(spec.open.result_len_max + FRAME_LEN_MAX_EXTRA),
        whole: Vec::new(),
        printed: printed.into_iter().flatten().collect(),
        listens: Arc::new(listens),
    };
    Ok((process, listener))
}

/// A bell that can be waited for.
fn watched(bell: Bell) -> io::Result<AsyncFd<Bell>> {
    #[expect(
        unsafe_code,
        reason = "tokio asks for a promise; see the SAFETY comment"
    )]
    // SAFETY: a `Bell` has one descriptor, which is its own for as long as it lives.
    unsafe {
        AsyncFd::register_with_interest(bell, Interest::READABLE).map_err(Into::into)
    }
}

/// Listens to one worker until it has ended.
pub(crate) struct Listener<L> {
    link: Arc<LinkEnd>,
    bell: AsyncFd<Bell>,
    reader: Reader,
    /// A worker whose kernel has no pidfds sees by it that the host has gone.
    _socket: Option<OwnedFd>,
    board: Arc<Board>,
    child: Child,
    /// Dropped after it, when it has been reaped.
    _own: Own,
    pid: u32,
    frames: WorkerFrames,
    /// Frames that are whole. Reused.
    whole: Vec<ToHost>,
    printed: Vec<JoinHandle<()>>,
    listens: Arc<L>,
}

/// Why listening has ended.
enum End {
    /// The worker has ended.
    Gone,
    /// The host gives it up.
    Broken(String),
    Killed,
}

impl<L: Listens> Listener<L> {
    /// Listens from now on.
    pub(crate) fn start(self) {
        let listens = Arc::clone(&self.listens);
        tokio::spawn(async move {
            if caught(self.run()).await.is_err() {
                // The process was killed with it; whoever waits for the worker must not do so for ever.
                let why = "was lost by the host; its log says more under \"panicked\"";
                listens.exited(WorkerEvent::Exited {
                    exit: Exit::default(),
                    broken: Some(why.to_owned()),
                });
            }
        });
    }

    async fn run(mut self) {
        let end = self.listen().await;
        // Whatever the plugin has started goes too. The group's number is still its own: its leader is not reaped yet,
        // or has been so only just now.
        kill_group(self.pid);
        // A plugin may have left the group. An error means that the process has ended.
        let _ = self.child.start_kill();
        let status = match tokio::time::timeout(KILL_WAIT_MAX, self.child.wait()).await {
            Ok(status) => status.ok(),
            Err(_elapsed) => {
                // The runtime reaps it when it ends after all.
                tracing::error!(
                    worker = self.pid,
                    "a worker that was killed does not end: it hangs in the kernel, or is frozen"
                );
                None
            }
        };
        // What it sent before it died is still there to be read.
        let broken = match end {
            End::Broken(why) => Some(why),
            End::Gone | End::Killed => self.read().err(),
        };
        for task in self.printed {
            let abort = task.abort_handle();
            if tokio::time::timeout(PRINTED_WAIT_MAX, task).await.is_err() {
                abort.abort();
            }
        }
        use std::os::unix::process::ExitStatusExt;
        let exit = Exit {
            code: status.as_ref().and_then(std::process::ExitStatus::code),
            signal: status.as_ref().and_then(ExitStatusExt::signal),
            culprit: self.board.culprit(),
        };
        self.listens.exited(WorkerEvent::Exited { exit, broken });
    }

    async fn listen(&mut self) -> End {
        let link = Arc::clone(&self.link);
        loop {
            match self.read() {
                Ok(true) => {
                    tokio::task::coop::consume_budget().await;
                    continue;
                }
                Ok(false) => {}
                Err(why) => return End::Broken(why),
            }
            // It may have rung since it has room again.
            lock(&link.outgoing).send();
            if !self.reader.sleep() {
                continue;
            }
            tokio::select! {
                biased;
                () = link.kill.notified() => return End::Killed,
                rung = self.bell.readable() => match rung {
                    // Every ringing counts anew: what it had counted is of no interest.
                    Ok(mut rung) => rung.clear_ready(),
                    Err(_) => return End::Gone,
                },
                _ = self.child.wait() => return End::Gone,
            }
            self.reader.awake();
        }
    }

    /// Reads what is there, and passes it on. False: nothing.
    fn read(&mut self) -> Result<bool, String> {
        let broken = |why: &dyn std::fmt::Display| format!("broke its link to the host: {why}");
        let read = self.reader.read(self.frames.buffer_mut());
        if read.map_err(|torn| broken(&torn))? == 0 {
            return Ok(false);
        }
        if self.reader.writer_sleeps() {
            self.reader.wake_writer();
        }
        self.pass_on()?;
        Ok(true)
    }

    /// Passes on the frames that are complete.
    fn pass_on(&mut self) -> Result<(), String> {
        let broken = loop {
            let frame = self.frames.next_to_host();
            match frame.map_err(|error| format!("broke its link to the host: {error}")) {
                Ok(Some(ToHost::Hello { link_version })) if link_version != LINK_VERSION => {
                    break Err(format!(
                        "speaks link version {link_version}, the host {LINK_VERSION}: \
                         the host's binary was replaced while it ran, restart it"
                    ));
                }
                Ok(Some(frame)) => {
                    if let ToHost::Opened { slots, .. } = frame {
                        self.link.slots.store(slots, Relaxed);
                    }
                    self.whole.push(frame);
                }
                Ok(None) => break Ok(()),
                Err(why) => break Err(why),
            }
        };
        if !self.whole.is_empty() {
            self.listens.said(&mut self.whole);
        }
        broken
    }
}

/// The most verbose level that the host's own log takes, as the ABI counts levels.
pub(super) fn log_level() -> u32 {
    match LevelFilter::current().into_level() {
        None => 0,
        Some(tracing::Level::ERROR) => 1,
        Some(tracing::Level::WARN) => 2,
        Some(tracing::Level::INFO) => 3,
        Some(tracing::Level::DEBUG) => 4,
        Some(tracing::Level::TRACE) => 5,
    }
}

/// The host as its workers watch it. Opened once, by the process that it names; `None`: the kernel has no pidfds.
fn own_pidfd() -> Option<BorrowedFd<'static>> {
    static OWN: OnceLock<Option<OwnedFd>> = OnceLock::new();
    OWN.get_or_init(|| pidfd_open(getpid(), PidfdFlags::empty()).ok())
        .as_ref()
        .map(AsFd::as_fd)
}

fn kill_group(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// How much a printed line counts.
fn weight(line: &str) -> u32 {
    rate::weight(line.len(), PRINTED_LINE_LEN_USUAL)
}

/// Logs what a plugin prints, line by line.
async fn log_printed(stream: impl AsyncRead + Unpin, name: &'static str, plugin: String, pid: u32) {
    let mut reader = BufReader::new(stream);
    let mut sample = Sample::new(Rate::per_second(PRINTED_LINES_PER_SECOND_MAX));
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader)
            .take(PRINTED_LINE_LEN_MAX)
            .read_until(b'\n', &mut line)
            .await
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            continue;
        }
        match sample.take_for(weight(text), Instant::now()) {
            Some(0) => {
                tracing::info!(target: "plugin", plugin, worker = pid, stream = name, "{text}");
            }
            Some(left_out) => {
                tracing::warn!(target: "plugin", plugin, worker = pid, stream = name, left_out, "printed too much");
                tracing::info!(target: "plugin", plugin, worker = pid, stream = name, "{text}");
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use tokio::sync::mpsc;

    use super::*;

    struct Told(mpsc::UnboundedSender<WorkerEvent>);

    impl Listens for Told {
        fn said(&self, frames: &mut Vec<ToHost>) {
            frames.clear();
        }

        fn exited(&self, exited: WorkerEvent) {
            self.0.send(exited).unwrap();
        }
    }

    #[test]
    fn what_is_printed_is_bounded_by_bytes_too() {
        let mut sample = Sample::new(Rate::per_second(PRINTED_LINES_PER_SECOND_MAX));
        let (now, line) = (Instant::now(), "x".repeat(8 * 1024));
        let shown = (0..1000).filter(|_| sample.take_for(weight(&line), now).is_some());
        assert!(shown.count() * line.len() <= 100 * 1024);
        assert_eq!((weight(""), weight("a usual line")), (1, 1));
    }

    #[tokio::test]
    async fn of_a_worker_that_dies_before_it_is_handed_its_library_is_told_how_it_ended() {
        let (host_end, worker_end) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let mut command = Command::new("sleep");
        command
            .arg("1000")
            .stdin(Stdio::from(worker_end))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let (mut child, own) = children::spawn(&mut command).unwrap();
        drop(command);
        child.start_kill().unwrap();
        // Its end of the link goes with it.
        let mut link = std::os::unix::net::UnixStream::from(host_end.try_clone().unwrap());
        assert_eq!(link.read(&mut [0]).unwrap(), 0);

        let (sender, mut events) = mpsc::unbounded_channel();
        let (process, listener) =
            attach((child, own), host_end, &Spec::made_up(), Told(sender)).unwrap();
        listener.start();
        let WorkerEvent::Exited { exit, broken } = events.recv().await.unwrap() else {
            panic!("it never said anything");
        };
        assert_eq!(exit.to_string(), "was killed by SIGKILL");
        assert!(broken.is_none(), "{broken:?}");
        drop(process);
    }
}
