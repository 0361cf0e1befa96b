//! Hosts that share a ledger: tasks are handed to all of them at once, and run by all.

use std::thread;
use std::time::Duration;

use super::args::ClusterArgs;
use super::cost::{Before, Cost};
use super::database::Database;
use crate::background::Desk;
use crate::contender::Contender;
use crate::error::BenchError;
use crate::load::{self, Shape};
use crate::workload::Dialect;

pub(super) fn measure(
    args: &ClusterArgs,
    database: &Database,
    count: usize,
    submitters: usize,
) -> Result<Cost, BenchError> {
    let config = format!("[ledger]\nurl = {:?}\n", database.url());
    let hosts = (0..count).map(|_| {
        let mut host = Contender::host(&args.rounds.host, &args.rounds.plugins, &config)?;
        host.target.dialect = Dialect::Background;
        Ok(host)
    });
    let hosts: Vec<Contender> = hosts.collect::<Result<_, BenchError>>()?;
    let mut desk = Desk::of(&hosts[0])?;
    // Workers are there, and statements are prepared.
    hand_over(args, &hosts, submitters, args.rounds.warm_up_seconds)?;
    let warmed_up = desk.until_all_are_completed()?;
    let runners = hosts.iter().map(|host| host.target.processes.clone());
    let before = Before::now(database, runners)?;
    hand_over(args, &hosts, submitters, args.rounds.seconds)?;
    let completed = desk.until_all_are_completed()? - warmed_up;
    let took = before.took();
    before.cost(database, completed, took)
}

/// To all hosts at once, for so many seconds.
fn hand_over(
    args: &ClusterArgs,
    hosts: &[Contender],
    submitters: usize,
    seconds: f64,
) -> Result<(), BenchError> {
    let shape = Shape::without_ids(submitters.div_ceil(hosts.len()));
    thread::scope(|scope| {
        let loads = hosts.iter().map(|host| {
            let mut load = args.rounds.load(host, shape);
            load.warm_up = Duration::ZERO;
            load.duration = Duration::from_secs_f64(seconds);
            scope.spawn(move || load::run(&load))
        });
        let loads: Vec<_> = loads.collect();
        loads.into_iter().try_for_each(|load| {
            let report = load.join().expect("a load does not panic");
            report.map(drop)
        })
    })
}
