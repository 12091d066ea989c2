//! Ids of JSON-RPC requests: strings or numbers, echoed as they were written.
//!
//! An id is compared as text and never calculated with, so a number of any size survives.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;

use super::scan;

/// A request's id: a string or a number, echoed as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Id {
    /// As it was written: a number of any size (JSON-RPC discourages fractions but does not
    /// forbid them), or a string that is no text, such as half of a surrogate pair.
    Written(Arc<str>),
    /// A text.
    String(Arc<str>),
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Self::Written(number.to_string().into())
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(json) => json.fmt(f),
            Self::String(text) => text.fmt(f),
        }
    }
}

impl Id {
    /// Reads an id; `None` for what is neither a string nor a number.
    pub fn read(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        match text.as_bytes().first()? {
            b'"' => Some(match scan::text_of(text) {
                Some(id) => Self::String(id.into()),
                None => Self::Written(text.into()),
            }),
            b'-' | b'0'..=b'9' => Some(Self::Written(text.into())),
            _ => None,
        }
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Written(json) => {
                let raw = serde_json::from_str::<&RawValue>(json);
                raw.map_err(serde::ser::Error::custom)?.serialize(serializer)
            }
            Self::String(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::read(&raw).ok_or_else(|| de::Error::custom("neither a string nor a number"))
    }
}
