//! Fixture plugin of the end-to-end tests: it misbehaves on command.
//!
//! Its configuration makes opening it go wrong as well: `{"open": "fail" | "panic" | "hang" | "abort" | "exit"}`; and
//! `{"close": "hang"}` its end.

mod answers;
mod crashes;
mod odd;

use std::{
    hint,
    io::{self, Read, Write},
    os::fd::{FromRawFd, OwnedFd},
    process::{self, Command},
    thread,
    time::Duration,
};

use plugin_api::{Completion, PluginError, Task, TaskError, plugin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

struct Evil {
    close: Close,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Close {
    #[default]
    Well,
    Hang,
}

impl Drop for Evil {
    fn drop(&mut self) {
        if self.close == Close::Hang {
            drop(writeln!(io::stderr(), "its end hangs"));
            loop {
                thread::park();
            }
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Open {
    #[default]
    Well,
    Fail,
    Panic,
    Hang,
    Abort,
    Exit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    open: Open,
    #[serde(default)]
    close: Close,
    /// What it says before anything else.
    print: Option<String>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Long {
    /// How long the text is, in bytes; none: a few words.
    len: Option<usize>,
}

impl Long {
    fn text(&self, short: &str) -> String {
        self.len.map_or(short.to_owned(), |len| "x".repeat(len))
    }
}

#[derive(Deserialize, JsonSchema)]
struct Reports {
    /// What is done, of how much.
    reports: Vec<(u64, u64)>,
    /// How long it is silent afterwards, in milliseconds.
    silent_ms: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Flood {
    lines: usize,
    /// Of each line, in bytes.
    len: usize,
}

#[derive(Serialize, JsonSchema)]
struct Descriptors {
    soft_limit: Option<u64>,
    open: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
struct Exit {
    #[serde(default)]
    code: i32,
}

#[derive(Deserialize, JsonSchema)]
struct Endless {
    /// How long an end takes, in milliseconds; none: for ever.
    ms: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
struct MemoryHog {
    /// How much to hold for good, in bytes; none: all there is.
    bytes: Option<usize>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Print {
    stdout: Vec<String>,
    stderr: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
struct HugeResult {
    #[serde(default = "HugeResult::default_bytes")]
    bytes: usize,
}

impl HugeResult {
    fn default_bytes() -> usize {
        64 << 20
    }
}

#[plugin]
impl Evil {
    fn open(config: Config) -> Result<Self, PluginError> {
        if let Some(text) = &config.print {
            writeln!(io::stderr(), "{text}")?;
        }
        let evil = Self {
            close: config.close,
        };
        match config.open {
            Open::Well => Ok(evil),
            Open::Fail => Err(PluginError::new("told to fail at opening")),
            Open::Panic => crashes::panic("told to panic at opening"),
            Open::Hang => {
                crashes::spin(None);
                Ok(evil)
            }
            Open::Abort => process::abort(),
            Open::Exit => process::exit(0),
        }
    }

    /// Behaves.
    #[handler]
    fn ok(&self) -> Result<&'static str, TaskError> {
        Ok("ok")
    }

    /// Panics.
    #[handler]
    fn panic(&self, args: Long) -> Result<(), TaskError> {
        crashes::panic(&args.text("told to panic"))
    }

    /// Fails.
    #[handler]
    fn fail_at_length(&self, args: Long) -> Result<(), TaskError> {
        let text = args.text("told to fail");
        Err(TaskError::new("told", text.clone()).data(text.into()))
    }

    /// Closes whatever is open, and answers.
    #[handler]
    fn close_descriptors(&self) -> Result<(), TaskError> {
        odd::close_descriptors();
        Ok(())
    }

    /// Replaces whatever is open, and answers into the void.
    #[handler]
    fn replace_descriptors(&self) -> Result<(), TaskError> {
        odd::replace_descriptors()
    }

    /// Moves into the host's process group, and never ends.
    #[handler]
    fn leave_group(&self) -> Result<(), TaskError> {
        odd::leave_group()?;
        crashes::spin(None);
        Ok(())
    }

    /// Forks, and both answer.
    #[handler]
    fn fork(&self) -> Result<(), TaskError> {
        odd::fork()
    }

    /// What its process may have open, and has.
    #[handler]
    fn descriptors(&self) -> Result<Descriptors, TaskError> {
        let (soft_limit, open) = odd::descriptors()?;
        Ok(Descriptors { soft_limit, open })
    }

    /// Reports progress, all at once.
    #[handler]
    fn report(&self, args: Reports, task: &Task) -> Result<(), TaskError> {
        for (done, total) in args.reports {
            task.progress(done, total, &format!("{done} of {total}"));
        }
        let silence = Duration::from_millis(args.silent_ms);
        let start = std::time::Instant::now();
        while start.elapsed() < silence && !task.is_cancelled() {
            thread::park_timeout(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Prints long lines.
    #[handler]
    fn flood(&self, args: Flood) -> Result<(), TaskError> {
        let line = "~".repeat(args.len);
        for _ in 0..args.lines {
            writeln!(io::stdout(), "{line}")?;
        }
        Ok(())
    }

    /// Ends its process by SIGABRT.
    #[handler]
    fn abort(&self) -> Result<(), TaskError> {
        process::abort()
    }

    /// Ends its process by SIGSEGV.
    #[handler]
    fn segfault(&self) -> Result<(), TaskError> {
        crashes::segfault();
        Ok(())
    }

    /// Ends its process by its own will.
    #[handler]
    fn exit(&self, args: Exit) -> Result<(), TaskError> {
        process::exit(args.code)
    }

    /// Recurs until the stack ends.
    #[handler]
    fn stack_overflow(&self) -> Result<u64, TaskError> {
        Ok(crashes::recur(hint::black_box(0)))
    }

    /// Keeps a core busy, and doesn't care whether it is cancelled.
    #[handler]
    fn endless(&self, args: Endless) -> Result<(), TaskError> {
        crashes::spin(args.ms.map(Duration::from_millis));
        Ok(())
    }

    /// Takes memory and writes to it.
    #[handler]
    fn memory_hog(&self, args: MemoryHog) -> Result<(), TaskError> {
        crashes::hog(args.bytes);
        Ok(())
    }

    /// Prints lines where a plugin should log instead.
    #[handler]
    fn print(&self, args: Print) -> Result<(), TaskError> {
        for line in args.stdout {
            writeln!(io::stdout(), "{line}")?;
        }
        io::stdout().flush()?;
        for line in args.stderr {
            writeln!(io::stderr(), "{line}")?;
        }
        Ok(())
    }

    /// Answers with something that is not JSON.
    #[handler]
    fn invalid_json(&self, completion: Completion<()>) {
        answers::raw(completion, b"{\"half\":");
    }

    /// Answers with JSON that has raw newlines between its tokens.
    #[handler]
    fn newlines(&self, completion: Completion<Vec<u32>>) {
        answers::raw(completion, b"[\n  1,\r\n  2\n]\n");
    }

    /// Answers with a string that is not UTF-8.
    #[handler]
    fn invalid_utf8(&self, completion: Completion<String>) {
        answers::raw(completion, b"\"\xff\xfe\"");
    }

    /// Never answers.
    #[handler]
    fn drop_completion(&self, completion: Completion<()>) {
        drop(completion);
    }

    /// Answers 1, and then 2.
    #[handler]
    fn answer_twice(&self, completion: Completion<u32>) {
        answers::raw_first(&completion, b"1");
        completion.complete(Ok(2));
    }

    /// Answers 1, and ends its process by SIGABRT.
    #[handler]
    fn answer_and_abort(&self, completion: Completion<u32>) {
        completion.complete(Ok(1));
        process::abort()
    }

    /// Answers with a long string.
    #[handler]
    fn huge_result(&self, args: HugeResult) -> Result<String, TaskError> {
        Ok("x".repeat(args.bytes))
    }

    /// Starts a thread that never ends.
    #[handler]
    fn leak_thread(&self) -> Result<(), TaskError> {
        thread::Builder::new().spawn(|| {
            loop {
                thread::park();
            }
        })?;
        Ok(())
    }

    /// Starts a process that outlives its task, with all that it inherits, and results in its number.
    #[handler]
    fn spawn_child(&self) -> Result<u32, TaskError> {
        let child = Command::new("sleep").arg("1000").spawn()?;
        Ok(child.id())
    }

    /// Closes the standard input, which is not the plugin's.
    #[handler]
    fn close_stdin(&self) -> Result<(), TaskError> {
        #[expect(unsafe_code, reason = "misbehaving is this fixture's purpose")]
        // SAFETY: none: the descriptor belongs to somebody else, and that is the point.
        drop(unsafe { OwnedFd::from_raw_fd(0) });
        Ok(())
    }

    /// Reads from the standard input, which is not the plugin's, and results in the number of bytes it took.
    #[handler]
    fn read_stdin(&self) -> Result<usize, TaskError> {
        let mut bytes = [0; 4096];
        Ok(io::stdin().read(&mut bytes)?)
    }
}
