//! How the host grows: with connections, with what tasks carry, with workers, with plugins, with functions.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::axis::Scale;
use crate::contender::{Contender, PROCESSES};
use crate::curve::Curves;
use crate::error::BenchError;
use crate::load::{Load, Shape};
use crate::machine::{self, raise_open_files_limit};
use crate::plugins::{Plugins, copied_functions};
use crate::program::stop_all_when_told_to_end;
use crate::rounds::{Line, Measured, RoundsArgs};

/// Connections with one task each.
const CONNECTIONS: [usize; 5] = [1, 10, 100, 1000, 10_000];
/// Bytes of a text in the args; a line may have 10 MiB.
const PAYLOADS: [usize; 6] = [100, 1000, 10_000, 100_000, 1_000_000, 10_000_000];
/// Connections that send these, one task at a time each.
const PAYLOAD_CONNECTIONS: usize = 4;
/// Of these, few are done in a second.
const LONG: usize = 1_000_000;
const LONG_DURATION_MIN: Duration = Duration::from_secs(5);
const WORKERS: [usize; 8] = [1, 2, 5, 10, 20, 50, 100, 200];
/// What tasks wait for while workers are counted, in milliseconds.
const WORKER_TASK_MS: u64 = 10;
/// So long may the start of a worker take, processors being busy with starting others.
const WORKER_START_MAX: Duration = Duration::from_millis(10);
const PLUGINS: [usize; 8] = [1, 2, 5, 10, 20, 50, 100, 200];
/// As the files are called that `run.sh` makes.
const FUNCTIONS: [usize; 5] = [1, 10, 100, 1000, 5000];
/// The load under which plugins and functions are counted.
const MIXED: Shape = Shape::new(50, 4);

#[derive(Args)]
pub(crate) struct CurvesArgs {
    #[command(flatten)]
    rounds: RoundsArgs,
    /// A folder with libraries of the `many` fixture plugin: `1.so` has one function, `10.so`, `100.so`, `1000.so` and
    /// `5000.so` as many as they are called
    #[arg(long)]
    many: PathBuf,
    /// The folder that drawings are written to
    #[arg(long)]
    drawings: PathBuf,
    /// Only these: connections, payload, workers, plugins, functions
    #[arg(long)]
    only: Vec<String>,
}

type Measure = fn(&CurvesArgs) -> Result<Curves, BenchError>;

/// Measures, draws, and says it as Markdown.
pub(crate) fn run(args: &CurvesArgs) -> Result<String, BenchError> {
    const ALL: [(&str, Measure); 5] = [
        ("connections", connections),
        ("payload", payload),
        ("workers", workers),
        ("plugins", plugins),
        ("functions", functions),
    ];
    stop_all_when_told_to_end()?;
    let most = CONNECTIONS.iter().max().copied().unwrap_or(0);
    raise_open_files_limit(most as u64 + 1000)?;
    fs::create_dir_all(&args.drawings).map_err(BenchError::io("can't make the folder"))?;
    let mut page = format!("\n## Curves\n\n{}.\n", machine::made_with(&args.rounds));
    for (name, measure) in ALL {
        if !args.only.is_empty() && args.only.iter().all(|only| only != name) {
            continue;
        }
        let curves = measure(args)?;
        let file = args.drawings.join(curves.file);
        fs::write(&file, curves.chart().to_string())
            .map_err(BenchError::io(format!("can't write {}", file.display())))?;
        write!(
            page,
            "\n![{}](bench/{})\n\n{}",
            curves.title,
            curves.file,
            curves.table()
        )
        .expect("a String takes all that is written");
    }
    Ok(page)
}

fn connections(args: &CurvesArgs) -> Result<Curves, BenchError> {
    let line = |count: &usize| (*count, Line::new(Shape::new(*count, 1)));
    Ok(Curves {
        file: "connections.svg",
        title: "One task at a time on each connection",
        of: "connections",
        rate_scale: Scale::Linear,
        points: beside_peers(args, CONNECTIONS.iter().map(line))?,
        limit: None,
    })
}

fn payload(args: &CurvesArgs) -> Result<Curves, BenchError> {
    let line = |len: &usize| {
        let mut line = Line::new(Shape::new(PAYLOAD_CONNECTIONS, 1).with_text(*len));
        if *len >= LONG {
            line.duration_min = LONG_DURATION_MIN;
        }
        (*len, line)
    };
    Ok(Curves {
        file: "payload.svg",
        title: "Four connections, one task at a time on each",
        of: "bytes of args",
        rate_scale: Scale::Log,
        points: beside_peers(args, PAYLOADS.iter().map(line))?,
        limit: None,
    })
}

/// The host and what is there of others, on all of these lines.
fn beside_peers(
    args: &CurvesArgs,
    lines: impl Iterator<Item = (usize, Line)>,
) -> Result<Vec<(f64, Measured)>, BenchError> {
    let RoundsArgs { host, plugins, .. } = &args.rounds;
    let mut contenders = vec![Contender::line_echo()?, Contender::hop_by_ring()?];
    contenders.extend(Contender::php(PROCESSES)?);
    contenders.push(Contender::host(host, plugins, "")?);
    let (counts, lines): (Vec<usize>, Vec<Line>) = lines.unzip();
    let measured = args.rounds.in_turns(&contenders, &lines)?;
    let counts = counts.into_iter().map(|count| count as f64);
    Ok(counts.zip(measured).collect())
}

fn workers(args: &CurvesArgs) -> Result<Curves, BenchError> {
    let RoundsArgs { host, plugins, .. } = &args.rounds;
    let point = |count: &usize| {
        let config = format!("[plugins.good]\nworkers = {count}\n");
        let host = Contender::host(host, plugins, &config)?;
        let count = u32::try_from(*count).expect("they are few");
        let mut load = args.rounds.load(&host, Shape::new(1, count as usize));
        load.sleep_ms = Some(WORKER_TASK_MS);
        load.warm_up += WORKER_START_MAX * count;
        alone(args, "workers", f64::from(count), &host, &load)
    };
    Ok(Curves {
        file: "workers.svg",
        title: "Tasks of 10 ms, as many at once as there are workers",
        of: "workers",
        rate_scale: Scale::Log,
        points: WORKERS.iter().map(point).collect::<Result<_, _>>()?,
        limit: Some(|workers| workers * 1000.0 / WORKER_TASK_MS as f64),
    })
}

fn plugins(args: &CurvesArgs) -> Result<Curves, BenchError> {
    let point = |count: &usize| copies(args, "plugins", *count, *count, 1);
    Ok(Curves {
        file: "plugins.svg",
        title: "Fifty connections with four tasks each, of all plugins in turns",
        of: "plugins of one function",
        rate_scale: Scale::Linear,
        points: PLUGINS.iter().map(point).collect::<Result<_, _>>()?,
        limit: None,
    })
}

fn functions(args: &CurvesArgs) -> Result<Curves, BenchError> {
    let point = |count: &usize| copies(args, "functions", *count, 1, *count);
    Ok(Curves {
        file: "functions.svg",
        title: "Fifty connections with four tasks each, of all functions in turns",
        of: "functions of one plugin",
        rate_scale: Scale::Linear,
        points: FUNCTIONS.iter().map(point).collect::<Result<_, _>>()?,
        limit: None,
    })
}

/// A host with so many plugins of so many functions each, all of which are called.
fn copies(
    args: &CurvesArgs,
    what: &str,
    count: usize,
    plugins: usize,
    functions: usize,
) -> Result<(f64, Measured), BenchError> {
    let folder = Plugins::none()?;
    let library = args.many.join(format!("{functions}.so"));
    folder.put_copies(&library, plugins)?;
    let host = Contender::host(&args.rounds.host, folder.folder(), "")?;
    let load = Load {
        functions: copied_functions(&host, plugins * functions)?,
        ..args.rounds.load(&host, MIXED)
    };
    alone(args, what, count as f64, &host, &load)
}

/// One server under one load, as often as all are.
fn alone(
    args: &CurvesArgs,
    what: &str,
    x: f64,
    contender: &Contender,
    load: &Load,
) -> Result<(f64, Measured), BenchError> {
    let round = |round: u32| {
        let what = format!("round {round}, {x} {what}");
        Ok(vec![args.rounds.quietly(&what, load)?])
    };
    let measured = Measured {
        title: x.to_string(),
        names: vec![contender.name],
        rounds: (1..=args.rounds.rounds)
            .map(round)
            .collect::<Result<_, BenchError>>()?,
    };
    Ok((x, measured))
}
