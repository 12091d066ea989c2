//! The door by itself, and under every order of wake-ups that a seed gives.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::{Context, Poll, Wake, Waker},
};

use super::*;
use crate::id::AgentId;

fn caller(name: &str) -> Owner {
    Owner::Agent(AgentId::new(name).unwrap())
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_a_free_place_is_handed_on() {
    let door = Admission::new(1, 1);
    let first = door.enter(&caller("a")).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    let waiting = Arc::clone(&door);
    tasks.spawn(async move { waiting.enter(&caller("a")).await });
    while door.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(door.enter(&caller("b")).await.unwrap_err(), Full { waiting: 1 });
    drop(first);
    let second = tasks.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!((door.in_flight(), door.waiting()), (1, 0));
    drop(second);
    assert_eq!(door.in_flight(), 0);
}

#[tokio::test]
async fn a_caller_with_many_calls_delays_another_by_one() {
    let door = Admission::new(1, 1000);
    let order = Arc::new(Mutex::new(Vec::new()));
    let held = door.enter(&caller("loud")).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for name in std::iter::repeat_n("loud", 100).chain(["quiet"]) {
        let waiting = door.waiting();
        let (door_of_task, order) = (Arc::clone(&door), Arc::clone(&order));
        tasks.spawn(async move {
            let permit = door_of_task.enter(&caller(name)).await.unwrap();
            order.lock().push(name);
            drop(permit);
        });
        while door.waiting() == waiting {
            tokio::task::yield_now().await;
        }
    }
    drop(held);
    tasks.join_all().await;
    let place = order.lock().iter().position(|name| *name == "quiet").unwrap();
    assert!(place <= 1, "the quiet caller came {place}th");
}

#[tokio::test]
async fn a_waiter_that_leaves_takes_no_place() {
    let door = Admission::new(1, 10);
    let held = door.enter(&caller("a")).await.unwrap();
    let name = caller("b");
    let mut gone = Box::pin(door.enter(&name));
    assert!(futures::poll!(&mut gone).is_pending());
    drop(gone);
    assert_eq!(door.waiting(), 0);
    drop(held);
    assert_eq!(door.in_flight(), 0);
    drop(door.enter(&caller("c")).await.unwrap());
}

/// Remembers that it was woken, as an executor does.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Entering = Pin<Box<dyn Future<Output = Result<Permit, Full>>>>;

/// Calls of one door, driven by hand: each is polled when it was woken and never else, so that a
/// place that is handed on without a wake-up is never taken.
struct Crowd {
    door: Arc<Admission>,
    entering: Vec<(Arc<Woken>, Entering)>,
    inside: Vec<Permit>,
    refused: usize,
}

impl Crowd {
    fn come(&mut self, name: &str) {
        let (door, name) = (Arc::clone(&self.door), caller(name));
        let entering = Box::pin(async move { door.enter(&name).await });
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.entering.push((woken, entering));
    }

    /// Polls one that was woken; false if there is none.
    fn step(&mut self, random: &mut fastrand::Rng) -> bool {
        let woken: Vec<usize> = (0..self.entering.len())
            .filter(|place| self.entering[*place].0.0.load(Ordering::SeqCst))
            .collect();
        let Some(place) = random.choice(woken) else { return false };
        let (flag, entering) = &mut self.entering[place];
        flag.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(flag));
        match entering.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {}
            Poll::Ready(outcome) => {
                drop(self.entering.swap_remove(place));
                match outcome {
                    Ok(permit) => self.inside.push(permit),
                    Err(_) => self.refused += 1,
                }
            }
        }
        true
    }

    fn leave(&mut self, random: &mut fastrand::Rng) {
        if !self.inside.is_empty() {
            drop(self.inside.swap_remove(random.usize(..self.inside.len())));
        }
    }

    fn give_up(&mut self, random: &mut fastrand::Rng) {
        if !self.entering.is_empty() {
            drop(self.entering.swap_remove(random.usize(..self.entering.len())));
        }
    }
}

#[test]
fn no_order_of_wake_ups_loses_a_place_or_gives_one_twice() {
    for seed in 0..3000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (places, queue) = (random.usize(1..4), random.usize(0..5));
        let door = Admission::new(places, queue);
        let mut crowd = Crowd { door, entering: Vec::new(), inside: Vec::new(), refused: 0 };
        for _ in 0..random.usize(10..60) {
            match random.u8(..8) {
                0..=2 => crowd.come(["a", "b", "c"][random.usize(..3)]),
                3..=5 => drop(crowd.step(&mut random)),
                6 => crowd.leave(&mut random),
                _ => crowd.give_up(&mut random),
            }
            assert!(crowd.inside.len() <= crowd.door.in_flight(), "seed {seed}");
            assert!(crowd.door.in_flight() <= places, "seed {seed}");
        }
        // Everybody who still waits gets in once those before leave.
        while !crowd.entering.is_empty() {
            while crowd.step(&mut random) {}
            let waited = crowd.entering.len();
            assert!(waited == 0 || !crowd.inside.is_empty(), "seed {seed}: {waited} wait for ever");
            crowd.leave(&mut random);
        }
        crowd.inside.clear();
        assert_eq!((crowd.door.in_flight(), crowd.door.waiting()), (0, 0), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn waiters_that_leave_while_they_are_served_lose_no_place() {
    const PLACES: usize = 2;
    let door = Admission::new(PLACES, 1000);
    let inside = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..4000_u32 {
        let (door, inside) = (Arc::clone(&door), Arc::clone(&inside));
        tasks.spawn(async move {
            let name = caller(if number.is_multiple_of(2) { "a" } else { "b" });
            let mut entering = Box::pin(door.enter(&name));
            // Some leave after a few turns, often at the moment at which a place is handed to them.
            for turn in 0.. {
                if let Poll::Ready(outcome) = futures::poll!(&mut entering) {
                    if let Ok(_permit) = outcome {
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < PLACES);
                        tokio::task::yield_now().await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                    return;
                }
                if turn > number % 7 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
    assert_eq!((door.in_flight(), door.waiting()), (0, 0));
}
