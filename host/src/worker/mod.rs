//! The worker: a child process of the host's own binary that opens one generation of one plugin and runs its tasks.
//!
//! Architecture invariant: a worker never sees a socket address or a request line; it knows the link, the plugin API and
//! the plugin. Whatever happens in here, the worst the host sees is a link that ends.

mod copy;
mod inlet;
mod library;
mod outbox;
mod progress;
mod running;
mod services;
mod signals;
mod slots;
mod tasks;
mod watch;

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;

use bytes::Bytes;
use plugin_api::abi::PluginModuleRef;
use plugin_api::limits;
use plugin_api::manifest::Manifest;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use service::shortage;

use self::inlet::Inlet;
use self::outbox::Outbox;
use self::tasks::Tasks;
use crate::link::{
    Begin, Bell, Board, LINK_VERSION, LogRecord, Open, Reader, Shared, ToHost, ToWorker,
    ends_of_worker, receive_fds,
};

static OUTBOX: OnceLock<Outbox> = OnceLock::new();
static INLET: OnceLock<Inlet> = OnceLock::new();
static TASKS: OnceLock<Tasks> = OnceLock::new();
static BOARD: OnceLock<Board> = OnceLock::new();

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
    let socket = take_socket()?;
    let Begin {
        library,
        board,
        rings,
        bell,
        host,
    } = receive_fds(socket.as_fd())?;
    let (writer, reader) = ends_of_worker(Shared::map(rings)?);
    let outbox = OUTBOX.get_or_init_with(Outbox::new(writer, Bell::from_fd(bell)));
    let served = watch::start(host, socket).and_then(|()| serve(reader, library, board, outbox));
    if let Some(why) = served.as_ref().err().and_then(shortage::describe) {
        outbox.send(&ToHost::Short { why });
        return Ok(());
    }
    served
}

fn serve(
    reader: Reader,
    library: OwnedFd,
    board: OwnedFd,
    outbox: &'static Outbox,
) -> io::Result<()> {
    let board = BOARD.get_or_init_with(Board::map(board)?);
    let inlet = INLET.get_or_init_with(Inlet::new(reader, outbox));
    outbox.send(&ToHost::Hello {
        link_version: LINK_VERSION,
    });

    let open = first_frame(inlet)?;
    apply_limits(&open)?;
    copy::mark_original()?;
    signals::install(board);
    signals::at_exit(|| {
        if let Some(outbox) = OUTBOX.get().filter(|_| !copy::is_copy()) {
            outbox.flush_at_exit();
        }
    });
    let tasks = TASKS.get_or_init_with(Tasks::new(board, inlet, outbox, open.result_len_max));
    tasks.set_log_level(open.log_level);
    std::thread::Builder::new()
        .name("link".to_owned())
        .spawn(|| tasks.run_urgent())?;

    match open_plugin(library, &open, tasks) {
        Ok((module, slots, manifest)) => {
            // A worker that is told to be open can run a task.
            tasks.open(module, slots)?;
            outbox.send(&ToHost::Opened { slots, manifest });
        }
        Err(reason) => outbox.send(&ToHost::OpenFailed {
            reason: limits::shorten(&reason).into_owned(),
        }),
    }
    // Whoever reads the link ends the process.
    tasks.run_progress()
}

/// What the host says first: everything that is needed to open the plugin.
fn first_frame(inlet: &Inlet) -> io::Result<Open> {
    let mut reading = inlet.lock();
    loop {
        match reading.next()? {
            Some(ToWorker::Open(open)) => return Ok(serde_json::from_slice(&open)?),
            Some(_) => return Err(io::Error::other("the first frame must be `open`")),
            None if reading.read()? => {}
            None => reading.wait(|| false),
        }
    }
}

/// Moves the socket away from standard input: plugins, and processes that they start, must not come across it there.
fn take_socket() -> io::Result<OwnedFd> {
    close_foreign();
    let socket: OwnedFd = rustix::io::fcntl_dupfd_cloexec(io::stdin().as_fd(), 3)?;
    match std::fs::File::open("/dev/null") {
        Ok(null) => rustix::stdio::dup2_stdin(&null)?,
        // Where there is none, a pipe that nobody writes to reads as empty too.
        Err(_) => rustix::stdio::dup2_stdin(rustix::pipe::pipe()?.0)?,
    }
    Ok(socket)
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
    Ok((module, slots, manifest))
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
