//! The gateway: sockets and pages in front, real hosts behind.

mod access;
mod browser;
mod command_line;
mod console;
mod faults;
mod http;
mod libraries;
mod openapi;
mod plain;
mod proxies;
mod refusals;
mod resume;
mod sockets;
mod tasks;
mod tls;
mod tokens;
mod workbench;
