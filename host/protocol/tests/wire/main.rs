//! The protocol as its users see it: lines, requests, server lines and the documented error codes.

mod codes;
mod generators;
mod json;
mod lines;
mod requests;
mod server_lines;
