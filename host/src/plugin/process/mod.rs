//! One worker as a process: started, listened to, killed, reaped.

mod listener;
mod printed;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{PidfdFlags, Resource, getpid, getrlimit, pidfd_open};
use service::life;
use service::shortage;
use service::sync::lock;
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tracing::level_filters::LevelFilter;

pub(crate) use self::listener::Listener;
use self::printed::log_printed;
use super::outcome::Exit;
use crate::children::{self, Own};
use crate::link::{
    Begin, Bell, Board, FRAME_LEN_MAX_EXTRA, Open, Sending, Shared, ToHost, ToWorker, WorkerFrames,
    ends_of_host, send_fds,
};

/// What workers are: this very program, so that both ends of a link are of one build.
const PROGRAM: &str = "/proc/self/exe";

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
        bell: listener::watched(bell)?,
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

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    use bytes::BytesMut;
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::link::{LINK_VERSION, RING_LEN, ends_of_worker, receive_fds};

    /// Who is told the end, and how much was said before.
    struct Told(mpsc::UnboundedSender<WorkerEvent>, watch::Sender<usize>);

    fn told(events: mpsc::UnboundedSender<WorkerEvent>) -> (Told, watch::Receiver<usize>) {
        let (said, heard) = watch::channel(0);
        (Told(events, said), heard)
    }

    impl Listens for Told {
        fn said(&self, frames: &mut Vec<ToHost>) {
            self.1.send_modify(|said| *said += frames.len());
            frames.clear();
        }

        fn exited(&self, exited: WorkerEvent) {
            self.0.send(exited).unwrap();
        }
    }

    /// The host's end of a link, and the worker's, which a process has that does nothing.
    fn idle_worker() -> ((Child, Own), OwnedFd, OwnedFd) {
        let (host_end, worker_end) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let other = worker_end.try_clone().unwrap();
        let mut command = Command::new("sleep");
        command
            .arg("1000")
            .stdin(Stdio::from(worker_end))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        (children::spawn(&mut command).unwrap(), host_end, other)
    }

    #[tokio::test]
    async fn a_worker_that_never_stops_talking_is_killed_all_the_same() {
        let (child, host_end, worker_end) = idle_worker();
        let (sender, mut events) = mpsc::unbounded_channel();
        let (told, mut heard) = told(sender);
        let (process, listener) = attach(child, host_end, &Spec::made_up(), told).unwrap();
        let begin = receive_fds(worker_end.as_fd()).unwrap();
        let (mut writer, _) = ends_of_worker(Shared::map(begin.rings).unwrap());
        let bell = Bell::from_fd(begin.bell);
        let is_over = Arc::new(AtomicBool::new(false));
        let talking = std::thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                let mut frames = BytesMut::new();
                let link_version = LINK_VERSION;
                while frames.len() < RING_LEN {
                    ToHost::Hello { link_version }.encode_head(&mut frames);
                }
                let mut sent = 0;
                while !is_over.load(Relaxed) {
                    sent = (sent + writer.write(&frames[sent..])) % frames.len();
                    if writer.reader_sleeps() {
                        bell.ring().unwrap();
                    }
                }
            }
        });
        listener.start();
        heard.wait_for(|said| *said > RING_LEN).await.unwrap();
        process.kill();
        let ended = tokio::time::timeout(Duration::from_secs(60), events.recv()).await;
        is_over.store(true, Relaxed);
        talking.join().unwrap();
        assert!(matches!(
            ended.unwrap(),
            Some(WorkerEvent::Exited { broken: None, .. })
        ));
    }

    #[tokio::test]
    async fn of_a_worker_that_dies_before_it_is_handed_its_library_is_told_how_it_ended() {
        let ((mut child, own), host_end, worker_end) = idle_worker();
        drop(worker_end);
        child.start_kill().unwrap();
        // Its end of the link goes with it.
        let mut link = std::os::unix::net::UnixStream::from(host_end.try_clone().unwrap());
        assert_eq!(link.read(&mut [0]).unwrap(), 0);

        let (sender, mut events) = mpsc::unbounded_channel();
        let (process, listener) =
            attach((child, own), host_end, &Spec::made_up(), told(sender).0).unwrap();
        listener.start();
        let WorkerEvent::Exited { exit, broken } = events.recv().await.unwrap() else {
            panic!("it never said anything");
        };
        assert_eq!(exit.to_string(), "was killed by SIGKILL");
        assert!(broken.is_none(), "{broken:?}");
        drop(process);
    }
}
