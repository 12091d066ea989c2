//! Entries of every client, in our keys.
use super::*;
