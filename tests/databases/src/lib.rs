//! Database servers that tests start, on sockets and ports of their own. They end with the test program, by its end or by the
//! kernel's hand. Everything here fails by a panic, because its only user is a test.
#![expect(
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a harness reports to the test that uses it, by failing it"
)]

mod mariadb;
mod pooler;
mod postgres;
mod programs;
mod releases;
mod session;

pub use mariadb::MariaDb;
pub use pooler::Pooler;
pub use postgres::Postgres;
pub use programs::{command, end_with_us, free_port, program, run, wait_for};
pub use releases::Release;
pub use session::{Session, psql};
