//! Reports in all formats, read back with independent readers: Python's json and csv modules, openpyxl, poppler, and
//! `LibreOffice`. A missing tool is a failure that says which.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so does what it is made of"
)]

mod csv;
mod harness;
mod html;
mod json;
mod options;
mod pdf;
mod xlsx;
