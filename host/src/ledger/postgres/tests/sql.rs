//! Tasks that programs take in by SQL.

use super::{LIMITS, Schema, each_release, run, try_run};
use crate::ledger::store::Store as _;
use crate::ledger::tests::{
    NOW, ask, claim_of, completed, end, enqueue_at, finish, task, view, want,
};
use crate::ledger::{Enqueued, NewTask, State, TaskId};

fn call(schema: &Schema, args: &str) -> TaskId {
    let ids = schema.run(&format!("SELECT {}.host_enqueue({args})", schema.0));
    ids[0].parse().unwrap()
}

#[test]
fn a_task_comes_in_by_sql_as_by_a_host() {
    each_release(comes_in_as_by_a_host);
}

fn comes_in_as_by_a_host(schema: &Schema) {
    let store = schema.open(LIMITS);
    let id = call(schema, "'f', '{\"b\" : 1,\"a\":\"\\u0000\"}'");
    let text = id.to_string();
    assert_eq!(&text[14..15], "7", "{text}");
    assert!("89ab".contains(&text[19..20]), "{text}");
    let found = view(&store, id).unwrap();
    assert_eq!(&*found.args, b"{\"b\" : 1,\"a\":\"\\u0000\"}");
    assert_eq!(
        (found.summary.state, found.summary.priority),
        (State::Available, 5)
    );
    let millis = u64::from_str_radix(&text.replace('-', "")[..12], 16).unwrap();
    assert_eq!(i64::try_from(millis).unwrap(), found.summary.created_at);
    let later = call(
        schema,
        "'f', 'null', delay => '1 hour', deadline => now() + interval '2 hours'",
    );
    let found = view(&store, later).unwrap();
    assert_eq!(found.summary.state, State::Scheduled);
    assert_eq!(
        found.summary.available_at - found.summary.created_at,
        3_600_000
    );
    let now = found.summary.created_at;
    assert_eq!(
        ask(|done| store.sweep(now + 3_600_000, 9, done))
            .unwrap()
            .due,
        1
    );
    let claimed = claim_of(&store, want("f", 9), now + 3_600_000);
    assert_eq!(
        claimed.iter().map(|task| task.id).collect::<Vec<_>>(),
        [id, later]
    );
    finish(&store, end(&claimed[0], completed("1")), now);
    assert_eq!(schema.miscounts(), Vec::<String>::new());
}

#[test]
fn a_key_is_had_by_one_whether_it_comes_by_sql_or_by_a_host() {
    each_release(key_is_had_by_one);
}

fn key_is_had_by_one(schema: &Schema) {
    let store = schema.open(LIMITS);
    let first = call(schema, "'f', '[1]', key => 'k', subject => 's'");
    assert_eq!(
        call(schema, "'f', '[1]', key => 'k', subject => 's'"),
        first
    );
    assert_ne!(call(schema, "'f', '[1]', key => 'k'"), first);
    let sql = format!(
        "SELECT {}.host_enqueue('f', '[1] ', key => 'k', subject => 's')",
        schema.0
    );
    let error = schema.try_run(&sql).unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "23505");
    assert!(
        error.message().contains(&first.to_string()),
        "{}",
        error.message()
    );
    let keyed = |number, args| NewTask {
        key: Some("k".into()),
        subject: Some("s".into()),
        args: bytes::Bytes::from_static(args),
        ..task(number, "f")
    };
    let now = view(&store, first).unwrap().summary.created_at;
    assert_eq!(
        enqueue_at(&store, vec![keyed(1, b"[1]"), keyed(2, b"[2]")], now),
        [
            Enqueued::Duplicate {
                id: first,
                state: State::Available
            },
            Enqueued::KeyConflict { id: first }
        ]
    );
    let claimed = claim_of(&store, want("f", 9), now);
    for task in &claimed {
        finish(&store, end(task, completed("1")), now);
    }
    let second = call(
        schema,
        "'f', '[3]', key => 'k', subject => 's', unique_for => '1 hour'",
    );
    assert_ne!(second, first);
    let claimed = claim_of(&store, want("f", 1), now + 1);
    finish(&store, end(&claimed[0], completed("1")), now + 1);
    assert_eq!(
        call(schema, "'f', '[3]', key => 'k', subject => 's'"),
        second,
        "it stays taken for an hour"
    );
    assert_eq!(schema.miscounts(), Vec::<String>::new());
}

#[test]
fn what_no_host_would_take_is_refused() {
    let schema = Schema::new();
    let store = schema.open(LIMITS);
    for args in [
        "'', '{}'",
        "'f', NULL",
        "'f', '{}', priority => 10",
        "'f', '{}', key => ''",
        "'f', '{}', retry_max => -1",
        "'f', '{'",
    ] {
        let error = try_run(&format!("SELECT {}.host_enqueue({args})", schema.0)).unwrap_err();
        let code = error.code().unwrap().code().to_owned();
        assert!(code.starts_with("22"), "{args}: {code}");
    }
    // In the caller's transaction, and so undone with it.
    let name = &schema.0;
    run(&format!(
        "BEGIN; SELECT {name}.host_enqueue('f', '1'); ROLLBACK"
    ));
    assert!(claim_of(&store, want("f", 1), NOW * 2).is_empty());
    assert_eq!(schema.miscounts(), Vec::<String>::new());
}

#[test]
fn who_may_hand_tasks_over_may_do_nothing_else() {
    let schema = Schema::new();
    let store = schema.open(LIMITS);
    let name = &schema.0;
    let role = format!("{name}_role");
    run(&format!("CREATE ROLE {role}"));
    let as_role = |sql: &str| try_run(&format!("SET SESSION AUTHORIZATION {role}; {sql}"));
    let hand_over = format!("SELECT {name}.host_enqueue('f', '[1]', key => 'k')");
    let is_refused = |sql: &str| {
        let error = as_role(sql).unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501", "{sql}: {error}");
    };
    is_refused(&hand_over);
    run(&format!("GRANT USAGE ON SCHEMA {name} TO {role}"));
    is_refused(&hand_over);
    run(&format!(
        "GRANT EXECUTE ON FUNCTION {name}.host_enqueue TO {role}"
    ));
    let ids = as_role(&hand_over).unwrap();
    let id: TaskId = ids[0].parse().unwrap();
    assert_eq!(
        as_role(&hand_over).unwrap(),
        ids,
        "the key is looked at, too"
    );
    let found = view(&store, id).unwrap();
    assert_eq!(&*found.args, b"[1]");
    assert_eq!(found.client.as_deref(), Some(&*format!("sql:{role}")));

    let tables = run(&format!(
        "SELECT tablename FROM pg_tables WHERE schemaname = '{name}'"
    ));
    assert!(tables.iter().any(|table| table == "ended"), "{tables:?}");
    for table in tables {
        is_refused(&format!("SELECT FROM {name}.{table}"));
        is_refused(&format!("DELETE FROM {name}.{table}"));
        let default = format!("INSERT INTO {name}.{table} DEFAULT VALUES");
        is_refused(&default);
    }
    is_refused(&format!("CREATE TABLE {name}.own ()"));
}

#[test]
fn whoever_hands_a_task_over_cannot_have_other_code_run() {
    let schema = Schema::new();
    let store = schema.open(LIMITS);
    let name = &schema.0;
    let role = format!("{name}_role");
    // What the function would find first, if it went by its caller's path: made to fail, so that it would be noticed.
    run(&format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA {name} TO {role}; \
         GRANT EXECUTE ON FUNCTION {name}.host_enqueue TO {role}; CREATE SCHEMA {role} AUTHORIZATION {role}"
    ));
    let trap = |of: &str, kind: &str| {
        format!(
            "CREATE FUNCTION {role}.{of} RETURNS {kind} LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''{of}''; END'; "
        )
    };
    let traps = [
        trap("sha256(bytea)", "bytea"),
        trap("octet_length(text)", "integer"),
        trap("clock_timestamp()", "timestamptz"),
        trap("gen_random_uuid()", "uuid"),
        trap("differ(text, text)", "boolean"),
        format!(
            "CREATE OPERATOR {role}.= (FUNCTION = {role}.differ, LEFTARG = text, RIGHTARG = text); "
        ),
        "CREATE TEMPORARY TABLE task (id uuid); CREATE TEMPORARY TABLE function (name text); "
            .to_owned(),
    ];
    let ids = try_run(&format!(
        "SET SESSION AUTHORIZATION {role}; SET search_path = {role}, pg_catalog; {}\
         SELECT {name}.host_enqueue('f', '[1]', key => 'k', subject => 's')",
        traps.concat()
    ));
    let id: TaskId = ids.unwrap()[0].parse().unwrap();
    assert_eq!(
        view(&store, id).unwrap().summary.subject.as_deref(),
        Some("s")
    );
}
