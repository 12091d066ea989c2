//! The five revisions of the Model Context Protocol, and the two eras that they fall into.
//!
//! Facts about revisions, never about a connection.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A published revision of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Revision {
    /// 2024-11-05.
    #[serde(rename = "2024-11-05")]
    V2024_11_05,
    /// 2025-03-26: streamable HTTP, batches.
    #[serde(rename = "2025-03-26")]
    V2025_03_26,
    /// 2025-06-18: no batches, structured content, the version header.
    #[serde(rename = "2025-06-18")]
    V2025_06_18,
    /// 2025-11-25.
    #[serde(rename = "2025-11-25")]
    V2025_11_25,
    /// 2026-07-28: stateless requests, discovery.
    #[serde(rename = "2026-07-28")]
    V2026_07_28,
}

/// Whether a peer initialises a session or sends stateless requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Era {
    /// 2025-11-25 and earlier: `initialize` first.
    Legacy,
    /// 2026-07-28 and later: every request carries its own metadata.
    Modern,
}

impl Era {
    /// The era's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

impl Revision {
    /// Every revision, oldest first.
    pub const ALL: [Self; 5] = [
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];
    /// The newest revision of the modern era.
    pub const LATEST: Self = Self::V2026_07_28;
    /// The newest revision that starts with `initialize`.
    pub const LATEST_LEGACY: Self = Self::V2025_11_25;
    /// The modern revisions, newest first, as `server/discover` lists them.
    pub const MODERN: [Self; 1] = [Self::V2026_07_28];

    /// The revision's date, which is its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Reads a date that names a known revision.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.as_str() == text)
    }

    /// The era it belongs to.
    pub const fn era(self) -> Era {
        match self {
            Self::V2026_07_28 => Era::Modern,
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => {
                Era::Legacy
            }
        }
    }

    /// Whether JSON-RPC batches may be received. They came with 2025-03-26 and left with
    /// 2025-06-18; 2024-11-05 inherits them from JSON-RPC itself.
    pub const fn has_batches(self) -> bool {
        matches!(self, Self::V2024_11_05 | Self::V2025_03_26)
    }

    /// Whether tasks are part of it. They came with 2025-11-25; later they are an extension with
    /// other rules.
    pub const fn has_tasks(self) -> bool {
        matches!(self, Self::V2025_11_25)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_revisions_are_the_same_thing() {
        for revision in Revision::ALL {
            assert_eq!(Revision::parse(revision.as_str()), Some(revision));
            assert_eq!(serde_json::to_string(&revision).unwrap(), format!("\"{revision}\""));
        }
        assert_eq!(Revision::parse("2025-01-01"), None);
        assert_eq!(Revision::LATEST.era(), Era::Modern);
        assert_eq!(Revision::LATEST_LEGACY.era(), Era::Legacy);
    }
}
