//! What the tests share: the real program, MCP over HTTP by hand, scripted servers, waiting,
//! processes, the published schemas, every message that Switchboard sends held against them, and the
//! tables of the documentation.

pub mod binary;
pub mod flaky;
pub mod heard;
pub mod hold;
pub mod http;
pub mod outgoing;
pub mod page;
pub mod process;
pub mod schema;
pub mod script;
pub mod seeds;
pub mod stream;
pub mod tap;
pub mod upstream;
pub mod wait;
