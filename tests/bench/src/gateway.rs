//! The gateway beside a WebSocket server that does nothing: round trips, what idle clients cost, and who suffers from a
//! client that floods.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::contender::Contender;
use crate::error::BenchError;
use crate::figures::{figures, ratios};
use crate::load::{Report, Shape};
use crate::machine::{self, raise_open_files_limit};
use crate::numbers::{ms, thousands};
use crate::program::stop_all_when_told_to_end;
use crate::rounds::{Line, RoundsArgs};
use crate::runtime::block_on;
use crate::table::Table;
use crate::usage;
use crate::websocket;

/// Clients, and what each has in flight.
const SHAPES: [Shape; 5] = [
    Shape::new(1, 1),
    Shape::new(50, 1),
    Shape::new(50, 16),
    Shape::new(500, 1),
    Shape::new(5000, 1),
];
/// The one that floods, and those who don't.
const FLOOD: Shape = Shape::new(1, 256);
const OTHERS: Shape = Shape::new(10, 1);
const IDLE_SECONDS_MAX: u64 = 120;

#[derive(Args)]
pub(crate) struct GatewayArgs {
    /// The gateway's binary
    #[arg(long)]
    gateway: PathBuf,
    #[command(flatten)]
    rounds: RoundsArgs,
    /// Clients that only are there
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
}

/// The echo, and the gateway with its host.
fn contenders(args: &GatewayArgs) -> Result<[Contender; 2], BenchError> {
    let RoundsArgs { host, plugins, .. } = &args.rounds;
    Ok([
        Contender::web_socket_echo()?,
        Contender::gateway(&args.gateway, host, plugins)?,
    ])
}

/// Measures, and says it as Markdown.
pub(crate) fn run(args: &GatewayArgs) -> Result<String, BenchError> {
    stop_all_when_told_to_end()?;
    raise_open_files_limit(args.idle.max(5000) as u64 + 1000)?;
    let contenders = contenders(args)?;
    let lines = args.rounds.in_turns(&contenders, &SHAPES.map(Line::new))?;
    let share = ratios(&lines, "gateway", "Round trips/s", Report::tasks_per_second);
    let [_, gateway] = contenders;
    Ok(format!(
        "\n## Gateway\n\n{}.\n\n{share}\n{}\n{}\n{}",
        machine::made_with(&args.rounds),
        figures(&lines, "Clients × depth"),
        flood(&gateway, &args.rounds)?,
        idle(args)?,
    ))
}

fn flood(gateway: &Contender, rounds: &RoundsArgs) -> Result<Table, BenchError> {
    let mut table = Table::new(
        1,
        &[
            "Ten clients, one task each at a time",
            "round trips/s",
            "p50 ms",
            "p99 ms",
            "max ms",
        ],
    );
    let others = rounds.load(gateway, OTHERS);
    let alone = rounds.quietly("alone", &others)?;
    let flood = rounds.load(gateway, FLOOD);
    let (beside, flood) = rounds.quietly_beside("beside a flood", &others, &flood)?;
    let flood = format!(
        "beside one with 256 at a time, {} /s",
        thousands(flood.tasks_per_second())
    );
    for (name, report) in [("alone", &alone), (flood.as_str(), &beside)] {
        table.row(&[
            name.to_owned(),
            thousands(report.tasks_per_second()),
            format!("{:.2}", report.percentile_ms(50)),
            format!("{:.2}", report.p99_ms()),
            format!("{:.1}", ms(report.latencies.max())),
        ]);
    }
    Ok(table)
}

/// With servers that have done nothing yet, so that what grows is what clients cost.
fn idle(args: &GatewayArgs) -> Result<Table, BenchError> {
    let title = format!("{} idle clients", thousands(args.idle as f64));
    let mut table = Table::new(1, &[&title, "memory of each"]);
    let subprotocols = [None, Some("tasks.v1")];
    for (contender, subprotocol) in contenders(args)?.iter().zip(subprotocols) {
        let (addr, pid) = (
            contender.target.way.tcp(),
            contender.target.processes.server,
        );
        let before = rss(pid)?;
        let after = block_on(Duration::from_secs(IDLE_SECONDS_MAX), async {
            let mut sockets = Vec::with_capacity(args.idle);
            for _ in 0..args.idle {
                let mut stream = TcpStream::connect(addr)
                    .await
                    .map_err(BenchError::io("can't connect"))?;
                websocket::open(&mut stream, addr, subprotocol).await?;
                if subprotocol.is_some() {
                    // It greets.
                    let mut greeting = [0; 1024];
                    stream
                        .read(&mut greeting)
                        .await
                        .map_err(BenchError::io("can't read"))?;
                }
                sockets.push(stream);
            }
            rss(pid)
        })?;
        let each = after.saturating_sub(before) / args.idle.max(1) as u64;
        table.row(&[
            contender.name.to_owned(),
            format!("{:.1} kB", each as f64 / 1000.0),
        ]);
    }
    Ok(table)
}

/// Resident memory, in bytes.
fn rss(pid: u32) -> Result<u64, BenchError> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(BenchError::io(format!("can't read {path}")))?;
    Ok(usage::field(&status, "VmRSS:").unwrap_or(0) * 1024)
}
