use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::postgres::Postgres;
use crate::programs::{self, command, free_port, program, wait_for};

/// `PgBouncer` with two sessions, of which each transaction gets now this one and now that. It ends when this is dropped.
pub struct Pooler {
    process: Child,
    folder: TempDir,
    port: u16,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Pooler {
    /// One before this server.
    #[must_use]
    pub fn start(server: &Postgres) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let path = folder.path().display();
        let users = folder.path().join("users");
        fs::write(&users, "\"shop\" \"secret\"\n").unwrap();
        let settings = folder.path().join("settings");
        let text = format!(
            "[databases]\n* = {} pool_size=2\n[pgbouncer]\npool_mode=transaction\nlisten_addr=127.0.0.1\nlisten_port={port}\n\
             unix_socket_dir={path}\nauth_type=plain\nauth_file={}\nmax_client_conn=100\n",
            server.socket_url().replace(" dbname=postgres", ""),
            users.display()
        );
        fs::write(&settings, text).unwrap();
        for file in [&users, &settings] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let log = folder.path().join("log");
        let file = fs::File::create(&log).unwrap();
        let mut pooler = command(&program(&["pgbouncer"]), &["postgres"], folder.path());
        let mut process = pooler
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let is_ready = program(&["pg_isready"]);
        let ready = format!("host={path} port={port} dbname=postgres user=shop");
        wait_for(&mut process, &log, || {
            let mut asked = Command::new(&is_ready);
            asked.args(["-q", "-d", &ready]).status().unwrap().success()
        });
        Self {
            process,
            folder,
            port,
        }
    }

    /// The database's address through it, by TCP.
    #[must_use]
    pub fn url(&self) -> String {
        programs::url(self.port)
    }

    /// The database's address through it, by its socket, in `libpq`'s words.
    #[must_use]
    pub fn socket_url(&self) -> String {
        programs::socket_url(self.folder.path(), self.port)
    }
}
