//! Holds no code: what counts is which features its manifest asks for.
