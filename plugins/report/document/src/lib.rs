//! What a report consists of.
