//! A place where whoever comes by is held, as a test says, until the test lets go.

use std::sync::{
    Arc, Condvar, Mutex,
    atomic::{AtomicUsize, Ordering},
};

/// A place to be held at. Clones are the same place.
#[derive(Clone, Debug, Default)]
pub struct Hold(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// How many of the next to come are held.
    armed: AtomicUsize,
    held: AtomicUsize,
    released: (Mutex<bool>, Condvar),
}

impl Hold {
    /// Holds the next `count` that come.
    pub fn arm(&self, count: usize) {
        self.0.armed.store(count, Ordering::SeqCst);
    }

    /// How many were held so far.
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::SeqCst)
    }

    /// Lets go of all of them.
    pub fn release(&self) {
        *self.0.released.0.lock().unwrap() = true;
        self.0.released.1.notify_all();
    }

    /// Passes, or hangs with the whole thread.
    pub fn pass(&self) {
        let armed = |armed: usize| armed.checked_sub(1);
        if self.0.armed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, armed).is_ok() {
            self.0.held.fetch_add(1, Ordering::SeqCst);
            let (released, told) = &self.0.released;
            drop(told.wait_while(released.lock().unwrap(), |released| !*released).unwrap());
        }
    }

    /// Lets go when the test ends, however it ends: a runtime waits for its threads.
    pub fn until_the_end(&self) -> Released {
        Released(self.clone())
    }
}

/// Lets go when it is dropped.
#[derive(Debug)]
pub struct Released(Hold);

impl Drop for Released {
    fn drop(&mut self) {
        self.0.release();
    }
}
