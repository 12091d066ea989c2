//! Ways in which others call us.

pub mod http;
