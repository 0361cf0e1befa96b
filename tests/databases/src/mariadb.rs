use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};

use tempfile::TempDir;

use crate::programs::{command, end_with_us, free_port, program, run, wait_for};

/// What the server does before it listens.
const USERS: &str = "CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE USER 'shop'@'%' IDENTIFIED BY 'secret';
GRANT ALL ON shop.* TO 'shop'@'%';
GRANT FILE ON *.* TO 'shop'@'%';
";

/// A `MariaDB` server with a database `shop`. It ends when this is dropped.
pub struct MariaDb {
    process: Child,
    folder: TempDir,
    port: u16,
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
    }
}

impl MariaDb {
    /// A new one, with a user `shop` whose password is `secret`, by TCP on the loopback.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut install = command(
            &program(&["mariadb-install-db", "mysql_install_db"]),
            &["mysql"],
            folder.path(),
        );
        install
            .arg("--no-defaults")
            .arg(format!("--datadir={}", path("data")))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        run(&mut install);
        let port = free_port();
        fs::write(path("init.sql"), USERS).unwrap();
        fs::set_permissions(path("init.sql"), fs::Permissions::from_mode(0o644)).unwrap();
        let mut server = command(&program(&["mariadbd", "mysqld"]), &["mysql"], folder.path());
        server
            .arg("--no-defaults")
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--init-file={}", path("init.sql")))
            .arg(format!("--socket={}", path("s")))
            .arg(format!("--pid-file={}", path("pid")))
            .arg(format!("--port={port}"))
            .args([
                "--bind-address=127.0.0.1",
                "--skip-log-bin",
                "--innodb-flush-log-at-trx-commit=0",
            ]);
        let log = folder.path().join("log");
        let file = fs::File::create(&log).unwrap();
        let mut process = server
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        // It listens when it has done what is in its file.
        wait_for(&mut process, &log, || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self {
            process,
            folder,
            port,
        }
    }

    /// As [`Self::start`], for a static: it ends with the test program.
    #[must_use]
    pub fn start_for_all() -> Self {
        let server = Self::start();
        end_with_us(server.process.id(), "KILL", server.folder.path());
        server
    }

    /// The database's address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://shop:secret@127.0.0.1:{}/shop", self.port)
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
