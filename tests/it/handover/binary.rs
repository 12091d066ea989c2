//! The real program while callers call without pause: a server's process is exchanged by a command
//! and by a changed file, and nobody notices.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    binary::{PROGRAM, Switchboard},
    process,
    wait::until,
};

fn config(name: &str) -> Value {
    let args = ["demo-server", "--name", name];
    json!({ "mcpServers": { "a": { "command": PROGRAM, "args": args } } })
}

/// Callers that go on until they are told to stop. A call that fails fails the test.
struct Callers {
    calling: JoinSet<()>,
    answered: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
}

impl Callers {
    fn start(switchboard: &Switchboard) -> Self {
        let (answered, enough) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let mut calling = JoinSet::new();
        for caller in 0..4 {
            let client = switchboard.client();
            let (answered, enough) = (Arc::clone(&answered), Arc::clone(&enough));
            calling.spawn(async move {
                for serial in 0.. {
                    let said = format!("{caller}/{serial}");
                    let reply = client.call("a_echo", json!({ "text": said })).await;
                    assert_eq!(reply.text(), said);
                    answered.fetch_add(1, Ordering::Relaxed);
                    if enough.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        Self { calling, answered, enough }
    }

    /// Waits until each of them had several more answers.
    async fn go_on(&mut self) {
        let before = self.answered.load(Ordering::Relaxed);
        until("the calls go on", async || {
            if let Some(failed) = self.calling.try_join_next() {
                failed.unwrap();
            }
            (self.answered.load(Ordering::Relaxed) >= before + 100).then_some(())
        })
        .await;
    }

    async fn stop(self) -> usize {
        self.enough.store(true, Ordering::Relaxed);
        self.calling.join_all().await;
        self.answered.load(Ordering::Relaxed)
    }
}

/// Life and process of the one server, once it serves in this life.
async fn serving(switchboard: &Switchboard, life: u64) -> u32 {
    until("it serves", async || {
        let server = switchboard.status().await["servers"][0].clone();
        let serves = server["state"] == "ready" && server["incarnation"] == life;
        serves.then(|| u32::try_from(server["pid"].as_u64().unwrap()).unwrap())
    })
    .await
}

#[tokio::test]
async fn a_process_is_exchanged_by_command_and_by_file_and_no_call_fails() {
    let switchboard = Switchboard::serve(&config("first")).await;
    let mut pids = vec![serving(&switchboard, 1).await];
    let mut callers = Callers::start(&switchboard);
    callers.go_on().await;
    for life in 2..=4 {
        let done = switchboard.command(&["restart", "a", "--handover"]).await;
        let said = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success() && said.contains("took over"), "{said}");
        pids.push(serving(&switchboard, life).await);
        callers.go_on().await;
    }
    for life in 5..=6 {
        switchboard.configure(&config(&format!("renamed{life}")));
        assert!(switchboard.command(&["reload"]).await.status.success());
        pids.push(serving(&switchboard, life).await);
        callers.go_on().await;
    }
    let answered = callers.stop().await;
    assert!(answered >= 600, "{answered} answers");

    let last = pids.pop().unwrap();
    assert!(process::is_alive(last));
    for pid in pids {
        assert_ne!(pid, last);
        until("the process before is gone", async || process::is_reaped(pid).then_some(())).await;
    }
    let status = switchboard.status().await;
    assert_eq!(status["servers"][0]["failures"], 0);
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_next_process_that_does_not_serve_leaves_the_present_one() {
    let switchboard = Switchboard::serve(&config("first")).await;
    let pid = serving(&switchboard, 1).await;
    let mut callers = Callers::start(&switchboard);
    let broken = json!({ "command": PROGRAM, "args": ["demo-server", "--no-such-option"] });
    switchboard.configure(&json!({ "mcpServers": { "a": broken } }));
    assert!(switchboard.command(&["reload"]).await.status.success());
    let cause = until("why", async || {
        let server = switchboard.status().await["servers"][0].clone();
        let cause = server["cause"].as_str()?.to_owned();
        cause.contains("did not take over").then_some(cause)
    })
    .await;
    assert!(cause.contains("exited with code 2"), "{cause}");
    let told = switchboard.command(&["why", "a"]).await;
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("its last error output\n") && told.contains("no-such-option"), "{told}");
    callers.go_on().await;
    assert_eq!(serving(&switchboard, 1).await, pid);
    callers.stop().await;
    assert!(switchboard.stop().await.success());
}
