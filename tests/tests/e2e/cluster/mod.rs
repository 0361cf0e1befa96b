//! Many hosts: behind a balancer, and with a ledger in a database that they share.

mod bad_days;
mod balancers;
mod dead_hosts;
mod handed_over;
mod moving;
mod other_hosts;
mod shared_ledger;
mod upsets;

use databases::Postgres;
use serde_json::{Value, json};
use tests::{Client, Host, Plugin, Setup};

use crate::background::{end_of, look};

/// A host without plugins that keeps background tasks in this database.
fn setup(server: &Postgres) -> Setup {
    setup_at(&server.url())
}

/// As [`setup`], by this way.
fn setup_at(url: &str) -> Setup {
    Setup::new().config(&format!("[ledger]\nurl = \"{url}\""))
}

fn good(server: &Postgres) -> Host {
    setup(server).plugin(Plugin::Good).start()
}

/// Hands a task over that must be taken, and gives its id.
#[track_caller]
#[expect(
    clippy::needless_pass_by_value,
    reason = "they are always made for the call"
)]
fn hand_over(client: &mut Client, function: &str, args: Value) -> String {
    let request = json!({"function": function, "args": args, "background": true});
    let accepted = client.request(request).expect("it is taken");
    accepted["task"].as_str().expect("a text").to_owned()
}
