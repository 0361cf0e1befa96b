//! Who suffers from TLS handshakes: a connection without TLS, beside programs that shake hands.

use std::thread;
use std::time::Duration;

use clap::Args;

use crate::address::Address;
use crate::contender::{ANY_PORT, Contender};
use crate::error::BenchError;
use crate::figures::disturbed_cell;
use crate::load::{self, Report, Shape};
use crate::machine;
use crate::numbers::{median, ms, thousands};
use crate::program::stop_all_when_told_to_end;
use crate::rounds::RoundsArgs;
use crate::shaker::{Manner, Running};
use crate::table::Table;
use crate::transports::CertificatesArgs;

/// One task at a time.
const ALONE: Shape = Shape::new(1, 1);
/// Handshakes at once of who is fast.
const FAST_CONNECTIONS: usize = 16;
/// Those of who is slow.
const SLOW_CONNECTIONS: usize = 500;
/// How often each of these sends a byte: of a first message, fewer than there are in the time that a host gives them.
const SLOW_PAUSE: Duration = Duration::from_millis(20);
/// How much longer the connection may wait beside handshakes than beside those of another host, in milliseconds.
const COST_MS_MAX: f64 = 5.0;

#[derive(Args)]
pub(crate) struct HandshakesArgs {
    #[command(flatten)]
    rounds: RoundsArgs,
    #[command(flatten)]
    certificates: CertificatesArgs,
}

/// What goes on beside the connection.
#[derive(Clone, Copy)]
struct Beside {
    title: &'static str,
    /// Shakes hands with the host itself, or with another one.
    is_same_host: bool,
    connections: usize,
    manner: Manner,
}

const FAST_ELSEWHERE: Beside = Beside {
    title: "handshakes with another host",
    is_same_host: false,
    connections: FAST_CONNECTIONS,
    manner: Manner::Fast,
};
const ALL: [Beside; 4] = [
    FAST_ELSEWHERE,
    Beside {
        title: "handshakes with this host",
        is_same_host: true,
        ..FAST_ELSEWHERE
    },
    SLOW_ELSEWHERE,
    Beside {
        title: "slow ones with this host, bytes",
        is_same_host: true,
        ..SLOW_ELSEWHERE
    },
];
const SLOW_ELSEWHERE: Beside = Beside {
    title: "slow ones with another host, bytes",
    is_same_host: false,
    connections: SLOW_CONNECTIONS,
    manner: Manner::Trickle(SLOW_PAUSE),
};

/// The load, and how much went on beside it a second.
type Measured = (Report, f64);

/// Measures, and says it as Markdown.
pub(crate) fn run(args: &HandshakesArgs) -> Result<String, BenchError> {
    stop_all_when_told_to_end()?;
    machine::raise_open_files_limit(SLOW_CONNECTIONS as u64 + 1000)?;
    let rounds = &args.rounds;
    let config = args.certificates.table()?;
    let listen = [ANY_PORT, &format!("tls://{ANY_PORT}")];
    let start = || Contender::host_at(&listen, &rounds.host, &rounds.plugins, &config);
    let (host, other) = (start()?, start()?);
    let mut alone = Vec::new();
    let mut beside: [Vec<Measured>; ALL.len()] = [const { Vec::new() }; ALL.len()];
    for round in 1..=rounds.rounds {
        let load = rounds.load(&host, ALONE);
        let report = rounds.quietly(&format!("round {round}, alone"), &load)?;
        alone.push((report, 0.0));
        for (beside, measured) in ALL.iter().zip(&mut beside) {
            let shaken = if beside.is_same_host { &host } else { &other };
            measured.push(measure(args, round, &host, shaken, beside)?);
        }
    }
    Ok(format!(
        "\n## TLS handshakes\n\n{}.\n\n{}",
        machine::made_with(rounds),
        table(&alone, &beside)
    ))
}

fn measure(
    args: &HandshakesArgs,
    round: u32,
    host: &Contender,
    shaken: &Contender,
    beside: &Beside,
) -> Result<Measured, BenchError> {
    let Some(Address::Tls(addr)) = shaken.addresses().get(1) else {
        unreachable!("it was told to speak TLS there")
    };
    let mut load = args.rounds.load(host, ALONE);
    let what = format!("round {round}, beside {}", beside.title);
    let (report, rate) = args.rounds.quietly_with(&what, || {
        let running = Running::start(
            *addr,
            &args.certificates.authority(),
            beside.connections,
            beside.manner,
            // It ends after the load.
            load.warm_up * 2 + load.duration,
        )?;
        // Its time is no stranger's.
        load.target.processes.helpers = vec![running.pid(), shaken.target.processes.server];
        let report = load::run(&load)?;
        Ok((report, running.per_second()?))
    })?;
    // What is left of it does no harm to who comes next.
    thread::sleep(Duration::from_millis(100));
    Ok((report, rate))
}

fn table(alone: &[Measured], beside: &[Vec<Measured>]) -> Table {
    let mut table = Table::new(
        1,
        &[
            "A connection that sends one task at a time",
            "of these a second",
            "tasks/s",
            "p50 ms",
            "p99 ms",
            "longest ms",
            "target",
            "met",
            "disturbed",
        ],
    );
    row(&mut table, "alone", alone, None);
    for pair in ALL.iter().zip(beside).collect::<Vec<_>>().chunks(2) {
        let [(elsewhere, there), (own, here)] = pair else {
            continue;
        };
        row(
            &mut table,
            &format!("beside {}", elsewhere.title),
            there,
            None,
        );
        row(
            &mut table,
            &format!("beside {}", own.title),
            here,
            Some(there),
        );
    }
    table
}

fn longest_ms(measured: &[Measured]) -> f64 {
    median(
        measured
            .iter()
            .map(|(report, _)| ms(report.latencies.max())),
    )
}

fn row(table: &mut Table, title: &str, measured: &[Measured], elsewhere: Option<&[Measured]>) {
    let middle =
        |figure: &dyn Fn(&Report) -> f64| median(measured.iter().map(|(report, _)| figure(report)));
    let percentile = |percent| middle(&|report| report.percentile_ms(percent));
    let rate = median(measured.iter().map(|(_, rate)| *rate));
    let cost = elsewhere.map(|elsewhere| longest_ms(measured) - longest_ms(elsewhere));
    table.row(&[
        title.to_owned(),
        if rate > 0.0 {
            thousands(rate)
        } else {
            String::new()
        },
        thousands(middle(&Report::tasks_per_second)),
        format!("{:.2}", percentile(50)),
        format!("**{:.2}**", percentile(99)),
        format!("**{:.1}**", longest_ms(measured)),
        cost.map_or_else(String::new, |cost| {
            format!("longest < {COST_MS_MAX} ms more; it is {cost:.1} ms more")
        }),
        match cost {
            None => String::new(),
            Some(cost) if cost < COST_MS_MAX => "yes".to_owned(),
            Some(_) => "**no**".to_owned(),
        },
        disturbed_cell(measured.iter().map(|(report, _)| report)),
    ]);
}
