//! The gateway beside a WebSocket server that does nothing: round trips, what idle clients cost, and who suffers from a
//! client that floods.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::error::BenchError;
use crate::load::{self, Load, Report, Shape, block_on};
use crate::machine;
use crate::note;
use crate::rounds::RoundsArgs;
use crate::server::{Server, stop_all_when_told_to_end};
use crate::table::{line, median, ms, p50_us, p99_us, sorted, thousands};
use crate::websocket;
use crate::workload::Dialect;

/// Clients, and what each has in flight.
const SHAPES: [Shape; 5] = [
    shape(1, 1),
    shape(50, 1),
    shape(50, 16),
    shape(500, 1),
    shape(5000, 1),
];
const TEXT_LEN: usize = 64;
/// Clients that connect in a second, at the least; so much longer is the warm-up.
const CONNECTS_PER_SECOND: f64 = 1000.0;
/// The one that floods, and those who don't.
const FLOOD: Shape = shape(1, 256);
const OTHERS: Shape = shape(10, 1);
const IDLE_SECONDS_MAX: u64 = 120;

const fn shape(connections: usize, depth: usize) -> Shape {
    Shape {
        connections,
        depth,
        with_ids: true,
        text_len: TEXT_LEN,
    }
}

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

/// The gateway with its host, and the echo beside it.
struct Servers {
    echo: Server,
    host: Server,
    gateway: Server,
}

impl Servers {
    fn start(args: &GatewayArgs) -> Result<Self, BenchError> {
        let myself = env::current_exe().map_err(BenchError::io("can't find this program"))?;
        let plugins = args.rounds.plugins.display().to_string();
        let host = Server::start(
            &args.rounds.host,
            &[
                "--listen",
                "127.0.0.1:0",
                "--plugins",
                &plugins,
                "--log",
                "warn",
            ],
        )?;
        let address = host.addr.to_string();
        let gateway = Server::start(
            &args.gateway,
            &[
                "--listen",
                "127.0.0.1:0",
                "--host",
                &address,
                "--allow",
                "*",
                "--log",
                "warn",
            ],
        )?;
        Ok(Self {
            echo: Server::start(&myself, &["web-socket-echo"])?,
            host,
            gateway,
        })
    }

    fn load(&self, dialect: Dialect, shape: Shape, args: &GatewayArgs) -> Load {
        let (server, upstream) = match dialect {
            Dialect::TasksV1 => (&self.gateway, Some(self.host.pid())),
            _ => (&self.echo, None),
        };
        let connecting = shape.connections as f64 / CONNECTS_PER_SECOND;
        Load {
            addr: server.addr,
            pid: server.pid(),
            upstream,
            dialect,
            shape,
            warm_up: Duration::from_secs_f64(args.rounds.warm_up_seconds + connecting),
            duration: Duration::from_secs_f64(args.rounds.seconds),
        }
    }
}

/// Measures, and says it as Markdown.
pub(crate) fn run(args: &GatewayArgs) -> Result<String, BenchError> {
    stop_all_when_told_to_end()?;
    raise_open_files_limit(args.idle.max(5000) as u64 + 1000)?;
    let servers = Servers::start(args)?;
    let mut page = String::from("\n## Gateway\n\n");
    round_trips(&servers, args, &mut page)?;
    flood(&servers, args, &mut page)?;
    drop(servers);
    idle(args, &mut page)?;
    write!(page, "\n{}.\n", machine::describe()).expect("a String takes all that is written");
    Ok(page)
}

fn round_trips(servers: &Servers, args: &GatewayArgs, page: &mut String) -> Result<(), BenchError> {
    const DIALECTS: [Dialect; 2] = [Dialect::WebSocketEcho, Dialect::TasksV1];
    page.push_str(
        "| Clients × depth | server | round trips/s | ÷ echo | p50 µs | p99 µs | max ms | CPU/task µs: server | host and workers | client |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for shape in SHAPES {
        let mut rounds: Vec<[Report; 2]> = Vec::new();
        for round in 1..=args.rounds.rounds {
            let mut reports = Vec::new();
            for dialect in DIALECTS {
                let report = load::run(&servers.load(dialect, shape, args))?;
                note(&format!("round {round}, {shape}, {dialect:?}: {report}"));
                reports.push(report);
            }
            rounds.extend(<[Report; 2]>::try_from(reports).ok());
        }
        let ratios = sorted(
            rounds
                .iter()
                .map(|[echo, gateway]| gateway.tasks_per_second() / echo.tasks_per_second()),
        );
        for (index, name) in ["WebSocket echo", "gateway"].into_iter().enumerate() {
            let middle = |figure: fn(&Report) -> f64| {
                median(&sorted(rounds.iter().map(|round| figure(&round[index]))))
            };
            let is_gateway = index == 1;
            line(
                page,
                &[
                    if is_gateway {
                        String::new()
                    } else {
                        shape.to_string()
                    },
                    name.to_owned(),
                    thousands(middle(Report::tasks_per_second)),
                    if is_gateway {
                        format!("**{:.2}**", median(&ratios))
                    } else {
                        String::new()
                    },
                    thousands(middle(p50_us)),
                    thousands(middle(p99_us)),
                    format!("{:.1}", middle(|report| ms(report.latencies.max()))),
                    format!(
                        "{:.1}",
                        middle(|report| report.us_per_task(report.cpu.server))
                    ),
                    format!(
                        "{:.1}",
                        middle(|report| report.us_per_task(report.cpu.workers))
                    ),
                    format!(
                        "{:.1}",
                        middle(|report| report.us_per_task(report.cpu.client))
                    ),
                ],
            );
        }
    }
    Ok(())
}

fn flood(servers: &Servers, args: &GatewayArgs, page: &mut String) -> Result<(), BenchError> {
    page.push_str(
        "\n| Ten clients, one task each at a time | round trips/s | p50 ms | p99 ms | max ms |\n|---|--:|--:|--:|--:|\n",
    );
    let others = || load::run(&servers.load(Dialect::TasksV1, OTHERS, args));
    let alone = others()?;
    let (beside, flood) = thread::scope(|scope| {
        // It begins earlier and ends later.
        let mut flood = servers.load(Dialect::TasksV1, FLOOD, args);
        flood.duration += flood.warm_up;
        let flood = scope.spawn(move || load::run(&flood));
        (others(), flood.join().expect("a load does not panic"))
    });
    let flood = format!(
        "beside one with 256 at a time, {} /s",
        thousands(flood?.tasks_per_second())
    );
    for (name, report) in [("alone", &alone), (flood.as_str(), &beside?)] {
        line(
            page,
            &[
                name.to_owned(),
                thousands(report.tasks_per_second()),
                format!("{:.2}", p50_us(report) / 1000.0),
                format!("{:.2}", p99_us(report) / 1000.0),
                format!("{:.1}", ms(report.latencies.max())),
            ],
        );
    }
    Ok(())
}

/// To servers that have done nothing yet, so that what grows is what clients cost.
fn idle(args: &GatewayArgs, page: &mut String) -> Result<(), BenchError> {
    let servers = Servers::start(args)?;
    writeln!(
        page,
        "\n| {} idle clients | memory of each |\n|---|--:|",
        thousands(args.idle as f64)
    )
    .expect("a String takes all that is written");
    let kinds = [
        ("WebSocket echo", &servers.echo, None),
        ("gateway", &servers.gateway, Some("tasks.v1")),
    ];
    for (name, server, subprotocol) in kinds {
        let before = rss(server.pid())?;
        let after = block_on(Duration::from_secs(IDLE_SECONDS_MAX), async {
            let mut sockets = Vec::with_capacity(args.idle);
            for _ in 0..args.idle {
                let mut stream = TcpStream::connect(server.addr)
                    .await
                    .map_err(BenchError::io("can't connect"))?;
                websocket::open(&mut stream, server.addr, subprotocol).await?;
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
            rss(server.pid())
        })?;
        let each = after.saturating_sub(before) / args.idle.max(1) as u64;
        line(
            page,
            &[name.to_owned(), format!("{:.1} kB", each as f64 / 1000.0)],
        );
    }
    Ok(())
}

/// Resident memory, in bytes.
fn rss(pid: u32) -> Result<u64, BenchError> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(BenchError::io(format!("can't read {path}")))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.unwrap_or(0) * 1024)
}

fn raise_open_files_limit(wanted: u64) -> Result<(), BenchError> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |maximum| maximum.min(wanted)));
        setrlimit(Resource::Nofile, limit)
            .map_err(|error| BenchError::io("can't open so many files")(error.into()))?;
    }
    Ok(())
}
