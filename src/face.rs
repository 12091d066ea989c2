//! Faces: the ways in which others call us.
//!
//! Each translates one protocol to and from the gate, and has nothing else to reach the kernel
//! with. None keeps state that outlives its clients.
//!
//! | face | module | feature |
//! |---|---|---|
//! | MCP over streamable HTTP, both eras, and health | [`http`] | `face-http` |
//! | the control socket: the same MCP, and what the command line asks | [`control`] | `face-http` |
//! | MCP over standard streams, both eras | [`stdio`] | |

#[cfg(feature = "face-http")]
pub mod control;
#[cfg(feature = "face-http")]
mod health;
#[cfg(feature = "face-http")]
pub mod http;
pub(crate) mod mcp;
#[cfg(feature = "face-http")]
pub mod operator;
#[cfg(feature = "face-http")]
mod problem;
pub mod stdio;
