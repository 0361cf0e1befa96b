//! Fixture plugin of the end-to-end tests: it behaves.
