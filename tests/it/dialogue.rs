//! Servers that ask and log through Switchboard, in every combination of eras, with real children.

mod live;
pub mod talk;
