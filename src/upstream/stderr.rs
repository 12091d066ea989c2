//! The last lines of a server's error output.
/// A bounded ring of lines.
#[derive(Debug, Default)]
pub struct StderrRing;
