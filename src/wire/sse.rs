//! Event stream framing.
