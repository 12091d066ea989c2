//! A connection's task that wakes itself: it is polled again at once, where tokio would put it
//! into a queue and wake another thread for it.
//!
//! A connection wakes itself with nearly everything that it does: a head that was read wakes who
//! waits for it, a body whoever reads it, and all of them are the one task. Owned by that task; it
//! changes no order and loses no wake.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;

/// How often it is polled at a time; then others have their turn.
const AT_ONCE: usize = 8;

/// Nobody polls it: a wake is the task's.
const IDLE: u8 = 0;
/// It is being polled.
const POLLED: u8 = 1;
/// It was woken while it was.
const WOKEN: u8 = 2;

/// A future that is polled again where it wakes itself.
pub(super) struct Calm<F> {
    future: Pin<Box<F>>,
    wakes: Arc<Wakes>,
    waker: Waker,
}

#[derive(Default)]
struct Wakes {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Written also where it stands already: who polls next sees what came before this wake.
        let note = |state| (state != IDLE).then_some(WOKEN);
        if self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, note).is_err() {
            self.task.wake();
        }
    }
}

impl<F> Calm<F> {
    /// Not polled yet.
    pub(super) fn new(future: F) -> Self {
        let wakes = Arc::<Wakes>::default();
        let waker = Waker::from(Arc::clone(&wakes));
        Self { future: Box::pin(future), wakes, waker }
    }
}

impl<F: Future> Future for Calm<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, wakes, waker } = &mut *self;
        wakes.task.register(context.waker());
        let mut own = Context::from_waker(waker);
        for _ in 0..AT_ONCE {
            // Not a mere store, which what the future looks at could overtake.
            wakes.state.swap(POLLED, Ordering::AcqRel);
            let outcome = future.as_mut().poll(&mut own);
            let woken =
                wakes.state.compare_exchange(POLLED, IDLE, Ordering::AcqRel, Ordering::Acquire);
            if outcome.is_ready() || woken.is_ok() {
                return outcome;
            }
        }
        wakes.state.store(IDLE, Ordering::Release);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::future::poll_fn;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_on_and_wakes_its_task_in_the_end() {
        let task = Arc::<Counted>::default();
        let (waker, polls) = (Waker::from(Arc::clone(&task)), AtomicUsize::new(0));
        let mut kept = None;
        let mut calm = Calm::new(poll_fn(|context| {
            kept = Some(context.waker().clone());
            if polls.fetch_add(1, Ordering::Relaxed) != 2 {
                context.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        }));
        let mut context = Context::from_waker(&waker);
        let woken = || task.0.load(Ordering::Relaxed);
        assert!(Pin::new(&mut calm).poll(&mut context).is_pending());
        assert_eq!((polls.load(Ordering::Relaxed), woken()), (3, 0), "it woke itself twice");
        assert!(Pin::new(&mut calm).poll(&mut context).is_pending());
        assert_eq!((polls.load(Ordering::Relaxed), woken()), (3 + AT_ONCE, 1), "without end");
        drop(calm);
        kept.unwrap().wake();
        assert_eq!(woken(), 2, "from anywhere else the task is woken");
    }
}
