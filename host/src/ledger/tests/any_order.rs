//! Random operations in random order: each store answers as the model does.
