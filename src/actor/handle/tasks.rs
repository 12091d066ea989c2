//! Tasks that a server works on although no call of it waits: as long as there are some, it is not
//! stopped for being idle.
//!
//! Only remembered here, by what the server said in its answers; bounded. Whose a task is stands
//! with the gate.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::wire::Task;

/// Tasks that are remembered of one connection; of more, those that are kept longest.
const KNOWN: usize = 256;
/// How long a server is kept for a task at most, one without a time of its own included.
const LONGEST: Duration = Duration::from_hours(24);

/// The tasks of one connection that have not ended.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<HashMap<Arc<str>, Known>>);

#[derive(Debug)]
struct Known {
    /// When it was heard of first: its time counts from its creation.
    since: Instant,
    until: Instant,
}

impl Tasks {
    /// The server said this of a task.
    pub(super) fn note(&self, task: &Task) {
        let now = Instant::now();
        let mut known = self.0.lock();
        known.retain(|_, known| known.until > now);
        let since = known.get(&task.id).map_or(now, |known| known.since);
        let until = since + task.ttl.unwrap_or(LONGEST).min(LONGEST);
        if task.status.is_final() {
            known.remove(&task.id);
            return;
        }
        known.insert(Arc::clone(&task.id), Known { since, until });
        if known.len() > KNOWN
            && let Some(first) = known.iter().min_by_key(|(_, known)| known.until)
        {
            let first = Arc::clone(first.0);
            known.remove(&first);
        }
    }

    /// Whether one has neither ended nor outlived its time.
    pub(super) fn any(&self) -> bool {
        let now = Instant::now();
        self.0.lock().values().any(|known| known.until > now)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::wire::{Era, task::Status};

    fn task(id: &str, status: Status, ttl: Option<u64>) -> Task {
        let (interval, message) = (None, None);
        let ttl = ttl.map(Duration::from_secs);
        Task { era: Era::Modern, id: id.into(), status, ttl, interval, message }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_counts_until_it_ends_or_its_time_is_over() {
        let tasks = Tasks::default();
        assert!(!tasks.any());
        tasks.note(&task("a", Status::Working, Some(60)));
        advance(Duration::from_secs(50)).await;
        tasks.note(&task("a", Status::InputRequired, Some(60)));
        assert!(tasks.any());
        advance(Duration::from_secs(10)).await;
        assert!(!tasks.any(), "its time counts from the first word of it");
        tasks.note(&task("b", Status::Working, None));
        advance(Duration::from_hours(23)).await;
        assert!(tasks.any());
        tasks.note(&task("b", Status::Failed, None));
        assert!(!tasks.any());
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_there_is_room_for_displace_those_that_end_first() {
        let tasks = Tasks::default();
        tasks.note(&task("short", Status::Working, Some(1)));
        for number in 0..KNOWN {
            tasks.note(&task(&number.to_string(), Status::Working, Some(60)));
        }
        let known = tasks.0.lock();
        assert_eq!(known.len(), KNOWN);
        assert!(!known.contains_key("short"));
    }
}
