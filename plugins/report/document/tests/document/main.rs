//! Reports in all formats, read back with independent readers: Python's json and csv modules, Babel, openpyxl, poppler,
//! `LibreOffice` and Chromium. A missing tool is a failure that says which.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so does what it is made of"
)]

mod browser;
mod csv;
mod gallery;
mod harness;
mod html;
mod json;
mod locales;
mod options;
mod paper;
mod pdf;
mod screen;
mod sheets;
mod xlsx;
