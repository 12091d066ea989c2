//! No orphans: programs that are killed, guards that are killed, and what their servers leave.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Map, Value, json};
use tokio::{
    process::{Child, Command},
    time::Instant,
};

use self::family::{Family, Shape};
use crate::support::{
    binary::{PROGRAM, Switchboard},
    process,
    wait::until,
};

mod embedded;
mod family;

/// Servers of one instance.
const SERVERS: usize = 50;

/// Fifty servers: by themselves, with a helper in the background, with one that left the session.
fn fifty(family: &Family) -> Value {
    let mut servers = Map::new();
    for at in 0..SERVERS {
        let shape = [Shape::Single, Shape::Helper, Shape::Daemon][at % 3];
        servers.insert(format!("s{at}"), family.server(shape));
    }
    json!({ "mcpServers": servers, "limits": { "connects_per_agent": 16 } })
}

/// How many processes they are in all.
const PROCESSES: usize = SERVERS + 17 + 16;

/// How often somebody asks for kills, on a machine that does nothing else.
fn asked() -> Option<usize> {
    std::env::var("SWITCHBOARD_KILLS").ok().map(|text| text.parse().unwrap())
}

/// How often a test kills: a few times, or as often as somebody asks for.
fn rounds() -> usize {
    asked().unwrap_or(3)
}

/// How long a kill may leave something: a second. Tests that share their machine with others may wait for it.
fn soon() -> Duration {
    Duration::from_secs(if asked().is_some() { 1 } else { 10 })
}

/// The guard process of a program: its child, by its name.
fn guard_of(pid: u32) -> Option<u32> {
    let found = process::all().into_iter().find(|one| {
        one.parent == pid && one.words().first().is_some_and(|name| name == "switchboard-guard")
    });
    found.map(|one| one.pid)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_leaves_no_process() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut slowest = Duration::ZERO;
    for round in 0..rounds() {
        // The first round lets all of them start, later ones are killed in the middle of it.
        let count = if round % 2 == 0 { PROCESSES } else { random.usize(1..PROCESSES) };
        let family = Family::new();
        let switchboard = Switchboard::serve(&fifty(&family)).await;
        until("they run", async || (family.alive().len() >= count).then_some(())).await;
        let known = family.alive();
        let guard = guard_of(switchboard.pid()).expect("a guard");
        for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
            process::signal(guard, signal);
        }
        let killed = Instant::now();
        drop(switchboard.kill().await);
        family.gone_within(soon(), killed).await;
        slowest = slowest.max(killed.elapsed());
        for pid in known.into_iter().chain([guard]) {
            let gone = async || process::is_reaped(pid).then_some(());
            until("neither they nor the guard are left, not even as zombies", gone).await;
        }
    }
    println!("clean after {slowest:?} at most");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_outlives_a_guard_that_was_killed_too_ends_at_the_next_start() {
    let empty = json!({ "mcpServers": {} });
    for _ in 0..rounds() {
        let family = Family::new();
        let switchboard = Switchboard::serve(&fifty(&family)).await;
        until("they run", async || (family.alive().len() == PROCESSES).then_some(())).await;
        let guard = guard_of(switchboard.pid()).expect("a guard");
        // Stopped, so that it cannot start another guard.
        process::signal(switchboard.pid(), Signal::STOP);
        process::kill(guard);
        let directory = switchboard.kill().await;
        assert!(family.alive().len() >= SERVERS / 3, "this is what the ledger is for");

        let switchboard = Switchboard::serve_in(directory, &empty, &[]).await;
        assert!(family.alive().is_empty(), "none when it is ready");
        assert!(switchboard.log().contains("an earlier instance had left behind"));
        assert!(switchboard.stop().await.success());
    }
}

#[tokio::test]
async fn a_guard_that_dies_is_replaced_by_one_that_ends_everything() {
    let family = Family::new();
    let servers = json!({ "mcpServers": { "one": family.server(Shape::Daemon) } });
    let switchboard = Switchboard::serve(&servers).await;
    until("they run", async || (family.alive().len() == 2).then_some(())).await;
    let first = guard_of(switchboard.pid()).expect("a guard");
    process::kill(first);
    until("there is another guard", async || {
        guard_of(switchboard.pid()).filter(|guard| *guard != first)
    })
    .await;
    let killed = Instant::now();
    drop(switchboard.kill().await);
    family.gone_within(soon(), killed).await;
}

/// Kills a program, which starts three processes for one server, again and again; says how long
/// they were left at most.
async fn kill_again_and_again(mut program: impl FnMut(&Family) -> Command) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds() {
        let family = Family::new();
        let mut running = program(&family)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until("they run", async || (family.alive().len() >= 3).then_some(())).await;
        let killed = Instant::now();
        running.kill().await.unwrap();
        family.gone_within(soon(), killed).await;
        slowest = slowest.max(killed.elapsed());
    }
    slowest
}

const THREE: &str = "sleep 1000 & setsid sleep 1000 & exec sleep 1000";

#[tokio::test]
async fn a_killed_agent_program_leaves_no_process() {
    // Built with the tests, beside the program.
    let example = Path::new(PROGRAM).with_file_name("examples").join("embed");
    let slowest = kill_again_and_again(|family| {
        let mut command = Command::new(&example);
        command.args(["env", &family.variable(), "sh", "-c", THREE]);
        command
    })
    .await;
    println!("clean after {slowest:?} at most");
}

#[tokio::test]
async fn a_killed_program_of_one_client_leaves_no_process() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    let slowest = kill_again_and_again(|family| {
        let config = json!({ "mcpServers": { "one": family.shell(THREE) } });
        fs::write(&file, config.to_string()).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["stdio", "--config"]).arg(&file);
        command.env("SWITCHBOARD_STATE_DIR", directory.path().join("state"));
        command
    })
    .await;
    println!("clean after {slowest:?} at most");
}

/// A process of this test's own that ends only if somebody ends it.
fn sleeper() -> (Child, u32, u64) {
    let child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
    let pid = child.id().unwrap();
    let start = process::all().into_iter().find(|one| one.pid == pid).unwrap().start;
    (child, pid, start)
}

#[tokio::test]
async fn a_process_that_got_the_id_of_a_noted_one_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let notes: PathBuf = directory.path().join("state/processes");
    fs::create_dir_all(&notes).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(notes.join("instance"), format!("{boot}earlier\n")).unwrap();
    let (mut noted, pid, start) = sleeper();
    fs::write(notes.join("1"), format!("{pid} {start} sleep\n")).unwrap();
    let (mut reused, pid, start) = sleeper();
    fs::write(notes.join("2"), format!("{pid} {} sleep\n", start - 1)).unwrap();
    let (mut other, pid, start) = sleeper();
    fs::write(notes.join("3"), format!("{pid} {start} /usr/bin/another\n")).unwrap();

    let empty = json!({ "mcpServers": {} });
    let switchboard = Switchboard::serve_in(directory, &empty, &[]).await;
    let ended = noted.try_wait().unwrap().expect("the one that was noted was ended");
    assert!(!ended.success());
    assert!(reused.try_wait().unwrap().is_none(), "another start");
    assert!(other.try_wait().unwrap().is_none(), "another program");
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn what_a_server_left_to_us_is_waited_for() {
    let family = Family::new();
    // The daemon's parent ends at once; the daemon itself a little later.
    let script = "(sh -c 'read line' < /dev/tty 2> /dev/null; sleep 0.3 &); exec cat > /dev/null";
    let servers = json!({ "mcpServers": { "one": family.shell(script) } });
    let switchboard = Switchboard::serve(&servers).await;
    let pid = switchboard.pid();
    let stranger = until("it is left to us", async || {
        let all = process::all().into_iter();
        let mut ours = all.filter(|one| one.parent == pid);
        ours.find(|one| one.words() == ["sleep", "0.3"]).map(|one| one.pid)
    })
    .await;
    until("it is waited for", async || process::is_reaped(stranger).then_some(())).await;
    assert!(switchboard.stop().await.success());
}
