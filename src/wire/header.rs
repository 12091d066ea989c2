//! `Mcp-*` headers: encoding, decoding, comparing.
