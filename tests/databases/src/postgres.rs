use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::programs::{command, end_with_us, free_port, program, run, wait_for};

/// A `PostgreSQL` server, which forgets nothing but what a power failure takes. It ends when this is dropped.
pub struct Postgres {
    process: Child,
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Postgres {
    /// A new one, with a user `shop` whose password is `secret`, by TCP on the loopback and by a socket in its folder.
    /// `settings` are words like `max_connections=200`.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let password = folder.path().join("password");
        fs::write(&password, "secret").unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
        let mut initdb = command(&program(&["initdb"]), &["postgres"], folder.path());
        initdb
            .arg("-D")
            .arg(&data)
            .args(["-U", "shop", "--auth=scram-sha-256", "--pwfile"])
            .arg(&password)
            .args(["--encoding=UTF8", "--locale=C", "--no-sync"]);
        run(&mut initdb);
        let port = free_port();
        let settings = settings.iter().map(|setting| (*setting).to_owned());
        let settings: Vec<String> = settings.collect();
        let process = serve(&folder, port, &settings);
        Self {
            process,
            folder,
            port,
            settings,
        }
    }

    /// Ends it at once, in whatever it is in the middle of, and starts it again.
    pub fn restart(&mut self) {
        self.quit();
        self.process = serve(&self.folder, self.port, &self.settings);
    }

    /// As [`Self::start`], for a static: it ends with the test program.
    #[must_use]
    pub fn start_for_all(settings: &[&str]) -> Self {
        let server = Self::start(settings);
        end_with_us(server.process.id(), server.folder.path());
        server
    }

    /// Its address by TCP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://shop:secret@127.0.0.1:{}/postgres", self.port)
    }

    /// Its address by its socket, in `libpq`'s words.
    #[must_use]
    pub fn socket_url(&self) -> String {
        let folder = self.folder.path().display();
        format!(
            "host={folder} port={} user=shop password=secret dbname=postgres",
            self.port
        )
    }

    /// Where it keeps all it has.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The number of its first process, which has started all others.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its port, which is also the name of its socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once, in whatever it is in the middle of; its children have ended before this returns.
    pub fn quit(&mut self) {
        let mut quit = Command::new("kill");
        run(quit.args(["-QUIT", &self.process.id().to_string()]));
        drop(self.process.wait());
    }

    /// Ends it at once. All of its children end with it: they notice that it has gone.
    pub fn kill(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The server of this folder, when it answers.
fn serve(folder: &TempDir, port: u16, settings: &[String]) -> Child {
    let log = folder.path().join("log");
    let mut server = command(&program(&["postgres"]), &["postgres"], folder.path());
    server
        .arg("-D")
        .arg(folder.path().join("data"))
        .args(["-p", &port.to_string(), "-k"])
        .arg(folder.path())
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
    for setting in settings {
        server.args(["-c", setting]);
    }
    let file = File::options()
        .create(true)
        .append(true)
        .open(&log)
        .unwrap();
    let mut process = server
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let is_ready = program(&["pg_isready"]);
    wait_for(&mut process, &log, || {
        let mut asked = Command::new(&is_ready);
        asked
            .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
            .status()
            .unwrap()
            .success()
    });
    process
}
