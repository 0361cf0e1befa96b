//! The worker: a child process of the host's own binary that opens one generation of one plugin and runs its tasks.
//!
//! Architecture invariant: a worker never sees a socket address or a request line; it knows the link, the plugin API and
//! the plugin. Whatever happens in here, the worst the host sees is a link that ends.

mod copy;
mod library;
mod outbox;
mod progress;
mod services;
mod signals;
mod tasks;
mod watch;

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;

use bytes::Bytes;
use plugin_api::abi::PluginModuleRef;
use plugin_api::limits;
use plugin_api::manifest::Manifest;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use service::shortage;

use self::outbox::Outbox;
use self::tasks::Tasks;
use crate::link::{
    Board, FRAME_LEN_MAX_EXTRA, LINK_VERSION, LogRecord, Open, Received, ToHost, ToWorker,
    WorkerFrames, receive_fds,
};

/// Longest frame from the host; the host bounds its lines itself, this only tells a broken link from a long one.
const FRAME_LEN_MAX: usize = 1024 * 1024 * 1024 + FRAME_LEN_MAX_EXTRA;
/// How much is read from the link at once.
const READ_LEN: usize = 64 * 1024;

static OUTBOX: OnceLock<Outbox> = OnceLock::new();
static TASKS: OnceLock<Tasks> = OnceLock::new();
static BOARD: OnceLock<Board> = OnceLock::new();
static MODULE: OnceLock<PluginModuleRef> = OnceLock::new();

/// The worker's `main`. Ends with the process: when the host says so, or when it has gone.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The host catches what a worker prints, and there is no link to tell it over. It may have gone.
            drop(writeln!(io::stderr(), "worker: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let link = take_link()?;
    let Received {
        library,
        board,
        host,
    } = receive_fds(link.as_fd())?;
    let outbox = OUTBOX.get_or_init_with(Outbox::new(link.try_clone()?));
    let served = serve(link, library, board, host, outbox);
    if let Some(why) = served.as_ref().err().and_then(shortage::describe) {
        outbox.send(&ToHost::Short { why });
        return Ok(());
    }
    served
}

fn serve(
    link: UnixStream,
    library: OwnedFd,
    board: OwnedFd,
    host: Option<OwnedFd>,
    outbox: &'static Outbox,
) -> io::Result<()> {
    watch::start(host, &link)?;
    let board = BOARD.get_or_init_with(Board::map(board)?);
    let mut reader = Reader::new(link);
    outbox.send(&ToHost::Hello {
        link_version: LINK_VERSION,
    });

    let ToWorker::Open(open) = reader.next()? else {
        return Err(io::Error::other("the first frame must be `open`"));
    };
    let open: Open = serde_json::from_slice(&open)?;
    apply_limits(&open)?;
    copy::mark_original()?;
    signals::install(board);
    signals::at_exit(|| {
        if let Some(outbox) = OUTBOX.get().filter(|_| !copy::is_copy()) {
            outbox.flush_at_exit();
        }
    });
    let tasks = TASKS.get_or_init_with(Tasks::new(board, outbox, open.result_len_max));
    tasks.set_log_level(open.log_level);
    std::thread::Builder::new()
        .name("flusher".to_owned())
        .spawn(|| outbox.run_flusher())?;
    std::thread::Builder::new()
        .name("link".to_owned())
        .spawn(move || reader.run(tasks))?;

    match open_plugin(library, &open, tasks) {
        Ok((module, slots, manifest)) => {
            // A worker that is told to be open can run a task.
            tasks.set_slots(module, slots)?;
            outbox.send(&ToHost::Opened { slots, manifest });
        }
        Err(reason) => outbox.send(&ToHost::OpenFailed {
            reason: limits::shorten(&reason).into_owned(),
        }),
    }
    // The reader ends by ending the process.
    tasks.run_progress()
}

/// Moves the link away from standard input: plugins, and processes that they start, must not come across it there.
fn take_link() -> io::Result<UnixStream> {
    close_foreign();
    let link: OwnedFd = rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
    match std::fs::File::open("/dev/null") {
        Ok(null) => rustix::stdio::dup2_stdin(&null)?,
        // Where there is none, a pipe that nobody writes to reads as empty too.
        Err(_) => rustix::stdio::dup2_stdin(rustix::pipe::pipe()?.0)?,
    }
    Ok(UnixStream::from(link))
}

/// Closes what the host has inherited from whoever started it, and was not told to keep to itself. Nothing else is open
/// yet beyond the standard streams.
fn close_foreign() {
    #[expect(
        unsafe_code,
        reason = "there is no safe way to close what nobody here has opened; see the SAFETY comment"
    )]
    // SAFETY: called before anything of this process has opened a descriptor; nobody loses one of theirs.
    unsafe {
        // Kernels before 5.9 can't; there the descriptors stay.
        libc::close_range(3, libc::c_uint::MAX, 0);
    }
}

fn apply_limits(open: &Open) -> io::Result<()> {
    if let Some(memory_max) = open.memory_max {
        // Nobody but root may go beyond the hard limit; the host has said so where it is lower.
        let hard = getrlimit(Resource::Data).maximum;
        let max = Some(hard.map_or(memory_max, |hard| hard.min(memory_max)));
        let limit = Rlimit {
            current: max,
            maximum: max,
        };
        setrlimit(Resource::Data, limit)?;
    }
    // The host has raised its own for its connections: a program that uses `select`, or closes all that may be open,
    // counts on the usual one.
    let hard = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: open.open_files_max,
        maximum: hard,
    };
    let _ = setrlimit(Resource::Nofile, limit);
    // When memory runs out for the whole machine, a worker goes before the host does.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    Ok(())
}

fn open_plugin(
    library: OwnedFd,
    open: &Open,
    tasks: &'static Tasks,
) -> Result<(PluginModuleRef, u32, Bytes), String> {
    let debug = |report: &str| {
        tasks.log(LogRecord {
            task: 0,
            level: 4,
            target: "worker".to_owned(),
            message: report.to_owned(),
            fields: String::new(),
        });
    };
    let module =
        library::open(library, Path::new(&open.file), debug).map_err(|error| error.to_string())?;
    let manifest = Bytes::from(module.manifest()().into_vec());
    let parsed: Manifest = serde_json::from_slice(&manifest)
        .map_err(|error| format!("its manifest can't be read: {error}"))?;
    let slots = limits::slots(open.slots, parsed.slots);
    let host = services::offer();
    module.open()(host, open.config.as_bytes().into())
        .into_result()
        .map_err(|reason| format!("its `open` failed: {}", String::from_utf8_lossy(&reason)))?;
    MODULE.get_or_init(|| module);
    Ok((module, slots, manifest))
}

struct Reader {
    link: UnixStream,
    frames: WorkerFrames,
    chunk: Vec<u8>,
}

impl Reader {
    fn new(link: UnixStream) -> Self {
        Self {
            link,
            frames: WorkerFrames::new(FRAME_LEN_MAX),
            chunk: vec![0; READ_LEN],
        }
    }

    /// The next frame; an error when the link has ended or broken.
    fn next(&mut self) -> io::Result<ToWorker> {
        loop {
            if let Some(frame) = self.frames.next_to_worker().map_err(io::Error::other)? {
                return Ok(frame);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        match self.link.read(&mut self.chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            len => {
                self.frames
                    .buffer_mut()
                    .extend_from_slice(&self.chunk[..len]);
                Ok(())
            }
        }
    }

    /// Serves the link until it ends, and the process with it.
    fn run(mut self, tasks: &'static Tasks) -> ! {
        let _broken: io::Error = loop {
            if let Err(error) = self.turn(tasks) {
                break error;
            }
        };
        // Nothing outlives the link, and nothing that a plugin started outlives the worker.
        watch::die();
    }

    /// Takes in all that has come, as one batch, then waits for more.
    fn turn(&mut self, tasks: &'static Tasks) -> io::Result<()> {
        let mut calls = Vec::new();
        while let Some(frame) = self.frames.next_to_worker().map_err(io::Error::other)? {
            match frame {
                ToWorker::Call(call) => calls.push(call),
                ToWorker::Cancel { task } => tasks.cancel(task),
                ToWorker::LogLevel(level) => tasks.set_log_level(level),
                ToWorker::Close => close(),
                ToWorker::Open(_) => return Err(io::Error::other("opened twice")),
            }
        }
        if !calls.is_empty() {
            let module = MODULE
                .get()
                .ok_or_else(|| io::Error::other("a call before `opened`"))?;
            tasks.hand_over(*module, &mut calls);
        }
        self.fill()
    }
}

/// The orderly end: the host has no more tasks for this worker, and waits for none. It kills a worker that takes too long.
fn close() -> ! {
    if let Some(module) = MODULE.get() {
        module.close()();
    }
    std::process::exit(0)
}

/// `OnceLock::get_or_init` for a value at hand.
trait InitWith<T> {
    fn get_or_init_with(&self, value: T) -> &T;
}

impl<T> InitWith<T> for OnceLock<T> {
    fn get_or_init_with(&self, value: T) -> &T {
        self.get_or_init(|| value)
    }
}
