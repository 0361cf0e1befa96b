//! How long a reload takes, how long a refusal, and what clients notice of it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use crate::client::Client;
use crate::contender::Contender;
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::machine;
use crate::numbers::{ms, thousands};
use crate::program::stop_all_when_told_to_end;
use crate::say::note;
use crate::table::Table;

const FILE_NAME: &str = "libversioned.so";
/// Connections that call without a pause while latencies are measured.
const CONNECTIONS: usize = 4;
/// Pause between two swaps while latencies are measured.
const SWAP_PAUSE: Duration = Duration::from_millis(100);
/// `e_machine` of the ELF header.
const ELF_MACHINE: usize = 18;
const RISCV: u8 = 243;

/// What makes a good library a bad one.
type Spoil = fn(&mut Vec<u8>);

#[derive(Args)]
pub(crate) struct ReloadArgs {
    /// The host's binary
    #[arg(long)]
    host: PathBuf,
    /// The library of the `versioned` fixture plugin
    #[arg(long)]
    library: PathBuf,
    /// How often each thing is measured
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    swaps: u32,
}

/// Measures, and says it as Markdown.
pub(crate) fn run(args: &ReloadArgs) -> Result<String, BenchError> {
    stop_all_when_told_to_end()?;
    let built = fs::read(&args.library).map_err(BenchError::io("can't read the library"))?;
    let folder = tempfile::tempdir().map_err(BenchError::io("no temporary folder"))?;
    let plugins = Plugins {
        built,
        folder: folder.path().to_owned(),
    };
    plugins.put(&plugins.version(1))?;
    let host = Contender::host(&args.host, folder.path(), "")?;
    let mut bench = Bench {
        plugins,
        addr: host.target.way.tcp(),
        version: 1,
    };
    note("reload: from the rename to the first answer");
    let swaps = bench.swaps(args.swaps)?;
    note("reload: from the file to its refusal");
    let refusals = [
        (
            "for another architecture",
            bench.refusals(args.swaps / 5 + 1, |bytes| machine_changed(bytes))?,
        ),
        (
            "crashes while it is loaded",
            bench.refusals(args.swaps / 5 + 1, |bytes| crashing(bytes))?,
        ),
        (
            "cut off: given time to be finished",
            bench.refusals(args.swaps / 5 + 1, cut_off)?,
        ),
    ];
    note("reload: latencies without and with swaps");
    let (quiet, swapping) = bench.latencies(args.swaps)?;
    Ok(report(&swaps, &refusals, &quiet, &swapping, args.swaps))
}

/// Libraries of the fixture, and the folder they are put into.
struct Plugins {
    built: Vec<u8>,
    folder: PathBuf,
}

impl Plugins {
    fn version(&self, version: u32) -> Vec<u8> {
        let mut bytes = self.built.clone();
        replace(
            &mut bytes,
            b"VERSION-00000000",
            format!("VERSION-{version:08}").as_bytes(),
        );
        bytes
    }

    /// Gives the moment at which the rename was done.
    fn put(&self, bytes: &[u8]) -> Result<Instant, BenchError> {
        let new = self.folder.join(".new");
        let put = |new: &Path| {
            fs::write(new, bytes).and_then(|()| fs::rename(new, self.folder.join(FILE_NAME)))
        };
        put(&new).map_err(BenchError::io("can't put the library into place"))?;
        Ok(Instant::now())
    }
}

fn replace(bytes: &mut [u8], text: &[u8], other: &[u8]) {
    let found = bytes.windows(text.len()).position(|window| window == text);
    let at = found.expect("the library is that of the fixture `versioned`");
    bytes[at..at + text.len()].copy_from_slice(other);
}

fn machine_changed(bytes: &mut [u8]) {
    bytes[ELF_MACHINE] = RISCV;
}

fn crashing(bytes: &mut [u8]) {
    replace(bytes, b"MODE-well_______", b"MODE-ctor_crash_");
}

fn cut_off(bytes: &mut Vec<u8>) {
    bytes.truncate(bytes.len() / 2);
}

struct Bench {
    plugins: Plugins,
    addr: SocketAddr,
    version: u32,
}

impl Bench {
    fn next_version(&mut self) -> Vec<u8> {
        self.version += 1;
        self.plugins.version(self.version)
    }

    /// From the rename to the first answer of the new code, with nothing else to do.
    fn swaps(&mut self, count: u32) -> Result<Histogram, BenchError> {
        let mut client = Client::connect(self.addr)?;
        let mut times = Histogram::new();
        for _ in 0..count {
            let library = self.next_version();
            let renamed = self.plugins.put(&library)?;
            while version(&mut client)? != self.version {}
            times.record(renamed.elapsed());
        }
        Ok(times)
    }

    /// From the rename of a bad file to the event that tells of its refusal.
    fn refusals(&mut self, count: u32, spoil: Spoil) -> Result<Histogram, BenchError> {
        let mut watch = Client::connect(self.addr)?;
        watch.send(&json!({"id": 1, "function": "host.plugins", "args": {"watch": true}}))?;
        watch.recv()?;
        let mut times = Histogram::new();
        for _ in 0..count {
            let mut library = self.next_version();
            spoil(&mut library);
            let renamed = self.plugins.put(&library)?;
            while watch.recv()?["data"]["state"] != "rejected" {}
            times.record(renamed.elapsed());
        }
        // The next thing that is measured begins with a good file.
        let library = self.next_version();
        self.plugins.put(&library)?;
        while watch.recv()?["data"]["state"] != "live" {}
        Ok(times)
    }

    /// What clients see while nothing happens, and while one swap follows the other.
    fn latencies(&mut self, swaps: u32) -> Result<(Histogram, Histogram), BenchError> {
        let quiet = self.while_calling(|_| {
            thread::sleep(SWAP_PAUSE * swaps);
            Ok(())
        })?;
        let swapping = self.while_calling(|bench| {
            for _ in 0..swaps {
                let library = bench.next_version();
                bench.plugins.put(&library)?;
                thread::sleep(SWAP_PAUSE);
            }
            Ok(())
        })?;
        Ok((quiet, swapping))
    }

    fn while_calling(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<(), BenchError>,
    ) -> Result<Histogram, BenchError> {
        let stop = AtomicBool::new(false);
        let addr = self.addr;
        thread::scope(|scope| {
            let calling: Vec<_> = (0..CONNECTIONS)
                .map(|_| scope.spawn(|| call_until(addr, &stop)))
                .collect();
            let acted = act(self);
            stop.store(true, Ordering::Relaxed);
            let mut all = Histogram::new();
            for thread in calling {
                all.merge(&thread.join().expect("a client does not panic")?);
            }
            acted.map(|()| all)
        })
    }
}

fn call_until(addr: SocketAddr, stop: &AtomicBool) -> Result<Histogram, BenchError> {
    let mut client = Client::connect(addr)?;
    let mut times = Histogram::new();
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        version(&mut client)?;
        times.record(sent.elapsed());
    }
    Ok(times)
}

/// The version that answers.
fn version(client: &mut Client) -> Result<u32, BenchError> {
    let result = client.call("version")?;
    let version = result["version"].as_u64();
    version
        .and_then(|version| u32::try_from(version).ok())
        .ok_or_else(|| BenchError::WrongReply {
            expected: "a version".to_owned(),
            got: result.to_string(),
        })
}

fn report(
    swaps: &Histogram,
    refusals: &[(&str, Histogram)],
    quiet: &Histogram,
    swapping: &Histogram,
    count: u32,
) -> String {
    let first = "From the rename of a file into the folder to …";
    let mut times = Table::new(1, &[first, "times", "p50 ms", "p99 ms", "max ms"]);
    times.row(&row(
        "the first answer of the new code".to_owned(),
        swaps,
        1,
    ));
    for (name, refusal) in refusals {
        times.row(&row(format!("its refusal: {name}"), refusal, 1));
    }
    let first = format!("{CONNECTIONS} connections that call without a pause");
    let mut calls = Table::new(1, &[&first, "calls", "p50 ms", "p99 ms", "max ms"]);
    calls.row(&row("no swap".to_owned(), quiet, 2));
    let with = format!("{count} swaps, one each {} ms", SWAP_PAUSE.as_millis());
    calls.row(&row(with, swapping, 2));
    format!(
        "\n## Reload\n\n{}.\n\n{times}\n{calls}",
        machine::describe()
    )
}

fn row(name: String, times: &Histogram, digits: usize) -> [String; 5] {
    let written = |duration: Duration| format!("{:.digits$}", ms(duration));
    [
        name,
        thousands(times.count() as f64),
        written(times.percentile(50)),
        written(times.percentile(99)),
        written(times.max()),
    ]
}
