//! Why a server is as it is: what a person, a program and an agent are told when something went
//! wrong.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::{Output, Stdio},
    sync::{Arc, Mutex},
};

use rustix::{
    fs::{Mode, OFlags},
    process::Signal,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use serde_json::{Value, json};
use switchboard::{
    runtime::{Runtime, RuntimeConfig},
    upstream::ProcessExit,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    time::timeout,
};

use crate::support::{
    binary::{PROGRAM, Switchboard},
    flaky::{Attempt, Flaky},
    http::Client,
    process,
    script::Script,
    wait::{PATIENCE, until},
};

fn demo() -> Value {
    json!({ "command": PROGRAM, "args": ["demo-server"] })
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What a command prints, if it succeeds.
async fn shown(switchboard: &Switchboard, arguments: &[&str]) -> String {
    let output = switchboard.command(arguments).await;
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout).to_owned()
}

async fn why(switchboard: &Switchboard, server: &str) -> Value {
    serde_json::from_str(&shown(switchboard, &["why", server, "--json"]).await).unwrap()
}

async fn in_state(switchboard: &Switchboard, server: &str, state: &str) -> Value {
    until(state, async || {
        let story = why(switchboard, server).await;
        (story["status"]["state"] == state).then_some(story)
    })
    .await
}

/// The events of a story that tell of an end.
fn ends(story: &Value) -> Vec<&Value> {
    let events = story["events"].as_array().unwrap();
    events.iter().filter(|event| event["detail"]["kind"] == "down").collect()
}

#[tokio::test]
async fn a_server_that_was_killed_says_so_with_its_life_and_its_process() {
    let switchboard = Switchboard::serve(&json!({"mcpServers": {"demo": demo()}})).await;
    let before = in_state(&switchboard, "demo", "ready").await;
    let pid = u32::try_from(before["status"]["pid"].as_u64().unwrap()).unwrap();
    process::kill(pid);
    let story = until("it is back", async || {
        let story = why(&switchboard, "demo").await;
        let status = &story["status"];
        (status["state"] == "ready" && status["incarnation"] == 2).then_some(story)
    })
    .await;
    let end = &ends(&story)[0]["detail"];
    assert_eq!(end["exit"], json!({"signal": "SIGKILL"}));
    assert_eq!((&end["pid"], &end["trouble"]), (&json!(pid), &json!("exited")));
    assert!(end["served"].as_f64().unwrap() > 0.0, "{end}");
    let up = story["events"].as_array().unwrap().last().unwrap();
    assert_eq!(up["detail"]["via"], "process");
    assert_eq!(up["detail"]["pid"], story["status"]["pid"]);
    assert!(up["detail"]["took"].as_f64().unwrap() > 0.0, "{up}");

    let told = shown(&switchboard, &["why", "demo"]).await;
    let new = &story["status"]["pid"];
    assert!(told.starts_with(&format!("demo is ready again (life #2, pid {new}, for ")), "{told}");
    assert!(told.contains(&format!("the process was killed by SIGKILL (pid {pid}, ")), "{told}");
    assert!(told.contains("/config.json: mcpServers.demo\n"), "{told}");
    assert!(told.contains(" demo #1  ready > backoff  the process was killed by"), "{told}");

    let health = reqwest::get(switchboard.url().replace("/mcp", "/health/detailed")).await.unwrap();
    let health: Value = health.json().await.unwrap();
    let server = &health["servers"][0];
    assert_eq!((&server["health"], &server["incarnation"]), (&json!("warning"), &json!(2)));
    assert!(server["since_ms"].is_u64() && server["cause"].is_string(), "{server}");
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_server_that_keeps_failing_shows_its_last_lines_without_its_secrets() {
    let say = "echo first >&2; echo \"no luck with $TOKEN\" >&2; exit 3";
    let switchboard = Switchboard::serve(&json!({
        "mcpServers": {"broken": {
            "command": "sh", "args": ["-c", say], "env": {"TOKEN": "c4n4ry-token"},
            "protocol": "legacy",
        }},
        "monitoring": {"reconnection_seconds": 1},
    }))
    .await;
    let story = until("an open circuit", async || {
        let story = why(&switchboard, "broken").await;
        let open = story["explanation"]["next"].is_string() && story["status"]["state"] == "open";
        open.then_some(story)
    })
    .await;
    let failed = ends(&story);
    assert!(failed.len() > 5, "{story:#}");
    assert_eq!(failed[0]["detail"]["exit"], json!({"code": 3}));
    assert_eq!(failed[0]["detail"]["stderr"], json!(["first", "no luck with ***"]));
    assert!(failed[0]["detail"]["pid"].is_u64(), "{failed:#?}");
    let cause = "the process exited with code 3 before the connection was ready";
    assert_eq!(failed[0]["cause"], cause);
    assert!(failed[0]["detail"].get("served").is_none(), "{failed:#?}");
    let brief = story["explanation"]["brief"].as_str().unwrap();
    assert!(
        brief.starts_with(
            "broken keeps failing and is paused: its process exited with code 3; next try in "
        ),
        "{brief}"
    );

    let told = until("it is asked between two tries", async || {
        let told = shown(&switchboard, &["why", "broken"]).await;
        told.starts_with("broken keeps failing and is paused").then_some(told)
    })
    .await;
    assert!(told.contains("\nits last error output\n  | first\n  | no luck with ***\n"), "{told}");
    assert!(told.contains("`switchboard restart broken`"), "{told}");
    let all = told + &story.to_string() + &shown(&switchboard, &["events", "--json"]).await;
    assert!(!all.contains("c4n4ry"), "{all}");
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_program_that_is_installed_later_is_found_without_a_word() {
    let config = json!({"mcpServers": {"late": {"command": "./late"}}});
    let switchboard = Switchboard::serve(&config).await;
    let told = until("it is given up", async || {
        let told = shown(&switchboard, &["why", "late"]).await;
        told.contains("was given up").then_some(told)
    })
    .await;
    assert!(told.contains("  decided  given up, looked at again in "), "{told}");
    assert!(told.contains("  next     in "), "{told}");
    let program = switchboard.config().with_file_name("late");
    let beside = program.with_extension("new");
    std::fs::write(&beside, format!("#!/bin/sh\nexec {PROGRAM} demo-server\n")).unwrap();
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&beside, &program).unwrap();
    until("it serves", async || {
        let server = switchboard.status().await["servers"][0].clone();
        (server["state"] == "ready").then_some(())
    })
    .await;
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn a_wrong_command_is_explained_by_where_it_stands() {
    let switchboard = Switchboard::serve(&json!({
        "mcpServers": {"shared": demo()},
        "agents": {"research": {
            "mcpServers": {"search": {"command": "no-such-program-c4n4ry"}},
            "servers": ["shared"],
        }},
    }))
    .await;
    let told = until("it is given up", async || {
        let told = shown(&switchboard, &["why", "search", "--agent", "research"]).await;
        told.contains("was given up").then_some(told)
    })
    .await;
    assert!(told.starts_with("search of agent research was given up (life #1, "), "{told}");
    assert!(told.contains("cannot start \"no-such-program-c4n4ry\""), "{told}");
    assert!(
        told.contains("  do       install the program, or correct `command`, `args` or `cwd`"),
        "{told}"
    );
    assert!(told.contains("/config.json: agents.research.mcpServers.search\n"), "{told}");
    until("its tools are listed by the common connection", async || {
        let granted = shown(&switchboard, &["why", "shared", "--agent", "research"]).await;
        granted.starts_with("shared of agent research was not started yet").then_some(())
    })
    .await;

    let refused = |output: Output| {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        text(&output.stderr).to_owned()
    };
    let unknown = refused(switchboard.command(&["why", "sharde"]).await);
    assert_eq!(unknown, "error: unknown server \"sharde\"; did you mean \"shared\"?\n");
    let unknown = refused(switchboard.command(&["restart", "shred"]).await);
    assert!(unknown.contains("did you mean \"shared\"?"), "{unknown}");
    let foreign = refused(switchboard.command(&["why", "search"]).await);
    assert_eq!(foreign, "error: unknown server \"search\"\n");
    assert!(switchboard.stop().await.success());
}

#[tokio::test]
async fn events_are_followed_until_the_instance_ends() {
    let switchboard =
        Switchboard::serve(&json!({"mcpServers": {"demo": demo(), "other": demo()}})).await;
    let ready = in_state(&switchboard, "demo", "ready").await;
    let follow = |arguments: &[&str]| {
        let mut following = switchboard.program(arguments);
        let following = following.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut following = following.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(following.stdout.take().unwrap()).lines();
        (following, lines)
    };
    let (mut people, mut lines) = follow(&["events", "--follow", "--server", "demo"]);
    let (programs, mut data) = follow(&["events", "--follow", "--json"]);
    let first = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(first.contains("demo #1  idle > connecting  "), "{first}");

    process::kill(u32::try_from(ready["status"]["pid"].as_u64().unwrap()).unwrap());
    let mut seen = String::new();
    while !seen.contains("ready > backoff  the process was killed by SIGKILL; try again in ") {
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        seen = line.expect("it goes on");
        assert!(seen.contains(" demo #"), "{seen}");
    }
    let mut servers = std::collections::BTreeSet::new();
    loop {
        let line = timeout(PATIENCE, data.next_line()).await.unwrap().unwrap();
        let event: Value = serde_json::from_str(&line.expect("it goes on")).unwrap();
        servers.insert(event["server"].to_string());
        if event["from"] == "ready" && event["to"] == "backoff" {
            assert_eq!(event["detail"]["exit"]["signal"], "SIGKILL");
            break;
        }
    }
    assert_eq!(servers.len(), 2, "{servers:?}");

    drop(programs);
    assert!(switchboard.stop().await.success());
    let mut rest = String::new();
    lines.into_inner().read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("shutdown"), "{rest}");
    let mut said = String::new();
    people.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "error: the instance has ended\n");
    assert_eq!(people.wait().await.unwrap().code(), Some(1));
}

#[tokio::test]
async fn the_tree_shows_every_owner_and_connection() {
    let switchboard = Switchboard::serve(&json!({
        "mcpServers": {"demo": demo(), "gone": {"command": "no-such-program-c4n4ry"}},
        "agents": {"research": {"servers": ["demo"]}},
    }))
    .await;
    in_state(&switchboard, "demo", "ready").await;
    in_state(&switchboard, "gone", "failed").await;
    let tree = shown(&switchboard, &["tree"]).await;
    let lines: Vec<&str> = tree.lines().collect();
    assert!(lines[0].starts_with("root  serving for "), "{tree}");
    assert_eq!(lines[1..4], ["├── router  5 tools", "├── agents", "│   ├── store"], "{tree}");
    assert!(lines[4].starts_with("│   │   ├── demo  #1 ready for "), "{tree}");
    assert!(lines[5].starts_with("│   │   └── gone  #1 failed for "), "{tree}");
    assert!(lines[5].contains(": cannot start \"no-such-program-c4n4ry\""), "{tree}");
    assert_eq!(
        lines[6..],
        ["│   └── research", "│       └── demo  #0 idle", "└── janitor"],
        "{tree}"
    );
    let data: Value =
        serde_json::from_str(&shown(&switchboard, &["tree", "--json"]).await).unwrap();
    assert_eq!(data["agents"], json!(["research"]));
    let watched = switchboard.command(&["tree", "--watch"]).await;
    assert_eq!(watched.status.code(), Some(2), "{watched:?}");
    assert!(text(&watched.stderr).contains("on a terminal"), "{watched:?}");
    assert!(switchboard.stop().await.success());
}

/// A terminal: what is drawn on it is gathered, and keys can be pressed.
struct Terminal {
    keys: File,
    drawn: Arc<Mutex<String>>,
}

impl Terminal {
    /// A terminal, and the program's end of it.
    fn open() -> (Self, File) {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let end = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let keys = File::from(terminal);
        let (mut screen, drawn) = (keys.try_clone().unwrap(), Arc::<Mutex<String>>::default());
        let text = Arc::clone(&drawn);
        // It ends when the program's end is closed.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut bytes) {
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        (Self { keys, drawn }, File::from(end))
    }

    fn drawn(&self) -> String {
        self.drawn.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_watched_tree_is_drawn_anew_on_every_change_and_gives_the_terminal_back() {
    let switchboard = Switchboard::serve(&json!({"mcpServers": {"demo": demo()}})).await;
    let ready = in_state(&switchboard, "demo", "ready").await;
    for (name, end) in [("q", None), ("Ctrl-C", Some(Signal::INT))] {
        let (mut terminal, end_of_program) = Terminal::open();
        let mut watching = switchboard.program(&["tree", "--watch"]);
        watching.stdin(end_of_program.try_clone().unwrap()).stdout(end_of_program);
        let mut child = watching.spawn().unwrap();
        // It holds the program's end of the terminal too.
        drop(watching);
        until("a drawing", async || terminal.drawn().contains("demo  #").then_some(())).await;
        if end.is_none() {
            process::kill(u32::try_from(ready["status"]["pid"].as_u64().unwrap()).unwrap());
            until("the next life", async || terminal.drawn().contains("demo  #2").then_some(()))
                .await;
        }
        match end {
            None => terminal.keys.write_all(b"q").unwrap(),
            Some(signal) => process::signal(child.id().unwrap(), signal),
        }
        let status = timeout(PATIENCE, child.wait()).await.expect(name).unwrap();
        assert!(status.success(), "{name}: {status}");
        let drawn = terminal.drawn();
        assert!(drawn.starts_with("\u{1b}[?1049h"), "{name}: {drawn:?}");
        until("the screen is left", async || {
            terminal.drawn().ends_with("\u{1b}[?25h\u{1b}[?1049l").then_some(())
        })
        .await;
    }
    assert!(switchboard.stop().await.success());
}

fn own_tools(tools: &[Value]) -> Vec<&str> {
    let names = tools.iter().filter_map(|tool| tool["name"].as_str());
    names.filter(|name| name.starts_with("switchboard_")).collect()
}

#[tokio::test]
async fn agents_ask_about_their_own_servers_where_that_is_switched_on() {
    let say = "echo c4n4ry-words >&2; exit 3";
    let mut config = json!({
        "mcpServers": {
            "demo": demo(),
            "broken": {"command": "sh", "args": ["-c", say], "protocol": "legacy"},
            "shared": {"command": PROGRAM, "args": ["demo-server"], "isolation": "shared"},
        },
        "agents": {
            "research": {"servers": ["broken", "shared"]},
            "private": {"mcpServers": {"mine": demo()}},
            "blind": {"servers": ["demo"], "tools": {"deny": ["switchboard_why"]}},
        },
    });
    let switchboard = Switchboard::serve(&config).await;
    let url = switchboard.url();
    let (research, blind) =
        (Client::new(format!("{url}/research")), Client::new(format!("{url}/blind")));
    until("tools", async || (research.tools().await.len() == 5).then_some(())).await;
    assert!(own_tools(&research.tools().await).is_empty());
    assert_eq!(research.call("switchboard_status", json!({})).await.error()["code"], -32602);

    config["catalog"] = json!({"introspection": true});
    switchboard.configure(&config);
    shown(&switchboard, &["reload"]).await;
    let tools = research.tools().await;
    assert_eq!(own_tools(&tools[tools.len() - 2..]), ["switchboard_status", "switchboard_why"]);
    assert_eq!(own_tools(&blind.tools().await), ["switchboard_status"]);
    assert_eq!(
        blind.call("switchboard_why", json!({"server": "demo"})).await.error()["code"],
        -32602
    );

    // The agent's own connection waits for tools that the store's one cannot list.
    let why = until("a failure", async || {
        let told = research.call("switchboard_why", json!({"server": "broken"})).await;
        told.text().contains("code 3").then_some(told)
    })
    .await;
    assert!(why.text().contains("its process exited with code 3"), "{why:?}");
    assert_eq!(why.result()["structuredContent"]["server"], "broken");
    let status = research.call("switchboard_status", json!({})).await;
    assert!(status.text().contains("shared is ready."), "{status:?}");
    let servers = status.result()["structuredContent"]["servers"].as_array().unwrap();
    let names: Vec<&Value> = servers.iter().map(|server| &server["server"]).collect();
    assert_eq!(names, ["broken", "shared"]);
    let foreign = research.call("switchboard_why", json!({"server": "demo"})).await;
    assert_eq!(foreign.result()["isError"], true);
    assert_eq!(
        foreign.result()["content"][0]["text"],
        "There is no server \"demo\"; yours are: broken, shared."
    );
    for reply in [&why, &status, &foreign] {
        assert!(!reply.response().to_string().contains("c4n4ry"), "{reply:?}");
    }
    let private = Client::new(format!("{url}/private"));
    let own = private.call("switchboard_status", json!({})).await;
    assert_eq!(own.text(), "mine is ready.");
    let missing = research.call("switchboard_why", json!({})).await;
    assert_eq!(missing.error()["code"], -32602);
    assert!(switchboard.stop().await.success());
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_told_as_a_bug_of_ours() {
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let flaky = Flaky::new(&Script::new().echo(), &[Attempt::Panics], Attempt::Hangs);
    let server = flaky.add(&runtime, "a").await;
    let story = until("a bug", async || {
        let story = runtime.store().why(&server)?;
        story.explanation.remedy.as_ref()?.contains("bug").then_some(story)
    })
    .await;
    let why = story.explanation.why.as_deref().unwrap();
    assert!(why.starts_with("a bug of Switchboard: "), "{why}");
    assert!(why.contains("as planned"), "{why}");
    let remedy = story.explanation.remedy.as_deref().unwrap();
    assert!(remedy.starts_with("this is a bug of Switchboard: report it"), "{remedy}");
    assert!(story.explanation.brief.contains(": a bug of Switchboard; next try in "), "{story:?}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_supervisor_is_told_at_each_of_its_servers() {
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let script = Script::new().echo();
    let quiet = Flaky::new(&script, &[], Attempt::Works).add(&runtime, "quiet").await;
    let server = Flaky::new(&script, &[], Attempt::Panics).add(&runtime, "a").await;
    let store = runtime.store();
    until("the end of its supervisor", async || {
        let events = store.history(&quiet);
        let told = |cause: &str| cause.starts_with("its supervisor ended, a bug of Switchboard: ");
        events.iter().any(|event| told(&event.cause)).then_some(())
    })
    .await;
    let story = until("quarantine", async || {
        let story = store.why(&server)?;
        story.explanation.why.as_ref()?.contains("quarantine").then_some(story)
    })
    .await;
    assert!(story.explanation.summary.contains("was given up"), "{story:?}");
    assert!(story.explanation.remedy.unwrap().contains("bug of Switchboard"));
}

#[tokio::test(start_paused = true)]
async fn who_waited_and_for_how_long_stands_in_the_timeline() {
    let runtime = Runtime::spawn(RuntimeConfig::default()).await.unwrap();
    let flaky = Flaky::new(&Script::new().echo().crash(), &[], Attempt::Works);
    let server = flaky.add(&runtime, "a").await;
    let store = runtime.store();
    store.wait_ready(&server, PATIENCE).await.unwrap();
    flaky.then(Attempt::FailsAfter(std::time::Duration::from_secs(2)));
    let call = |tool: &str| switchboard::runtime::CallRequest::new(tool, &json!({}));
    store.call(call("a_crash")).await.unwrap_err();
    let waiting = store.call(call("a_echo"));
    let watching = async {
        let status = until("a waiting call", async || {
            store.server(&server).filter(|status| status.waiting == 1)
        })
        .await;
        assert_eq!(status.in_flight, 0, "a call that waits is not in flight");
        until("a failed attempt", async || {
            store.history(&server).iter().any(|it| it.waiting.calls == 1).then_some(())
        })
        .await;
        flaky.then(Attempt::Works);
    };
    let (answer, ()) = tokio::join!(waiting, watching);
    answer.unwrap();
    let events = store.history(&server);
    let back = events.last().unwrap();
    assert_eq!(back.waiting.calls, 1, "{events:#?}");
    assert!(back.waiting.longest >= std::time::Duration::from_secs(2), "{events:#?}");
    let exits = events.iter().filter_map(|event| event.down()?.exit.as_ref());
    assert!(exits.into_iter().all(|exit| !matches!(exit, ProcessExit::Signal(_))));
    let (kept, _) = runtime.follow();
    assert_eq!(kept.len(), events.len());
}
