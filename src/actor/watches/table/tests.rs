//! The table of watchers, driven by hand.

use tokio::sync::oneshot::Receiver;

use super::*;
use crate::upstream::RequestError;

const LIFE: Incarnation = Incarnation(1);

fn resource(uri: &str) -> Topic {
    Topic::Resource(Arc::from(uri))
}

struct Driven {
    table: Table,
    inbox: Arc<Inbox>,
}

impl Driven {
    fn new() -> Self {
        let mut table = Table::default();
        table.begin(LIFE);
        Self { table, inbox: Arc::default() }
    }

    fn add(&mut self, uri: &str) -> (u64, Receiver<Settled>) {
        let (waiting, settled) = oneshot::channel();
        let uri: Arc<str> = Arc::from(uri);
        (self.table.add(&resource(&uri), &self.inbox, &uri, Some(waiting)), settled)
    }

    fn follow(&mut self, uri: &str) -> u64 {
        let uri: Arc<str> = Arc::from(uri);
        self.table.add(&resource(&uri), &self.inbox, &uri, None)
    }

    fn remove(&mut self, uri: &str, number: u64) {
        self.table.remove(&resource(uri), number);
    }

    fn due(&mut self) -> Vec<String> {
        let mut due = Vec::new();
        while let Some(step) = self.table.next(LIFE) {
            let (Topic::Resource(name) | Topic::Task(name)) = step.topic();
            let sign = if matches!(step, Step::Subscribe(_)) { '+' } else { '-' };
            due.push(format!("{sign}{name}"));
        }
        due
    }

    /// The server takes the step; gives who hears that something may have changed.
    fn taken(&mut self, step: &str) -> Vec<String> {
        self.done(step, &Ok(()))
    }

    fn done(&mut self, step: &str, outcome: &Settled) -> Vec<String> {
        let topic = resource(&step[1..]);
        let is_new = step.starts_with('+');
        let step = if is_new { Step::Subscribe(topic) } else { Step::Unsubscribe(topic) };
        let told = self.table.done(LIFE, &step, outcome);
        told.into_iter().map(|told| told.shown.to_string()).collect()
    }
}

#[test]
fn the_first_watcher_subscribes_and_the_last_one_unsubscribes() {
    let mut it = Driven::new();
    let (first, mut settled) = it.add("a:1");
    let (second, _) = it.add("a:1");
    assert_eq!(it.due(), ["+a:1"]);
    assert!(settled.try_recv().is_err(), "the server has not answered");
    assert!(it.taken("+a:1").is_empty());
    settled.try_recv().unwrap().unwrap();
    let (third, mut at_once) = it.add("a:1");
    at_once.try_recv().unwrap().unwrap();
    it.remove("a:1", first);
    it.remove("a:1", third);
    assert!(it.due().is_empty() && it.table.is_watched());
    it.remove("a:1", second);
    assert_eq!(it.due(), ["-a:1"]);
    assert!(it.taken("-a:1").is_empty() && it.table.entries.is_empty());
}

#[test]
fn who_comes_and_goes_while_the_server_is_asked_is_taken_into_account() {
    let mut it = Driven::new();
    let (first, _) = it.add("a:1");
    assert_eq!(it.due(), ["+a:1"]);
    it.remove("a:1", first);
    assert!(it.due().is_empty());
    it.taken("+a:1");
    assert_eq!(it.due(), ["-a:1"]);
    let (second, mut settled) = it.add("a:1");
    assert!(it.due().is_empty() && it.table.wanted().is_empty());
    it.taken("-a:1");
    assert_eq!(it.due(), ["+a:1"]);
    it.taken("+a:1");
    settled.try_recv().unwrap().unwrap();
    it.remove("a:1", second);
    let third = it.follow("a:1");
    assert!(it.due().is_empty(), "it is held, whoever watches it");
    it.remove("a:1", third);
    assert_eq!(it.due(), ["-a:1"]);
}

#[test]
fn after_a_gap_everything_is_asked_for_again_and_told_as_changed() {
    let mut it = Driven::new();
    let (_, _first) = it.add("a:1");
    it.follow("a:2");
    assert_eq!(it.due(), ["+a:1", "+a:2"]);
    assert!(it.taken("+a:1").is_empty());
    assert_eq!(it.taken("+a:2"), ["a:2"], "it was promised before the server was asked");
    let (_, mut late) = it.add("a:3");
    it.table.begin(LIFE);
    assert_eq!(it.due(), ["+a:1", "+a:2", "+a:3"]);
    let refused = Err(RequestError::Refused("no".to_owned()));
    assert_eq!(it.done("+a:1", &refused), ["a:1"], "also where the server takes it no more");
    assert_eq!(it.taken("+a:2"), ["a:2"]);
    assert!(it.taken("+a:3").is_empty());
    late.try_recv().unwrap().unwrap();
    assert_eq!(it.table.wanted(), ["a:2", "a:3"].map(resource));
    assert!(it.table.next(Incarnation(7)).is_none(), "another life has no say");
    let (_, mut refused) = it.add("a:1");
    assert_eq!(it.due(), ["+a:1"], "a new watcher asks again");
    it.done("+a:1", &Err(RequestError::Refused("no".to_owned())));
    assert!(refused.try_recv().unwrap().is_err());
}

#[test]
fn a_step_that_is_put_off_is_due_again() {
    let mut it = Driven::new();
    let (_, _a) = it.add("a:1");
    let (gone, _b) = it.add("a:2");
    assert_eq!(it.table.next(LIFE), Some(Step::Subscribe(resource("a:1"))));
    it.table.put_off(LIFE, &Step::Subscribe(resource("a:1")));
    assert_eq!(it.due(), ["+a:2", "+a:1"]);
    it.remove("a:2", gone);
    it.table.put_off(LIFE, &Step::Subscribe(resource("a:2")));
    assert!(it.due().is_empty() && it.table.entries.len() == 1);
}

#[test]
fn a_part_of_what_is_watched_is_told_to_its_watcher() {
    let mut it = Driven::new();
    for uri in ["file:///p", "file:///p/", "file:///p/a?x", "file:///q"] {
        it.follow(uri);
    }
    let told = |uri: &str| -> Vec<(String, bool)> {
        let mut told: Vec<_> = it
            .table
            .updated(uri)
            .into_iter()
            .map(|told| (told.shown.to_string(), told.part.is_some()))
            .collect();
        told.sort();
        told
    };
    let (p, folder) = ("file:///p".to_owned(), "file:///p/".to_owned());
    assert_eq!(told("file:///p"), [(p.clone(), false)]);
    assert_eq!(told("file:///p/"), [(p.clone(), true), (folder.clone(), false)]);
    let exact = ("file:///p/a?x".to_owned(), false);
    assert_eq!(told("file:///p/a?x"), [(p, true), (folder, true), exact]);
    assert!(told("file:///pa").is_empty());
    assert_eq!(it.table.all().len(), 4);
}

#[test]
fn a_thousand_that_come_and_go_leave_nothing() {
    let mut it = Driven::new();
    for round in 0..1000 {
        let uri = format!("a:{round}");
        let (number, _) = it.add(&uri);
        if round % 3 > 0 {
            it.due();
        }
        if round % 3 > 1 {
            it.taken(&format!("+{uri}"));
        }
        it.remove(&uri, number);
        it.due();
        it.taken(if round % 3 > 1 { format!("-{uri}") } else { format!("+{uri}") }.as_str());
        for step in it.due() {
            it.taken(&step);
        }
    }
    assert!(it.table.entries.is_empty() && it.table.due.is_empty());
}

#[test]
fn a_task_is_told_to_its_watchers_alone_and_keeps_nobody_awake() {
    let mut it = Driven::new();
    let (id, shown) = (Arc::from("t"), Arc::from("sealed"));
    let topic = Topic::Task(Arc::clone(&id));
    it.table.add(&topic, &it.inbox, &shown, None);
    assert!(!it.table.is_watched());
    assert_eq!(it.table.next(LIFE), Some(Step::Subscribe(topic.clone())));
    assert_eq!(it.table.wanted(), std::slice::from_ref(&topic));
    let told = it.table.done(LIFE, &Step::Subscribe(topic), &Ok(()));
    assert!(told.is_empty(), "nobody knows yet how far it is");
    assert_eq!(it.table.task(&id)[0].shown, shown);
    assert!(it.table.task(&Arc::from("u")).is_empty());
    assert!(it.table.all().is_empty() && it.table.updated("t").is_empty());
}
