//! Servers: programs that say where they listen, or are told.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::error::BenchError;
use crate::program::Program;

/// How long a server may take until it listens.
const START_MAX: Duration = Duration::from_secs(10);

/// A server, or a process that belongs to one.
pub(crate) struct Server {
    program: Program,
    /// At least one, in the order in which it says them.
    pub(crate) addresses: Vec<Address>,
}

impl Server {
    /// Starts a program that says `listening on ADDRESS` on its stdout, so many times, and waits for that.
    pub(crate) fn start(
        program: &Path,
        args: &[&str],
        addresses: usize,
    ) -> Result<Self, BenchError> {
        let mut program = Program::start(program, args)?;
        let mut address = || {
            let line = program.line()?;
            let address = line.strip_prefix("listening on ");
            match address.and_then(|address| address.parse::<Address>().ok()) {
                Some(address) => Ok(address),
                None => Err(BenchError::NotServing {
                    server: program.name.clone(),
                    got: line,
                }),
            }
        };
        let addresses: Result<_, BenchError> = (0..addresses.max(1)).map(|_| address()).collect();
        Ok(Self {
            addresses: addresses?,
            program,
        })
    }

    /// Starts a program that was told where to listen, and waits until it does.
    pub(crate) fn start_at(
        addr: SocketAddr,
        program: &Path,
        args: &[&str],
    ) -> Result<Self, BenchError> {
        // Dropped, and so stopped, where it doesn't come to serve.
        let server = Self {
            program: Program::start(program, args)?,
            addresses: vec![Address::Tcp(addr)],
        };
        let deadline = Instant::now() + START_MAX;
        loop {
            match TcpStream::connect(addr) {
                Ok(_) => return Ok(server),
                Err(error) if Instant::now() > deadline => {
                    let name = &server.program.name;
                    return Err(BenchError::io(format!("{name} doesn't listen"))(error));
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }
}
