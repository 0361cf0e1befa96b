//! A wire that can be cut, or made long.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Passes on what comes to a port of its own, until it is told to cut.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    delay_ms: Arc<AtomicU64>,
}

impl Relay {
    /// One to a port of this machine.
    #[must_use]
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&connections);
        let delay_ms = Arc::new(AtomicU64::new(0));
        let delays = Arc::clone(&delay_ms);
        // It ends with the process of the tests.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                drop(relay(&client, target, &kept, &delays));
            }
        });
        Self {
            port,
            connections,
            delay_ms,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, all that the target says comes so much later.
    pub fn delay(&self, delay: Duration) {
        let ms = u64::try_from(delay.as_millis()).expect("it is short");
        self.delay_ms.store(ms, Ordering::Relaxed);
    }

    /// Breaks all connections that there are, without a word.
    pub fn cut(&self) {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for connection in connections.drain(..) {
            // It may be closed already.
            drop(connection.shutdown(Shutdown::Both));
        }
    }
}

fn relay(
    client: &TcpStream,
    target: u16,
    kept: &Mutex<Vec<TcpStream>>,
    delay_ms: &Arc<AtomicU64>,
) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", target))?;
    kept.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend([client.try_clone()?, server.try_clone()?]);
    for (from, to, is_answer) in [(client, &server, false), (&server, client, true)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        let delay_ms = Arc::clone(delay_ms);
        let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(1024);
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(len @ 1..) = from.read(&mut buffer) {
                let delay_ms = if is_answer {
                    delay_ms.load(Ordering::Relaxed)
                } else {
                    0
                };
                let due = Instant::now() + Duration::from_millis(delay_ms);
                if sender.send((due, buffer[..len].to_vec())).is_err() {
                    break;
                }
            }
        });
        // Apart, so that the delay of one piece is not added to that of the next.
        thread::spawn(move || {
            for (due, piece) in receiver {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if to.write_all(&piece).is_err() {
                    break;
                }
            }
            drop(to.shutdown(Shutdown::Write));
        });
    }
    Ok(())
}
