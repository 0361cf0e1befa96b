//! Tasks in the background: written down before anybody is told so, run at least once, and there to be asked for.

mod bad_days;
mod kills;
mod people;
mod promises;
mod retries;
mod waits;

use serde_json::{Value, json};
use tests::{Client, Failure, Host, Plugin};

fn good() -> Host {
    Host::with(&[Plugin::Good])
}

/// Hands a task over, with these fields beside.
#[expect(
    clippy::needless_pass_by_value,
    reason = "they are always made for the call"
)]
fn try_hand_over(
    client: &mut Client,
    function: &str,
    args: Value,
    fields: Value,
) -> Result<Value, Failure> {
    let mut request = json!({"function": function, "args": args, "background": true});
    let (Value::Object(request_fields), Value::Object(fields)) = (&mut request, fields) else {
        panic!("fields are an object")
    };
    request_fields.extend(fields);
    client.request(request)
}

/// Hands a task over that must be taken, and gives its id.
#[track_caller]
fn hand_over(client: &mut Client, function: &str, args: Value, fields: Value) -> String {
    let accepted = try_hand_over(client, function, args, fields).expect("it is taken");
    assert_eq!(accepted["durable"], "fsync", "{accepted}");
    assert_eq!(accepted["duplicate"], false, "{accepted}");
    accepted["task"].as_str().expect("a text").to_owned()
}

/// What is known of the task now.
#[track_caller]
pub(crate) fn look(client: &mut Client, task: &str) -> Value {
    client.result("host.task", json!({"task": task}))
}

/// What is known of the task at its end.
#[track_caller]
pub(crate) fn end_of(client: &mut Client, task: &str) -> Value {
    let looked = client.result("host.task", json!({"task": task, "wait_ms": 60_000}));
    assert!(
        !looked["ended_at_ms"].is_null(),
        "it has not ended in a minute: {looked}"
    );
    looked
}

#[track_caller]
fn expect_state(client: &mut Client, task: &str, state: &str) -> Value {
    let looked = end_of(client, task);
    assert_eq!(looked["state"], state, "{looked}");
    looked
}
