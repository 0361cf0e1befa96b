use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::programs::{self, command, end_with_us, free_port, program, run, signal, wait_for};
use crate::releases::Release;
use crate::session::{Session, psql};

/// A `PostgreSQL` server, which forgets nothing but what a power failure takes. It ends when this is dropped.
pub struct Postgres {
    process: Child,
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
    /// Where its programs are.
    programs: PathBuf,
}

impl Drop for Postgres {
    /// Killed, it would leave its piece of shared memory to the system, which has room for some thousands.
    fn drop(&mut self) {
        if !self.has_ended() {
            self.go_on();
            self.quit();
        }
    }
}

impl Postgres {
    /// A new one, with a user `shop` whose password is `secret`, by TCP on the loopback and by a socket in its folder.
    /// `settings` are words like `max_connections=200`.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), Release::Installed, settings)
    }

    /// As [`Self::start`], of another release.
    #[must_use]
    pub fn start_release(release: Release, settings: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), release, settings)
    }

    /// As [`Self::start`], in this folder.
    #[must_use]
    pub fn start_in(folder: TempDir, release: Release, settings: &[&str]) -> Self {
        let programs = release.programs(folder.path());
        let data = folder.path().join("data");
        let password = folder.path().join("password");
        fs::write(&password, "secret").unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
        let mut initdb = command(&programs.join("initdb"), &["postgres"], folder.path());
        initdb
            .arg("-D")
            .arg(&data)
            .args(["-U", "shop", "--auth-host=scram-sha-256", "--pwfile"])
            .arg(&password)
            // What is beside the system's own is for the host's statements, not for its way there.
            .arg(match release {
                Release::Installed => "--auth-local=scram-sha-256",
                Release::Oldest | Release::Newest => "--auth-local=trust",
            })
            .args(["--encoding=UTF8", "--locale=C", "--no-sync"]);
        run(&mut initdb);
        Self::serve_folder(folder, programs, settings)
    }

    fn serve_folder(folder: TempDir, programs: PathBuf, settings: &[&str]) -> Self {
        let port = free_port();
        let settings = settings.iter().map(|setting| (*setting).to_owned());
        let settings: Vec<String> = settings.collect();
        let process = serve(&folder, &programs, port, &settings);
        Self {
            process,
            folder,
            port,
            settings,
            programs,
        }
    }

    /// A server that follows this one, and can be read.
    #[must_use]
    pub fn replica(&self, settings: &[&str]) -> Self {
        self.copy(&[], settings)
    }

    /// As [`Self::replica`]; this one keeps for it, by a slot of this name, what it hasn't got yet.
    #[must_use]
    pub fn replica_by_slot(&self, slot: &str, settings: &[&str]) -> Self {
        self.copy(&["--create-slot", "--slot", slot], settings)
    }

    fn copy(&self, how: &[&str], settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut copy = command(&program(&["pg_basebackup"]), &["postgres"], folder.path());
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .arg("--pgdata")
            .arg(folder.path().join("data"))
            .args(["--dbname", &self.url()])
            .args(how);
        run(&mut copy);
        Self::serve_folder(folder, self.programs.clone(), settings)
    }

    /// Makes a replica follow nobody any more, and take writes.
    pub fn promote(&self) {
        let mut promote = command(
            &self.programs.join("pg_ctl"),
            &["postgres"],
            self.folder.path(),
        );
        promote
            .args(["promote", "--wait", "--pgdata"])
            .arg(self.folder.path().join("data"));
        run(&mut promote);
    }

    /// Ends it at once, in whatever it is in the middle of, and starts it again.
    pub fn restart(&mut self) {
        self.quit();
        self.start_again();
    }

    /// Starts it again after its end.
    pub fn start_again(&mut self) {
        self.process = serve(&self.folder, &self.programs, self.port, &self.settings);
    }

    /// Whether it has ended, by itself or otherwise.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// As [`Self::start`], for a static: it ends with the test program.
    #[must_use]
    pub fn start_for_all(settings: &[&str]) -> Self {
        Self::start_release_for_all(Release::Installed, settings)
    }

    /// As [`Self::start_for_all`], of another release.
    #[must_use]
    pub fn start_release_for_all(release: Release, settings: &[&str]) -> Self {
        let server = Self::start_release(release, settings);
        end_with_us(server.process.id(), "QUIT", server.folder.path());
        server
    }

    /// Its address by TCP.
    #[must_use]
    pub fn url(&self) -> String {
        programs::url(self.port)
    }

    /// Its address by its socket, in `libpq`'s words.
    #[must_use]
    pub fn socket_url(&self) -> String {
        programs::socket_url(self.folder.path(), self.port)
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

    /// What a statement answers, a line each row.
    #[expect(clippy::must_use_candidate, reason = "most are for what they do")]
    pub fn sql(&self, statement: &str) -> String {
        run(psql().args(["--command", statement, &self.url()]))
    }

    /// A session that has done this.
    #[must_use]
    pub fn session(&self, statements: &str) -> Session {
        Session::start(&self.url(), statements).unwrap()
    }

    /// All of its processes stand still, as they do on a machine that is paused, until [`Self::go_on`]. What connects is
    /// still let in by the kernel.
    pub fn stand_still(&self) {
        // First the one that starts the others.
        signal("STOP", &[self.process.id()]);
        signal("STOP", &self.children());
    }

    /// Ends [`Self::stand_still`].
    pub fn go_on(&self) {
        signal("CONT", &self.children());
        signal("CONT", &[self.process.id()]);
    }

    fn children(&self) -> Vec<u32> {
        let own = self.process.id().to_string();
        let processes = fs::read_dir("/proc").unwrap();
        let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let is_child = |number: &u32| {
            // After the name, in brackets, come the state and the parent.
            let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
            let rest = stat.rsplit_once(')').map(|(_, rest)| rest);
            rest.is_some_and(|rest| rest.split_whitespace().nth(1) == Some(&own))
        };
        numbers.filter(is_child).collect()
    }

    /// Ends it at once, in whatever it is in the middle of; its children have ended before this returns.
    pub fn quit(&mut self) {
        signal("QUIT", &[self.process.id()]);
        drop(self.process.wait());
    }

    /// Ends it at once. All of its children end with it: they notice that it has gone.
    pub fn kill(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The server of this folder, when it answers.
fn serve(folder: &TempDir, programs: &Path, port: u16, settings: &[String]) -> Child {
    let log = folder.path().join("log");
    let mut server = command(&programs.join("postgres"), &["postgres"], folder.path());
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
