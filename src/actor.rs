//! The supervision tree.
//!
//! ```text
//! root                     one_for_one
//! ├── router               sole writer of the routing table; dispatches by name
//! ├── agents               dynamic supervisor of owners
//! │   ├── store            its connections, one_for_one; groups may restart together
//! │   │   ├── connection   one incarnation of one link
//! │   │   └── …
//! │   └── agent …          the same for one agent
//! └── janitor              sweeps at intervals
//! ```
//!
//! The rules, forced by the framework: a handler never awaits the network (it starts a task that
//! reports back); a start does no I/O (its spawner waits for it); a connection never reconnects
//! itself (it ends with a typed reason, and its supervisor decides); every supervising actor
//! handles every supervision event (the default stops the parent); mailboxes are unbounded, so
//! whatever could flood one is refused before it gets there; nothing is named or global.
//!
//! Calls do not pass through mailboxes: they read the router's snapshot and go straight to the
//! connection's handle.

pub mod call;
pub mod change;
pub mod event;
pub mod server;
pub mod settings;
pub mod status;
pub mod subject;

pub(crate) mod exchange;
pub(crate) mod handle;
pub(crate) mod root;
pub(crate) mod router;

mod admission;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub use admission::bench as admission_bench;
pub(crate) mod agent;
pub(crate) mod agents;
pub(crate) mod audience;
mod child;
mod connection;
mod group;
mod janitor;
pub(crate) mod kept;
mod leak;
mod policy;
mod slots;
mod task;
pub(crate) mod vigil;
pub(crate) mod watches;
