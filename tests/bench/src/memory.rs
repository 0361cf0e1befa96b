//! What servers hold of memory when they are ready to do many tasks at once.

use std::fs;

use crate::burst::{self, Burst};
use crate::contender::Contender;
use crate::error::BenchError;
use crate::rounds::RoundsArgs;
use crate::say::note;
use crate::table::Table;
use crate::usage::{self, Processes};

/// So many tasks at once.
const AT_ONCE: usize = 100;
/// Long enough that all of them run at once, also where workers have to be started for it.
const TASK_MS: u64 = 500;

/// Measures it of the host, and of those peers that are installed.
pub(crate) fn ready(args: &RoundsArgs) -> Result<Table, BenchError> {
    let title = format!("Idle, and ready for {AT_ONCE} tasks at once");
    let mut table = Table::new(1, &[&title, "processes", "memory MB"]);
    for (name, workers, slots) in [
        ("host, a process for each", AT_ONCE, 1),
        ("host, one process for all", 1, AT_ONCE),
    ] {
        let config = format!("[plugins.good]\nworkers = {workers}\nslots = {slots}\n");
        let host = Contender::host(&args.host, &args.plugins, &config)?;
        run_all_at_once(&host)?;
        row(&mut table, name, &host)?;
    }
    let peers = [
        ("PHP, a process for each", Contender::php(AT_ONCE)?),
        (
            "gearmand, a process for each",
            Contender::gearmand(AT_ONCE)?,
        ),
    ];
    for (name, peer) in peers {
        if let Some(peer) = peer {
            row(&mut table, name, &peer)?;
        }
    }
    Ok(table)
}

/// Workers are started as they are needed, so they are needed once.
fn run_all_at_once(host: &Contender) -> Result<(), BenchError> {
    let report = burst::run(&Burst {
        way: host.target.way.clone(),
        tasks: AT_ONCE,
        ms: TASK_MS,
        workers: AT_ONCE,
    })?;
    note(&format!("ready: {report}"));
    Ok(())
}

fn row(table: &mut Table, name: &str, contender: &Contender) -> Result<(), BenchError> {
    let processes = &contender.target.processes;
    table.row(&[
        name.to_owned(),
        usage::all_of(processes).len().to_string(),
        megabytes(processes)?,
    ]);
    Ok(())
}

/// [`memory`] in megabytes, as tables have it.
pub(crate) fn megabytes(of: &Processes) -> Result<String, BenchError> {
    Ok(format!("{:.1}", memory(of)? as f64 / 1e6))
}

/// Memory of all processes of a server, in bytes: what several of them share is divided among them.
pub(crate) fn memory(of: &Processes) -> Result<u64, BenchError> {
    let mut bytes = 0;
    for pid in usage::all_of(of) {
        let path = format!("/proc/{pid}/smaps_rollup");
        let rollup =
            fs::read_to_string(&path).map_err(BenchError::io(format!("can't read {path}")))?;
        bytes += usage::field(&rollup, "Pss:").unwrap_or(0) * 1024;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory() {
        let this = Processes {
            server: std::process::id(),
            helpers: Vec::new(),
        };
        assert!(memory(&this).unwrap() > 100_000);
    }
}
