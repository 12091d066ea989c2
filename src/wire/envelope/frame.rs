//! The members of a message that JSON-RPC knows, raw, as one pass finds them.
//!
//! Read by hand: a derived reader takes lists for objects and stops at keys that are no text.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use crate::wire::scan::text;

/// What may be a message; other members are skipped.
#[derive(Default)]
pub(super) struct Frame<'a> {
    pub(super) jsonrpc: Option<&'a RawValue>,
    pub(super) id: Option<&'a RawValue>,
    pub(super) method: Option<&'a RawValue>,
    pub(super) params: Option<&'a RawValue>,
    pub(super) result: Option<&'a RawValue>,
    pub(super) error: Option<&'a RawValue>,
    /// A member that stands there more than once, of which two readers could choose differently.
    pub(super) twice: Option<&'static str>,
}

impl<'a> Frame<'a> {
    fn take(&mut self, key: &str, value: &'a RawValue) {
        let (name, member) = match key {
            "jsonrpc" => ("jsonrpc", &mut self.jsonrpc),
            "id" => ("id", &mut self.id),
            "method" => ("method", &mut self.method),
            "params" => ("params", &mut self.params),
            "result" => ("result", &mut self.result),
            "error" => ("error", &mut self.error),
            _ => return,
        };
        if member.replace(value).is_some() {
            self.twice = Some(name);
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Frame<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Frame<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: de::MapAccess<'de>>(self, mut map: M) -> Result<Frame<'de>, M::Error> {
                let mut frame = Frame::default();
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    if let Some(key) = text(key) {
                        frame.take(&key, value);
                    }
                }
                Ok(frame)
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}
