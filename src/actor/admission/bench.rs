//! What the benches measure of admission: calls that pass the door of one connection.
//!
//! Built only for them (feature `bench`); decides nothing.

use std::{fmt, sync::Arc};

use super::Admission;
use crate::id::Owner;

/// The door of one connection.
pub struct Door(Arc<Admission>);

impl Door {
    /// A door with so many places in flight, and as many to wait as anybody wants.
    pub fn new(places: usize) -> Self {
        Self(Admission::new(places, usize::MAX))
    }

    /// Takes a place, lets others come while it has it, and leaves. Whether it got one.
    pub async fn pass(&self, caller: &Owner) -> bool {
        let place = self.0.enter(caller).await;
        tokio::task::yield_now().await;
        place.is_ok()
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Door").field(&self.0.bounds()).finish()
    }
}
