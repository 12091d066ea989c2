//! A child process.
