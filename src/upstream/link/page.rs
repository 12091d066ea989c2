//! One page of a server's list, read from a result.
//!
//! Shape only; how many pages are read is the link's.

use crate::{
    upstream::RequestError,
    wire::{Object, Primitive, RawValue},
};

/// One page of a list.
pub(super) struct Page {
    pub(super) items: Vec<Box<RawValue>>,
    pub(super) next_cursor: Option<String>,
}

impl Page {
    pub(super) fn read(primitive: Primitive, result: &RawValue) -> Result<Self, RequestError> {
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
