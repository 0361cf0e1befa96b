//! The report plugin.
