//! All servers in all shapes, in turns, so that a noisy machine is noisy to each of them.

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::burst::{self, Burst, BurstReport};
use crate::error::BenchError;
use crate::load::{self, Load, Report, Shape};
use crate::machine;
use crate::note;
use crate::results::{Bursts, SERVERS, ShapeRounds};
use crate::rounds::RoundsArgs;
use crate::server::{Server, stop_all_when_told_to_end};
use crate::table;
use crate::workload::Dialect;

const SMALL: usize = 64;
const TEN_KIB: usize = 10 * 1024;

const SHAPES: [Shape; 7] = [
    shape(1, 1, false, SMALL),
    shape(1, 1, true, SMALL),
    shape(1, 16, true, SMALL),
    shape(50, 1, false, SMALL),
    shape(50, 1, true, SMALL),
    shape(50, 16, true, SMALL),
    shape(50, 16, true, TEN_KIB),
];

const fn shape(connections: usize, depth: usize, with_ids: bool, text_len: usize) -> Shape {
    Shape {
        connections,
        depth,
        with_ids,
        text_len,
    }
}

const BURST_TASKS: usize = 1000;
const BURST_MS: u64 = 50;
/// Ten per core on the machine of the published figures, and the number of task processes in the recipe that the host
/// replaces.
const BURST_WORKERS: [usize; 2] = [20, 100];

/// Measures and returns the tables.
pub(crate) fn run(args: &RoundsArgs) -> Result<String, BenchError> {
    stop_all_when_told_to_end()?;
    let shapes = compare(args)?;
    let bursts = BURST_WORKERS
        .into_iter()
        .map(|workers| bursts(args, workers))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(format!(
        "{}. Medians of {} rounds of {} s each after {} s of warm-up.\n\n{}",
        machine::describe(),
        args.rounds,
        args.seconds,
        args.warm_up_seconds,
        table::render(&shapes, &bursts)
    ))
}

fn compare(args: &RoundsArgs) -> Result<Vec<ShapeRounds>, BenchError> {
    let myself = env::current_exe().map_err(BenchError::io("can't find this program"))?;
    let servers = [
        (Server::start(&myself, &["line-echo"])?, Dialect::LineEcho),
        (Server::start(&myself, &["json-echo"])?, Dialect::Text),
        (start_host(args, &[])?, Dialect::Text),
    ];
    let mut all: Vec<ShapeRounds> = SHAPES
        .into_iter()
        .map(|shape| ShapeRounds {
            shape,
            rounds: Vec::new(),
        })
        .collect();
    for round in 1..=args.rounds {
        for ShapeRounds { shape, rounds } in &mut all {
            let mut reports = Vec::new();
            for ((server, dialect), name) in servers.iter().zip(SERVERS) {
                let report = load::run(&Load {
                    addr: server.addr,
                    pid: server.pid(),
                    upstream: None,
                    dialect: *dialect,
                    shape: *shape,
                    warm_up: Duration::from_secs_f64(args.warm_up_seconds),
                    duration: Duration::from_secs_f64(args.seconds),
                })?;
                note(&format!("round {round}, {shape}, {name}: {report}"));
                reports.push(report);
            }
            rounds.extend(<[Report; SERVERS.len()]>::try_from(reports).ok());
        }
    }
    Ok(all)
}

fn bursts(args: &RoundsArgs, workers: usize) -> Result<Bursts, BenchError> {
    let folder = tempfile::tempdir().map_err(BenchError::io("can't make a folder"))?;
    let config = folder.path().join("host.toml");
    fs::write(&config, format!("[plugins.good]\nworkers = {workers}\n"))
        .map_err(BenchError::io("can't write the host's configuration"))?;
    let host = start_host(args, &["--config", text(&config)?])?;
    let measure = || -> Result<BurstReport, BenchError> {
        let report = burst::run(&Burst {
            addr: host.addr,
            tasks: BURST_TASKS,
            ms: BURST_MS,
            workers,
        })?;
        note(&format!("burst, {workers} workers: {report}"));
        Ok(report)
    };
    Ok(Bursts {
        workers,
        cold: measure()?,
        warm: (0..args.rounds)
            .map(|_| measure())
            .collect::<Result<_, _>>()?,
    })
}

fn start_host(args: &RoundsArgs, more: &[&str]) -> Result<Server, BenchError> {
    let plugins = text(&args.plugins)?;
    let mut all = vec![
        "--listen",
        "127.0.0.1:0",
        "--plugins",
        plugins,
        "--log",
        "warn",
    ];
    all.extend_from_slice(more);
    Server::start(&args.host, &all)
}

fn text(path: &Path) -> Result<&str, BenchError> {
    path.to_str().ok_or_else(|| BenchError::NotServing {
        server: "the host".to_owned(),
        got: format!("the path {} is not Unicode", path.display()),
    })
}
