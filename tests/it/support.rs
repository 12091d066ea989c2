//! What the tests share: the real program, MCP over HTTP by hand, scripted servers, waiting,
//! processes and the published schemas.

pub mod binary;
pub mod flaky;
pub mod http;
pub mod process;
pub mod schema;
pub mod script;
pub mod seeds;
pub mod upstream;
pub mod wait;
