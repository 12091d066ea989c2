//! Canaries: a secret in every place that takes one, and a search of everything that Switchboard
//! says for any of them.
//!
//! What passes through it (arguments, results, a caller's credentials) is a secret as well: only
//! the caller's own answer may have it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{binary::Switchboard, wait::until};

/// What a configuration holds or refers to, by its place.
const CONFIGURED: [&str; 16] = [
    "c4n4ry-environment",
    "c4n4ry-dotenv",
    "c4n4ry-override",
    "c4n4ry-env-file",
    "c4n4ry-env-literal",
    "c4n4ry-option",
    "c4n4ry-next-word",
    "c4n4ry-header-word",
    "c4n4ry-password",
    "c4n4ry-parameter",
    "c4n4ry-header",
    "c4n4ry-url-user",
    "c4n4ry-url-password",
    "c4n4ry-url-query",
    "c4n4ry-collector",
    "c4n4ry-private",
];

/// What passes through.
const PASSED: [&str; 4] =
    ["c4n4ry-argument", "c4n4ry-authorization", "c4n4ry-broken", "c4n4ry-metadata"];

/// Everything that was said, and by whom.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    fn add(&mut self, who: &str, words: impl Into<String>) {
        self.0.push((who.to_owned(), words.into()));
    }

    /// Nobody said any of these.
    fn check(&self, canaries: &[&str]) {
        for (who, words) in &self.0 {
            for canary in canaries {
                let line = words.lines().find(|line| line.contains(canary));
                assert!(line.is_none(), "{who} tells {canary}: {}", line.unwrap_or_default());
            }
        }
    }
}

/// Says everything that it was given, in one line, and then serves, or ends.
fn loud(then: &str, words: &Value) -> Value {
    let say = "echo \"words: $* $LITERAL $VARIABLE $FILED $OVERRIDE\" >&2";
    let mut args = vec![json!("-c"), json!(format!("{say}; {then}")), json!("${switchboard}")];
    args.extend_from_slice(words.as_array().unwrap());
    json!({
        "command": "sh",
        "args": args,
        "env": {"LITERAL": "c4n4ry-env-literal", "VARIABLE": "${FROM_ENVIRONMENT}"},
        "envFile": "variables",
    })
}

fn config() -> Value {
    let words = json!([
        "${FROM_ENVIRONMENT}",
        "--dir=${FROM_DOTENV}/x",
        "--token=c4n4ry-option",
        "--api-key",
        "c4n4ry-next-word",
        "--header",
        "Authorization: Bearer c4n4ry-header-word",
        "postgres://ada:c4n4ry-password@db/x",
        "https://host/mcp?v=1&access_token=c4n4ry-parameter",
    ]);
    let serve = "exec \"$0\" demo-server";
    json!({
        "mcpServers": {
            "loud": loud(serve, &words),
            "ending": loud("exit 3", &words),
            "babbling": loud("echo \"$LITERAL\"; exit 3", &words),
            "remote": {
                "url": "http://c4n4ry-url-user:c4n4ry-url-password@127.0.0.1:1/mcp?key=c4n4ry-url-query&v=${FROM_ENVIRONMENT}",
                "headers": {"Authorization": "Bearer c4n4ry-header", "X-Key": "${FROM_DOTENV}"},
            },
        },
        "agents": {"research": {"mcpServers": {
            "own": {"command": "${switchboard}", "args": ["demo-server"], "env": {"K": "c4n4ry-private"}},
        }}},
        "telemetry": {
            "log": {"level": "trace"},
            "otlp": {"endpoint": "http://ada:c4n4ry-collector@127.0.0.1:1/v1?key=c4n4ry-collector"},
        },
    })
}

const VARIABLES: [(&str, &str); 3] = [
    ("FROM_ENVIRONMENT", "c4n4ry-environment"),
    ("SWITCHBOARD_MCPSERVERS__loud__ENV__OVERRIDE", "c4n4ry-override"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer c4n4ry-collector"),
];

async fn start() -> Switchboard {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join(".env"), "FROM_DOTENV=c4n4ry-dotenv\n").unwrap();
    std::fs::write(directory.path().join("variables"), "FILED=c4n4ry-env-file\n").unwrap();
    Switchboard::serve_in(directory, &config(), &VARIABLES).await
}

fn server<'a>(status: &'a Value, name: &str) -> &'a Value {
    let servers = status["servers"].as_array().unwrap();
    servers.iter().find(|server| server["server"] == name).unwrap()
}

/// The state database's files as text, and their names.
fn kept(state: &Path) -> Option<(String, Vec<PathBuf>)> {
    let files = std::fs::read_dir(state).ok()?.flatten().map(|entry| entry.path());
    let name = |path: &PathBuf| path.to_string_lossy().contains("state.db");
    let files: Vec<PathBuf> = files.filter(name).collect();
    let bytes = files.iter().filter_map(|path| std::fs::read(path).ok());
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
    Some((text, files))
}

/// What an operator can ask.
async fn ask(instance: &Switchboard, said: &mut Said) {
    let file = ["--config", "config.json"];
    for question in [
        &["status"][..],
        &["status", "--json"],
        &["why", "loud"],
        &["why", "ending", "--json"],
        &["events"],
        &["events", "--json"],
        &["tree"],
        &["tools"],
        &["tools", "--agent", "research", "--json"],
        &["restart", "ending"],
        &["call", "ending_echo"],
        &["config", "check", file[0], file[1]],
        &["config", "show", file[0], file[1]],
        &["config", "show", "--json", file[0], file[1]],
    ] {
        let output = instance.program(question).envs(VARIABLES).output().await.unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!out.is_empty() || !err.is_empty(), "{question:?} said nothing");
        said.add(&question.join(" "), format!("{out}\n{err}"));
    }
    for path in ["/health", "/health/ready", "/health/detailed"] {
        let url = instance.url().replace("/mcp", path);
        let answer = reqwest::get(url).await.unwrap();
        assert!(answer.status() != 404, "{path}");
        said.add(path, format!("{:?}\n", answer.headers()) + &answer.text().await.unwrap());
    }
}

#[tokio::test]
async fn no_secret_is_told_to_anybody() {
    let instance = start().await;
    let client = instance.client();
    let mut said = Said::default();

    // What passes through arrives, and only there.
    let secret = json!({"text": "c4n4ry-argument", "_meta": {"note": "c4n4ry-metadata"}});
    let reply = client.call("loud_echo", json!({"text": "c4n4ry-argument"})).await;
    assert_eq!(reply.text(), "c4n4ry-argument");
    let broken = client.call("loud_add", secret).await;
    assert!(broken.response().get("error").is_some() || broken.result()["isError"] == true);
    for body in [r#"{"jsonrpc":"2.0","c4n4ry-broken"#, r#"{"id":1,"method":"c4n4ry-broken"}"#] {
        let refused = client
            .post()
            .header("authorization", "Bearer c4n4ry-authorization")
            .header("content-type", "application/json")
            .body(body);
        assert!(refused.send().await.unwrap().status().is_client_error());
    }

    // Errors, with a server's last words behind them.
    for (tool, arguments) in
        [("loud_crash", json!({})), ("ending_echo", json!({})), ("remote_x", json!({}))]
    {
        let reply = client.call(tool, arguments).await;
        said.add(tool, reply.response().to_string());
    }
    let status = until("servers that failed and came back", async || {
        let status = instance.status().await;
        let told = |name| {
            server(&status, name)["cause"].as_str().is_some_and(|cause| cause.contains("***"))
        };
        (told("loud") && told("ending") && told("babbling")).then_some(status)
    })
    .await;
    // The line is there and was masked: everything but its names of options and places.
    let words = server(&status, "loud")["cause"].as_str().unwrap();
    assert!(words.contains("--token=*** --api-key *** --header"), "{words}");
    assert!(words.contains("postgres://ada:***@db/x"), "{words}");

    ask(&instance, &mut said).await;
    said.add("the log", instance.log());
    let log = &said.0.last().unwrap().1;
    assert!(log.contains("TRACE") && log.contains("words: ***"), "{log}");
    // What is kept on disk: before it ends, with the log of what was written last, and after.
    let state = instance.state();
    until("everything is written", async || {
        let (log, _) = kept(&state)?;
        log.contains("babbling").then_some(())
    })
    .await;
    let (before, _) = kept(&state).unwrap();
    said.add("the state database while it is used", before);
    let _folder = instance.leave().await;
    let (database, files) = kept(&state).unwrap();
    assert!(database.contains("CREATE TABLE") && database.contains("loud_echo"), "{files:?}");
    said.add("the state database", database);
    said.check(&CONFIGURED);
    said.check(&PASSED);
}
