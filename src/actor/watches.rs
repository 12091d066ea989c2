//! Who watches which resources and tasks of one connection, and what its server is asked for on
//! their behalf.
//!
//! Made for a seat and outliving its incarnations and its handle. One subscription for each,
//! however many watch it; the first watcher brings it about and the last one ends it. It sends
//! nothing: the present incarnation takes the steps that are due, and says how they went.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::{
    id::{Incarnation, ServerName},
    upstream::RequestError,
    wire::RawValue,
};

mod inbox;
mod table;

pub(crate) use inbox::{Heard, Inbox, Update};
use table::Table;
pub(crate) use table::{Step, Topic};

/// Whether the server took a subscription.
pub(crate) type Settled = Result<(), RequestError>;

/// The watchers of one connection.
#[derive(Debug)]
pub(crate) struct Watches {
    server: ServerName,
    table: Mutex<Table>,
    /// There is a step to take.
    due: Notify,
}

/// One watcher of one thing. Dropped, it watches no longer.
#[derive(Debug)]
pub(crate) struct Watch {
    watches: Arc<Watches>,
    topic: Topic,
    number: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watches.table.lock().remove(&self.topic, self.number);
        self.watches.due.notify_one();
    }
}

impl Watches {
    pub(crate) fn new(server: ServerName) -> Arc<Self> {
        Arc::new(Self { server, table: Mutex::default(), due: Notify::new() })
    }

    /// Watches a resource, by its server's own URI, from now on. `shown` is what the watcher calls
    /// it. The receiver hears what the server says to the subscription.
    pub(crate) fn watch(
        self: &Arc<Self>,
        uri: &Arc<str>,
        inbox: &Arc<Inbox>,
        shown: &Arc<str>,
    ) -> (Watch, oneshot::Receiver<Settled>) {
        let (waiting, settled) = oneshot::channel();
        let topic = Topic::Resource(Arc::clone(uri));
        let number = self.table.lock().add(&topic, inbox, shown, Some(waiting));
        (self.guard(topic, number), settled)
    }

    /// The same for a watcher that was promised it already: it is told that a resource changed
    /// as soon as the server has taken the subscription, unless that had been before.
    pub(crate) fn follow(
        self: &Arc<Self>,
        topic: Topic,
        inbox: &Arc<Inbox>,
        shown: &Arc<str>,
    ) -> Watch {
        let number = self.table.lock().add(&topic, inbox, shown, None);
        self.guard(topic, number)
    }

    fn guard(self: &Arc<Self>, topic: Topic, number: u64) -> Watch {
        self.due.notify_one();
        Watch { watches: Arc::clone(self), topic, number }
    }

    /// Whether anybody watches a resource.
    pub(crate) fn is_watched(&self) -> bool {
        self.table.lock().is_watched()
    }

    /// The present incarnation asks anew for everything, because its server knows of nothing.
    pub(crate) fn begin(&self, life: Incarnation) {
        self.table.lock().begin(life);
        self.due.notify_one();
    }

    /// The next step that is due, if this is the present incarnation.
    pub(crate) fn next(&self, life: Incarnation) -> Option<Step> {
        self.table.lock().next(life)
    }

    /// A step was taken, if this is the present incarnation.
    pub(crate) fn done(&self, life: Incarnation, step: &Step, outcome: &Settled) {
        let told = self.table.lock().done(life, step, outcome);
        self.tell(told);
        self.due.notify_one();
    }

    /// A step was not taken and is due again, if this is the present incarnation.
    pub(crate) fn put_off(&self, life: Incarnation, step: &Step) {
        self.table.lock().put_off(life, step);
        self.due.notify_one();
    }

    /// What the server has been asked for and still is to tell of, in order.
    pub(crate) fn wanted(&self) -> Vec<Topic> {
        self.table.lock().wanted()
    }

    /// Resolves when there may be a step to take.
    pub(crate) async fn changed(&self) {
        self.due.notified().await;
    }

    /// The server says that a resource changed: whoever watches it, or what it is a part of,
    /// learns it.
    pub(crate) fn updated(&self, uri: &str) {
        let told = self.table.lock().updated(uri);
        self.tell(told);
    }

    /// The server says how far a task is, in raw parameters of a notification.
    pub(crate) fn task(&self, id: &Arc<str>, params: &Arc<RawValue>) {
        let told = self.table.lock().task(id);
        for table::Told { inbox, shown, .. } in told {
            inbox.put_task(&self.server, &shown, params);
        }
    }

    /// Any resource may have changed.
    pub(crate) fn all_updated(&self) {
        let told = self.table.lock().all();
        self.tell(told);
    }

    fn tell(&self, told: Vec<table::Told>) {
        for table::Told { inbox, shown, part } in told {
            inbox.put(&self.server, shown, part);
        }
    }
}
