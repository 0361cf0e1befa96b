//! Reports in all formats, read back with independent readers: Python's json and csv modules, openpyxl, poppler, and
//! LibreOffice. A missing tool is a failure that says which.

mod csv;
mod harness;
mod html;
mod json;
mod options;
mod pdf;
mod xlsx;
