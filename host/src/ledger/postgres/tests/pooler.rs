//! A pooler between host and database that gives each transaction another session.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};

use databases::{command, program, wait_for};

use super::{LIMITS, Schema, server};
use crate::ledger::postgres::{Postgres, PostgresOptions};
use crate::ledger::store::Store as _;
use crate::ledger::tests::{NOW, ask, claim, completed, end, enqueue, finish, id, task, view};
use crate::ledger::{NewTask, State};

/// A pooler with two sessions; it ends when this is dropped.
struct Pooler {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Pooler {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = databases::free_port();
        let path = folder.path().display();
        let users = folder.path().join("users");
        fs::write(&users, "\"shop\" \"secret\"\n").unwrap();
        let settings = folder.path().join("settings");
        let text = format!(
            "[databases]\n* = {} pool_size=2\n[pgbouncer]\npool_mode=transaction\nlisten_addr=127.0.0.1\nlisten_port={port}\n\
             unix_socket_dir={path}\nauth_type=plain\nauth_file={}\nmax_client_conn=100\n",
            server().socket_url().replace(" dbname=postgres", ""),
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
            let mut asked = std::process::Command::new(&is_ready);
            asked.args(["-q", "-d", &ready]).status().unwrap().success()
        });
        Self {
            process,
            folder,
            port,
        }
    }

    fn open(&self, schema: &Schema, node: &str) -> Postgres {
        let folder = self.folder.path().display();
        Postgres::open(PostgresOptions {
            url: format!(
                "host={folder} port={} user=shop password=secret dbname=postgres",
                self.port
            ),
            node: node.into(),
            ..schema.options(LIMITS)
        })
        .unwrap()
    }
}

#[test]
fn a_ledger_works_through_a_pooler_of_transactions() {
    let pooler = Pooler::start();
    let schema = Schema::new();
    // More connections than the pooler has sessions, of which each gets now this one and now that.
    let hosts = ["a", "b", "c"].map(|node| pooler.open(&schema, node));
    std::thread::scope(|scope| {
        for (at, host) in hosts.iter().enumerate() {
            scope.spawn(move || {
                for round in 0..40_u64 {
                    let number = 1 + round * 10 + at as u64;
                    let new = NewTask {
                        key: Some(format!("{number}")),
                        ..task(number, "f")
                    };
                    enqueue(host, vec![new]);
                    ask(|done| host.stats(done)).unwrap();
                    for claimed in claim(host, "f", 2) {
                        finish(host, end(&claimed, completed("1")), NOW);
                    }
                    assert!(view(host, id(number)).is_some());
                }
            });
        }
    });
    loop {
        let rest = claim(&hosts[0], "f", 100);
        if rest.is_empty() {
            break;
        }
        for claimed in rest {
            finish(&hosts[0], end(&claimed, completed("1")), NOW);
        }
    }
    let stats = ask(|done| hosts[1].stats(done)).unwrap();
    assert_eq!(stats.functions[0].counts[State::Completed.index()], 120);
    drop(hosts);
    assert_eq!(schema.miscounts(), Vec::<String>::new());
}
