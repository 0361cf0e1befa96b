//! A database that is reached encrypted.

use std::path::Path;

use databases::{command, program};

use super::LIMITS;
use crate::ledger::postgres::{Postgres, PostgresOptions};
use crate::ledger::tests::{enqueue, id, task, view};
use crate::ledger::{Enqueued, State};

/// Has `openssl` make something in this folder, as the user that the server runs as: a key is its owner's alone.
fn openssl(folder: &Path, words: &str) {
    let mut made = command(&program(&["openssl"]), &["postgres"], folder);
    made.current_dir(folder).args(words.split(' '));
    databases::run(&mut made);
}

#[test]
fn a_certificate_is_looked_at_as_closely_as_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30";
    for name in ["ca", "other"] {
        let words = format!("req -x509 {key} -keyout {name}.key -out {name}.crt -subj /CN={name}");
        openssl(folder.path(), &words);
    }
    let words = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=db";
    openssl(folder.path(), words);
    let names = folder.path().join("names");
    std::fs::write(&names, "subjectAltName=DNS:localhost").unwrap();
    let words = "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 30 -extfile names";
    openssl(folder.path(), words);
    let path = folder.path().display();
    let server = databases::Postgres::start(&[
        "ssl=on",
        &format!("ssl_cert_file={path}/server.crt"),
        &format!("ssl_key_file={path}/server.key"),
    ]);
    let open = |host: &str, words: &str| {
        let port = server.port();
        Postgres::open(PostgresOptions {
            url: format!(
                "host={host} port={port} user=shop password=secret dbname=postgres {words}"
            ),
            schema: "task_server".into(),
            limits: LIMITS,
            node: "node-a".into(),
            is_pooled: false,
        })
    };
    let (ours, other) = (
        format!("sslrootcert={path}/ca.crt"),
        format!("sslrootcert={path}/other.crt"),
    );
    for (number, (host, words)) in [
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", format!("sslmode=verify-ca {ours}")),
        ("localhost", format!("sslmode=verify-full {ours}")),
    ]
    .into_iter()
    .enumerate()
    {
        let store = open(host, &words).unwrap();
        let number = number as u64 + 1;
        assert_eq!(
            enqueue(&store, vec![task(number, "f")]),
            [Enqueued::Stored(State::Available)]
        );
        assert!(view(&store, id(number)).is_some());
    }
    for (host, words) in [
        ("127.0.0.1", format!("sslmode=verify-full {ours}")),
        ("localhost", format!("sslmode=verify-ca {other}")),
        ("localhost", format!("sslmode=require {other}")),
        ("localhost", "sslmode=verify-full".to_owned()),
    ] {
        assert!(open(host, &words).is_err(), "{host} {words}");
    }
    // The server that others share has no certificate.
    let schema = super::Schema::new();
    let plain = PostgresOptions {
        url: super::server().url() + "?sslmode=require",
        ..schema.options(LIMITS)
    };
    assert!(Postgres::open(plain).is_err());
}
