//! The servers that are measured: how each of them is started, and what it speaks.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::address::Address;
use crate::error::BenchError;
use crate::load::Target;
use crate::say::note;
use crate::server::Server;
use crate::usage::Processes;
use crate::wire::Way;
use crate::workload::Dialect;

/// Processes that do the work, of servers that have a fixed number of them: as many as the host has at most on two
/// processors, ten for each.
pub(crate) const PROCESSES: usize = 20;
/// Of this machine alone, and whichever port is free.
pub(crate) const ANY_PORT: &str = "127.0.0.1:0";
/// As the recipe that the host replaces has it.
const PHP_WORKER: &str = include_str!("../peers/worker.php");

/// A server that runs.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) target: Target,
    /// Stopped in this order: whoever works for a server, after it.
    _servers: Vec<Server>,
    /// What they read.
    _files: Option<TempDir>,
}

impl Contender {
    fn new(name: &'static str, dialect: Dialect, server: Server) -> Self {
        Self {
            name,
            target: Target {
                way: Way::plain(server.addresses[0].clone()),
                dialect,
                processes: Processes {
                    server: server.pid(),
                    helpers: Vec::new(),
                },
            },
            _servers: vec![server],
            _files: None,
        }
    }

    /// Where it listens, in the order in which it was told.
    pub(crate) fn addresses(&self) -> &[Address] {
        &self._servers[0].addresses
    }

    /// With another server that works for it.
    fn with_helper(mut self, helper: Server) -> Self {
        self.target.processes.helpers.push(helper.pid());
        self._servers.push(helper);
        self
    }

    /// A server that sends every line back, and does nothing else.
    pub(crate) fn line_echo() -> Result<Self, BenchError> {
        Self::of_ours("line echo", Dialect::LineEcho, &["line-echo"])
    }

    /// A server that parses every request and replies with its args, in the thread that has read the line.
    pub(crate) fn json_echo() -> Result<Self, BenchError> {
        Self::of_ours("JSON echo", Dialect::Text, &["json-echo"])
    }

    /// A server that has another process send every line back, by a ring in shared memory.
    pub(crate) fn hop_by_ring() -> Result<Self, BenchError> {
        Self::of_ours(
            "bare hop, ring",
            Dialect::LineEcho,
            &["hop", "--by", "ring"],
        )
    }

    /// The same, by a socket pair.
    pub(crate) fn hop_by_socket_pair() -> Result<Self, BenchError> {
        let args = ["hop", "--by", "socket-pair"];
        Self::of_ours("bare hop, socket pair", Dialect::LineEcho, &args)
    }

    /// A server that sends every WebSocket message back.
    pub(crate) fn web_socket_echo() -> Result<Self, BenchError> {
        Self::of_ours(
            "WebSocket echo",
            Dialect::WebSocketEcho,
            &["web-socket-echo"],
        )
    }

    fn of_ours(name: &'static str, dialect: Dialect, args: &[&str]) -> Result<Self, BenchError> {
        Ok(Self::new(
            name,
            dialect,
            Server::start(&myself()?, args, 1)?,
        ))
    }

    /// The host, with these plugins and this configuration.
    pub(crate) fn host(program: &Path, plugins: &Path, config: &str) -> Result<Self, BenchError> {
        Self::host_at(&[ANY_PORT], program, plugins, config)
    }

    /// The same, and it listens there; loads go to the first of these addresses.
    pub(crate) fn host_at(
        listen: &[&str],
        program: &Path,
        plugins: &Path,
        config: &str,
    ) -> Result<Self, BenchError> {
        let files = TempDir::new().map_err(BenchError::io("can't make a folder"))?;
        let file = files.path().join("host.toml");
        fs::write(&file, config).map_err(BenchError::io("can't write the configuration"))?;
        let args = ["--plugins", text(plugins)?, "--config", text(&file)?];
        let server = start_program(program, listen, &args)?;
        Ok(Self {
            _files: Some(files),
            ..Self::new("host", Dialect::Text, server)
        })
    }

    /// The gateway before a host with these plugins.
    pub(crate) fn gateway(program: &Path, host: &Path, plugins: &Path) -> Result<Self, BenchError> {
        let host = start_program(host, &[ANY_PORT], &["--plugins", text(plugins)?])?;
        let address = host.addresses[0].to_string();
        let args = ["--host", &address, "--allow", "*"];
        let gateway = start_program(program, &[ANY_PORT], &args)?;
        Ok(Self::new("gateway", Dialect::TasksV1, gateway).with_helper(host))
    }

    /// A worker in PHP of our own, if PHP is installed.
    pub(crate) fn php(processes: usize) -> Result<Option<Self>, BenchError> {
        let Some(php) = installed("php") else {
            return Ok(None);
        };
        let files = TempDir::new().map_err(BenchError::io("can't make a folder"))?;
        let file = files.path().join("worker.php");
        fs::write(&file, PHP_WORKER).map_err(BenchError::io("can't write the worker in PHP"))?;
        let server = Server::start(&php, &[text(&file)?, &processes.to_string()], 1)?;
        Ok(Some(Self {
            _files: Some(files),
            ..Self::new("PHP", Dialect::Text, server)
        }))
    }

    /// `gearmand` and workers of our own, if it is installed.
    pub(crate) fn gearmand(processes: usize) -> Result<Option<Self>, BenchError> {
        let Some(gearmand) = installed("gearmand") else {
            return Ok(None);
        };
        let addr = free_addr()?;
        let server = start_gearmand(&gearmand, addr, &[])?;
        let workers = Server::start(
            &myself()?,
            &[
                "gearman-workers",
                "--connect",
                &addr.to_string(),
                "--processes",
                &processes.to_string(),
            ],
            1,
        )?;
        let contender = Self::new("gearmand", Dialect::Gearman, server).with_helper(workers);
        Ok(Some(contender))
    }
}

/// Servers that have what they are sent on disk before they answer, in this folder.
impl Contender {
    /// A server that writes lines as rows of an `SQLite` database, all that has gathered at once, and sends them back.
    pub(crate) fn group_commit(folder: &Path) -> Result<Self, BenchError> {
        let args = ["group-commit", "--folder", text(folder)?];
        Self::of_ours("group commit", Dialect::LineEcho, &args)
    }

    /// `beanstalkd`, if it is installed.
    pub(crate) fn beanstalkd(folder: &Path) -> Result<Option<Self>, BenchError> {
        let Some(beanstalkd) = installed("beanstalkd") else {
            return Ok(None);
        };
        let addr = free_addr()?;
        let port = addr.port().to_string();
        // Synced after each write.
        let args = ["-l", "127.0.0.1", "-p", &port, "-f0", "-b", text(folder)?];
        let server = Server::start_at(addr, &beanstalkd, &args)?;
        Ok(Some(Self::new("beanstalkd", Dialect::Beanstalk, server)))
    }

    /// Redis, if it is installed.
    pub(crate) fn redis(folder: &Path) -> Result<Option<Self>, BenchError> {
        let Some(redis) = installed("redis-server") else {
            return Ok(None);
        };
        let addr = free_addr()?;
        let port = addr.port().to_string();
        let mut args = vec!["--bind", "127.0.0.1", "--port", &port, "--dir"];
        args.extend([text(folder)?, "--loglevel", "warning", "--save", ""]);
        args.extend(["--appendonly", "yes", "--appendfsync", "always"]);
        let server = Server::start_at(addr, &redis, &args)?;
        Ok(Some(Self::new("Redis", Dialect::Redis, server)))
    }

    /// `gearmand` that keeps its jobs in an `SQLite` database, if it is installed.
    pub(crate) fn gearmand_with_sqlite(folder: &Path) -> Result<Option<Self>, BenchError> {
        let Some(gearmand) = installed("gearmand") else {
            return Ok(None);
        };
        let database = format!("--libsqlite3-db={}", text(&folder.join("jobs.db"))?);
        let args = ["--queue-type=libsqlite3", &database];
        let server = start_gearmand(&gearmand, free_addr()?, &args)?;
        let contender = Self::new("gearmand, SQLite", Dialect::GearmanBackground, server);
        Ok(Some(contender))
    }
}

/// Free a moment ago, for servers that take no 0.
fn free_addr() -> Result<SocketAddr, BenchError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(BenchError::io("can't find a free port"))
}

fn start_gearmand(program: &Path, addr: SocketAddr, more: &[&str]) -> Result<Server, BenchError> {
    let port = format!("--port={}", addr.port());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = format!("--threads={threads}");
    let mut args = vec!["--listen=127.0.0.1", &port, "--log-file=none", &threads];
    // One of those that sleep is woken for a job; by default all of them are.
    args.push("--worker-wakeup=1");
    args.push("--backlog=1024");
    if geteuid().is_root() {
        // It doesn't run as root unless it is told to.
        args.push("--user=root");
    }
    args.extend_from_slice(more);
    Server::start_at(addr, program, &args)
}

fn start_program(program: &Path, listen: &[&str], args: &[&str]) -> Result<Server, BenchError> {
    let mut all = vec!["--log", "warn"];
    all.extend(listen.iter().flat_map(|address| ["--listen", address]));
    all.extend_from_slice(args);
    Server::start(program, &all, listen.len())
}

/// Those peers that are installed; the others are told of.
pub(crate) fn installed_of<const N: usize>(
    peers: [(&str, Option<Contender>); N],
) -> impl Iterator<Item = Contender> {
    for (name, peer) in &peers {
        if peer.is_none() {
            note(&format!("{name} is not installed, and is left out"));
        }
    }
    peers.into_iter().filter_map(|(_, peer)| peer)
}

/// Where a program is that may be installed; servers often stand where only root looks for them.
fn installed(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// This program.
pub(crate) fn myself() -> Result<PathBuf, BenchError> {
    env::current_exe().map_err(BenchError::io("can't find this program"))
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> Result<&str, BenchError> {
    path.to_str().ok_or_else(|| BenchError::NotServing {
        server: "a server".to_owned(),
        got: format!("the path {} is not Unicode", path.display()),
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::usage;

    #[test]
    fn all_processes_of_php_end_with_it() {
        // Where there is none, it is left out.
        let Some(php) = Contender::php(3).unwrap() else {
            return;
        };
        let processes = usage::all_of(&php.target.processes);
        assert_eq!(processes.len(), 4);
        drop(php);
        // Of one that has ended and wasn't waited for, nothing is there to be read.
        let runs = |pid: &u32| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.windows(10).any(|window| window == b"worker.php")
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while processes.iter().any(runs) {
            assert!(Instant::now() < deadline, "they still run: {processes:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
