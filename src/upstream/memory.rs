//! In-process servers.
