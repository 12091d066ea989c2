//! What a server offers, read whole: every page of a list, and what of it can be used.

use std::collections::HashSet;

use super::{Link, Request};
use crate::{
    upstream::{Deadline, RequestError},
    wire::{Object, Primitive, RawValue, raw},
};

/// Pages of one list that are read at most.
const PAGES: usize = 1000;

impl Link {
    /// The raw definitions of all that the server has of one kind, every page of them; none where
    /// it declares no such thing.
    ///
    /// # Errors
    /// [`RequestError::Malformed`] also for a list without end: a repeated cursor, more than
    /// 1,000 pages, or more bytes than one message may have.
    pub async fn list(
        &self,
        primitive: Primitive,
        deadline: Deadline,
    ) -> Result<Vec<Box<RawValue>>, RequestError> {
        let mut items = Vec::new();
        if !self.declares(primitive.capability()) {
            return Ok(items);
        }
        let method = primitive.list_method();
        let endless = |why: &str| {
            RequestError::Malformed(format!("what the server lists by {method} has no end: {why}"))
        };
        let mut params = None;
        let mut seen = HashSet::new();
        let mut bytes = 0;
        for _ in 0..PAGES {
            let result = self
                .request(Request {
                    method: method.into(),
                    params,
                    name: None,
                    progress: None,
                    deadline: deadline.clone(),
                    trace: None,
                    dialogue: None,
                })
                .await?;
            bytes += result.get().len();
            if bytes > self.message_limit {
                return Err(endless("it exceeds limits.message_bytes in all"));
            }
            let page = Page::read(primitive, &result)?;
            items.extend(page.items);
            let Some(cursor) = page.next_cursor else {
                if primitive == Primitive::Tool {
                    self.channel.learn(&items);
                }
                return Ok(items);
            };
            let next = serde_json::json!({ "cursor": &cursor });
            if !seen.insert(cursor) {
                return Err(endless("it repeats a cursor"));
            }
            params = Some(raw(&next).into());
        }
        Err(endless("it has more than 1000 pages"))
    }

    /// Whether a tool of the server can be called over this link. Modern HTTP has tools that want
    /// arguments repeated as headers which cannot be, and clients must leave those out.
    pub fn can_call(&self, tool: &RawValue) -> bool {
        self.channel.can_call(tool)
    }
}

/// One page of a list.
struct Page {
    items: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

impl Page {
    fn read(primitive: Primitive, result: &RawValue) -> Result<Self, RequestError> {
        let read = || {
            let object = Object::read(result)?;
            let next_cursor = match object.get("nextCursor") {
                Some(_) => object.typed("nextCursor")?,
                None => None,
            };
            Some(Self { items: object.typed(primitive.member())?, next_cursor })
        };
        read().ok_or_else(|| {
            RequestError::Malformed(format!(
                "the result of {} has no `{}` array, or a `nextCursor` that is no string",
                primitive.list_method(),
                primitive.member()
            ))
        })
    }
}
