//! The store, its file and its writer.
