//! The resize plugin.
