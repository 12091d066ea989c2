//! What the tests share: the real program, MCP over HTTP by hand, scripted servers, waiting,
//! processes, the published schemas and the tables of the documentation.

pub mod binary;
pub mod flaky;
pub mod http;
pub mod page;
pub mod process;
pub mod schema;
pub mod script;
pub mod seeds;
pub mod stream;
pub mod upstream;
pub mod wait;
