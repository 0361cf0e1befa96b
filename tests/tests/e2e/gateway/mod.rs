//! The gateway: sockets and pages in front, real hosts behind.

mod access;
mod command_line;
mod faults;
mod http;
mod plain;
mod resume;
mod sockets;
mod tasks;
