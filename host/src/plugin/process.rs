//! One worker as a process: started, listened to, killed, reaped.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{
    Pid, PidfdFlags, Resource, Signal, getpid, getrlimit, kill_process_group, pidfd_open,
};
use service::life;
use service::rate::{self, Rate, Sample};
use service::shortage;
use service::supervise::caught;
use service::sync::lock;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc};
use tracing::level_filters::LevelFilter;

use super::outcome::Exit;
use super::scheduler::WorkerId;
use crate::children::{self, Own};
use crate::link::{
    Board, FRAME_LEN_MAX_EXTRA, LINK_VERSION, Open, ToHost, ToWorker, WorkerFrames, send_fds,
};

/// What workers are: this very program, so that both ends of a link are of one build.
const PROGRAM: &str = "/proc/self/exe";
/// How much is read from a link at once.
const READ_LEN: usize = 64 * 1024;
/// Room for frames that is kept when all are sent.
const UNSENT_KEPT_MAX: usize = 1024 * 1024;
/// Frames of one worker that are passed on together.
const BATCH_MAX: usize = 256;
/// Longest printed line that is logged, in bytes.
const PRINTED_LINE_LEN_MAX: u64 = 8 * 1024;
/// Printed lines a second and stream that are logged; the rest are counted and left out.
const PRINTED_LINES_PER_SECOND_MAX: u32 = 200;
/// A longer printed line counts as several of this length, in bytes.
const PRINTED_LINE_LEN_USUAL: usize = 512;
/// How long the end of a killed process is waited for. Only one that hangs in the kernel takes longer than a moment.
const KILL_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long the end of a dead worker's link is waited for; longer only where something else holds it open.
const REST_WAIT_MAX: Duration = Duration::from_secs(1);
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

/// What a worker has to say. All that it sent before it died comes before `Exited`.
#[derive(Debug)]
pub(crate) enum WorkerEvent {
    Frames(Vec<ToHost>),
    /// The process has ended, and so has everything it had started. `broken`: why the host had given it up before.
    Exited {
        exit: Exit,
        broken: Option<String>,
    },
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
    stream: OwnedWriteHalf,
    unsent: Mutex<BytesMut>,
    /// Whether `unsent` waits for the socket to take more.
    blocked: AtomicBool,
    bell: Notify,
    kill: Notify,
}

impl Process {
    /// Adds a frame to those that [`Process::flush`] sends.
    pub(crate) fn push(&self, frame: &ToWorker) {
        frame.encode(&mut lock(&self.link.unsent));
    }

    /// Sends what was pushed; what the socket doesn't take now is sent when it does.
    pub(crate) fn flush(&self) {
        if !self.link.blocked.load(Ordering::Acquire) && !self.link.send() {
            self.link.blocked.store(true, Ordering::Release);
            self.link.bell.notify_one();
        }
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

impl LinkEnd {
    /// False: the socket is full. A broken link counts as sent; its end is noticed by whoever reads.
    fn send(&self) -> bool {
        let mut unsent = lock(&self.unsent);
        while !unsent.is_empty() {
            match self.stream.try_write(&unsent) {
                Ok(len) => unsent.advance(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => unsent.clear(),
            }
        }
        // A long line must not be remembered in memory for the rest of the worker's life.
        if unsent.capacity() > UNSENT_KEPT_MAX {
            *unsent = BytesMut::new();
        }
        true
    }
}

/// Starts a worker that sends its events to `events`, wrapped by `wrap`. It dies with the returned task's end at the latest.
///
/// Must be called within a tokio runtime. Blocks for the milliseconds that starting a process takes.
pub(crate) fn spawn<E: Send + 'static>(
    spec: &Spec,
    id: WorkerId,
    events: mpsc::Sender<E>,
    wrap: fn(WorkerId, WorkerEvent) -> E,
) -> Result<Process, NotStarted> {
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
    Ok(attach(child, host_end, spec, id, events, wrap)?)
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

/// Hands a process that was started just now what it needs, and listens to it from then on.
fn attach<E: Send + 'static>(
    (mut child, own): (Child, Own),
    host_end: OwnedFd,
    spec: &Spec,
    id: WorkerId,
    events: mpsc::Sender<E>,
    wrap: fn(WorkerId, WorkerEvent) -> E,
) -> io::Result<Process> {
    let pid = child
        .id()
        .ok_or_else(|| io::Error::other("the worker ended at once"))?;
    let (board, board_fd) = Board::create()?;
    let (library, board_end) = (spec.library.as_fd(), board_fd.as_fd());
    match send_fds(host_end.as_fd(), library, board_end, own_pidfd()) {
        // It has died already, and how it did is the reason that counts: the listener tells it, as for any other worker.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        sent => sent?,
    }
    let host_end = std::os::unix::net::UnixStream::from(host_end);
    host_end.set_nonblocking(true)?;
    let (read, write) = UnixStream::from_std(host_end)?.into_split();
    let link = Arc::new(LinkEnd {
        stream: write,
        unsent: Mutex::default(),
        blocked: AtomicBool::new(false),
        bell: Notify::new(),
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
        read,
        board,
        child,
        _own: own,
        pid,
        frames: WorkerFrames::new(spec.open.result_len_max + FRAME_LEN_MAX_EXTRA),
        events: events.clone(),
        wrap: move |event| wrap(id, event),
    };
    tokio::spawn(async move {
        let printed = printed.into_iter().flatten().collect();
        if caught(listener.run(printed)).await.is_err() {
            // The process was killed with it; whoever waits for the worker must not do so for ever.
            let exited = WorkerEvent::Exited {
                exit: Exit::default(),
                broken: Some(
                    "was lost by the host; its log says more under \"panicked\"".to_owned(),
                ),
            };
            let _ = events.send(wrap(id, exited)).await;
        }
    });
    Ok(process)
}

struct Listener<E, F> {
    link: Arc<LinkEnd>,
    read: OwnedReadHalf,
    board: Arc<Board>,
    child: Child,
    /// Dropped after it, when it has been reaped.
    _own: Own,
    pid: u32,
    frames: WorkerFrames,
    events: mpsc::Sender<E>,
    wrap: F,
}

/// Why listening has ended.
enum End {
    /// The worker's end of the link is closed, or the worker has ended.
    Gone,
    /// The host gives it up.
    Broken(String),
    Killed,
}

impl<E: Send + 'static, F: Fn(WorkerEvent) -> E + Send + Sync + 'static> Listener<E, F> {
    async fn run(mut self, printed: Vec<tokio::task::JoinHandle<()>>) {
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
            End::Gone | End::Killed => self.read_rest().await,
        };
        for task in printed {
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
        self.send(WorkerEvent::Exited { exit, broken }).await;
    }

    /// Where nobody is left to tell, the pool has ended, and kills what it leaves behind.
    async fn send(&self, event: WorkerEvent) {
        let _ = self.events.send((self.wrap)(event)).await;
    }

    async fn listen(&mut self) -> End {
        let link = Arc::clone(&self.link);
        loop {
            let blocked = link.blocked.load(Ordering::Acquire);
            self.frames.buffer_mut().reserve(READ_LEN);
            tokio::select! {
                biased;
                () = link.kill.notified() => return End::Killed,
                read = self.read.read_buf(self.frames.buffer_mut()) => match read {
                    Ok(0) | Err(_) => return End::Gone,
                    Ok(_) => {
                        if let Err(why) = self.pass_on().await {
                            return End::Broken(why);
                        }
                    }
                },
                _ = self.child.wait() => return End::Gone,
                _ = link.stream.writable(), if blocked => {
                    // Unblocked first: whoever pushes from now on flushes for itself or blocks again.
                    link.blocked.store(false, Ordering::Release);
                    if !link.send() {
                        link.blocked.store(true, Ordering::Release);
                    }
                }
                () = link.bell.notified() => {}
            }
        }
    }

    /// Passes on the frames that are complete.
    async fn pass_on(&mut self) -> Result<(), String> {
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH_MAX {
                let frame = self.frames.next_to_host();
                match frame.map_err(|error| format!("broke its link to the host: {error}"))? {
                    Some(ToHost::Hello { link_version }) if link_version != LINK_VERSION => {
                        return Err(format!(
                            "speaks link version {link_version}, the host {LINK_VERSION}: \
                             the host's binary was replaced while it ran, restart it"
                        ));
                    }
                    Some(frame) => batch.push(frame),
                    None => break,
                }
            }
            if batch.is_empty() {
                return Ok(());
            }
            self.send(WorkerEvent::Frames(batch)).await;
        }
    }

    async fn read_rest(&mut self) -> Option<String> {
        let rest = async {
            loop {
                self.frames.buffer_mut().reserve(READ_LEN);
                match self.read.read_buf(self.frames.buffer_mut()).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {
                        if let Err(why) = self.pass_on().await {
                            return Some(why);
                        }
                    }
                }
            }
        };
        tokio::time::timeout(REST_WAIT_MAX, rest)
            .await
            .unwrap_or(None)
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

    use super::*;

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

        let (sender, mut events) = mpsc::channel(8);
        let id = WorkerId(1);
        let process = attach(
            (child, own),
            host_end,
            &Spec::made_up(),
            id,
            sender,
            |_, event| event,
        )
        .unwrap();
        let WorkerEvent::Exited { exit, broken } = events.recv().await.unwrap() else {
            panic!("it never said anything");
        };
        assert_eq!(exit.to_string(), "was killed by SIGKILL");
        assert!(broken.is_none(), "{broken:?}");
        drop(process);
    }
}
