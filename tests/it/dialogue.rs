//! Servers that ask and log through Switchboard, in every combination of eras, with real children.

mod http;
mod live;
mod repeat;
mod rounds;
pub mod talk;
