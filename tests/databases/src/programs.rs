use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A port that nobody has at this moment.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The address of the database at this port.
pub(crate) fn url(port: u16) -> String {
    format!("postgres://shop:secret@127.0.0.1:{port}/postgres")
}

/// The address of the database by the socket in this folder that the port names, in `libpq`'s words.
pub(crate) fn socket_url(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!("host={folder} port={port} user=shop password=secret dbname=postgres")
}

/// The first of these programs that is there, also where packages put what isn't in the path.
#[must_use]
pub fn program(names: &[&str]) -> PathBuf {
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.map(|version| version.unwrap().path().join("bin")));
    }
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    folders.extend([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    let mut places = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("{names:?} is not there: install the databases' packages (tests/setup.sh)")
    })
}

/// No server runs as root; then it runs as the user that its package made, or as nobody, and the folder is that user's.
#[must_use]
pub fn command(program: &Path, users: &[&str], folder: &Path) -> Command {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Command::new(program);
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let user = users.iter().copied().chain(["nobody"]).find_map(|name| {
        let line = passwd
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        let uid: u32 = fields.next()?.parse().ok()?;
        let gid: u32 = fields.next()?.parse().ok()?;
        Some((uid, gid))
    });
    let (uid, gid) = user.expect("there is a user nobody");
    chown(folder, Some(uid), Some(gid)).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(program);
    command
        .uid(uid)
        .gid(gid)
        .current_dir(folder)
        .env("HOME", folder);
    command
}

/// Runs a program to its end, which has to be a good one, and gives what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Sends a signal to processes, of which each may have ended.
pub(crate) fn signal(name: &str, processes: &[u32]) {
    for process in processes {
        let mut kill = Command::new("kill");
        kill.args([&format!("-{name}"), &process.to_string()]);
        drop(kill.stderr(Stdio::null()).status());
    }
}

/// Waits until the server answers. What it wrote into its log is said where it doesn't.
pub fn wait_for(server: &mut Child, log: &Path, mut is_up: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_up() {
        let log = || fs::read_to_string(log).unwrap_or_default();
        if let Some(status) = server.try_wait().unwrap() {
            panic!("the server ended with {status}: {}", log());
        }
        assert!(
            Instant::now() < deadline,
            "the server doesn't come up: {}",
            log()
        );
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// For a server in a static, which is never dropped: a shell that reads from a pipe of ours ends it by this signal when we
/// have ended, however that was, and removes its folder.
pub fn end_with_us(server: u32, signal: &str, folder: &Path) {
    let script = format!("read -r _; kill -{signal} {server}; rm -rf \"$0\"");
    let watcher = Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(folder)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::mem::forget(watcher);
}
