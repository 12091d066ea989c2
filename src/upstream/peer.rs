//! Multiplexes requests over one byte stream.
