//! How a ledger is opened.

use super::{LIMITS, Schema, run};
use crate::ledger::StoreErrorKind;
use crate::ledger::postgres::{Postgres, PostgresOptions};
use crate::ledger::tests::{claim, enqueue, task};

#[track_caller]
fn refusal(options: PostgresOptions) -> (StoreErrorKind, String) {
    match Postgres::open(options) {
        Ok(_) => panic!("it was opened"),
        Err(error) => (error.kind, error.message().to_owned()),
    }
}

#[test]
fn hosts_that_start_together_make_the_tables_once() {
    let schema = Schema::new();
    std::thread::scope(|scope| {
        for at in 0..6 {
            let options = PostgresOptions {
                node: format!("node {at}").into(),
                ..schema.options(LIMITS)
            };
            scope.spawn(move || drop(Postgres::open(options).unwrap()));
        }
    });
    let steps = run(&format!(
        "SELECT number FROM {}.step ORDER BY number",
        schema.0
    ));
    let each_once = 1..=crate::ledger::postgres::schema::MIGRATIONS.len();
    let each_once: Vec<String> = each_once.map(|step| step.to_string()).collect();
    assert_eq!(steps, each_once);
}

#[test]
fn what_is_there_is_kept_and_what_a_newer_host_made_is_refused() {
    let schema = Schema::new();
    enqueue(&schema.open(LIMITS), vec![task(1, "f")]);
    assert_eq!(claim(&schema.open(LIMITS), "f", 1).len(), 1);
    run(&format!(
        "INSERT INTO {}.step (number) VALUES (99)",
        schema.0
    ));
    let (kind, message) = refusal(schema.options(LIMITS));
    assert_eq!(kind, StoreErrorKind::NewerSchema);
    assert!(message.contains("step 99"), "{message}");
}

#[test]
fn an_address_that_leads_nowhere_is_said_to() {
    let schema = Schema::new();
    let with = |url: &str| PostgresOptions {
        url: url.into(),
        ..schema.options(LIMITS)
    };
    for (options, part) in [
        (with("postgres://"), "can't be re"),
        (with("nonsense"), "address"),
        (with("host=/nowhere user=shop"), "can't be reached"),
        (
            with(&super::server().socket_url().replace("secret", "wrong")),
            "password",
        ),
        (
            with(
                &super::server()
                    .socket_url()
                    .replace("dbname=postgres", "dbname=none"),
            ),
            "isn't there",
        ),
        (
            PostgresOptions {
                schema: "a\"b".into(),
                ..schema.options(LIMITS)
            },
            "schema",
        ),
    ] {
        let (kind, message) = refusal(options);
        assert_eq!(kind, StoreErrorKind::Unavailable, "{message}");
        assert!(message.contains(part), "{part}: {message}");
    }
}
