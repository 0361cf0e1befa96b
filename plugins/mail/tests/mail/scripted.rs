//! A server that fails on command, at whatever point of the dialogue. It knows what it has accepted, so that a test can
//! tell what was lost, and what came twice.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, Weak,
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

/// Where the dialogue is when the script is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Greeting,
    Ehlo,
    Mail,
    Recipient,
    Data,
    /// In the contents: some of them were read.
    Contents,
    /// The whole message was read, and nothing has been said to it.
    End,
}

/// From the first word to the last.
pub(crate) const EVERYWHERE: [At; 7] = [
    At::Greeting,
    At::Ehlo,
    At::Mail,
    At::Recipient,
    At::Data,
    At::Contents,
    At::End,
];

/// What the server does there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// What a server does.
    Go,
    /// Closes the connection without a word.
    Close,
    /// Says this, in place of what it would say.
    Say(&'static str),
    /// Says this and closes the connection.
    SayAndClose(&'static str),
    /// Says nothing any more, and keeps the connection.
    Hang,
    /// Goes away as a machine does: all connections end, and there are no new ones.
    Vanish,
}

/// Where a connection is: its number, and that of its message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) connection: usize,
    pub(crate) message: usize,
    pub(crate) at: At,
}

type Script = dyn Fn(Place) -> Act + Send + Sync;

/// What the server has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    /// The recipients of the messages it took, in order.
    pub(crate) accepted: Vec<String>,
    /// The lines it was sent, but for contents.
    pub(crate) commands: Vec<String>,
    /// Where it has been.
    pub(crate) places: Vec<At>,
    /// How many bytes of contents it was sent.
    pub(crate) contents_len: usize,
}

pub(crate) struct Scripted {
    pub(crate) port: u16,
    seen: Arc<Mutex<Seen>>,
    changed: Receiver<()>,
}

impl Scripted {
    pub(crate) fn start(script: impl Fn(Place) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (sender, changed) = mpsc::channel();
        let (script, theirs): (Arc<Script>, _) = (Arc::new(script), seen.clone());
        let life = Arc::new(Life {
            port,
            sockets: Mutex::new(Some(Vec::new())),
        });
        thread::spawn(move || {
            for (connection, socket) in listener.incoming().enumerate() {
                let socket = Arc::new(socket.unwrap());
                if !life.keep(&socket) {
                    return;
                }
                theirs.lock().unwrap().connections += 1;
                let mut session = Session {
                    connection,
                    message: 0,
                    script: script.clone(),
                    seen: theirs.clone(),
                    sender: sender.clone(),
                    life: life.clone(),
                };
                thread::spawn(move || {
                    // A client that goes away is what the tests are about.
                    let _ = session.serve(&socket);
                });
            }
        });
        Self {
            port,
            seen,
            changed,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}?tls=none", self.port)
    }

    pub(crate) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Waits until the server has seen what is wanted.
    pub(crate) fn wait_until(&self, is_there: impl Fn(&Seen) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_there(&self.seen()) {
            let left = deadline.saturating_duration_since(Instant::now());
            self.changed
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("in vain: {:?}", self.seen()));
        }
    }
}

/// What there is to end when the server vanishes.
struct Life {
    port: u16,
    /// Their sessions own them. `None` once it has vanished.
    sockets: Mutex<Option<Vec<Weak<TcpStream>>>>,
}

impl Life {
    /// Notes a new connection, unless it is over.
    fn keep(&self, socket: &Arc<TcpStream>) -> bool {
        let mut sockets = self.sockets.lock().unwrap();
        if let Some(sockets) = &mut *sockets {
            sockets.push(Arc::downgrade(socket));
        }
        sockets.is_some()
    }

    fn end(&self) {
        let sockets = self.sockets.lock().unwrap().take();
        // The next connection wakes the listener, which closes; then there are no more.
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {}
        for socket in sockets.iter().flatten().filter_map(Weak::upgrade) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

struct Session {
    connection: usize,
    message: usize,
    script: Arc<Script>,
    seen: Arc<Mutex<Seen>>,
    sender: mpsc::Sender<()>,
    life: Arc<Life>,
}

/// The session is over.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl Session {
    fn serve(&mut self, socket: &TcpStream) -> Result<(), Over> {
        let mut lines = BufReader::new(socket);
        self.act(At::Greeting, socket, "220 scripted")?;
        loop {
            let line = read_line(&mut lines)?;
            self.note(|seen| seen.commands.push(line.clone()));
            match line.get(..4).unwrap_or_default() {
                "EHLO" => self.act(
                    At::Ehlo,
                    socket,
                    "250-scripted\r\n250-SIZE\r\n250 PIPELINING",
                )?,
                "MAIL" => self.act(At::Mail, socket, "250 ok")?,
                "RCPT" => {
                    let to = line
                        .trim_start_matches("RCPT TO:<")
                        .trim_end_matches('>')
                        .to_owned();
                    self.act(At::Recipient, socket, "250 ok")?;
                    self.data(&mut lines, socket, to)?;
                }
                "RSET" => say(socket, "250 ok")?,
                "STAR" | "AUTH" => self.act(At::Data, socket, "220 go")?,
                _ => return Ok(()),
            }
        }
    }

    /// DATA, which every client sends after its one recipient, and all that follows.
    fn data(
        &mut self,
        lines: &mut BufReader<&TcpStream>,
        socket: &TcpStream,
        to: String,
    ) -> Result<(), Over> {
        let line = read_line(lines)?;
        self.note(|seen| seen.commands.push(line.clone()));
        self.act(At::Data, socket, "354 go on")?;
        let first = read_line(lines)?;
        if first != "." {
            match self.script(At::Contents) {
                Act::Go | Act::Say(_) => {}
                act => return self.perform(act, socket, ""),
            }
            let mut len = first.len();
            loop {
                let line = read_line(lines)?;
                len += line.len();
                if line == "." {
                    break;
                }
            }
            self.note(|seen| seen.contents_len += len);
        }
        // It has taken the message, and whoever closes the connection now has it nevertheless.
        let act = self.script(At::End);
        if !matches!(act, Act::Say(_) | Act::SayAndClose(_)) && first != "." {
            self.note(|seen| seen.accepted.push(to));
        }
        self.message += 1;
        self.perform(act, socket, "250 taken")
    }

    fn script(&self, at: At) -> Act {
        self.note(|seen| seen.places.push(at));
        (self.script)(Place {
            connection: self.connection,
            message: self.message,
            at,
        })
    }

    fn act(&self, at: At, socket: &TcpStream, usual: &str) -> Result<(), Over> {
        self.perform(self.script(at), socket, usual)
    }

    fn perform(&self, act: Act, socket: &TcpStream, usual: &str) -> Result<(), Over> {
        match act {
            Act::Go => say(socket, usual),
            Act::Say(words) => say(socket, words),
            Act::SayAndClose(words) => say(socket, words).and(Err(Over)),
            Act::Close => Err(Over),
            Act::Hang => {
                // Until the client has had enough.
                let mut rest = BufReader::new(socket);
                while read_line(&mut rest).is_ok() {}
                Err(Over)
            }
            Act::Vanish => {
                self.life.end();
                Err(Over)
            }
        }
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap());
        // The test may be over.
        let _ = self.sender.send(());
    }
}

fn say(mut socket: &TcpStream, words: &str) -> Result<(), Over> {
    Ok(socket.write_all(format!("{words}\r\n").as_bytes())?)
}

fn read_line(lines: &mut BufReader<&TcpStream>) -> Result<String, Over> {
    let mut line = Vec::new();
    lines.read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
        None => Err(Over),
    }
}
