//! What the benches measure of sealing: the state of a round, sealed and opened again.
//!
//! Built only for them (feature `bench`); decides nothing.

use std::time::SystemTime;

use super::{Bound, Seal, StateKeys, Ticket};
use crate::{access::Principal, id::Owner, wire::RawValue};

/// Seals states with a key of its own.
#[derive(Debug)]
pub struct Sealer(Seal);

impl Default for Sealer {
    fn default() -> Self {
        Self(Seal::new(&StateKeys::random()))
    }
}

impl Sealer {
    /// The state that the client of a waiting call carries.
    pub fn seal(&self, method: &str, params: &RawValue, now: SystemTime) -> Option<String> {
        let bound = Bound::new(&Principal::local(), &Owner::Store, method, params);
        self.0.seal(&bound, Ticket::Parked { talk: u128::MAX, round: 1 }, now)
    }

    /// Whether a state opens for a request.
    pub fn opens(&self, method: &str, params: &RawValue, state: &str, now: SystemTime) -> bool {
        let bound = Bound::new(&Principal::local(), &Owner::Store, method, params);
        self.0.open(&bound, state, now).is_some()
    }
}
